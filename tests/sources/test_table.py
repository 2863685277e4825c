import math
from pathlib import Path

import pandas as pd
import pytest

from widedeep.errors import UserError
from widedeep.sources import SOURCES
from widedeep.sources.source import RatingsFile
from widedeep.sources.table import given_fold

CSV = SOURCES["csv"]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_ratings_with_and_without_timestamp(tmp_path: Path, line_end: str) -> None:
    fields = {"user_id": 0, "item_id": 1, "rating": 2}
    header = "user_id,item_id,rating"
    (tmp_path / "ratings.csv").write_bytes(f"{header}{line_end}1,2,3{line_end}".encode())
    assert CSV.ratings(tmp_path) == RatingsFile("ratings.csv", ",", 3, fields, header)
    (tmp_path / "ratings.csv").write_bytes(f"{header},timestamp{line_end}1,2,3,4{line_end}".encode())
    expected = RatingsFile("ratings.csv", ",", 4, fields | {"timestamp": 3}, f"{header},timestamp")
    assert CSV.ratings(tmp_path) == expected


def test_ratings_with_another_header(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("user,item,rating\n1,2,3\n")
    with pytest.raises(UserError, match=r"line 1: the header must be user_id,item_id,rating or .*Got 'user,item,rat"):
        CSV.ratings(tmp_path)


def test_given_fold_has_the_header_of_its_training_file(tmp_path: Path) -> None:
    header = "user_id,item_id,rating"
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text(f"{header}\n1,2,3\n")
    fields = {"user_id": 0, "item_id": 1, "rating": 2}
    train, test = given_fold(tmp_path)
    assert train == RatingsFile("train.csv", ",", 3, fields, header)
    assert test == RatingsFile("test.csv", ",", 3, fields, header)


def test_without_items_and_users(tmp_path: Path) -> None:
    assert len(CSV.items(tmp_path).table) == 0
    assert CSV.users(tmp_path) is None


def test_further_columns_are_numeric_or_categorical(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text(
        "item_id,title,year,genres,price,colour,empty\n7,B,1995.0,x|y,2.5,,\n3,,,,,red,\n5,C,2001,x,1e1,7,\n"
    )
    items = CSV.items(tmp_path)
    assert items.numeric == ("price",)
    assert items.categorical == ("colour",)
    assert items.table["item_id"].tolist() == ["7", "3", "5"]
    assert items.table["title"].tolist() == ["B", None, "C"]
    assert items.table["year"].tolist() == [1995, pd.NA, 2001]
    assert items.table["genres"].tolist() == [["x", "y"], [], ["x"]]
    assert items.table["price"].tolist()[::2] == [2.5, 10.0]
    assert math.isnan(items.table["price"][1])
    assert items.table["colour"].tolist() == [None, "red", "7"]


def test_users(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("user_id,age,country\n2,30,PT\n1,,\n")
    users = CSV.users(tmp_path)
    assert users is not None
    assert users.numeric == ("age",)
    assert users.table["country"].tolist() == ["PT", None]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("items.csv", "item_id,name\n1,A\n", r"items\.csv, line 1: the header must name the column title"),
        ("items.csv", "item_id,title\n,A\n", r"items\.csv, line 2: item_id must be an id: text that is not empty"),
        ("users.csv", "user_id\nA \n", r"users\.csv, line 2: user_id must be an id: .* Got 'A ' instead"),
        ("items.csv", "item_id,title,user\n1,A,x\n", r"line 1: the column name user has another meaning"),
        ("items.csv", "item_id,title\n1,A\n1,B\n", r"items\.csv, line 3: item_id must be unique"),
        ("items.csv", "item_id,title,year\n1,A,soon\n", r"line 2: year must be a whole number or empty. Got 'soon'"),
        ("items.csv", "item_id,title,rating\n1,A,PG\n", r"line 1: the column name rating has another meaning"),
        ("users.csv", "user_id,split\n1,a\n", r"users\.csv, line 1: the column name split has another meaning"),
        ("users.csv", "", r"users\.csv is empty"),
    ],
)
def test_bad_tables(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        CSV.items(tmp_path) if name == "items.csv" else CSV.users(tmp_path)
