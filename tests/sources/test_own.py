"""The form and the meaning of own files: roles, columns, kinds."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from widedeep.errors import UserError
from widedeep.params.data import NOTHING_SAID, OwnColumns
from widedeep.sources.form import Form
from widedeep.sources.naming import find_roles
from widedeep.sources.own import OWN, Own, given_fold
from widedeep.sources.source import TableFile

ROWS = "1,2,3,1600000000\n4,5,1,1600000001\n"


def saying(**said: Any) -> Own:
    return replace(OWN, reading=NOTHING_SAID.model_copy(update=said))


def layout(folder: Path, text: str | bytes, source: Own = OWN, name: str = "ratings.csv") -> TableFile:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    (found,) = source.ratings(folder)
    assert isinstance(found, TableFile)
    return found


def roles_of(found: TableFile) -> dict[str, str]:
    return {role: found.form.columns[position] for role, position in found.fields.items()}


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_ratings_with_and_without_timestamp(tmp_path: Path, line_end: str) -> None:
    columns = ("user_id", "item_id", "rating")
    found = layout(tmp_path, f"user_id,item_id,rating{line_end}1,2,3{line_end}")
    assert found == TableFile("ratings.csv", Form("text", columns), {"user_id": 0, "item_id": 1, "rating": 2})
    found = layout(tmp_path, f"user_id,item_id,rating,timestamp{line_end}1,2,3,4{line_end}")
    assert found.fields == {"user_id": 0, "item_id": 1, "rating": 2, "timestamp": 3}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("userId,movieId,rating,timestamp", ("userId", "movieId", "rating", "timestamp")),
        ("USER_ID,ITEM_ID,RATING,TIMESTAMP", ("USER_ID", "ITEM_ID", "RATING", "TIMESTAMP")),
        ("User-ID,ISBN,Book-Rating,Date", ("User-ID", "ISBN", "Book-Rating", "Date")),
        ("reviewerID,asin,overall,unixReviewTime", ("reviewerID", "asin", "overall", "unixReviewTime")),
        ("user_id,user,item_id,rating", ("user_id", "item_id", "rating")),  # the documented name is no doubt
        ("user_id,asin,parent_asin,rating", ("user_id", "asin", "rating")),
        ("user, item ,rating,time", ("user", "item", "rating", "time")),
    ],
)
def test_columns_are_found_by_common_names_in_any_case(tmp_path: Path, header: str, expected: tuple[str, ...]) -> None:
    assert tuple(roles_of(layout(tmp_path, f"{header}\n{ROWS}")).values()) == expected


def test_columns_may_stand_in_any_order_with_others_between(tmp_path: Path) -> None:
    found = layout(tmp_path, ",timestamp,rating,comment,item_id,user_id\n0,5,3,fine,7,8\n")
    assert found.fields == {"user_id": 5, "item_id": 4, "rating": 2, "timestamp": 1}
    assert OWN.understood(found)[1:] == [
        "ratings.csv: columns timestamp = 'timestamp', rating = 'rating', item = 'item_id', user = 'user_id'",
        "ratings.csv: not used: column 1, 'comment'",
    ]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            "movieId,itemId,user,rating",
            r"line 1: the item may stand in 'movieId' or 'itemId'. Set preprocess.columns.item",
        ),
        (
            "who,item_id,rating,timestamp",
            r"no column has a known name for the user \(userid, user, .*Got the columns who",
        ),
        ("user_id,item_id,user_id,rating", r"column names must be unique. Got 'user_id' more than once"),
    ],
)
def test_doubt_about_columns_is_an_error_that_lists_them(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        layout(tmp_path, f"{header}\n{ROWS}")


def test_columns_that_the_user_names(tmp_path: Path) -> None:
    columns = OwnColumns(user="who", item="what", rating=None, timestamp=None)
    assert roles_of(layout(tmp_path, f"who,what,rating,user\n{ROWS}", saying(columns=columns))) == {
        "user_id": "who",
        "item_id": "what",
        "rating": "rating",
    }
    with pytest.raises(UserError, match=r"preprocess.columns.user: .*ratings.csv has no column 'who'. It has: user, "):
        layout(tmp_path, f"user,what,rating,x\n{ROWS}", saying(columns=columns))


def test_a_file_without_header_has_the_order_of_movielens(tmp_path: Path) -> None:
    found = layout(tmp_path, ROWS)
    assert not found.form.header
    assert found.fields == {"user_id": 0, "item_id": 1, "rating": 2, "timestamp": 3}
    with pytest.raises(UserError, match=r"line 1: no line names the columns, and there are 5 of them"):
        layout(tmp_path, "1,2,3,4,5\n1,2,3,4,5\n")
    columns = OwnColumns(user="2", item="3", rating="5", timestamp=None)
    assert layout(tmp_path, "0,1,2,3,4\n1,2,3,4,5\n", saying(columns=columns)).fields == {
        "user_id": 1,
        "item_id": 2,
        "rating": 4,
    }


@pytest.mark.parametrize("separator", [",", "\t", ";", "|", "::", " "])
@pytest.mark.parametrize("quote", ["", '"'])
def test_separators_and_quotes_are_found(tmp_path: Path, separator: str, quote: str) -> None:
    if quote and len(separator) > 1:
        pytest.skip("no such files")
    rows = [("user_id", "item_id", "rating"), ("a", "b", "3"), ("c", "d", "4")]
    text = "".join(separator.join(f"{quote}{value}{quote}" for value in row) + "\n" for row in rows)
    found = layout(tmp_path, text).form
    assert (found.separator, found.quoted, found.columns) == (separator, bool(quote), rows[0])


def test_semicolons_around_decimal_commas(tmp_path: Path) -> None:
    assert layout(tmp_path, "user;item;rating\n1;2;3,5\n1;3;4,0\n").form.separator == ";"
    assert layout(tmp_path, "1;2;3,5\n1;3;4,0\n").form.separator == ";"


def test_a_separator_that_the_user_names(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"line 1: the fields of a row must stand between commas.*set preprocess.separ"):
        layout(tmp_path, "user~item~rating\n1~2~3\n")
    assert layout(tmp_path, "user~item~rating\n1~2~3\n", saying(separator="~")).form.columns == (
        "user",
        "item",
        "rating",
    )


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("user,item,rating\nJosé,b,3\nZoë,c,4\n".encode(), "utf-8"),
        (b"\xef\xbb\xbfuser,item,rating\na,b,3\n", "utf-8"),
        ("user,item,rating\nJosé,b,3\nZoë,c,4\n".encode("cp1252"), "cp1252"),
        ("user,item,rating\nJosé,b,3\n".encode("utf-16"), "utf-16"),
        (b"user,item,rating\nJos\xe9,b,3\na,b,4\n", "utf-8"),  # one damaged byte is no other encoding
        ("user,item,rating\nJosé,b,3\n".encode() + b"Zo\xeb,c,4\nZo\xeb,d,4\n", "utf-8"),
    ],
)
def test_encodings_are_found(tmp_path: Path, content: bytes, encoding: str) -> None:
    form = layout(tmp_path, content).form
    assert (form.encoding, form.columns) == (encoding, ("user", "item", "rating"))


def test_packed_files_json_lines_and_parquet(tmp_path: Path) -> None:
    for name in ("gz", "json", "parquet"):
        (tmp_path / name).mkdir()
    packed = gzip.compress(f"user,item,rating,time\n{ROWS}".encode())
    assert layout(tmp_path / "gz", packed, name="ratings.csv.gz").form.packed == "gzip"
    record = {"reviewText": "a, b", "overall": 5.0, "asin": "B1", "reviewerID": "A", "unixReviewTime": 5}
    lines = layout(tmp_path / "json", json.dumps(record) + "\n", name="reviews.json")
    assert (lines.form.kind, roles_of(lines)["item_id"]) == ("json", "asin")
    pq.write_table(pa.table({"user": [1], "item": [2], "rating": [3.0]}), tmp_path / "parquet" / "ratings.parquet")
    (found,) = OWN.ratings(tmp_path / "parquet")
    assert isinstance(found, TableFile)
    assert (found.form.kind, found.form.columns) == ("parquet", ("user", "item", "rating"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"one\ntwo\n", r"line 1: the fields of a row must stand between commas"),
        (b"PK\x03\x04\0\0\0\0\0\0rest", "is not text: it has the byte 0"),
        (b'[{"user": 1}]', "is one JSON list. Write it as JSON lines"),
        (b'{"user": 1\n', r"line 1: must be a JSON object"),
        (b"PAR1 and more", "is not a whole Parquet file"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        layout(tmp_path, content)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["mine.csv"], {"ratings": ["mine.csv"]}),
        (["rating.csv", "movie.csv", "tag.csv"], {"ratings": ["rating.csv"], "items": ["movie.csv"]}),
        (
            ["BX-Book-Ratings.csv", "BX-Books.csv", "BX-Users.csv"],
            {"ratings": ["BX-Book-Ratings.csv"], "items": ["BX-Books.csv"], "users": ["BX-Users.csv"]},
        ),
        (["ratings.csv", "train.csv", "test.csv"], {"ratings": ["ratings.csv"]}),
        (["train.csv", "test.csv", "items.csv"], {"ratings": ["train.csv", "test.csv"], "items": ["items.csv"]}),
        (["part-00001.csv.gz", "part-00000.csv.gz"], {"ratings": ["part-00000.csv.gz", "part-00001.csv.gz"]}),
        (["ratings-1.csv", "ratings-2.csv"], {"ratings": ["ratings-1.csv", "ratings-2.csv"]}),
        (["README.txt", ".ratings.csv", "ratings.dat"], {"ratings": ["ratings.dat"]}),
    ],
)  # fmt: skip
def test_files_are_told_by_their_names(names: list[str], expected: Mapping[str, list[str]]) -> None:
    found = find_roles(names, {}, "here")
    assert {role: sorted(files) for role, files in found.items()} == {r: sorted(f) for r, f in expected.items()}


def test_a_file_that_the_user_names_has_that_role() -> None:
    names = ["a.csv", "b.csv", "ratings.csv"]
    assert find_roles(names, {"ratings": "a.csv", "items": "b.csv"}, "here") == {
        "ratings": ["a.csv"],
        "items": ["b.csv"],
    }
    with pytest.raises(
        UserError, match=r"download.files.items: here has no file 'c.csv'. It has: a.csv, b.csv, ratings"
    ):
        find_roles(names, {"items": "c.csv"}, "here")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["a.csv", "b.csv"],
            "here: no file has the name of a file of ratings .*Found a.csv, b.csv. Set download.files",
        ),
        (["notes.md"], "Found no file of rows"),
        (["items.csv"], "no file has the name of a file of ratings .*Found items.csv"),
        (
            ["train.csv", "items.csv", "other.csv"],
            "no file has the name of a file of ratings .*Found items.csv, other.csv",
        ),
        (["ratings.csv", "movies.csv", "items.csv"], "here: items.csv, movies.csv may each be the file of items"),
        (["ratings.csv", "ratings.parquet"], "may each be the file of ratings. Set download.files.ratings"),
    ],
)
def test_doubt_about_files_is_an_error_that_lists_them(names: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_roles(names, {}, "here")


def test_given_fold_has_two_files(tmp_path: Path) -> None:
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text("user_id,item_id,rating\n1,2,3\n")
    assert [found.name for found in given_fold(OWN, tmp_path)] == ["train.csv", "test.csv"]


def with_ratings(folder: Path, name: str, text: str) -> None:
    (folder / "ratings.csv").write_text(f"user_id,item_id,rating,timestamp\n{ROWS}")
    (folder / name).write_text(text)


def test_without_items_and_users(tmp_path: Path) -> None:
    with_ratings(tmp_path, "notes.md", "")
    assert len(OWN.items(tmp_path).table) == 0
    assert OWN.users(tmp_path) is None


def test_further_columns_are_numbers_or_categories(tmp_path: Path) -> None:
    text = "item_id,title,year,genres,price,colour,empty\n7,B,1995.0,x|y,2.5,,\n3,,,,NA,red,\n5,C,2001,x,1e1,7,NULL\n"
    with_ratings(tmp_path, "items.csv", text)
    items = OWN.items(tmp_path)
    assert items.numeric == ("price",)
    assert items.categorical == ("colour",)
    assert items.table["item_id"].tolist() == ["7", "3", "5"]
    assert items.table["title"].tolist() == ["B", None, "C"]
    assert items.table["year"].tolist() == [1995, pd.NA, 2001]
    assert items.table["genres"].tolist() == [["x", "y"], [], ["x"]]
    assert items.table["price"].fillna(-1).tolist() == [2.5, -1, 10.0]
    assert items.table["colour"].tolist() == [None, "red", "7"]
    assert "items.csv: column 'empty': left out, no row has a value" in items.understood


def test_years_at_the_end_of_titles_and_other_names(tmp_path: Path) -> None:
    with_ratings(
        tmp_path, "movie.csv", '"movieId","title","genres"\n"1","Heat (1995)","Crime|Drama"\n"2","Odd","Drama"\n'
    )
    items = OWN.items(tmp_path)
    assert items.table["title"].tolist() == ["Heat (1995)", "Odd"]  # half of the titles are no rule
    with_ratings(tmp_path, "movie.csv", '"movieId","title","genres"\n"1","Heat (1995)","Crime|Drama"\n')
    items = OWN.items(tmp_path)
    assert items.table[["item_id", "title", "year"]].to_numpy().tolist() == [["1", "Heat", 1995]]
    assert "movie.csv: the year is taken from the end of the title, in 1 of 1 rows" in items.understood


@pytest.mark.parametrize("genres", ["a|b", '"a, b"', "\"['a', 'b']\"", '"[""a"", ""b""]"', "a;b"])
def test_genres_in_any_list(tmp_path: Path, genres: str) -> None:
    with_ratings(tmp_path, "items.csv", f"item_id,title,genres\n1,A,{genres}\n2,B,\n")
    assert OWN.items(tmp_path).table["genres"].tolist() == [["a", "b"], []]


def test_side_files_without_a_header_are_as_those_of_movielens(tmp_path: Path) -> None:
    (tmp_path / "ratings.dat").write_text("1::7::3::1600000000\n2::8::4::1600000001\n")
    (tmp_path / "movies.dat").write_text("7::Heat (1995)::Crime|Drama\n8::Alien (1979)::Horror\n")
    (tmp_path / "users.dat").write_text("1::F::25\n2::M::30\n")
    items, users = OWN.items(tmp_path), OWN.users(tmp_path)
    assert items.table["item_id"].tolist() == ["7", "8"]
    assert items.table["title"].tolist() == ["Heat", "Alien"]
    assert items.table["genres"].tolist() == [["Crime", "Drama"], ["Horror"]]
    assert users is not None
    assert users.table["user_id"].tolist() == ["1", "2"]


def test_kinds_are_told_from_values_and_can_be_overruled(tmp_path: Path) -> None:
    rows = "".join(f"{i},{20 + i},{37 + i:05},{i % 3},name{i},x{i % 2}\n" for i in range(40))
    with_ratings(tmp_path, "users.csv", f"user_id,age,zip,segment,login,rating\n{rows}")
    users = OWN.users(tmp_path)
    assert users is not None
    assert (users.numeric, users.categorical) == (("age", "segment"), ("rating_given",))
    assert "users.csv: column 'zip': left out, text with 40 different values in 40 rows" in users.understood
    assert "users.csv: column 'rating' (called rating_given here): category, 2 different values" in users.understood
    users = saying(kinds={"zip": "category", "segment": "category", "age": "none"}).users(tmp_path)
    assert users is not None
    assert (users.numeric, users.categorical) == ((), ("zip", "segment", "rating_given"))
    assert users.table["zip"][0] == "00037"
    with pytest.raises(
        UserError, match=r"users.csv, line 2: login must be a number, as preprocess.kinds says. Got 'na"
    ):
        saying(kinds={"login": "number"}).users(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("items.csv", "what,name\n1,A\n", r"items\.csv, line 1: a column must hold the item_id. Got the columns what"),
        ("items.csv", "item_id,title\n,A\n", r"items\.csv, line 2: item_id must be an id: text that is not empty"),
        ("items.csv", "item_id,title\n1,A\n1,B\n", r"items\.csv, line 3: item_id must be unique"),
        ("items.csv", "item_id,title,year\n1,A,soon\n", r"line 2: year must be a whole number or empty. Got 'soon'"),
        ("items.csv", "item_id,title\n1,A,b\n2\n", r"items\.csv, line 2: a row must have 2 fields"),
        ("users.csv", "user_id,a-b,a b\n1,2,3\n", r"users\.csv, line 1: two columns would be called a_b"),
        ("users.csv", "", r"users\.csv is empty"),
    ],
)
def test_bad_tables(tmp_path: Path, name: str, text: str, message: str) -> None:
    with_ratings(tmp_path, name, text)
    with pytest.raises(UserError, match=message):
        OWN.items(tmp_path) if name == "items.csv" else OWN.users(tmp_path)
