"""The readers of files: what is wrong with a file is told in one line that names it."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from widedeep.errors import UserError
from widedeep.reading import read_json, read_mapping
from widedeep.tabular import Column, read_csv, read_parquet, write_parquet


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is not valid JSON (Expecting value"),
        (b'{"a": 1', "is not valid JSON (Expecting ',' delimiter"),
        (b"\xff", "is not valid JSON ('utf-8' codec"),
        (b"9" * 400, "is not valid JSON (the number 99999999999999999999... is beyond 64 bits)"),
        (b"9223372036854775808", "beyond 64 bits"),
        (b"NaN", "is not valid JSON (the number nan is not finite)"),
        (b"1e999", "the number 1e999 is not finite"),
        (b"[" * 100_000, "is not valid JSON (maximum recursion depth"),
    ],
)
def test_json_that_is_none_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        read_json(path, "Make it again.")
    message = str(raised.value).lower()
    assert message.startswith(str(path).lower())
    assert told.lower() in message
    assert message.endswith("make it again.")
    assert "\n" not in message


def test_numbers_within_64_bits_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[9223372036854775807, -9223372036854775807, 1e308]")
    assert read_json(tmp_path / "a.json") == [2**63 - 1, -(2**63) + 1, 1e308]


def test_a_folder_in_place_of_a_file_a_missing_file_and_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, told in ((tmp_path, "is a folder"), (tmp_path / "none", "does not exist"), (tmp_path / "file/a", "does")):
        with pytest.raises(UserError, match=told):
            read_json(path)
        with pytest.raises(UserError, match=told):
            read_parquet(path, {})


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    (tmp_path / "a.json").write_text("{}")
    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(UserError, match=r"a\.json may not be read by this user\. Change its permissions\."):
        read_json(tmp_path / "a.json")


def test_a_mapping_is_needed(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(UserError, match=r"must hold names and values\. Got list instead"):
        read_mapping(tmp_path / "a.json")


TABLE = {"n": [0, 1, 2], "x": [0.5, 1.5, 2.5], "name": ["a", "b", None], "bag": [[1], [], [1, 2]]}
RULES = {
    "n": Column("integers", 3),
    "x": Column("numbers"),
    "name": Column("text", gaps=True),
    "bag": Column("lists of integers", 3),
}


def test_a_table_comes_back(tmp_path: Path) -> None:
    table = pa.table(TABLE)
    write_parquet(table, tmp_path / "a.parquet")
    assert read_parquet(tmp_path / "a.parquet", RULES).equals(table)
    assert read_parquet(tmp_path / "a.parquet", RULES, only=["x"]).column_names == ["x"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"n": [0, 1, 3]}, "must have numbers from 0 to 2 in column n. Got 3 instead"),
        ({"n": [0, 1, -1]}, "must have numbers from 0 to 2 in column n. Got -1 instead"),
        ({"n": [0, 1, None]}, "lacks 1 values in column n"),
        ({"n": ["0", "1", "2"]}, "must have integers in column n. Got string instead"),
        ({"x": [0.0, 1.0, float("nan")]}, "has numbers in column x that are not finite"),
        ({"name": [1, 2, 3]}, "must have text in column name. Got int64 instead"),
        ({"bag": [[1], [], [3]]}, "must have numbers from 0 to 2 in column bag. Got 3 instead"),
        ({"bag": [[1], [], [None]]}, "lacks 1 values in the lists of column bag"),
        ({"x": None}, "must have the columns n, x, name, bag. Missing: x"),
    ],
)
def test_a_wrong_column_is_told(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    columns = {name: values for name, values in (TABLE | change).items() if values is not None}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(UserError) as raised:
        read_parquet(tmp_path / "a.parquet", RULES, "Make it again.")
    assert str(raised.value) == f"{tmp_path / 'a.parquet'} {told}. Make it again."


def test_a_flipped_bit_of_a_value_is_found_by_the_checksum(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(pa.table({"x": [1.2345678, 2.5, 3.5]}), path)
    content = bytearray(path.read_bytes())
    place = content.index(pa.array([1.2345678]).buffers()[1].to_pybytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert pq.read_table(path)["x"][0].as_py() != 1.2345678  # without the check it is read in silence
    with pytest.raises(UserError, match="is not a whole Parquet file"):
        read_parquet(path, {})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not a table"),
        ("name\na\n", "must have the columns name, x. Missing: x"),
        ("name,x\na,b\n", "must have finite numbers in column x"),
        ("name,x\na,inf\n", "must have finite numbers in column x"),
    ],
)
def test_a_wrong_csv_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UserError) as raised:
        read_csv(tmp_path / "a.csv", ["name"], ["x"])
    assert told in str(raised.value)


def test_text_of_a_csv_stays_text_and_empty_numbers_are_missing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name,x\nNA,1\n,\n")
    table = read_csv(tmp_path / "a.csv", ["name"], ["x"])
    assert table["name"].tolist() == ["NA", ""]
    assert table["x"].isna().tolist() == [False, True]
