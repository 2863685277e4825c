"""The registry of metrics: an entry is all the code of a metric, and docs, tests and results have every entry."""

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.conftest import Judged
from tests.lists import lists
from widedeep.compare.intervals import paired
from widedeep.evaluation.bootstrap import Bootstrap
from widedeep.evaluation.metrics import METRICS, Metric, label_of, metric_of, stored_terms, unit_of
from widedeep.evaluation.ranking import Lists
from widedeep.evaluation.results import flatten, select_headline
from widedeep.report.ranking import ranking_rows
from widedeep.report.results import Results


def first_item(lists: Lists, k: int) -> pd.Series:
    """Whether the first item of the catalogue is in the list."""
    return pd.Series((lists.items[:, :k] == 0).any(1).astype(float), index=np.arange(len(lists)))


NEW = {
    "within_half": Metric(
        name="within_half", label="Within half a point", task="rating", direction="higher", column="within_half",
        of_row=lambda rating, predicted: (np.abs(predicted - rating) <= 0.5).astype(float),
    ),
    "first_item": Metric(
        name="first_item", label="First item", task="ranking", direction="higher", at_k=True, every_k=True,
        of_lists=first_item,
    ),
}  # fmt: skip


def test_a_metric_is_one_entry(judge: Callable[..., Judged], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, metric in NEW.items():
        monkeypatch.setitem(METRICS, name, metric)
    judged = judge()
    metrics, per_user = judged.evaluation.metrics, judged.evaluation.per_user
    own = judged.predictions.query("model == 'wide_deep' and knowledge == 'frozen'")
    share = ((own["predicted"] - own["rating"]).abs() <= 0.5).mean()
    assert metrics["rating"]["frozen"]["within_half"]["value"] == pytest.approx(share, abs=1e-6)
    assert metrics["baselines"]["bias"]["rating"]["online"]["within_half"]["n"] == len(own)
    assert per_user["frozen_within_half"].sum() / per_user["n"].sum() == pytest.approx(share)
    found = metrics["ranking"]["frozen"]["first_item_at_5"]["value"]
    assert per_user["frozen_first_item_at_5"].mean() == pytest.approx(found, abs=1e-6)
    curve = judged.evaluation.curves["ranking_by_k"]
    assert set(curve.loc[curve["metric"] == "first_item", "k"]) == {1, 5}
    assert label_of("ranking.frozen.first_item_at_5") == "First item at 5"
    flat = metric_of("ranking.frozen.first_item_at_5")
    assert flat is not None
    assert flat.direction == "higher"
    # The metric also has a paired verdict for two versions, and a row on the page.
    better = per_user.assign(frozen_first_item_at_5=1.0)
    paired_difference = paired(per_user, better, ["ranking.frozen.first_item_at_5"], Bootstrap(100))
    assert paired_difference["ranking.frozen.first_item_at_5"].value == pytest.approx(1 - found, abs=1e-6)
    rows = ranking_rows(Results("wide_deep", metrics).by_model("ranking", "frozen"), 5)
    assert "First item" in [row["label"] for row in rows]


@pytest.mark.parametrize(
    ("flat", "name", "label", "unit"),
    [
        ("rating.online.rmse", "rmse", "RMSE", "rating points"),
        ("ranking.frozen.ndcg_at_10", "ndcg", "NDCG at 10", ""),
        ("ranking.frozen.novelty_at_10", "novelty", "Novelty at 10", "bits"),
        ("baselines.bias.rating.frozen.user_mean_mae", "user_mean_mae", "Mean MAE of users", "rating points"),
        ("rating.online.rmse_minus_global_mean", "rmse", "RMSE minus global mean", "rating points"),
        ("ndcg_at_5", "ndcg", "NDCG at 5", ""),
    ],
)
def test_a_name_leads_to_its_metric(flat: str, name: str, label: str, unit: str) -> None:
    assert metric_of(flat) is METRICS[name]
    assert (label_of(flat), unit_of(flat)) == (label, unit)


@pytest.mark.parametrize("flat", ["", "rating.online.loss", "rating.online.ndcg_at_10", "ndcg", "rmse_at_10", "n"])
def test_a_name_that_is_not_known_has_no_metric(flat: str) -> None:
    assert metric_of(flat) is None
    assert (label_of(flat), unit_of(flat)) == (flat, "")


# User 0 rated 4 and 5, and user 1 rated 2. The predictions are 3, 5 and 4.
ERRORS = pd.DataFrame({"user": [0, 0, 1], "rating": [4.0, 5.0, 2.0], "predicted": [3.0, 5.0, 4.0]})
# Items 1, 4 and 9 of ten are relevant. The list has two of them, at ranks 2 and 3. Of 8 users, 8, 4, 2 and 1 rated its
# items. Two pairs of its items have the same genre, four have none in common.
LIST = lists(
    [[7, 1, 4, 8]],
    [[1, 4, 9]],
    item_counts=[1, 4, 1, 1, 2, 1, 1, 8, 1, 1],
    n_users=8,
    item_genres=np.isin(np.arange(10), (1, 7))[:, None] == [True, False],
)
BY_HAND = {
    "rmse": math.sqrt((1 + 0 + 4) / 3),
    "mae": (1 + 0 + 2) / 3,
    "user_mean_rmse": (math.sqrt(1 / 2) + 2) / 2,
    "user_mean_mae": (1 / 2 + 2) / 2,
    "precision": 2 / 4,
    "recall": 2 / 3,
    "f1": 2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3),
    "ndcg": (1 / math.log2(3) + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2),
    "map": (1 / 2 + 2 / 3) / 3,
    "mrr": 1 / 2,
    "hit_rate": 1,
    "novelty": (0 + 1 + 2 + 3) / 4,
    "diversity": 1 - 2 / 6,
    "coverage": 4 / 10,
}


