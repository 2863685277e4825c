"""Explicit or implicit feedback, in the tables."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.tables.conftest import Built
from widedeep.columns import IMPLICIT
from widedeep.errors import UserError

Build = Callable[..., Built]

PLAIN = "user,item,timestamp\n" + "".join(f"{i % 3},{i},{i + 1}\n" for i in range(10))
EQUAL = "user,item,rating,timestamp\n" + "".join(f"{i % 3},{i},7,{i + 1}\n" for i in range(10))
COUNTED = "user,item,rating,timestamp\n" + "".join(f"{i % 3},{i},{3 * i + 1},{i + 1}\n" for i in range(10))


@pytest.mark.parametrize(
    ("text", "said", "why"),
    [
        (PLAIN, "auto", "no column has a known name for the rating"),
        (PLAIN, "implicit", "no column has a known name for the rating"),
        (EQUAL, "auto", "as all ratings are 7"),
        (COUNTED, "implicit", "as preprocess.feedback says"),
        (COUNTED.replace("rating", "plays"), "auto", "as 'plays' is a count and not a rating"),
    ],
)
def test_implicit_feedback_needs_no_scale_and_is_reported(build: Build, text: str, said: str, why: str) -> None:
    tables = build(text, feedback=said, rating_scale=None)
    assert tables.about.rating_scale == IMPLICIT
    assert tables.ratings.num_rows == 10
    sentence = tables.report["understood"][-1]
    assert sentence.startswith("feedback: implicit, ")
    assert why in sentence
    assert "there are no metrics of ratings" in sentence


def test_the_tables_keep_counts_as_strengths(build: Build) -> None:
    tables = build(COUNTED, feedback="implicit", rating_scale=None)
    assert [row[2] for row in tables.rows()] == [3 * i + 1 for i in range(10)]
    assert build(PLAIN, rating_scale=(3, 5)).ratings["rating"].to_pylist() == [1] * 10


def test_the_rating_scale_bounds_the_counts_of_implicit_feedback(build: Build) -> None:
    changes: dict[str, Any] = {"feedback": "implicit", "rating_scale": (4, 1000), "on_bad_rows": "drop"}
    tables = build(COUNTED, **changes)
    assert tables.ratings.num_rows == 9
    assert tables.about.rating_scale == IMPLICIT


def test_ratings_that_differ_are_explicit(build: Build) -> None:
    tables = build(COUNTED, rating_scale=(1, 100))
    assert tables.about.rating_scale == (1, 100)
    assert not any(line.startswith("feedback") for line in tables.report["understood"])


def test_equal_ratings_are_explicit_if_the_user_says_so(build: Build) -> None:
    assert build(EQUAL, feedback="explicit", rating_scale=(1, 10)).about.rating_scale == (1, 10)


def test_explicit_feedback_needs_a_column_of_ratings(build: Build) -> None:
    with pytest.raises(UserError, match="no column has a known name for the rating"):
        build(PLAIN, feedback="explicit")


def test_a_file_of_two_columns_without_header_is_implicit(build: Build) -> None:
    tables = build("".join(f"{i % 3},{i}\n" for i in range(20)), split="random", rating_scale=None)
    assert tables.about.rating_scale == IMPLICIT
    assert tables.ratings.num_rows == 20
