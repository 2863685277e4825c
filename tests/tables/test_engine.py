"""The tables do not depend on the limits of the engine. Limits that cannot be kept are told."""

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from tests.tables.conftest import Built
from widedeep.errors import UserError


def write(folder: Path, rows: int) -> None:
    """Write ratings, in which pairs repeat."""
    with duckdb.connect() as con:
        con.execute(
            "COPY (SELECT hash(i) % 4000 AS user_id, hash(i + 1) % 900 AS item_id, 1 + hash(i + 2) % 5 AS rating, "
            f"hash(i + 3) % 10000 AS timestamp FROM range({rows}) AS t(i)) TO '{folder / 'ratings.csv'}' (HEADER)"
        )


@pytest.mark.parametrize("split", ["temporal", "leave_last_out"])
def test_tables_are_the_same_with_any_limits(raw: Path, tmp_path: Path, split: str) -> None:
    write(raw, 400_000)  # several row groups of 122,880 rows, because one group uses one thread
    few: dict[str, Any] = {"split": split, "min_ratings_per_user": 3, "min_ratings_per_item": 3}
    (spill := tmp_path / "spill").mkdir()
    first = Built.of(raw, **few, threads=1, memory_gib=0.1, spill_folder=str(spill))
    second = Built.of(raw, **few, threads=4, memory_gib=4)
    assert first.report["rows"]["duplicates"] > 0
    assert first.ratings.equals(second.ratings)
    assert not list(spill.iterdir())  # the files are removed


def test_memory_that_is_too_small_is_told(raw: Path) -> None:
    write(raw, 1_500_000)
    with pytest.raises(UserError, match=r"^preprocess\.memory_gib: 0\.1 GiB are too small for these ratings"):
        Built.of(raw, memory_gib=0.1, threads=64)


def test_a_spill_folder_that_does_not_exist_is_told(raw: Path) -> None:
    write(raw, 10)
    with pytest.raises(UserError, match=r"^/no/such cannot hold files of the engine \(No such file"):
        Built.of(raw, spill_folder="/no/such")


def test_a_full_spill_folder_is_told(root: Path, raw: Path, tmp_path: Path) -> None:
    """Limit files to 500 bytes, so that a write fails as on a full disk."""
    write(raw, 1_500_000)
    (raw / "dataset.json").write_text('{"dataset": "own"}', encoding="utf-8")
    params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    params["preprocess"] |= {"rating_scale": [1, 5], "memory_gib": 0.1, "threads": 1, "spill_folder": str(tmp_path)}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    options = (
        f"--params {tmp_path}/params.yaml --raw {raw} --out {tmp_path}/out --report {tmp_path}/data.json --model m"
    )
    done = subprocess.run(
        [sys.executable, "-m", "stages.preprocess", *options.split()], cwd=root, check=False, capture_output=True,
        text=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500)),
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path} cannot hold files of the engine (IO Error: ")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("widedeep-*"))
