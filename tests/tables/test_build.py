"""The report of preprocessing, on which later comparisons rely."""

from collections.abc import Callable

from tests.tables.conftest import Built

ROWS = [(1, item, 1 + item % 5, 100 + item) for item in range(10)]  # the last two are test rows


def digest(tables: Built) -> str:
    found: str = tables.report["test_sha256"]
    return found


def test_hash_of_the_test_rows_tells_equal_from_other(build: Callable[..., Built], csv: Callable[..., str]) -> None:
    known = digest(build(csv(*ROWS)))
    assert len(known) == 64
    assert digest(build(csv(*ROWS[::-1]))) == known  # the order of the file does not matter
    assert digest(build(csv((2, 0, 5, 1), *ROWS), test_fraction=0.19)) == known  # nor do other training rows
    for column, value in ((0, 2), (1, 77), (2, 2), (3, 110)):
        last = list(ROWS[-1])
        last[column] = value
        assert digest(build(csv(*ROWS[:-1], tuple(last)))) != known
    assert digest(build(csv(*ROWS), test_fraction=0.1)) != known


def test_ratings_without_timestamps_have_a_hash_too(build: Callable[..., Built], csv: Callable[..., str]) -> None:
    rows = [row[:3] for row in ROWS]
    tables = [build(csv(*rows, header="user_id,item_id,rating"), split="random", seed=seed) for seed in (0, 0, 1)]
    assert digest(tables[0]) == digest(tables[1]) != digest(tables[2])
