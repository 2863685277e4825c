"""The benchmark of quality and its presets. Few tests really run it, because a run takes long."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from benchmarks import quality
from benchmarks.protocols import PROTOCOLS, split_ml_1m
from studies.tuning import presets
from tests.conftest import FAST, ROOT, Project
from widedeep.cli import main
from widedeep.errors import UserError
from widedeep.models.knobs import WideDeepConfig
from widedeep.params import load_params

PRESETS: dict[str, Any] = {
    "random": {"rating": {"models": {"wide_deep": {"hidden": [8]}}, "preprocess": {"validation_fraction": 0}}},
    "temporal": {"ranking": {"featurize": {"recent": []}}},
}
ROWS = [f"{user}::{item}::{1 + user * item % 5}::{user * 100 + item}" for user in range(1, 7) for item in range(1, 6)]


def measured(*arguments: str) -> tuple[dict[str, Any], str]:
    """Run the program, and return the line that it prints and its text on stderr."""
    fast = [word for name, value in FAST.items() for word in ("--set", f"{name}={json.dumps(value)}")]
    done = subprocess.run(
        [sys.executable, "-m", "widedeep.cli", "benchmark", *arguments, *fast],
        cwd=ROOT, env=os.environ | {"MLFLOW_TRACKING_URI": ""}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (line,) = done.stdout.splitlines()
    return json.loads(line), done.stderr


@pytest.fixture
def preset_file(tmp_path: Path) -> Path:
    path = tmp_path / "presets.yaml"
    path.write_text(yaml.safe_dump(PRESETS), encoding="utf-8")
    return path


@pytest.fixture
def ml_1m(tmp_path: Path) -> Path:
    folder = tmp_path / "ml-1m"
    folder.mkdir()
    (folder / "ratings.dat").write_text("\n".join(ROWS) + "\n")
    (folder / "movies.dat").write_text("".join(f"{item}::M ({1990 + item})::Drama|War\n" for item in range(1, 6)))
    (folder / "users.dat").write_text("".join(f"{user}::F::1::10::48067\n" for user in range(1, 7)))
    return folder


@pytest.mark.slow
def test_official_fold_with_a_preset(shared_data: Path, tmp_path: Path, preset_file: Path) -> None:
    kept = tmp_path / "kept"
    source = str(shared_data / "ml-100k.zip")
    arguments = ["--dataset", "ml-100k", "--source", source, "--split", "predefined", "--fold", "u1", "--seed", "3"]
    # The preset sets `hidden`, and --set replaces it.
    line, progress = measured(*arguments, "--objective", "rating", "--preset", str(preset_file), "--keep", str(kept))
    assert line["n"] == line["metrics"]["rating"]["frozen"]["known_users"]["n"] == 20_000
    assert (line["dataset"], line["split"], line["fold"]) == ("ml-100k", "predefined", "u1")
    assert (line["objective"], line["seed"], line["preset"]) == ("rating", 3, "ml-100k random rating")
    assert line["set"] == FAST
    assert set(line["seconds"]) == {"download", "preprocess", "featurize", "train", "evaluate", "total"}
    for task, metric in (("rating", "rmse"), ("ranking", "ndcg_at_10")):
        estimate = line["metrics"][task]["frozen"][metric]
        assert estimate["low"] <= estimate["value"] <= estimate["high"]
        assert set(line["metrics"]["baselines"]["bias"][task]["frozen"]) == {metric}
    assert "train_rmse" in progress
    params = load_params(kept / "params.yaml")
    assert (params.preprocess.validation_fraction, params.train.seed) == (0, 3)
    assert params.recipe.flat()["hidden"] == (16,)


@pytest.mark.slow
def test_split_from_two_files_keeps_items_and_users_of_the_data_set(ml_1m: Path, tmp_path: Path) -> None:
    for name, rows in (("base", ROWS[5:]), ("holdout", ROWS[:5])):
        lines = ["user_id,item_id,rating,timestamp", *(row.replace("::", ",") for row in rows)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    files = ["--train", str(tmp_path / "base.csv"), "--test", str(tmp_path / "holdout.csv")]
    kept = tmp_path / "kept"
    line, _ = measured("--dataset", "ml-1m", "--source", str(ml_1m), *files, "--preset", "none", "--keep", str(kept))
    assert (line["split"], line["fold"], line["n"]) == ("predefined", "given", 5)
    # The test rows are all ratings of user 1.
    rating = line["metrics"]["rating"]["frozen"]
    assert rating["known_users"] == {"n": 0}
    assert rating["unknown_users"] == {"rmse": {"value": rating["rmse"]["value"]}, "n": 5}
    users = pd.read_parquet(kept / "data/interim/users.parquet")
    assert set(users["age"]) == {"Under 18"}
    assert "genres" in pd.read_parquet(kept / "data/interim/items.parquet")


def test_ml_1m_fold_tests_the_first_tenth_of_the_shuffled_rows(ml_1m: Path) -> None:
    split_ml_1m(ml_1m)
    order = list(range(30))
    np.random.RandomState(0).shuffle(order)
    train, test = ((ml_1m / name).read_text().splitlines() for name in ("train.csv", "test.csv"))
    assert train[0] == test[0] == "user_id,item_id,rating,timestamp"
    assert test[1:] == [ROWS[row].replace("::", ",") for row in order[:3]]
    assert sorted(train[1:] + test[1:]) == sorted(row.replace("::", ",") for row in ROWS)


def test_several_folds_give_their_mean(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def run(work: Path, protocol: object, fold: str, options: object) -> dict[str, Any]:
        rmse = {"value": int(fold[1]) / 4, "low": 0.8, "high": 1.0}
        metrics = {"rating": {"frozen": {"rmse": rmse}}}
        return {"protocol": "ml-100k-folds", "fold": fold, "n": 20_000, "seconds": {"total": 2.0}, "metrics": metrics}

    monkeypatch.setattr(quality, "_run", run)
    monkeypatch.chdir(ROOT)
    assert main(["benchmark", "--protocol", "ml-100k-folds"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert line["metrics"] == {"rating": {"frozen": {"rmse": {"value": 0.75}}}}
    assert (line["fold"], line["n"], line["seconds"]) == (["u1", "u2", "u3", "u4", "u5"], 100_000, {"total": 10.0})
    assert line["folds"]["u5"]["metrics"]["rating"]["frozen"]["rmse"] == {"value": 1.25, "low": 0.8, "high": 1.0}


def test_list_names_every_protocol(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["benchmark", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(PROTOCOLS)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("", "Name a --protocol (see --list), or a --dataset"),
        ("--protocol ml-100k-u2", "--protocol: there is no protocol 'ml-100k-u2'. Did you mean 'ml-100k-u1'?"),
        ("--protocol ml-100k-u1 --objective joint", "--protocol ml-100k-u1 already sets --objective"),
        ("--dataset ml-100k", "--dataset needs a --split"),
        ("--dataset ml-100k --split predefined", "Got --split predefined without --fold instead"),
        ("--dataset ml-100k --split random --fold u1", "Got --split random and --fold u1 instead"),
        ("--dataset own --train README.md", "--train and --test together are a split. Give both"),
        ("--dataset own --train README.md --test nowhere.csv", "There is no file nowhere.csv"),
        ("--dataset own --source nowhere.zip --split random", "There is no 'nowhere.zip'"),
        (
            "--dataset ml-1m --split random --preset best",
            "--preset must be auto, none or a file of presets.",
        ),
        ("--dataset ml-1m --split random --keep tests", "--keep must name a new or empty folder. Got tests instead."),
        ("--dataset ml-1m --split random --set epochs=1", "--set must be section.key=value"),
        ("--dataset ml-1m --split random --set train.epochs=[", "--set train.epochs: the value must be YAML"),
        ("--dataset ml-1m --split random --set train.epoch=1", "unknown key 'train.epoch'. Did you mean 'epochs'?"),
        ("--dataset ml-1m --split random --set preprocess.split=auto", "--set must not change preprocess.split"),
        ("--dataset ml-1m --split random --seed -1", "'train.seed'"),
    ],
)
def test_mistake_in_the_call_is_one_line_and_status_2(
    call: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["benchmark", *call.split()]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("error: ")
    assert message in printed.err


@pytest.mark.slow
def test_failing_stage_is_told_and_gives_status_1(tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_text("user_id,item_id,rating\n1,1,3\n")
    files = ["--train", str(tmp_path / "train.csv"), "--test", str(tmp_path / "test.csv")]
    command = [sys.executable, "-m", "widedeep.cli", "benchmark", "--dataset", "own", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "The split must leave ratings to train and to test on" in done.stderr
    assert "stages.preprocess" in done.stderr.splitlines()[-1]


def test_preset_is_found_by_kind_of_split_and_objective(preset_file: Path) -> None:
    expected = PRESETS["random"]["rating"]
    assert presets.load_preset(preset_file, "predefined", "rating") == expected
    assert presets.load_preset(preset_file, "random", "rating") == expected
    assert presets.load_preset(preset_file, "leave_last_out", "ranking") == PRESETS["temporal"]["ranking"]
    assert presets.load_preset(preset_file, "temporal", "rating") is None
    assert presets.load_preset(preset_file.with_name("none.yaml"), "random", "rating") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("random: [", "is not valid YAML"),
        ("random: 3", "random.rating must hold sections of params.yaml. Got 3 instead"),
        ("random: {rating: {train: 3}}", "must hold sections"),
        ("random: {rating: {preprocess: {seed: 1}}}", "random.rating sets preprocess.seed. Remove it"),
        ("random: {rating: {download: {source: x}}}", "random.rating sets download.source. Remove it"),
    ],
)
def test_bad_file_of_presets(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "presets.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        presets.load_preset(path, "random", "rating")


def test_dvc_takes_the_printed_preset(unrun_project: Project, tmp_path: Path) -> None:
    project = unrun_project.clone(tmp_path / "repo")
    preset = {
        "featurize": {"crosses": [["user_id", "genres"], ["age", "item_id"]], "recent": []},
        "preprocess": {"validation_fraction": 0},
        "train": {"learning_rate": 1e-5, "rating": {"unseen_rate": 0}},
        "models": {"wide_deep": {"hidden": [256, 64], "activation": "gelu", "bounded_output": True}},
    }
    file = project.path / "studies/tuning/ml-100k.yaml"
    file.write_text(yaml.safe_dump({"random": {"rating": preset}}), encoding="utf-8")
    project.commit()
    project.run("bash", "-c", "dvc exp run --queue $(python -m widedeep.cli presets ml-100k random rating)")
    queued = yaml.safe_load(project.run("git", "show", "refs/exps/celery/stash:params.yaml"))
    path = tmp_path / "queued.yaml"
    path.write_text(yaml.safe_dump(queued), encoding="utf-8")
    params = load_params(path)
    assert (params.download.dataset, params.preprocess.split) == ("ml-100k", "random")
    assert params.preprocess.validation_fraction == 0
    assert params.featurize.crosses == (("user_id", "genres"), ("age", "item_id"))
    assert params.featurize.recent == ()
    assert (params.train.learning_rate, params.train.rating.unseen_rate) == (1e-5, 0)
    config = params.recipe.config
    assert isinstance(config, WideDeepConfig)
    assert (config.hidden, config.activation, config.bounded_output) == ((256, 64), "gelu", True)


def test_data_set_without_presets_is_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["presets", "csv", "random", "rating"]) == 2
    assert "There is no preset for csv random rating: csv.yaml has no random.rating." in capsys.readouterr().err
