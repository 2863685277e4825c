"""The windows of the time line: months, quarters and parts, worked out by hand. Every rating is in one window."""

import numpy as np
import pytest
from numpy.typing import NDArray

from widedeep.drift.windows import Window, cut

TRAIN, VALIDATION, TEST = 0, 1, 2


def seconds(*moments: str) -> NDArray[np.int64]:
    return np.array(moments, dtype="datetime64[s]").astype(np.int64)


def spans(windows: tuple[Window, ...]) -> list[tuple[str, str, str, list[int]]]:
    return [(one.name, one.start, one.end, one.rows.tolist()) for one in windows]


def train(n: int) -> NDArray[np.int64]:
    return np.full(n, TRAIN)


def test_month_begins_with_its_first_second_and_one_without_ratings_is_left_out() -> None:
    moments = seconds("2000-01-01T00:00:00", "1999-12-31T23:59:59", "2000-03-05T10:00:00", "2000-01-31T23:59:59")
    assert spans(cut(moments, train(4), "month")) == [
        ("1999-12", "1999-12-01T00:00:00", "2000-01-01T00:00:00", [1]),
        ("2000-01", "2000-01-01T00:00:00", "2000-02-01T00:00:00", [0, 3]),
        ("2000-03", "2000-03-01T00:00:00", "2000-04-01T00:00:00", [2]),
    ]


def test_quarters_are_those_of_the_calendar_year() -> None:
    moments = seconds("2003-03-31T23:59:59", "2003-04-01T00:00:00", "2003-12-31T00:00:00", "1969-11-05T00:00:00")
    assert spans(cut(moments, train(4), "quarter")) == [
        ("1969-Q4", "1969-10-01T00:00:00", "1970-01-01T00:00:00", [3]),
        ("2003-Q1", "2003-01-01T00:00:00", "2003-04-01T00:00:00", [0]),
        ("2003-Q2", "2003-04-01T00:00:00", "2003-07-01T00:00:00", [1]),
        ("2003-Q4", "2003-10-01T00:00:00", "2004-01-01T00:00:00", [2]),
    ]


def test_parts_have_equal_numbers_and_end_where_the_next_begins() -> None:
    assert spans(cut(np.array([60, 0, 30, 10, 50, 20]), train(6), 3)) == [
        ("part 1", "1970-01-01T00:00:00", "1970-01-01T00:00:20", [1, 3]),
        ("part 2", "1970-01-01T00:00:20", "1970-01-01T00:00:50", [2, 5]),
        ("part 3", "1970-01-01T00:00:50", "1970-01-01T00:01:01", [0, 4]),
    ]


def test_names_of_many_parts_sort_like_time() -> None:
    names = [window.name for window in cut(np.arange(100), train(100), 12)]
    assert names == sorted(names)
    assert names[0] == "part 01"


def test_ratings_of_one_second_stay_together() -> None:
    windows = cut(np.array([1, 2, 2, 2, 2, 3]), train(6), 3)
    assert [window.rows.tolist() for window in windows] == [[0], [1, 2, 3, 4, 5]]


def test_more_parts_than_ratings_give_one_rating_each() -> None:
    windows = cut(np.array([5, 3, 4]), train(3), 50)
    assert [window.rows.tolist() for window in windows] == [[1], [2], [0]]


def test_one_moment_is_one_window() -> None:
    assert len(cut(np.array([7, 7, 7]), train(3), 3)) == 1


@pytest.mark.parametrize("windows", ["month", "quarter", 2, 7, 20])
def test_every_rating_is_in_the_one_window_that_its_time_says(windows: str | int) -> None:
    timestamp = np.random.default_rng(3).integers(0, 10**8, 500)
    parts = cut(timestamp, train(500), windows)  # type: ignore[arg-type]
    assert sorted(np.concatenate([part.rows for part in parts])) == list(range(500))
    for part in parts:
        start, end = seconds(part.start, part.end)
        assert np.array_equal(part.rows, np.flatnonzero((timestamp >= start) & (timestamp < end)))


def test_split_of_a_window_is_that_of_most_of_its_ratings() -> None:
    split = np.array([TRAIN, TRAIN, VALIDATION, VALIDATION, VALIDATION, TEST, TRAIN, TEST])
    windows = cut(np.arange(8), split, 4)
    assert [window.split for window in windows] == ["train", "validation", "validation", "train"]


@pytest.mark.parametrize("windows", ["month", 20])
def test_without_timestamps_each_split_but_the_training_is_a_window(windows: str | int) -> None:
    split = np.array([TEST, TRAIN, VALIDATION, TEST])
    found = cut(None, split, windows)  # type: ignore[arg-type]
    assert spans(found) == [("validation", "", "", [2]), ("test", "", "", [0, 3])]
    assert [window.split for window in found] == ["validation", "test"]
    assert [window.name for window in cut(None, split[:2], windows)] == ["test"]  # type: ignore[arg-type]
