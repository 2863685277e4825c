"""Reading, checking, deduplicating and filtering of ratings."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tables.conftest import Built
from widedeep.columns import RATINGS_SCHEMA
from widedeep.errors import UserError
from widedeep.params import PreprocessParams
from widedeep.params.data import NOTHING_SAID
from widedeep.sources import SOURCES
from widedeep.tables import ratings
from widedeep.tables.build import build_tables

Build = Callable[..., Built]
Csv = Callable[..., str]

IN_SECONDS = "the timestamp must be a number of seconds since 1970, 0 or more, as in the other rows"
TRIMMED = "must have no space or control character at its start or end"
GOOD = [(user, item, 1 + (user + item) % 5, 100 + 10 * user + item) for user in (1, 2, 3) for item in (1, 2, 3, 4)]


def rows(tables: Built) -> list[tuple[Any, ...]]:
    return [row[:4] for row in tables.rows()]


def failure(build: Build, ratings: str | bytes, *args: Any, **changes: Any) -> str:
    with pytest.raises(UserError) as raised:
        build(ratings, *args, **changes)
    return str(raised.value)


def test_rows_come_back_in_the_order_of_time_user_item(build: Build, csv: Csv) -> None:
    tables = build(csv((2, 1, 3, 10), (1, 2, 4, 10), (1, 1, 5, 10), (9, 9, 1, 5), (1, 3, 2, 11)))
    assert tables.ratings.schema == RATINGS_SCHEMA
    assert rows(tables) == [(9, 9, 1, 5), (1, 1, 5, 10), (1, 2, 4, 10), (2, 1, 3, 10), (1, 3, 2, 11)]


def test_a_timestamp_until_tomorrow_is_kept(build: Build, csv: Csv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratings, "latest_timestamp", lambda: 200)
    assert rows(build(csv(*GOOD, (4, 1, 3, 200))))[-1] == (4, 1, 3, 200)
    assert "200" not in failure(build, csv(*GOOD, (4, 1, 3, 201))).partition("Got")[0]


def test_half_stars_are_kept(build: Build, csv: Csv) -> None:
    tables = build(
        csv((1, 1, "0.5", 1), (1, 2, "4.5", 2), (1, 3, "5.0", 3)), rating_scale=(0.5, 5), validation_fraction=0
    )
    assert tables.ratings["rating"].to_pylist() == [0.5, 4.5, 5.0]


@pytest.mark.parametrize(
    ("line", "reason", "rule"),
    [
        ("9 8 3 5", "wrong_field_count", "a line must have 4 fields between commas"),
        ("9,8,3", "wrong_field_count", "a line must have 4 fields between commas"),
        ("9,8,3,5,6", "wrong_field_count", "a line must have 4 fields between commas"),
        ("9,8,3,0,5", "wrong_field_count", "a line must have 4 fields between commas"),
        (",8,3,5", "user_id_empty", "the user id must not be empty"),
        ("9,,3,5", "item_id_empty", "the item id must not be empty"),
        ("9,\t8,3,5", "item_id_with_space_around", f"the item id {TRIMMED}"),
        ("9,8,NaN,5", "rating_not_a_number", "the rating must be a finite number"),
        ("9,8,inf,5", "rating_not_a_number", "the rating must be a finite number"),
        ("9,8,1e999,5", "rating_not_a_number", "the rating must be a finite number"),
        ("9,8,,5", "rating_not_a_number", "the rating must be a finite number"),
        ("9,8,1_0,5", "rating_not_a_number", "the rating must be a finite number"),
        ("9,8,four,5", "rating_not_a_number", "the rating must be a finite number"),
        ("9,8,0,5", "rating_out_of_scale", "the rating must lie in [1, 5]"),
        ("9,8,5.5,5", "rating_out_of_scale", "the rating must lie in [1, 5]"),
        ("9,8,3,", "timestamp_of_another_form", IN_SECONDS),
        ("9,8,3,soon", "timestamp_of_another_form", IN_SECONDS),
        ("9,8,3,2020-09-13", "timestamp_of_another_form", IN_SECONDS),
        ("9,8,3,1600000000000", "timestamp_of_another_form", IN_SECONDS),
        ("9,8,3,999999999999999999", "timestamp_of_another_form", IN_SECONDS),
        ("9,8,3,-1", "timestamp_of_another_form", IN_SECONDS),
        ("9,8,3,9000000000", "timestamp_in_the_future", "the timestamp must not be later than tomorrow"),
        ("9,\0,3,5", "item_id_with_space_around", f"the item id {TRIMMED}"),
        ("9,\x1f,3,5", "item_id_with_space_around", f"the item id {TRIMMED}"),
    ],
)
def test_bad_row_is_named_or_dropped_and_counted(
    build: Build, csv: Csv, raw: Path, line: str, reason: str, rule: str
) -> None:
    text = csv(*GOOD) + line + "\n9,7,3,500\n"
    assert failure(build, text) == (
        f"1 of 14 rating rows are bad:\n  {raw / 'ratings.csv'}, line 14: {rule}. Got {line!r} instead.\n"
        "Correct the file, or set preprocess.on_bad_rows: drop in params.yaml to leave such rows out and count them."
    )
    tables = build(text, on_bad_rows="drop")
    assert tables.report["rows"]["bad_rows"] == {reason: 1}
    assert rows(tables) == [*GOOD, (9, 7, 3, 500)]


def test_only_the_first_bad_rows_are_shown_and_all_counted_by_reason(build: Build, csv: Csv) -> None:
    text = failure(build, csv(*GOOD, *[(9, item, 7, 1) for item in range(6)], (9, 9, "x", 1)))
    assert text.startswith("7 of 19 rating rows are bad:")
    assert text.count(", line ") == 5
    assert "... and 2 more; by reason: {'rating_not_a_number': 1, 'rating_out_of_scale': 6}" in text


def test_a_rating_of_11_on_a_scale_to_10_is_refused(build: Build, csv: Csv) -> None:
    assert "the rating must lie in [1, 10]" in failure(build, csv(*GOOD, (9, 9, 11, 1)), rating_scale=(1, 10))


def test_bytes_that_are_no_text_are_named_not_fatal(build: Build, csv: Csv) -> None:
    data = csv(*GOOD).encode() + b"9,\xff\xfe,3,5\n"
    rule = "the line must be in the encoding of the file, UTF-8 (preprocess.encoding names another one)"
    assert f"line 14: {rule}. Got '9,\ufffd\ufffd,3,5' instead" in failure(build, data)
    assert rows(build(data, on_bad_rows="drop")) == GOOD


def test_a_huge_line_is_one_bad_row_and_shown_in_part(build: Build, csv: Csv) -> None:
    data = csv(*GOOD) + "9" * 3_000_000 + "\n9,7,3,500\n"
    assert len(failure(build, data)) < 1000
    assert rows(build(data, on_bad_rows="drop")) == [*GOOD, (9, 7, 3, 500)]


def test_blank_line_in_the_middle_is_no_row_and_lines_are_counted_right(build: Build, csv: Csv) -> None:
    text = csv(*GOOD) + "\n9,7,3,500\n"
    assert rows(build(text)) == [*GOOD, (9, 7, 3, 500)]
    assert "line 16: the rating must lie in [1, 5]. Got '9,8,6,501' instead." in failure(build, text + "9,8,6,501\n")


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\r\n\r\n"])
def test_blank_lines_at_the_end_are_no_rows(build: Build, csv: Csv, end: str) -> None:
    tables = build(csv(*GOOD).rstrip("\n") + end)
    assert tables.report["rows"]["read"] == len(GOOD)


@pytest.mark.parametrize("ends", [{0}, {5, 6}, set(range(13))])
def test_line_ends_of_other_systems_change_nothing(build: Build, csv: Csv, ends: set[int]) -> None:
    lines = csv(*GOOD).splitlines()
    text = "".join(line + ("\r\n" if number in ends else "\n") for number, line in enumerate(lines))
    assert rows(build(text)) == GOOD


def test_byte_order_mark_changes_nothing(build: Build, csv: Csv) -> None:
    assert rows(build("\ufeff" + csv(*GOOD))) == GOOD


def test_file_of_the_header_alone_is_empty(build: Build, csv: Csv) -> None:
    assert "ratings.csv is empty: it has no rating." in failure(build, csv())


def test_nothing_but_bad_rows_is_an_error_even_when_dropping(build: Build, csv: Csv) -> None:
    assert "has only bad rows, by reason: {'rating_out_of_scale': 1}" in failure(
        build, csv((1, 1, 9, 1)), on_bad_rows="drop"
    )


@pytest.mark.parametrize("content", [b"", b"\n", b"\n\n"])
def test_file_without_text_is_refused(raw: Path, content: bytes) -> None:
    (raw / "movies.csv").write_text("movieId,title,genres\n1,A (1990),Drama\n")
    (raw / "ratings.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"ratings\.csv(, line 1: the header must be| is empty)"):
        build_tables(SOURCES["ml-latest-small"], raw, params())


def test_missing_column_of_the_header_is_named(raw: Path) -> None:
    (raw / "movies.csv").write_text("movieId,title,genres\n1,A (1990),Drama\n")
    (raw / "ratings.csv").write_text("userId,movieId,rating\n1,1,3\n")
    with pytest.raises(UserError, match=r"line 1: the header must be .* Got 'userId,movieId,rating'.*: timestamp\."):
        build_tables(SOURCES["ml-latest-small"], raw, params())


def test_missing_file_says_which_stage_to_run(raw: Path) -> None:
    (raw / "movies.csv").write_text("movieId,title,genres\n1,A (1990),Drama\n")
    with pytest.raises(UserError, match=r"ratings\.csv is missing\. Run `dvc repro -f download`"):
        build_tables(SOURCES["ml-latest-small"], raw, params())


def test_spaces_for_tabs_are_named(raw: Path) -> None:
    (raw / "u.genre").write_text("unknown|0\nDrama|1\n")
    (raw / "u.item").write_text("1|A (1990)|||u|0|1\n")
    (raw / "u.user").write_text("1|20|M|other|z\n")
    (raw / "u.data").write_text("1\t1\t3\t5\n1 1 3 5\n")
    with pytest.raises(UserError, match=r"line 2: a line must have 4 fields between tabs\. Got '1 1 3 5' instead"):
        build_tables(SOURCES["ml-100k"], raw, params())


def test_item_that_the_items_file_lacks_keeps_its_ratings(build: Build, csv: Csv) -> None:
    tables = build(csv(*GOOD), "item_id,title\n1,A\n2,B\n3,C\n")
    assert rows(tables) == GOOD
    assert tables.report["items"] == {"rated": 4, "listed": 4, "rated_but_not_listed": 1}


def test_latest_rating_of_a_pair_wins_and_the_others_are_counted(build: Build, csv: Csv) -> None:
    tables = build(csv(*GOOD, (9, 1, 5, 1000), (9, 1, 2, 3000), (9, 1, 4, 2000)))
    assert rows(tables) == [*GOOD, (9, 1, 2, 3000)]
    assert tables.report["rows"]["duplicates"] == 2


def test_of_ratings_in_the_same_second_the_last_line_wins(build: Build, csv: Csv) -> None:
    assert rows(build(csv(*GOOD, (9, 1, 5, 1000), (9, 1, 2, 1000))))[-1] == (9, 1, 2, 1000)


def test_without_timestamps_the_last_line_of_a_pair_wins(build: Build, csv: Csv) -> None:
    text = csv(*[row[:3] for row in GOOD], (1, 1, 1), header="user_id,item_id,rating")
    tables = build(text, split="random")
    assert rows(tables)[0] == (1, 1, 1, None)
    assert tables.report["rows"]["duplicates"] == 1


@pytest.mark.parametrize(("per_user", "per_item"), [(3, 3), (1, 4), (5, 1), (4, 6)])
def test_filter_holds_for_users_and_items_and_drops_no_more(
    build: Build, csv: Csv, per_user: int, per_item: int
) -> None:
    rng = np.random.default_rng(0)
    pairs = sorted({(int(u), int(i)) for u, i in zip(rng.geometric(0.07, 300), rng.geometric(0.07, 300), strict=True)})
    text = csv(*[(user, item, 3, time) for time, (user, item) in enumerate(pairs)])
    tables = build(text, min_ratings_per_user=per_user, min_ratings_per_item=per_item)

    expected, before = pairs, -1
    while len(expected) != before:
        before = len(expected)
        users, items = Counter(u for u, _ in expected), Counter(i for _, i in expected)
        expected = [(u, i) for u, i in expected if users[u] >= per_user and items[i] >= per_item]
    assert [row[:2] for row in rows(tables)] == expected
    assert 0 < len(expected) < len(pairs)
    assert tables.report["rows"]["filtered"] == len(pairs) - len(expected)


def test_filter_that_leaves_nothing_says_which_limits_to_lower(build: Build, csv: Csv) -> None:
    text = failure(build, csv(*GOOD), min_ratings_per_user=5)
    assert text.startswith("No rating is left with min_ratings_per_user=5 and min_ratings_per_item=1. Lower them")


def params() -> PreprocessParams:
    return PreprocessParams(
        **dict(NOTHING_SAID),
        on_bad_rows="error",
        rating_scale=None,
        min_ratings_per_user=1,
        min_ratings_per_item=1,
        split="temporal",
        fold="u1",
        validation_fraction=0.1,
        test_fraction=0.1,
        seed=0,
        memory_gib=1,
        threads=None,
        spill_folder=None,
    )
