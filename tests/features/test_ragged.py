"""Lists of different lengths, against lists written down by hand."""

import math

import pytest
import torch
from torch import Tensor

from widedeep.features.ragged import Ragged


@pytest.fixture
def log() -> Ragged:
    """Owner 0 rated at 3, 5, 5 and 9 seconds, owner 1 never, owner 2 at 5."""
    owner, other = torch.tensor([0, 2, 0, 0, 0]), torch.tensor([2, 3, 1, 0, 3])
    rating, timestamp = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]), torch.tensor([5, 5, 9, 3, 5])
    return Ragged.of(owner, other, rating, timestamp, 3)


def test_lists_are_in_order_of_time_and_of_the_other_within_a_second(log: Ragged) -> None:
    assert log.start.tolist() == [0, 4, 4, 5]
    assert log.other.tolist() == [0, 2, 3, 1, 3]
    assert log.timestamp.tolist() == [3, 5, 5, 9, 5]
    assert log.rating.tolist() == [4, 1, 5, 3, 2]
    assert log.owner.tolist() == [0, 0, 0, 0, 2]
    assert log.count.tolist() == [4, 0, 1]


def test_seen_before_counts_strictly_earlier_seconds(log: Ragged) -> None:
    owner, timestamp = torch.tensor([0, 0, 0, 0, 0, 0, 1, 2, 2]), torch.tensor([-7, 3, 4, 5, 6, 99, 5, 5, 6])
    assert log.seen_before(owner, timestamp).tolist() == [0, 0, 1, 1, 3, 4, 0, 0, 1]


def test_latest_are_the_last_of_those_seen_in_order_of_time(log: Ragged) -> None:
    found = log.latest(torch.tensor([0, 1, 2, 0]), torch.tensor([4, 0, 1, 2]), 3)
    assert found.owner.tolist() == [0, 0, 0, 2, 3, 3]
    assert found.other.tolist() == [2, 3, 1, 3, 0, 2]
    assert found.rating.tolist() == [1, 5, 3, 2, 4, 1]
    assert found.count.tolist() == [3, 0, 1, 2]


def test_lists_are_whole_and_may_come_twice(log: Ragged) -> None:
    found = log.lists(torch.tensor([2, 0, 2]))
    assert found.start.tolist() == [0, 1, 5, 6]
    assert found.other.tolist() == [3, 0, 2, 3, 1, 3]


def test_place_is_that_in_the_list_of_the_owner(log: Ragged) -> None:
    owner, other = torch.tensor([0, 0, 0, 0, 0, 1, 2, 2, 0]), torch.tensor([0, 1, 2, 3, 4, 0, 3, 0, -1])
    assert log.place(owner, other).tolist() == [0, 3, 1, 2, -1, -1, 0, -1, -1]


def test_appended_interactions_come_last_in_the_lists_of_their_owners(log: Ragged) -> None:
    found = log.appended(torch.tensor([1, 0]), torch.tensor([2, 4]), torch.tensor([2.5, 1.5]), torch.tensor([9, 9]))
    assert found.start.tolist() == [0, 5, 6, 7]
    assert found.other.tolist() == [0, 2, 3, 1, 4, 2, 3]
    assert log.start.tolist() == [0, 4, 4, 5]


def test_further_owners_have_nothing(log: Ragged) -> None:
    assert log.extended(2).count.tolist() == [4, 0, 1, 0, 0]


def test_a_log_without_ratings_shows_nothing() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    log = Ragged.of(none, none, torch.zeros(0), none, 2)
    asked = torch.tensor([0, 1])
    assert log.seen_before(asked, asked).tolist() == [0, 0]
    assert log.place(asked, asked).tolist() == [-1, -1]
    assert log.latest(asked, asked * 0, 5).count.tolist() == [0, 0]


@pytest.fixture
def three() -> Ragged:
    """Owner 0 rated indices 4, 1 and 4, owner 1 nothing, owner 2 index 2."""
    start, other = torch.tensor([0, 3, 3, 4]), torch.tensor([4, 1, 4, 2])
    return Ragged(start, other, torch.arange(4.0), torch.zeros_like(other))


def test_sum_adds_up_the_rows_of_what_each_owner_rated(three: Ragged) -> None:
    table = torch.tensor([[1.0], [10.0], [100.0], [1000.0], [10000.0]], requires_grad=True)
    assert three.sum(table).tolist() == [[20010], [0], [100]]
    assert three.sum(table, torch.tensor([1.0, 2.0, 0.0, 0.5])).tolist() == [[10020], [0], [50]]
    three.sum(table).sum().backward()
    assert table.grad is not None
    assert table.grad.flatten().tolist() == [0, 1, 1, 0, 2]


def test_padded_shows_the_interactions_of_each_owner_side_by_side(three: Ragged) -> None:
    def found(*owner: int) -> list[list[int]]:
        entry, known = three.padded(torch.tensor(owner, dtype=torch.int64))
        other: Tensor = three.other[entry]
        return [row[mask].tolist() for row, mask in zip(other, known, strict=True)]

    assert found(2, 0, 1, 0) == [[2], [4, 1, 4], [], [4, 1, 4]]
    assert found(1) == [[]]
    assert found() == []


def test_counts_before_are_those_of_a_plain_loop(log: Ragged) -> None:
    asked = torch.tensor([6, 3, 5, 99, 4, 5, -1])
    assert log.counts_before(asked).tolist() == [
        [3, 0, 1],
        [0, 0, 0],
        [1, 0, 0],
        [4, 0, 1],
        [1, 0, 0],
        [1, 0, 0],
        [0] * 3,
    ]
    assert Ragged.empty(2).counts_before(asked[:2]).tolist() == [[0, 0], [0, 0]]
    owner, timestamp = torch.randint(7, (200,)), torch.randint(50, (200,))
    many = Ragged.of(owner, torch.arange(200), torch.zeros(200), timestamp, 8)
    asked = torch.randint(-5, 60, (40,))
    expected = [
        [
            sum(bool(who == one and second < at) for who, second in zip(owner, timestamp, strict=True))
            for one in range(8)
        ]
        for at in asked
    ]
    assert many.counts_before(asked).tolist() == expected


@pytest.mark.parametrize("half_life", [2.0, 0.5, math.inf])
def test_decayed_counts_are_those_of_a_plain_loop(log: Ragged, half_life: float) -> None:
    """An entry counts those at or before its place in its own list."""
    expected = [
        sum(0.5 ** (float(own[place] - earlier) / half_life) for earlier in own[: place + 1])
        for own in ([3, 5, 5, 9], [5])
        for place in range(len(own))
    ]
    both = log.decayed((half_life, 4.0))
    assert both[:, 0].tolist() == pytest.approx(expected)
    assert both[:, 1].tolist() == pytest.approx([1, 1 + 0.5**0.5, 2 + 0.5**0.5, 1 + (2 + 0.5**0.5) / 2, 1])
