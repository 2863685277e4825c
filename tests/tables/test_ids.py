"""Ids of any kind become codes and come back unchanged."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from tests.tables.conftest import Built
from widedeep.errors import UserError
from widedeep.sources import SOURCES
from widedeep.tables.build import build_tables
from widedeep.tables.files import Tables, external, load_item_ids, load_ratings, load_user_ids
from widedeep.tables.ids import in_order

Build = Callable[..., Built]
Csv = Callable[..., str]

# Integers of 19 digits that float64 cannot tell apart, one beyond int64, and texts that look like numbers.
ODD = [
    "007", "7", "1.0", "1", "1e3", "1580661436132789506", "1580661436132789507", "99999999999999999999", "-0", "0",
    "A1B2-3c", "two words", "a'b\"c", "\N{LATIN SMALL LETTER E WITH ACUTE}", "e\N{COMBINING ACUTE ACCENT}",
    "ключ", "🎬", "NA", "null", "nan", "True",
]  # fmt: skip


def rated(users: list[str], items: list[str]) -> list[tuple[str, str, int, int]]:
    """Every user rates every item."""
    pairs = [(user, item) for user in users for item in items]
    return [(user, item, 1 + time % 5, 100 + time) for time, (user, item) in enumerate(pairs)]


@pytest.mark.parametrize("split", ["temporal", "leave_last_out", "random"])
def test_ids_come_back_unchanged_to_the_last_character(build: Build, csv: Csv, tmp_path: Path, split: str) -> None:
    rows = rated(ODD, ODD[::-1])
    tables = build(csv(*rows), split=split, validation_fraction=0)
    assert sorted(row[:4] for row in tables.rows()) == sorted(rows)
    tables.save(tmp_path)
    expected = sorted(ODD, key=str.encode)
    assert load_user_ids(tmp_path).to_pylist() == load_item_ids(tmp_path).to_pylist() == expected


def test_007_and_7_are_two_users(build: Build, csv: Csv) -> None:
    tables = build(csv(*rated(["7", "007"], ["a", "b", "c"])))
    assert tables.user_ids.to_pylist() == ["007", "7"]
    assert tables.report["users"] == {"rated": 2, "listed": 2}
    assert tables.report["rows"]["duplicates"] == 0


def test_integers_are_in_the_order_of_numbers(build: Build, csv: Csv) -> None:
    ids = ["10", "9", "-3", "1580661436132789507", "1580661436132789506", "0"]
    tables = build(csv(*rated(ids, ids)))
    assert tables.user_ids.to_pylist() == sorted(ids, key=int)
    assert external(tables.user_ids).to_pylist() == sorted(map(int, ids))


def test_one_id_that_is_no_plain_integer_puts_its_side_in_the_order_of_text(build: Build, csv: Csv) -> None:
    tables = build(csv(*rated(["10", "9", "x"], ["10", "9"])))
    assert tables.user_ids.to_pylist() == ["10", "9", "x"]
    assert tables.item_ids.to_pylist() == ["9", "10"]
    assert [row[:2] for row in tables.rows()][:3] == [("10", 10), ("10", 9), ("9", 10)]


def test_ids_that_no_rating_is_left_of_have_no_code(build: Build, csv: Csv) -> None:
    rows = [*rated(["10", "9"], ["a", "b", "c"]), ("x", "a", 3, 1)]
    assert build(csv(*rows), min_ratings_per_user=2).user_ids.to_pylist() == ["9", "10"]


def test_order_of_text_is_that_of_its_bytes() -> None:
    ids = ["é", "z", "Z", "🎬", "ｚ", "a b", "a"]
    assert in_order(pa.array(ids)).to_pylist() == sorted(ids, key=str.encode)


@pytest.mark.parametrize(
    ("ids", "integers"),
    [
        (["0", "-1", "9223372036854775807", "-9223372036854775808"], True),
        (["9223372036854775808"], False),
        (["9" * 30], False),
        (["1", "01"], False),
        (["-0"], False),
        (["+1"], False),
        (["1.0"], False),
        (["1 "], False),
        (["1\n"], False),
        (["١"], False),
        ([""], False),
    ],
)
def test_only_integers_in_their_only_form_are_read_as_integers(ids: list[str], integers: bool) -> None:
    found = external(pa.array(ids))
    assert found.type == (pa.int64() if integers else pa.string())
    assert [str(identity) for identity in found.to_pylist()] == ids


def test_ids_of_codes() -> None:
    assert external(pa.array(["5", "8", "9"]), [2, 0, 0]).to_pylist() == [9, 5, 5]
    assert external(pa.array(["5", "x", "9"]), [2, 0, 0]).to_pylist() == ["9", "5", "5"]


def test_described_items_and_users_keep_their_rows(build: Build, csv: Csv, raw: Path) -> None:
    (raw / "users.csv").write_text('user_id,team\n7,plain\n"a,b",never rated\n007,zeros\n', encoding="utf-8")
    items = "item_id,title\nz,Z\n010,Ten\n10,Other ten\n"
    tables = build(csv(*rated(["7", "007", "new"], ["10", "z"])), items)
    assert tables.item_ids.to_pylist() == ["010", "10", "z"]
    assert tables.items["title"].tolist() == ["Ten", "Other ten", "Z"]
    assert tables.user_ids.to_pylist() == ["007", "7", "a,b", "new"]
    assert tables.users["team"].tolist()[:3] == ["zeros", "plain", "never rated"]
    assert tables.users["team"].isna().tolist() == [False, False, False, True]
    assert tables.report["items"] == {"rated": 2, "listed": 3, "rated_but_not_listed": 0}


def test_item_that_differs_by_a_zero_is_another_item(build: Build, csv: Csv) -> None:
    tables = build(csv(*rated(["1"], ["10", "010"])), "item_id,title\n10,A\n", validation_fraction=0)
    assert tables.item_ids.to_pylist() == ["010", "10"]
    assert tables.items["title"].fillna("").tolist() == ["", "A"]


def test_given_split_takes_text_ids(raw: Path, csv: Csv) -> None:
    (raw / "train.csv").write_text(csv(*rated(["u7", "u07"], ["a", "b"])))
    (raw / "test.csv").write_text(csv(("u7", "c", 3, 900)))
    tables = Built.of(raw, split="predefined", fold="given", validation_fraction=0)
    assert tables.user_ids.to_pylist() == ["u07", "u7"]
    assert [row for row in tables.rows() if row[4] == "test"] == [("u7", "c", 3, 900, "test")]


@pytest.mark.parametrize("user", ["4.5", "1e3", "", '"9"', "99999999999999999999", "x", " 9"])
def test_ids_of_a_publisher_must_be_integers(raw: Path, user: str) -> None:
    (raw / "movies.csv").write_text("movieId,title,genres\n1,A (1990),Drama\n")
    (raw / "ratings.csv").write_text(f"userId,movieId,rating,timestamp\n{user},1,3,5\n")
    with pytest.raises(UserError, match=r"line 2: the user id must be an integer\. Got"):
        build_tables(SOURCES["ml-latest-small"], raw, Built.params(rating_scale=None))


def test_tables_come_back_from_their_folder(build: Build, csv: Csv, tmp_path: Path) -> None:
    built = build(csv(*rated(["7", "007"], ["a", "b", "c"])), "item_id,title,price\na,A,1\nb,B,2\nc,,3\n")
    built.save(tmp_path)
    loaded = Tables.load(tmp_path)
    assert loaded.ratings.equals(built.ratings)
    assert loaded.about == built.about
    assert (loaded.user_ids.to_pylist(), loaded.item_ids.to_pylist()) == (["007", "7"], ["a", "b", "c"])
    assert loaded.items["price"].tolist() == [0, 0.5, 1]
    assert load_ratings(tmp_path, ["user"]).column_names == ["user"]


def test_digest_of_text_ids_is_of_the_ids_not_of_their_codes(build: Build, csv: Csv) -> None:
    rows = rated(["u1", "u2"], [*"abcde"])
    known = build(csv(*rows)).report["test_sha256"]
    assert build(csv(("u0", "_", 3, 1), *rows), test_fraction=0.19).report["test_sha256"] == known
    renamed = [(user.replace("u2", "u3"), *rest) for user, *rest in rows]
    assert build(csv(*renamed)).report["test_sha256"] != known
