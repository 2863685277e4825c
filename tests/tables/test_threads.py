"""The tables do not depend on how many threads the engine uses."""

from collections.abc import Callable

import ibis
import numpy as np
import pytest

from tests.tables.conftest import Built


@pytest.mark.parametrize("split", ["temporal", "leave_last_out"])
def test_tables_are_the_same_with_one_thread_and_with_four(
    build: Callable[..., Built], csv: Callable[..., str], monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    # Several row groups of 122,880 rows, because one group uses one thread. Pairs repeat, to test duplicates.
    rng = np.random.default_rng(0)
    columns = (rng.integers(0, 400, 300_000), rng.integers(0, 900, 300_000), rng.integers(1, 6, 300_000))
    text = csv(*zip(*columns, rng.integers(0, 10_000, 300_000), strict=True))
    connect = ibis.duckdb.connect
    tables = []
    for threads in (1, 4):
        monkeypatch.setattr(ibis.duckdb, "connect", lambda threads=threads: connect(threads=threads))
        tables.append(build(text, split=split, min_ratings_per_user=3, min_ratings_per_item=3))
    assert tables[0].report["rows"]["duplicates"] > 0
    assert tables[0].ratings.equals(tables[1].ratings)
