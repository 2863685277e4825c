"""The benchmarks of speed run, and print what they promise. How fast they are is not tested."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.__main__ import commands, page
from benchmarks.synthetic import sizes, write_ratings

SMALL = ["--rows", "3000", "--users", "120", "--items", "80"]


def line_of(root: Path, name: str, *options: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *SMALL, *options], cwd=root, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_synthetic_ratings_look_like_those_of_movielens(tmp_path: Path) -> None:
    write_ratings(tmp_path, 20_000, 500, 300)
    ratings, movies = pd.read_csv(tmp_path / "ratings.csv"), pd.read_csv(tmp_path / "movies.csv")
    assert len(ratings) == 20_000 == len(ratings.drop_duplicates(["userId", "movieId"]))
    assert set(ratings["rating"]) <= {step / 2 for step in range(1, 11)}
    assert ratings["movieId"].isin(movies["movieId"]).all()
    of_users = np.sort(ratings["userId"].value_counts())
    assert of_users[-1] > 5 * np.median(of_users)  # a long tail
    assert sizes(20_000_000) == (139_860, 27_000)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("train_speed", ["--features", "lean", "--beside", "bare", "--epochs", "1", "--batch-size", "256"]),
        ("rank_speed", ["--score", "rating", "--runs", "1"]),
        ("prepare_speed", []),
    ],
)
def test_a_benchmark_prints_rate_seconds_and_memory(root: Path, name: str, options: list[str]) -> None:
    found = line_of(root, name, *options)
    assert found["benchmark"] == name
    assert found["rows_per_second"] > 0
    assert found["seconds"] > 0
    assert 0.05 < found["peak_gib"] < 24
    if "--beside" in options:
        assert found["times_as_fast_as_bare"] > 0


def test_a_data_set_without_its_files_is_refused(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.prepare_speed", "--dataset", "ml-100k"],
        cwd=root,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert b"--dataset and --source belong together" in done.stderr


def test_the_page_of_results_has_a_row_for_each_command() -> None:
    asked = commands(Path("my data.zip"), 1000)
    line = {"rows_per_second": 1234567, "seconds": 1.5, "peak_gib": 0.5, "times_as_fast_as_bare": 1.1}
    rows = page([(command, line) for command in asked]).splitlines()[8:]
    assert len(rows) == len(asked)
    assert all("1,234,567 | 1.5 | 0.5 | 1.1" in row for row in rows)
    assert "--source 'my data.zip'" in rows[0]
