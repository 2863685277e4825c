"""The stage drift, run as in the shell on folders as featurize writes them."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from stages.drift import main
from tests.small_data import written
from widedeep.drift.data import COLUMNS, WINDOW_COLUMNS
from widedeep.features.files import FeatureTables

Run = Callable[..., Path]

MONTH = 31 * 86400


@pytest.fixture
def run(root: Path, tmp_path: Path, featurize: Callable[..., FeatureTables]) -> Run:
    """Run the stage on eight users with six ratings each. Each user has a month. The last two are not in training."""
    columns = ["user_id", "item_id", "rating", "timestamp"]
    rows = [(user, item, 1 + (user * item) % 5, MONTH * user + item) for user in range(1, 9) for item in range(1, 7)]
    ratings = pd.DataFrame(rows, columns=columns)
    ratings["split"] = ratings["user_id"].map({7: "validation", 8: "test"}).fillna("train")

    def run_with(windows: Any = 4, split: str = "temporal", timed: bool = True, out: str = "reports") -> Path:
        timestamp = ratings["timestamp"] if timed else pd.array([None] * len(ratings), "Int64")
        (tmp_path / "features").mkdir(exist_ok=True)
        features = written(featurize(split, ratings=ratings.assign(timestamp=timestamp)), tmp_path / "features")
        params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
        params["drift"]["windows"] = windows
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(params))
        main(["--params", str(path), "--features", str(features), "--out", str(tmp_path / out)])
        return tmp_path / out

    return run_with


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def numbers(value: Any) -> list[Any]:
    return [one for part in value.values() for one in numbers(part)] if isinstance(value, dict) else [value]


@pytest.mark.parametrize(("windows", "count"), [("month", 8), ("quarter", 3), (4, 4)])
def test_every_window_is_written(run: Run, windows: Any, count: int) -> None:
    out = run(windows)
    drift, overview = pd.read_csv(out / "plots/drift.csv"), pd.read_csv(out / "plots/drift_windows.csv")
    assert drift.columns.tolist() == COLUMNS
    assert overview.columns.tolist() == WINDOW_COLUMNS
    assert drift["window"].drop_duplicates().tolist() == overview["window"].tolist()
    assert len(overview) == count
    assert overview["n"].sum() == 48
    assert overview["new_user_rate"].iloc[0] == 0 < overview["new_user_rate"].iloc[-1]


def test_metrics_are_finite_numbers(run: Run) -> None:
    metrics = json.loads((run() / "drift.json").read_text())
    assert metrics["ratings"] > 0
    assert all(isinstance(value, int | float) and math.isfinite(value) for value in numbers(metrics))


def test_repeated_run_writes_the_same_bytes(run: Run) -> None:
    first, second = run(), run(out="again")
    assert content(first).keys() == {"drift.json", "plots/drift.csv", "plots/drift_windows.csv"}
    assert content(first) == content(second)


def test_missing_timestamps_and_histories_are_told(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    out = run("month", split="random", timed=False)
    printed = capsys.readouterr().out
    assert "own has no timestamps: one window per split is used, not drift.windows: month" in printed
    assert "histories are left out" in printed
    assert pd.read_csv(out / "plots/drift_windows.csv")["window"].tolist() == ["validation", "test"]


def test_random_split_has_windows_of_time_without_histories(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    drift = pd.read_csv(run("month", split="random") / "plots/drift.csv")
    printed = capsys.readouterr().out
    assert "histories are left out" in printed
    assert "no timestamps" not in printed
    assert drift["window"].nunique() == 8
    assert set(drift["feature"]) == {"rating", "gender", "year", "genres"}


@pytest.mark.parametrize("windows", [1, "year", "week", 0.5, True])
def test_impossible_windows_are_one_line_and_keep_the_earlier_output(
    run: Run, capsys: pytest.CaptureFixture[str], windows: Any
) -> None:
    before = content(run())
    with pytest.raises(SystemExit, match="1"):
        run(windows)
    error = capsys.readouterr().err
    assert "'drift.windows': must be month, quarter or a whole number from 2 to 1000. Got " in error
    assert error.count("\n") == 1
    assert content(run(out="reports")) == before


def test_features_that_are_not_there_are_one_line(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="1"):
        main(["--params", str(root / "params.yaml"), "--features", str(tmp_path), "--out", str(tmp_path / "out")])
    assert "features.json does not exist. `dvc repro featurize` makes it again." in capsys.readouterr().err
