"""The registry of metrics: a metric needs only one entry, and names lead to entries."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.conftest import Judged
from widedeep.compare.intervals import paired
from widedeep.evaluation.bootstrap import Bootstrap
from widedeep.evaluation.metrics import METRICS, Metric, label_of, metric_of, stored_terms, unit_of
from widedeep.evaluation.ranking import Lists
from widedeep.evaluation.results import headline
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


def test_directions() -> None:
    by_direction = {
        direction: [name for name, metric in METRICS.items() if metric.direction == direction]
        for direction in ("lower", "higher", "neither")
    }
    assert by_direction == {
        "lower": ["rmse", "mae", "user_mean_rmse", "user_mean_mae"],
        "higher": ["precision", "recall", "f1", "ndcg", "map", "mrr", "hit_rate"],
        "neither": ["novelty", "diversity", "coverage"],
    }


def test_what_is_stored_by_user_makes_the_metrics_again(judge: Callable[..., Judged]) -> None:
    judged = judge()
    bootstrap = Bootstrap(judged.params.bootstrap_replicates, judged.params.seed)
    again = 0
    for flat, value in headline(judged.evaluation.results, "wide_deep", 5).items():
        found = stored_terms(judged.evaluation.per_user, flat)
        if found:
            users, terms = found
            assert len(users) == len(terms.above)
            assert bootstrap.ratios([terms])[0, 0] == pytest.approx(value, abs=1e-6)
            again += 1
    assert again == 2 * 4 + 7


@pytest.mark.parametrize(
    "flat", ["rating.online.rmse_minus_bias", "baselines.bias.rating.online.rmse", "ranking.frozen.coverage_at_5"]
)
def test_what_is_not_stored_by_user_has_no_terms(judge: Callable[..., Judged], flat: str) -> None:
    assert stored_terms(judge().evaluation.per_user, flat) is None


def test_evaluation_starts_without_torch_and_models(root: Path) -> None:
    names = [f"widedeep.evaluation.{file.stem}" for file in (root / "src/widedeep/evaluation").glob("[!_]*.py")]
    heavy = ("torch", "mlflow", "dvc", "duckdb", "sklearn", "widedeep.features", "widedeep.models", "widedeep.scoring")
    known = (
        "widedeep.models",
        "widedeep.models.registry",
    )  # params.yaml's reader imports the registry, which imports no model
    code = (
        f"import sys, {', '.join(names)}; "
        f"print([name for name in sorted(sys.modules) if name.startswith({heavy!r}) and name not in {known!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root / "src", capture_output=True, text=True, check=True)
    assert len(names) > 8
    assert done.stdout.strip() == "[]"
