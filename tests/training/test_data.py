"""Batches have every row once per epoch, in an order that depends only on seed and epoch."""

import pytest
import torch

from widedeep.training.data import Slices

CPU = torch.device("cpu")


def rows_of(slices: Slices) -> list[int]:
    return torch.cat(list(slices)).tolist()


def test_each_epoch_has_every_row_once_in_another_order() -> None:
    slices = Slices(10, 4, CPU, seed=0)
    first = rows_of(slices)
    slices.set_epoch(1)
    second = rows_of(slices)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_order_depends_on_seed_and_epoch_alone() -> None:
    assert rows_of(Slices(10, 4, CPU, seed=3)) == rows_of(Slices(10, 5, CPU, seed=3))
    assert rows_of(Slices(10, 4, CPU, seed=3)) != rows_of(Slices(10, 4, CPU, seed=4))


def test_without_a_seed_rows_come_in_order() -> None:
    assert rows_of(Slices(5, 2, CPU, seed=None)) == [0, 1, 2, 3, 4]


def test_the_last_batch_has_what_is_left() -> None:
    assert [len(batch) for batch in Slices(9, 4, CPU, seed=0)] == [4, 4, 1]
    assert [len(batch) for batch in Slices(1, 4, CPU, seed=0)] == [1]


@pytest.mark.parametrize(("rows", "batch_size"), [(10, 4), (8, 4), (3, 8)])
def test_length_is_the_number_of_batches(rows: int, batch_size: int) -> None:
    slices = Slices(rows, batch_size, CPU, seed=0)
    batches = list(slices)
    assert len(batches) == len(slices)
    assert all(len(batch) == batch_size for batch in batches[:-1])


def test_processes_share_the_rows_and_take_equally_many() -> None:
    parts = [Slices(10, 4, CPU, seed=0, process=process, processes=3) for process in range(3)]
    rows = [rows_of(part) for part in parts]
    assert [len(part) for part in rows] == [4, 4, 4]
    assert set().union(*rows) == set(range(10))
    assert len({len(part) for part in parts}) == 1