def computed(metric: Metric) -> float:
    """Compute a metric of the example from its entry alone."""
    if metric.of_row:
        amounts = metric.of_row(ERRORS["rating"].to_numpy(), ERRORS["predicted"].to_numpy())
        by_user = pd.Series(amounts).groupby(ERRORS["user"])
        return float(Bootstrap(1).ratios([metric.terms(by_user.sum().to_numpy(), by_user.size().to_numpy())])[0, 0])
    if metric.of_all:
        return metric.of_all(LIST, 4)
    assert metric.of_lists
    return float(metric.of_lists(LIST, 4).mean())


@pytest.mark.parametrize("name", BY_HAND)
def test_value_by_hand(name: str) -> None:
    assert computed(METRICS[name]) == pytest.approx(BY_HAND[name])


def missing(root: Path) -> list[str]:
    """List the places that lack a metric of the registry, as what to do."""
    glossary = (root / "docs/glossary.md").read_text(encoding="utf-8")
    results = "".join(path.read_text(encoding="utf-8") for path in (root / "reports").glob("*.json"))
    todo = []
    for name, metric in METRICS.items():
        if name not in BY_HAND:
            todo.append(f"{name}: add its value by hand to BY_HAND in tests/evaluation/test_metrics.py")
        shown = f"{name}_at_k" if metric.at_k else name
        row = f"| {shown} | {metric.label} | {metric.unit or 'none'} | {metric.direction} |"
        if row not in glossary:
            todo.append(f"{name}: add to docs/glossary.md: {row}")
        stored = f'"{name}_at_' if metric.at_k else f'"{name}"'
        if stored not in results:
            todo.append(f"{name}: run `dvc repro` and commit reports/")
    return todo


def test_every_metric_is_in_the_docs_the_tests_and_the_results(root: Path) -> None:
    assert missing(root) == []


def test_a_metric_added_in_one_place_only_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, metric in NEW.items():
        monkeypatch.setitem(METRICS, name, metric)
    assert missing(root) == [
        "within_half: add its value by hand to BY_HAND in tests/evaluation/test_metrics.py",
        "within_half: add to docs/glossary.md: | within_half | Within half a point | none | higher |",
        "within_half: run `dvc repro` and commit reports/",
        "first_item: add its value by hand to BY_HAND in tests/evaluation/test_metrics.py",
        "first_item: add to docs/glossary.md: | first_item_at_k | First item | none | higher |",
        "first_item: run `dvc repro` and commit reports/",
    ]


def test_what_is_stored_by_user_makes_the_metrics_again(judge: Callable[..., Judged]) -> None:
    judged = judge()
    bootstrap = Bootstrap(judged.params.bootstrap_replicates, judged.params.seed)
    again = 0
    for flat, value in flatten(judged.evaluation.results, "wide_deep", 5).items():
        found = stored_terms(judged.evaluation.per_user, flat)
        if found:
            users, terms = found
            assert len(users) == len(terms.above)
            assert bootstrap.ratios([terms])[0, 0] == pytest.approx(value, abs=1e-6)
            again += 1
    assert again == 2 * 4 + 7


def test_headline_is_a_dozen_numbers_with_those_of_the_model_first(judge: Callable[..., Judged]) -> None:
    evaluation = judge().evaluation
    found = select_headline(evaluation.results, "wide_deep", 5)
    assert list(found)[:3] == ["rmse", "frozen_rmse", "ndcg_at_5"]
    assert {"bias_rmse", "popularity_ndcg_at_5"} <= found.keys()
    assert len(found) <= 12
    assert found["rmse"] == evaluation.metrics["rating"]["online"]["rmse"]["value"]
    assert found["ndcg_at_5"] == evaluation.metrics["ranking"]["frozen"]["ndcg_at_5"]["value"]
    assert found["bias_rmse"] == evaluation.metrics["baselines"]["bias"]["rating"]["online"]["rmse"]["value"]


@pytest.mark.parametrize(
    "flat", ["rating.online.rmse_minus_bias", "baselines.bias.rating.online.rmse", "ranking.frozen.coverage_at_5"]
)
def test_what_is_not_stored_by_user_has_no_terms(judge: Callable[..., Judged], flat: str) -> None:
    assert stored_terms(judge().evaluation.per_user, flat) is None


def test_evaluation_starts_without_torch_and_models(root: Path) -> None:
    names = [f"widedeep.evaluation.{file.stem}" for file in (root / "src/widedeep/evaluation").glob("[!_]*.py")]
    heavy = (
        "torch",
        "mlflow",
        "dvc",
        "duckdb",
        "sklearn",
        "widedeep.features",
        "widedeep.models",
        "widedeep.scoring",
        "widedeep.score_tables",
    )
    known = (
        "widedeep.models",
        "widedeep.models.knobs",
        "widedeep.models.registry",
    )  # params.yaml's reader imports the registry, which imports no model
    code = (
        f"import sys, {', '.join(names)}; "
        f"print([name for name in sorted(sys.modules) if name.startswith({heavy!r}) and name not in {known!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root / "src", capture_output=True, text=True, check=True)
    assert len(names) > 8
    assert done.stdout.strip() == "[]"
