"""Implicit feedback: the pipeline learns and judges lists only, and says so."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import Project
from tests.small_data import DEFAULTS, SPLITS, coded, small_recipe
from widedeep.cli import main
from widedeep.columns import IMPLICIT
from widedeep.errors import UserError
from widedeep.features.build import build_features
from widedeep.features.tensors import FeatureSet, feature_set
from widedeep.models.build import build
from widedeep.params import EvaluateParams, FeaturizeParams
from widedeep.score_tables import with_baselines
from widedeep.serving.recommender import Recommender
from widedeep.training.fit import fit

STAGES = ("download", "preprocess", "featurize", "train", "evaluate", "drift", "report")
KNOWLEDGES = {"frozen", "online"}
REASON = "the data have no ratings (implicit feedback)"


def clicks() -> str:
    """1,200 clicks of 40 users on 30 items, in order of time."""
    random = np.random.default_rng(0)
    user, item = random.integers(40, size=1200), np.minimum(random.exponential(8, size=1200).astype(int), 29)
    rows = [f"u{u},i{i},{1_600_000_000 + 3600 * n}" for n, (u, i) in enumerate(zip(user, item, strict=True))]
    return "\n".join(["user,item,timestamp", *rows, ""])


@pytest.mark.slow
def test_a_file_without_ratings_goes_from_inspect_to_a_warm_start(
    inspected: Callable[[Path], tuple[Project, str]],
    run_stage: Callable[[Project, str], str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "clicks.csv").write_text(clicks())
    project, printed = inspected(tmp_path / "clicks.csv")
    assert "feedback: implicit, as no column has a known name for the rating" in printed
    project.set({"train.objective": "rating"})
    for stage in STAGES[:3]:
        run_stage(project, stage)
    assert "error: train.objective must be ranking or joint for implicit feedback" in run_stage(project, "train")
    project.set({"train.objective": "joint"})
    for stage in STAGES[3:]:
        assert "error" not in run_stage(project, stage)

    reports = project.path / "reports"
    metrics = json.loads((reports / "metrics.json").read_text())
    assert metrics["rating"] == {}
    without_genres = {f"ranking.{name}.diversity_at_10": "no list has two items with genres" for name in KNOWLEDGES}
    assert metrics["missing"] == {"rating": REASON} | without_genres
    assert set(metrics["baselines"]) == {"popularity", "recent_popularity", "ease"}
    assert set(metrics["ranking"]) == KNOWLEDGES
    assert not [name for name in json.loads((reports / "headline.json").read_text()) if "rmse" in name]
    understood = json.loads((reports / "data.json").read_text())["understood"]
    assert any(line.startswith("feedback: implicit") for line in understood)
    page = (reports / "report.html").read_text()
    assert f"There are no metrics of ratings: {REASON}." in page
    assert "Every test item is relevant." in page
    assert "feedback: implicit, as no column" in page
    assert f"No metrics of ratings on own: {REASON}." in (reports / "summary.md").read_text()
    assert "rows of implicit feedback" in (reports / "model_card.md").read_text()

    capsys.readouterr()
    assert main(["recommend", "--user", "u1", "--n", "3", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 3
    (tmp_path / "pairs.csv").write_text("user_id,item_id\nu1,i2\n")
    assert main(["predict", str(tmp_path / "pairs.csv")]) == 2
    assert "error: This model predicts no ratings: its data have none" in capsys.readouterr().err

    capsys.readouterr()
    assert main(["evaluate", "reports/predictions.parquet", "reports/recommendations.parquet"]) == 0
    assert f"No metrics of ratings on own: {REASON}." in capsys.readouterr().out

    recommender, second = Recommender.load("models"), 1_600_000_000 + 3600 * 1200
    new = {"user_id": "u1", "item_id": "i2", "timestamp": second}
    assert recommender.add([new, {**new, "rating": 12}]) == 2
    assert recommender.history("u1", 3)[["item_id", "rating"]].values.tolist()[:2] == [["i2", 1.0], ["i2", 1.0]]
    with pytest.raises(UserError, match=r"Event 1: rating must be a number in \[0, 1e\+09\]. Got -1 instead"):
        recommender.add([{**new, "rating": -1}])

    shutil.copytree("models", tmp_path / "earlier")
    later = [f"u{n % 50},i{n % 31},{second + n}" for n in range(400)]
    (tmp_path / "clicks.csv").write_text(clicks() + "\n".join([*later, ""]))
    project.set({"train.warm_start_from": str(tmp_path / "earlier")})
    for stage in STAGES[:5]:
        assert "error" not in run_stage(project, stage)
    assert Recommender.load("models").knows("u49")


@pytest.fixture(scope="module")
def implicit(ratings: pd.DataFrame, items: pd.DataFrame, users: pd.DataFrame) -> Callable[[str], FeatureSet]:
    """Features of the small data set as implicit feedback, by kind of split."""

    def of(split: str) -> FeatureSet:
        tables = coded(ratings, items, users, split)
        tables = replace(tables, about=replace(tables.about, rating_scale=IMPLICIT))
        return feature_set(build_features(tables, FeaturizeParams(**DEFAULTS)), *SPLITS)

    return of


@pytest.mark.parametrize("split", ["temporal", "random"])
def test_joint_learns_lists_only_and_their_validation_chooses_the_epoch(
    implicit: Callable[[str], FeatureSet], split: str, tmp_path: Path
) -> None:
    features = implicit(split)
    assert (features.splits["train"].rating == 1).all()
    found = fit(features, small_recipe(objective="joint"), tmp_path)
    assert len(found.curves) <= small_recipe().train.ranking.epochs
    assert not [name for row in found.curves for name in row if "rmse" in name]
    gains = [row["validation_ndcg_at_10"] for row in found.curves]
    assert found.epoch == gains.index(max(gains))


@pytest.mark.parametrize("name", ["bias_dot", "dot", "ease", "popularity"])
def test_models_that_rank_learn_from_implicit_feedback(
    implicit: Callable[[str], FeatureSet], name: str, tmp_path: Path
) -> None:
    found = fit(implicit("random"), small_recipe(model=name, objective="ranking", epochs=2), tmp_path)
    assert np.isfinite(found.validation["validation_ndcg_at_10"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "rating"}, "train.objective must be ranking or joint for implicit feedback"),
        ({"objective": "joint", "rating_weight": 1.0}, "train.ranking.rating_weight must be 0 for implicit feedback"),
        ({"model": "bias", "objective": "ranking"}, "bias learns from the differences between ratings"),
        ({"model": "item_knn", "objective": "ranking"}, "item_knn learns from the differences between ratings"),
    ],
)
def test_what_needs_ratings_is_refused(
    implicit: Callable[[str], FeatureSet], changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        fit(implicit("random"), small_recipe(**changes), tmp_path)


def test_baselines_that_need_ratings_are_left_out(implicit: Callable[[str], FeatureSet]) -> None:
    features = implicit("random")
    model = build(features.spec, small_recipe(objective="ranking").architecture)
    assert list(with_baselines(features, "wide_deep", model)) == [
        "wide_deep", "popularity", "recent_popularity", "ease",
    ]  # fmt: skip


def test_every_test_item_is_relevant() -> None:
    params = EvaluateParams(
        ks=(10,), relevant_rating=None, ranked_users=1, ranked_questions=1, popularity_penalty=0,
        bootstrap_replicates=100, seed=0,
    )  # fmt: skip
    assert params.relevant_from(IMPLICIT) == 1
    with pytest.raises(UserError, match=r"evaluate\.relevant_rating must be null for implicit feedback"):
        params.model_copy(update={"relevant_rating": 4.0}).relevant_from(IMPLICIT)
