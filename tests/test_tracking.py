"""What train and evaluate log to MLflow. If the store fails, only the log is lost."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from stages import evaluate, train
from tests.conftest import FAST
from tests.small_data import coded, written
from widedeep.features.files import FeatureTables
from widedeep.files import sha256
from widedeep.params import load_params
from widedeep.tracking import FEATURES_HASH, MODEL_HASH, Tracker, log_metrics, runs_page

# A folder that cannot exist, a text that is no store, and a server that does not run (on port 9, "discard").
BROKEN = ["sqlite:///params.yaml/x.db", "no-such-scheme://somewhere", "http://127.0.0.1:9"]


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store without runs. MLflow needs seconds for its tables."""
    from mlflow.tracking import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(empty_store: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of a store without runs, which is also that of the environment."""
    uri = f"sqlite:///{shutil.copy(empty_store, tmp_path_factory.mktemp('store'))}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


@pytest.fixture
def run(
    root: Path, featurize: Callable[..., FeatureTables], ratings: pd.DataFrame, items: pd.DataFrame,
    users: pd.DataFrame, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], Path]:  # fmt: skip
    """Run train and evaluate on the small data set with this tracking store. Return the folder of their outputs."""
    params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    for name, value in FAST.items():
        *path, key = name.split(".")
        section = params
        for part in path:
            section = section[part]
        section[key] = value
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    for folder in ("features", "tables"):
        (tmp_path / folder).mkdir()
    written(featurize(), tmp_path / "features")
    coded(ratings, items, users).save(tmp_path / "tables")

    def both(store: str) -> Path:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
        monkeypatch.chdir(tmp_path)
        common = ["--params", "params.yaml", "--features", "features"]
        own = ["--curves", "curves.csv", "--out", "models", "--checkpoints", "checkpoints"]
        monkeypatch.setattr(sys, "argv", ["train", *common, *own])
        train.main()
        own = ["--tables", "tables", "--model", "models", "--out", "reports"]
        monkeypatch.setattr(sys, "argv", ["evaluate", *common, *own])
        evaluate.main()
        return tmp_path

    return both


def test_store_has_parameters_curves_tags_and_final_metrics(run: Callable[[str], Path], store: str) -> None:
    from mlflow.tracking import MlflowClient

    folder = run(store)
    client = MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name(FeatureTables.load(folder / "features").spec.dataset)
    assert experiment is not None
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    (found,) = client.search_runs([experiment.experiment_id])

    assert found.data.params.keys() == load_params(folder / "params.yaml").recipe.flat().keys()
    assert found.data.params["epochs"] == "2"
    assert found.info.status == "FINISHED"
    assert found.data.tags[MODEL_HASH] == sha256(folder / "models" / "model.safetensors")
    assert found.data.tags[FEATURES_HASH] == sha256(folder / "features")

    curves = pd.read_csv(folder / "curves.csv")
    for name in ("train_rmse", "validation_rmse"):
        history = client.get_metric_history(found.info.run_id, name)
        assert {one.step: one.value for one in history} == pytest.approx(dict(enumerate(curves[name])))

    metrics = json.loads((folder / "reports" / "metrics.json").read_text(encoding="utf-8"))
    assert found.data.metrics["rating.online.rmse"] == metrics["rating"]["online"]["rmse"]["value"]
    assert found.data.metrics["ranking.frozen.ndcg_at_10"] == metrics["ranking"]["frozen"]["ndcg_at_10"]["value"]
    bias = metrics["baselines"]["bias"]["rating"]["frozen"]["mae"]["value"]
    assert found.data.metrics["bias.rating.frozen.mae"] == bias


@pytest.mark.usefixtures("store")
def test_commit_and_whether_it_is_all_are_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)  # the person who runs the tests may sign commits
    git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.org"]
    (tmp_path / "features").write_text("some")
    for command in (["init", "-q"], ["add", "features"], ["commit", "-q", "-m", "State"]):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    for dirty in ("False", "True"):
        tracker = Tracker("ml-1m", {"model": "dot"}, tmp_path / "features")
        assert tracker.run_id is not None
        run = tracker.client.get_run(tracker.run_id)
        assert run.info.run_name == f"dot {head[:7]}"
        tags = run.data.tags
        assert (tags["mlflow.source.git.commit"], tags["dirty"]) == (head, dirty)
        (tmp_path / "features").write_text("other")


@pytest.mark.usefixtures("store")
def test_run_of_an_experiment_has_its_name_and_the_page_shows_the_data_set_of_the_newest_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "features").write_text("some")
    assert runs_page() == ""
    monkeypatch.setenv("DVC_EXP_NAME", "faster")
    for dataset in ("ml-1m", "ml-100k"):
        tracker = Tracker(dataset, {"model": "dot"}, tmp_path / "features")
        assert tracker.run_id is not None
        assert tracker.client.get_run(tracker.run_id).info.run_name == "dot faster"
        experiment = tracker.client.get_experiment_by_name(dataset)
        assert experiment is not None
        assert runs_page() == f"#/experiments/{experiment.experiment_id}/runs"
        time.sleep(0.01)  # the newest run is found by its millisecond


@pytest.mark.parametrize(
    "store",
    [
        "http://user:s3cret@127.0.0.1:9",
        "http://user:s3@cret@127.0.0.1:9",
        "postgresql://user:s3%40cret@127.0.0.1:9/store",
        "mssql://user:s3cret@127.0.0.1:9/store",
        "no-such-scheme://user:s3/cret@127.0.0.1:9",
        "user:s3cret@127.0.0.1",
    ],
)
def test_password_of_the_store_is_never_printed(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setattr("mlflow.store.db.utils.MAX_RETRY_COUNT", 0)  # it would try a database for 100 seconds
    monkeypatch.chdir(tmp_path)
    (tmp_path / "features").write_text("some")
    Tracker("ml-1m", {"model": "dot"}, tmp_path / "features")
    printed = "".join(capfd.readouterr())
    assert "warning: MLflow did not record this: " in printed
    assert "cret" not in printed


@pytest.mark.parametrize("store", BROKEN)
def test_broken_store_costs_a_line_and_no_output(
    run: Callable[[str], Path], store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run(store)
    for output in ("models/model.safetensors", "models/model.json", "curves.csv", "reports/metrics.json",
                   "reports/predictions.parquet", "reports/per_user.parquet"):  # fmt: skip
        assert (folder / output).stat().st_size > 0
    said = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(said) == 2  # one from train, one from evaluate
    assert all(line.startswith("warning: MLflow did not record this: ") for line in said)


@pytest.mark.usefixtures("store")
def test_store_that_fails_in_the_middle_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "features").write_text("some")
    tracker = Tracker("ml-1m", {"model": "dot"}, tmp_path / "features")

    def fail(*arguments: object, **options: object) -> None:
        raise RuntimeError  # without a message

    monkeypatch.setattr(tracker.client, "log_batch", fail)
    for epoch in range(3):
        tracker.log({"epoch": epoch, "train_rmse": 1.0})
    tracker.finish(tmp_path / "features")
    assert capsys.readouterr().err == "warning: MLflow did not record this: RuntimeError\n"


@pytest.mark.usefixtures("store")
def test_metrics_of_a_model_that_no_run_made_are_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model").write_text("one")
    log_metrics("ml-1m", tmp_path / "model", {"rmse": 1.0})
    tracker = Tracker("ml-1m", {"model": "dot"}, tmp_path / "model")
    tracker.finish(tmp_path / "model")
    (tmp_path / "model").write_text("another")
    log_metrics("ml-1m", tmp_path / "model", {"rmse": 1.0})
    assert tracker.run_id is not None
    assert tracker.client.get_run(tracker.run_id).data.metrics == {}
    assert capsys.readouterr().err == ""
