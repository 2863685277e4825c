"""A matrix of ratings: a row for each user and a column for each item."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.tables.conftest import Built
from widedeep.errors import UserError
from widedeep.sources.matrix import MatrixFile
from widedeep.sources.own import OWN

USERS, ITEMS = 20, 12
# Each user rated two items of three, from 1 to 5.
STARS = {(u, i): 1 + (u * i) % 5 for u in range(USERS) for i in range(ITEMS) if (u + i) % 3}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


def cells(user: int, none: str = "", ending: str = "") -> list[str]:
    return [f"{STARS[user, i]}{ending}" if (user, i) in STARS else none for i in range(ITEMS)]


def write(raw: Path, rows: Sequence[Sequence[str]], separator: str = ",", name: str = "ratings.csv") -> None:
    (raw / name).write_text("".join(separator.join(row) + "\n" for row in rows), encoding="utf-8")


def layout(raw: Path, name: str = "ratings.csv") -> MatrixFile:
    found = OWN.layout(raw, name)
    assert isinstance(found, MatrixFile)
    return found


def kept(raw: Path, **changes: object) -> dict[tuple[object, object], float]:
    tables = Built.of(raw, split="random", **changes)
    return {(user, item): rating for user, item, rating, *_ in tables.rows()}


def test_header_names_users_and_items(raw: Path) -> None:
    names = [f"Film {i}; the movie" for i in range(ITEMS)]
    write(raw, [["userId", *names], *([f"u{u}", *cells(u)] for u in range(USERS))])
    assert layout(raw).sentences() == [
        "a matrix: each row is a user (named in 'userId'), each of 12 columns is an item",
        "no rating is a missing cell",
    ]
    assert kept(raw) == {(f"u{u}", names[i]): stars for (u, i), stars in STARS.items()}


def test_table_of_pandas(raw: Path) -> None:
    """The index has no name, missing cells are empty, and numbers are floats."""
    write(
        raw, [["", *(str(100 + i) for i in range(ITEMS))], *([str(7 + u), *cells(u, "", ".0")] for u in range(USERS))]
    )
    assert kept(raw) == {(7 + u, 100 + i): stars for (u, i), stars in STARS.items()}


def test_jester(raw: Path) -> None:
    """No header, 99 for no rating, and the number of ratings in the first column. The number of the row is the user."""
    rows = [cells(u, "99", ".25") for u in range(USERS)]
    write(raw, [[str(ITEMS - row.count("99")), *row] for row in rows])
    assert layout(raw).sentences() == [
        "a matrix: each row is a user (named by its number), each of 12 columns is an item",
        "no rating is a missing cell or 99",
        "column 1 is not used: it counts the ratings of the row",
    ]
    assert kept(raw, rating_scale=(1, 6)) == {(u + 1, i + 1): stars + 0.25 for (u, i), stars in STARS.items()}


def test_ids_in_the_first_column_without_a_header(raw: Path) -> None:
    write(raw, [[str(500 + u), *cells(u, "NA")] for u in range(USERS)], "\t")
    assert kept(raw) == {(500 + u, i + 1): stars for (u, i), stars in STARS.items()}


def test_row_for_each_item(raw: Path) -> None:
    rows = [[f"j{i}", *(str(STARS.get((u, i), "")) for u in range(USERS))] for i in range(ITEMS)]
    write(raw, [["JokeId", *(f"User{u}" for u in range(USERS))], *rows])
    assert kept(raw) == {(f"User{u}", f"j{i}"): stars for (u, i), stars in STARS.items()}


def test_zeros_beside_ones_are_implicit_feedback(raw: Path) -> None:
    rows = [[str(u), *("1" if (u, i) in STARS else "0" for i in range(ITEMS))] for u in range(USERS)]
    write(raw, [["customer_id", *(f"sku{i}" for i in range(ITEMS))], *rows])
    tables = Built.of(raw, split="random", rating_scale=None)
    assert tables.ratings.num_rows == len(STARS)
    assert tables.about.rating_scale == (1, 1)
    assert any(line.startswith("feedback: implicit, as all ratings are 1.") for line in tables.report["understood"])


def test_parquet(raw: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame([{f"line{i}": STARS.get((u, i)) for i in range(ITEMS)} | {"user": u} for u in range(USERS)])
    frame.to_parquet(raw / "ratings.parquet")
    assert kept(raw) == {(u, f"line{i}"): stars for (u, i), stars in STARS.items()}


def test_wrong_cell_is_named_by_file_line_and_text(raw: Path) -> None:
    rows = [[f"u{u}", *cells(u)] for u in range(USERS)]
    rows[4][2] = "four"
    write(raw, [["user", *(f"i{i}" for i in range(ITEMS))], *rows])
    with pytest.raises(UserError, match=r"ratings.csv, line 6: the rating must be a finite number. Got 'u4,.*four"):
        Built.of(raw, split="random")


def test_table_of_other_facts_is_no_matrix(raw: Path) -> None:
    rows = [
        [str(u), str(20 + u), str(1000 * u + 17), str(150 + u), str(10_000 + 37 * u), "3"] for u in range(USERS * 5)
    ]
    write(raw, [["customer_id", "age", "income", "height", "zip", "visits"], *rows])
    with pytest.raises(
        UserError, match=r"line 1: no column has a known name for the item .* Got the columns customer_id"
    ):
        OWN.layout(raw, "ratings.csv")


def test_column_of_items_that_the_user_names_is_followed(raw: Path) -> None:
    from dataclasses import replace

    names = ["u", *(f"i{i}" for i in range(ITEMS))]
    write(raw, [names, *([str(u), *cells(u, "3")] for u in range(USERS))])
    columns = OWN.reading.columns.model_copy(update={"user": "u", "item": "i0", "rating": "i1"})
    found = replace(OWN, reading=OWN.reading.model_copy(update={"columns": columns})).layout(raw, "ratings.csv")
    assert not isinstance(found, MatrixFile)
