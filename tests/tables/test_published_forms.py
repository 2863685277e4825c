"""Made-up rows in the form of data sets that people have: each becomes the tables that a person would expect."""

import gzip
import json
from pathlib import Path

import pyarrow.compute as pc
import pytest

from tests.tables.conftest import Built
from widedeep.errors import UserError
from widedeep.sources import SOURCES
from widedeep.tables.build import build_tables

PAIRS = [(user, item) for user in range(1, 21) for item in range(1, 16) if (user * item) % 3]
STARS = {pair: 1 + (pair[0] + pair[1]) % 5 for pair in PAIRS}


def test_movielens_20m_from_kaggle(raw: Path) -> None:
    rows = [
        f'"{u}","{i}","{STARS[u, i]}","2005-04-{1 + n % 28:02} 23:53:{n % 60:02}"' for n, (u, i) in enumerate(PAIRS)
    ]
    (raw / "rating.csv").write_text("\n".join(['"userId","movieId","rating","timestamp"', *rows]))
    films = [f'"{i}","Film {i}, The (19{80 + i})","Drama|Comedy"' for i in range(1, 16)]
    (raw / "movie.csv").write_text("\n".join(['"movieId","title","genres"', *films]))
    (raw / "tag.csv").write_text('"userId","movieId","tag","timestamp"\n"1","1","dark","2005-04-02 23:53:47"\n')
    tables = Built.of(raw)
    assert tables.ratings.num_rows == len(PAIRS)
    assert tables.about.split == "temporal"
    assert tables.items[["title", "year"]].iloc[0].tolist() == ["Film 1, The", 1981]
    assert tables.items["genres"].iloc[0] == ["Drama", "Comedy"]
    assert pc.min(tables.ratings["timestamp"]).as_py() > 1_112_300_000  # April 2005


def test_book_crossing(raw: Path) -> None:
    rows = [f'"{u}";"0{i:08}X";"{0 if (u + i) % 2 else STARS[u, i] * 2}"' for u, i in PAIRS]
    (raw / "BX-Book-Ratings.csv").write_text("\r\n".join(['"User-ID";"ISBN";"Book-Rating"', *rows]), encoding="cp1252")
    books = [f'"0{i:08}X";"Stra\xdfe \\"{i}\\"; Teil {i}";"J. D\xf6 {i}";"{1980 + i}"' for i in range(1, 16)]
    header = '"ISBN";"Book-Title";"Book-Author";"Year-Of-Publication"'
    (raw / "BX-Books.csv").write_text("\r\n".join([header, *books]), encoding="cp1252")
    users = [f'"{u}";"porto, portugal";' + ("NULL" if u % 4 else f'"{20 + u}"') for u in range(1, 21)]
    (raw / "BX-Users.csv").write_text("\r\n".join(['"User-ID";"Location";"Age"', *users]), encoding="cp1252")
    tables = Built.of(raw, rating_scale=(1, 10), on_bad_rows="drop", split="random")
    zeros = sum((u + i) % 2 for u, i in PAIRS)
    assert tables.report["rows"]["bad_rows"] == {"rating_out_of_scale": zeros}
    assert tables.ratings.num_rows == len(PAIRS) - zeros
    assert tables.item_ids[0].as_py() == "000000001X"
    assert tables.items[["title", "year"]].iloc[0].tolist() == ['Stra\xdfe "1"; Teil 1', 1981]
    assert tables.users["Age"].nunique() > 1


def test_amazon_reviews(raw: Path) -> None:
    records = [
        {
            "overall": float(STARS[u, i]),
            "reviewerID": f"A{u:03}",
            "asin": f"B{i:03}",
            "reviewerName": "X",
            "reviewText": 'It said "no",\nand I believed it.',
            "unixReviewTime": 1_500_000_000 + 86_400 * n,
        }
        for n, (u, i) in enumerate(PAIRS)
    ]
    text = "".join(json.dumps(record) + "\n" for record in records)
    (raw / "Luxury_Beauty_5.json.gz").write_bytes(gzip.compress(text.encode()))
    tables = Built.of(raw)
    assert tables.ratings.num_rows == len(PAIRS)
    assert tables.user_ids[0].as_py() == "A001"
    assert tables.about.split == "temporal"


def test_goodbooks(raw: Path) -> None:
    rows = [f"{u},{i},{STARS[u, i]}" for u, i in PAIRS]
    (raw / "ratings.csv").write_text("\n".join(["user_id,book_id,rating", *rows]))
    books = [
        f'{i},{900 + i},{100 + i},97{i:08}.0,"Collins, {i}",{1990 + i}.0,"Title {i}",4.{i:02}' for i in range(1, 16)
    ]
    header = "book_id,goodreads_book_id,work_id,isbn,authors,original_publication_year,title,average_rating"
    (raw / "books.csv").write_text("\n".join([header, *books]))
    (raw / "to_read.csv").write_text("user_id,book_id\n1,2\n")
    tables = Built.of(raw, split="random")
    assert tables.items[["title", "year"]].iloc[2].tolist() == ["Title 3", 1993]
    assert "average_rating" in tables.items
    assert tables.report["items"]["rated_but_not_listed"] == 0


def test_plays_of_lastfm_are_implicit_feedback(raw: Path) -> None:
    rows = [f"{u}\t{i}\t{13_883 // (u * i)}" for u, i in PAIRS]
    (raw / "user_artists.dat").write_text("\n".join(["userID\tartistID\tweight", *rows]))
    artists = [f"{i}\tBand {i}\thttp://www.last.fm/music/{i}" for i in range(1, 16)]
    (raw / "artists.dat").write_text("\n".join(["id\tname\turl", *artists]))
    tables = Built.of(raw, split="random", rating_scale=None)
    assert tables.about.rating_scale == (1, 1)
    assert sorted(tables.ratings["rating"].to_pylist())[-1] == 13_883  # the plays are kept
    assert tables.items["title"].iloc[0] == "Band 1"
    assert any(line.startswith("feedback: implicit, as 'weight' is a count") for line in tables.report["understood"])
    with pytest.raises(
        UserError, match=r"line 1: no column has a known name for the rating .*userID, artistID, weight"
    ):
        Built.of(raw, feedback="explicit")


def test_movielens_100k_with_its_ratings_alone(raw: Path) -> None:
    rows = [f"{u}\t{i}\t{STARS[u, i]}\t{880_000_000 + n}" for n, (u, i) in enumerate(PAIRS)]
    (raw / "u.data").write_text("\n".join(rows) + "\n")
    tables, report = build_tables(SOURCES["ml-100k"], raw, Built.params())
    assert tables.ratings.num_rows == len(PAIRS)
    assert tables.items["title"].isna().all()
    assert list(tables.users) == ["user"]
    assert report["items"] == {"rated": 10, "listed": 10, "rated_but_not_listed": 10}
