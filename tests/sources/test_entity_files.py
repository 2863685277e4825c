import math
import re
from pathlib import Path

import pytest

from widedeep.errors import UserError
from widedeep.sources.entities import (
    any_id,
    integer,
    item_entities,
    number,
    read_csv,
    read_plain,
    split_genres,
    split_title,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Toy Story (1995)", ("Toy Story", 1995)),
        ("Two Friends (1986) ", ("Two Friends", 1986)),
        ("Matrix, The (1999)", ("Matrix, The", 1999)),
        ("Assembly (Ji jie hao) (2007)", ("Assembly (Ji jie hao)", 2007)),
        ("Death Note: Desu nôto (2006–2007)", ("Death Note: Desu nôto", 2006)),
        ("Series (1995-1997)", ("Series", 1995)),
        ("Series (2015- )", ("Series", 2015)),
        ("Land Before Time III (1995) (V)", ("Land Before Time III", 1995)),
        ("2001: A Space Odyssey (1968)", ("2001: A Space Odyssey", 1968)),
        ("1984", ("1984", None)),
        ("Babylon 5", ("Babylon 5", None)),
        ("Space (9999)", ("Space (9999)", None)),
        ("(1995)", ("(1995)", None)),
        ("  ", (None, None)),
    ],
)
def test_split_title(text: str, expected: tuple[str | None, int | None]) -> None:
    assert split_title(text) == expected


def test_split_genres() -> None:
    assert split_genres("Sci-Fi|Action|Sci-Fi") == ["Sci-Fi", "Action"]
    assert split_genres("(no genres listed)") == split_genres("unknown") == split_genres("") == []
    assert split_genres("Action, Slice of Life", ", ") == ["Action", "Slice of Life"]


@pytest.mark.parametrize("text", ["1.5", "1_000", " 7", "x", "٣", "9" * 19])
def test_integer_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        integer(text)


def test_number() -> None:
    assert number("-2.5e1") == -25.0
    assert math.isnan(number(""))
    for text in ("inf", "1_0", "x"):
        with pytest.raises(ValueError, match=re.escape(text)):
            number(text)


def test_items_have_stated_dtypes() -> None:
    items = item_entities(["7", "3"], ["B", None], [None, 1995], [["x"], []], {"score": [1.0, math.nan]})
    assert items.table["item_id"].tolist() == ["7", "3"]
    assert items.table["title"].tolist() == ["B", None]
    assert items.table["genres"].tolist() == [["x"], []]
    assert items.numeric == ("score",)
    assert [str(dtype) for dtype in items.table.dtypes] == ["object", "object", "Int64", "object", "float64"]


def test_csv_fields_may_hold_commas_quotes_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbfid,name\r\n1,"a, ""b""\nc"\r\n\r\n2,d\r\n')
    table = read_csv(path, ("id",))
    assert table.columns == {"id": ["1", "2"], "name": ['a, "b"\nc', "d"]}
    assert table.lines == [2, 5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.csv is empty: it must start with a header line that names id"),
        (b"id,name\n", r"a\.csv is empty: it must have at least one row"),
        (b"key,name\n1,a\n", r"line 1: the header must name the column id. Got 'key,name'"),
        (b"id,id\n1,2\n", r"line 1: column names must be unique and not empty. Got 'id'"),
        (b"id,\n1,2\n", r"line 1: column names must be unique and not empty. Got ''"),
        (b"id,name\n1,a\n2,b,c\n", r"line 3: a row must have 2 fields \(id, name\). Got 3"),
        (b"id,name\n1,a\n2\n", r"line 3: a row must have 2 fields \(id, name\). Got 1"),
        (b"id,name\n1,a\n2,\xe9\n", r"line 3: the text must be utf-8. Got the bytes b'\\xe9"),
        (b'id,name\n1,a\n2,"b\n3,c\n', r"line 3: this row is not valid CSV"),
    ],
)
def test_bad_csv_names_file_line_rule_and_value(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_csv(tmp_path / "a.csv", ("id",))


def test_bad_ids_name_file_line_rule_and_value(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("1|a\n2|b\n1|c\n")
    with pytest.raises(UserError, match=r"a\.txt, line 3: id must be unique. Got 1, which line 1 has already"):
        read_plain(path, "|", ("id", "name"), "latin-1").integer_ids("id")
    path.write_text("1|a\nx7|b\n")
    with pytest.raises(UserError, match=r"a\.txt, line 2: id must be an integer. Got 'x7' instead"):
        read_plain(path, "|", ("id", "name"), "latin-1").integer_ids("id")


def test_integer_ids_come_in_their_only_form(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("007|a\n-0|b\n")
    table = read_plain(tmp_path / "a.txt", "|", ("id", "name"), "latin-1")
    assert table.integer_ids("id") == ["7", "0"]
    assert table.ids("id") == ["007", "-0"]


@pytest.mark.parametrize("text", ["", " 7", "7\t", "\N{NO-BREAK SPACE}7", "7\x1f", "\x00"])
def test_any_id_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        any_id(text)


@pytest.mark.parametrize("text", ["0042", "1.0", "a b", "ключ", "9" * 40, "\N{ZERO WIDTH SPACE}x"])
def test_any_id_is_kept_as_it_is(text: str) -> None:
    assert any_id(text) == text


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.csv is missing. Run the download stage"):
        read_csv(tmp_path / "a.csv", ("id",))
