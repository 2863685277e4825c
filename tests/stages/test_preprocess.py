"""The stage preprocess, run as in the shell on CSV text and on real data sets."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from stages.preprocess import main
from widedeep.tables.files import load_named

Run = Callable[..., Path]

ROWS = [(user, item, 1 + (user * item) % 5, 10 * user + item) for user in range(1, 9) for item in range(1, 7)]


@pytest.fixture
def run(root: Path, tmp_path: Path) -> Run:
    """Run the stage on the folder tmp_path / "raw" with the repository's params.yaml and other preprocess keys."""

    def run_with(dataset: str, out: str = "out", **changes: Any) -> Path:
        (tmp_path / "raw").mkdir(exist_ok=True)
        (tmp_path / "raw" / "dataset.json").write_text(json.dumps({"dataset": dataset}))
        params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
        params["preprocess"] |= changes
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
        folder = tmp_path / out
        arguments = [
            "--params",
            tmp_path / "params.yaml",
            "--raw",
            tmp_path / "raw",
            "--out",
            folder,
            "--model",
            "models",
        ]
        main([str(part) for part in [*arguments, "--report", tmp_path / f"{out}.json"]])
        return folder

    return run_with


@pytest.fixture
def csv(tmp_path: Path) -> None:
    lines = ["user_id,item_id,rating,timestamp", *(",".join(map(str, row)) for row in ROWS)]
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "ratings.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def real(shared_data: Path, tmp_path: Path) -> Callable[[str], None]:
    def unpack(name: str) -> None:
        (tmp_path / "raw").mkdir()
        with zipfile.ZipFile(shared_data / f"{name}.zip") as archive:
            for member in archive.infolist():
                if not member.is_dir():
                    (tmp_path / "raw" / Path(member.filename).name).write_bytes(archive.read(member))

    return unpack


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def report(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(folder.with_suffix(".json").read_text())
    return loaded


@pytest.mark.usefixtures("csv")
def test_repeated_run_writes_the_same_bytes(run: Run) -> None:
    first, second = run("own", rating_scale=[1, 5]), run("own", "again", rating_scale=[1, 5])
    tables = {"ratings.parquet", "items.parquet", "users.parquet", "item_ids.parquet", "user_ids.parquet"}
    assert content(first).keys() == {*tables, "tables.json"}
    assert content(first) == content(second)


@pytest.mark.usefixtures("csv")
def test_genres_are_lists_of_text_even_where_no_item_has_one(run: Run) -> None:
    items = pq.read_schema(run("own", rating_scale=[1, 5]) / "items.parquet")
    assert items.field("genres").type == pa.list_(pa.string())
    assert items.field("year").type == pa.int64()


@pytest.mark.usefixtures("csv")
def test_bad_params_are_lines_on_stderr_and_keep_the_earlier_output(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(run("own", rating_scale=[1, 5]))
    with pytest.raises(SystemExit, match="1"):
        run("own", rating_scale=[1, 2])
    assert capsys.readouterr().err.startswith("error: ")
    assert content(run("own", "again", rating_scale=[1, 5])) == before


@pytest.mark.usefixtures("csv")
def test_unknown_key_of_any_section_stops_the_stage(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="1"):
        run("own", sead=1)
    assert "unknown key 'preprocess.sead'. Did you mean 'seed'?" in capsys.readouterr().err


def test_ml_100k(run: Run, real: Callable[[str], None]) -> None:
    real("ml-100k")
    folder = run("ml-100k")
    assert report(folder)["ratings"]["kept"] == 100_000
    assert report(folder)["users"] == {"rated": 943, "listed": 943}
    assert report(folder)["items"] == {"rated": 1682, "listed": 1682, "rated_but_not_listed": 0}


def test_ml_100k_official_fold(run: Run, real: Callable[[str], None], tmp_path: Path) -> None:
    real("ml-100k")
    table, _ = load_named(run("ml-100k", split="predefined", fold="u2"))
    key = ["user_id", "item_id", "rating", "timestamp"]
    official = {
        part: pd.read_csv(tmp_path / "raw" / f"u2.{part}", sep="\t", names=key).sort_values(key).to_numpy().tolist()
        for part in ("base", "test")
    }
    is_test = table["split"] == "test"
    assert table[is_test][key].sort_values(key).to_numpy().tolist() == official["test"]
    assert table[~is_test][key].sort_values(key).to_numpy().tolist() == official["base"]
    assert (table["split"] == "validation").sum() == 8_000


def test_unknown_fold_lists_those_there_are(
    run: Run, real: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    real("ml-100k")
    with pytest.raises(SystemExit, match="1"):
        run("ml-100k", split="predefined", fold="u6")
    assert "has no fold 'u6'. It has: u1, u2, u3, u4, u5, ua, ub." in capsys.readouterr().err


def test_ml_latest_small(run: Run, real: Callable[[str], None]) -> None:
    real("ml-latest-small")
    folder = run("ml-latest-small")
    assert report(folder)["ratings"]["kept"] == 100_836
    assert report(folder)["items"] == {"rated": 9724, "listed": 9742, "rated_but_not_listed": 0}


def test_ml_1m(run: Run, real: Callable[[str], None], tmp_path: Path) -> None:
    real("ml-1m")
    folder = run("ml-1m")
    assert report(folder)["ratings"]["kept"] == 1_000_209
    assert report(folder)["users"]["rated"] == 6040
    lines = (tmp_path / "raw" / "ratings.dat").read_text().splitlines()
    expected = sorted((int(t), int(u), int(i), float(r)) for u, i, r, t in (line.split("::") for line in lines))
    table, _ = load_named(folder)
    found = zip(*(table[name].tolist() for name in ("timestamp", "user_id", "item_id", "rating")), strict=True)
    assert list(found) == expected


def test_myanimelist(run: Run, real: Callable[[str], None]) -> None:
    real("myanimelist-2023-sample")
    folder = run("myanimelist-2023", split="random")
    assert report(folder)["rows"] == {"read": 99_999, "bad_rows": {}, "duplicates": 0, "filtered": 0}
    assert report(folder)["items"]["rated_but_not_listed"] == 31
    items = pd.read_parquet(folder / "items.parquet")
    numbers = items[["score", "rank", "popularity", "episodes"]]
    assert ((numbers >= 0) & (numbers <= 1)).all(axis=None)
    assert "UNKNOWN" not in set(items["type"]) | set(items["source"]) | set(items["age_rating"])
