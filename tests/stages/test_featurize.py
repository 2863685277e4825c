"""The stage featurize after preprocess, run as in the shell."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.featurize import main
from stages.preprocess import main as preprocess
from widedeep.features.assemble import listed
from widedeep.features.inputs import Reads
from widedeep.features.tensors import load_features

Run = Callable[..., Path]

ROWS = [(user, item, 1 + (user * item) % 5, 10 * user + item) for user in range(1, 9) for item in range(1, 7)]


@pytest.fixture
def run(root: Path, tmp_path: Path) -> Run:
    """Run both stages on a csv without items.csv, with the repository's params.yaml and some sections changed."""
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "dataset.json").write_text(json.dumps({"dataset": "own"}))
    lines = ["user_id,item_id,rating,timestamp", *(",".join(map(str, row)) for row in ROWS)]
    (tmp_path / "raw" / "ratings.csv").write_text("\n".join(lines) + "\n")

    def run_with(out: str = "features", split: str = "temporal", **changes: Any) -> Path:
        params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
        params["preprocess"] |= {"rating_scale": [1, 5], "split": split, "validation_fraction": 0}
        params["featurize"] |= changes
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(params))
        tables, folder = tmp_path / "tables", tmp_path / out
        report, common = str(tmp_path / "report.json"), ["--params", str(path), "--model", str(tmp_path / "models")]
        preprocess([*common, "--raw", str(tmp_path / "raw"), "--out", str(tables), "--report", report])
        main([*common, "--tables", str(tables), "--out", str(folder)])
        return folder

    return run_with


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("split", ["temporal", "random", "leave_last_out"])
def test_ratings_alone_are_enough(run: Run, split: str) -> None:
    features = load_features(run(split=split), "train", "validation", "test")
    assert sum(len(rows) for rows in features.splits.values()) == len(ROWS)
    assert len(features.splits["validation"]) == 0
    for rows in features.splits.values():
        assert rows.history.isfinite().all()
        assert listed(features, rows, Reads()).items.bag.shape[1] == 1


def test_repeated_run_writes_the_same_bytes(run: Run) -> None:
    first, second = run(), run("again")
    assert content(first).keys() == {"rows.parquet", "users.parquet", "items.parquet", "features.json"}
    assert content(first) == content(second)


def test_text_ids_come_through_both_stages(run: Run, tmp_path: Path) -> None:
    """Users 1 and 2 become 007 and 7, and the others keep their number. All keep the features that they had before."""
    plain = load_features(run(), "train", "test")
    named = {1: "007", 2: "7"}
    lines = ["user_id,item_id,rating,timestamp"]
    lines += [f"{named.get(user, f'u {user}')},i{item}.0,{rating},{time}" for user, item, rating, time in ROWS]
    (tmp_path / "raw" / "ratings.csv").write_text("\n".join(lines) + "\n")
    features = load_features(run("again"), "train", "test")
    assert features.names.user_ids.to_pylist() == ["007", "7", *(f"u {user}" for user in range(3, 9))]
    assert features.names.item_ids.to_pylist() == [f"i{item}.0" for item in range(1, 7)]
    assert features.vocabulary().item_ids == features.names.item_ids.to_pylist()
    assert plain.names.user_ids.to_pylist() == [*"12345678"]
    for split, rows in plain.splits.items():
        assert rows.history.equal(features.splits[split].history)
        assert rows.user.equal(features.splits[split].user)


def test_cross_that_is_left_out_is_told(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(crosses=[["country", "genres"]])
    assert "crosses left out, because own lacks one of their fields: country x genres" in capsys.readouterr().out


def test_mistake_in_a_cross_is_one_line_and_keeps_the_earlier_output(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run()
    before = content(folder)
    with pytest.raises(SystemExit, match="1"):
        run(crosses=[["itm_id", "genres"]])
    error = capsys.readouterr().err
    assert error.startswith("error: featurize.crosses: ['itm_id', 'genres'] names the unknown field 'itm_id'.")
    assert error.count("\n") == 1
    assert content(folder) == before
