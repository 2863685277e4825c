"""The comparison of all models: its pipeline, its verdicts, and a small run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from studies.comparison.compare import compare, finding, render_table
from studies.comparison.model import main, with_model
from tests.conftest import ROOT, Project
from tests.small_data import BASELINES, NETWORKS
from tests.test_dvc_yaml import closure, code_files
from widedeep.errors import UserError
from widedeep.evaluation.bootstrap import Bootstrap
from widedeep.params import load_params
from widedeep.reading import read_json

STUDY = ROOT / "studies/comparison"
STAGES: dict[str, Any] = yaml.safe_load((STUDY / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
MODELS = [*BASELINES, *NETWORKS]


def per_user(squared_error: list[float], ndcg: list[float] | None = None) -> pd.DataFrame:
    """Make the results of three users with two rows each."""
    table = pd.DataFrame({"user_id": [1, 2, 3], "n": 2, "frozen_squared_error": squared_error})
    return table if ndcg is None else table.assign(frozen_ndcg_at_10=ndcg)


TABLES = {
    "wide_deep": per_user([2.0, 2.0, 2.0], [0.5, 0.5, np.nan]),
    "dot": per_user([8.5, 8.0, 7.5], [0.74, 0.76, np.nan]),
    "bias": per_user([0.55, 0.5, 0.45], [0.24, 0.26, np.nan]),
    "cnn": per_user([0.5, 2.0, 8.0], [0.0, 1.0, np.nan]),
    "global_mean": per_user([2.0, 2.0, 2.0]),
}


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return compare(TABLES, Bootstrap(200)).set_index(["metric", "model"])


@pytest.mark.parametrize(
    ("metric", "model", "value", "minus", "verdict"),
    [
        # sqrt(24 / 6) = 2 against 1, and hardly different without one of the users.
        ("rmse", "dot", 2.0, 1.0, "worse"),
        ("rmse", "bias", 0.5, -0.5, "better"),
        # sqrt(10.5 / 6) - 1. With the first user alone it is better, with the third user alone worse.
        ("rmse", "cnn", 1.322876, 0.322876, "no evidence"),
        ("rmse", "global_mean", 1.0, 0.0, "no evidence"),
        # A higher NDCG is better, and only users with a relevant item count.
        ("ndcg_at_10", "dot", 0.75, 0.25, "better"),
        ("ndcg_at_10", "bias", 0.25, -0.25, "worse"),
        ("ndcg_at_10", "cnn", 0.5, 0.0, "no evidence"),
    ],
)
def test_difference_from_wide_deep_by_hand(
    results: pd.DataFrame, metric: str, model: str, value: float, minus: float, verdict: str
) -> None:
    row = results.loc[metric, model]
    assert row["value"] == value
    assert row["minus_wide_deep"] == minus
    assert row["verdict"] == verdict
    assert row["minus_low"] + row["minus_high"] == pytest.approx(2 * minus, abs=2e-6)  # t-intervals are centred


def test_wide_deep_is_not_compared_with_itself(results: pd.DataFrame) -> None:
    own = results.xs("wide_deep", level="model")
    assert own[["minus_wide_deep", "minus_low", "minus_high"]].isna().all(axis=None)
    assert list(own["verdict"]) == ["", ""]
    assert dict(own["value"]) == {"rmse": 1.0, "ndcg_at_10": 0.5}
    assert dict(own["n"]) == {"rmse": 6, "ndcg_at_10": 2}


def test_best_comes_first_and_a_model_that_does_not_rank_has_no_ndcg(results: pd.DataFrame) -> None:
    assert list(results.loc["rmse"].index) == ["bias", "wide_deep", "global_mean", "cnn", "dot"]
    assert list(results.loc["ndcg_at_10"].index) == ["dot", "wide_deep", "cnn", "bias"]


def test_finding_counts_verdicts() -> None:
    assert finding(["worse", "", "better", "no evidence", "worse"]) == "2 of 4 worse than Wide & Deep, 1 better"


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"dot": TABLES["dot"]}, "There is no result of wide_deep"),
        (TABLES | {"dot": TABLES["dot"].assign(n=3)}, "dot and wide_deep were judged on different rows"),
        (TABLES | {"dot": TABLES["dot"].iloc[:2]}, "dot and wide_deep were judged on different rows"),
        (TABLES | {"dot": TABLES["dot"].fillna(0)}, "dot and wide_deep were judged on different rows"),
    ],
)
def test_only_results_on_the_same_rows_are_compared(tables: dict[str, pd.DataFrame], message: str) -> None:
    with pytest.raises(UserError, match=message):
        compare(tables, Bootstrap(200))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "dot: {train: {learning_rat: 0.1}}",
            r"yaml, dot: unknown key 'train.learning_rat'. Did you mean 'learning_rate'",
        ),
        (
            "dot: {models: {dot: {members: 0}}}",
            "'models.dot.members': must be greater than or equal to 1. Got 0 instead.",
        ),
        ("dot: {models: {dot: {dropout: 0}}}", "unknown key 'models.dot.dropout'. Known: members"),
        ("dott: {}", "there is no model 'dott'. Did you mean 'dot'?"),
        ("dot: 3", "dot must hold sections of params.yaml. Got 3 instead."),
        ("dot: {", "is not valid YAML"),
    ],
)
def test_bad_changes_of_a_model_are_told(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        with_model(load_params(ROOT / "params.yaml"), path, "dot")


def test_every_model_is_compared_and_its_changes_are_valid() -> None:
    assert STAGES["model"]["foreach"] == "${models}"
    params = load_params(ROOT / "params.yaml")
    assert list(params.models) == MODELS
    for model in MODELS:
        assert with_model(params, STUDY / "models.yaml", model).train.model == model


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_the_imports_of_the_stage(stage: str) -> None:
    deps = STAGES[stage].get("do", STAGES[stage])["deps"]
    code = [dep for dep in deps if dep not in ("data/features", "studies/comparison/models")]
    listed = {dep: code_files(ROOT / dep) for dep in code}
    needed = {file for file in closure(f"studies.comparison.{stage}") if file.suffix == ".py"}
    assert needed <= set().union(*listed.values())
    assert [dep for dep, files in listed.items() if not files & needed] == []


def test_unknown_model_is_an_error_that_names_the_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["wide_dep"])
    printed = capsys.readouterr().err
    assert "invalid choice: 'wide_dep'" in printed
    assert "'wide_deep'" in printed


def test_small_run_writes_the_results_and_a_second_one_runs_nothing(
    project: Project, stages_run: Callable[[str], list[str]]
) -> None:
    study = project.path / "studies/comparison"
    for path in [*study.glob("models/*"), *study.glob("results.*"), *study.glob("dvc.lock")]:
        path.unlink()
    pipeline = yaml.safe_load((study / "dvc.yaml").read_text(encoding="utf-8"))
    pipeline["stages"]["model"]["foreach"] = {"global_mean": {}, "wide_deep": {}}
    (study / "dvc.yaml").write_text(yaml.safe_dump(pipeline), encoding="utf-8")

    repro = ("dvc", "repro", "studies/comparison/dvc.yaml")
    assert stages_run(project.run(*repro)) == [
        f"studies/comparison/dvc.yaml:{stage}" for stage in ("model@global_mean", "model@wide_deep", "compare")
    ]
    results = pd.read_csv(study / "results.csv")
    assert set(results["model"]) == {"global_mean", "wide_deep"}
    rows = results.set_index(["model", "knowledge", "metric"])
    root = read_json(project.path / "reports/metrics.json")  # the root pipeline trained the same model
    for knowledge in ("online", "frozen"):
        rmse = root["rating"][knowledge]
        own, other = (rows.loc[name, knowledge, "rmse"] for name in ("wide_deep", "global_mean"))
        assert own[["value", "low", "high"]].to_dict() == pytest.approx(
            {name: rmse["rmse"][name] for name in ("value", "low", "high")}, abs=1e-5
        )
        assert other["minus_wide_deep"] == pytest.approx(-rmse["rmse_minus_global_mean"]["value"], abs=1e-5)
    assert rows.loc[("wide_deep", "frozen", "ndcg_at_10"), "value"] == pytest.approx(
        root["ranking"]["frozen"]["ndcg_at_10"]["value"], abs=1e-5
    )
    assert ("global_mean", "frozen", "ndcg_at_10") not in rows.index
    assert (study / "results.md").read_text(encoding="utf-8") == render_table(results, "movielens-small")
    assert "Wide &amp; Deep" in (study / "results.svg").read_text(encoding="utf-8")

    before = {path: path.read_bytes() for path in study.rglob("*") if path.is_file()}
    assert stages_run(project.run(*repro)) == []
    assert {path: path.read_bytes() for path in study.rglob("*") if path.is_file()} == before
