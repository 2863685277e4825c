"""Lists with a popularity penalty, worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from widedeep.reranking import POOL, depth, penalise_popularity
from widedeep.scoring import PAD, Lists

INF = math.inf


def made(items: list[list[int]], scores: list[list[float]]) -> Lists:
    return Lists(torch.tensor(items), torch.tensor(scores))


def reranked(count: list[list[int]], lists: Lists, penalty: float, k: int = 4) -> list[list[int]]:
    items: list[list[int]] = penalise_popularity(lists, torch.tensor(count), penalty, k).items.tolist()
    return items


# Scores 3, 2, 1, 0: mean 1.5, standard deviation sqrt(1.25), so z = 1.342, 0.447, -0.447, -1.342. The counts are chosen
# such that log(1 + count) is 3, 1, 2, 0 times log 2: z = 1.342, -0.447, 0.447, -1.342.
FOUR = made([[10, 11, 12, 13]], [[3, 2, 1, 0]])
COUNT = [[7, 1, 3, 0]]


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        (0, [10, 11, 12, 13]),
        (0.2, [10, 11, 12, 13]),  # 0.8 z(score) - 0.2 z(log): 0.805, 0.447, -0.447, -0.805
        (0.4, [11, 10, 13, 12]),  # 0.6 z(score) - 0.4 z(log): 0.268, 0.447, -0.447, -0.268
        (0.5, [11, 10, 13, 12]),  # 0, 0.447, -0.447, 0: items 10 and 13 are equal, and keep their order
        (0.6, [11, 13, 10, 12]),  # 0.4 z(score) - 0.6 z(log): -0.268, 0.447, -0.447, 0.268
        (1, [13, 11, 12, 10]),  # the least popular first
    ],
)
def test_order_by_hand(penalty: float, expected: list[int]) -> None:
    assert reranked(COUNT, FOUR, penalty) == [expected]


def test_the_scores_stay_those_of_the_items() -> None:
    assert penalise_popularity(FOUR, torch.tensor(COUNT), 0.4, 2).scores.tolist() == [[2, 3]]


def test_without_a_penalty_the_lists_are_the_same_to_the_last_bit() -> None:
    lists = Lists(torch.arange(300).view(2, 150), torch.randn(2, 150).sort(1, descending=True).values)
    found = penalise_popularity(lists, torch.randint(0, 99, (2, 150)), 0, 20)
    assert torch.equal(found.items, lists.items[:, :20])
    assert torch.equal(found.scores, lists.scores[:, :20])
    assert depth(20, 0) == 20


def test_the_unit_of_scores_does_not_matter() -> None:
    lists, count = FOUR, COUNT
    for scale, shift in ((0.001, 0.0), (50.0, -7.0)):
        other = Lists(lists.items, lists.scores * scale + shift)
        assert reranked(count, other, 0.4) == reranked(count, lists, 0.4)


def test_each_user_is_measured_by_the_own_pool() -> None:
    both = made([[10, 11, 12, 13], [20, 21, 22, 23]], [[3, 2, 1, 0], [300, 200, 100, 0]])
    assert reranked(COUNT * 2, both, 0.4) == [[11, 10, 13, 12], [21, 20, 23, 22]]


def test_empty_places_stay_at_the_end_and_do_not_count() -> None:
    padded = made([[10, 11, 12, 13, PAD, PAD]], [[3, 2, 1, 0, -INF, -INF]])
    assert reranked([[*COUNT[0], 9, 9]], padded, 0.4, 6) == [[11, 10, 13, 12, PAD, PAD]]
    nothing = made([[PAD, PAD]], [[-INF, -INF]])
    assert reranked([[5, 5]], nothing, 0.4, 2) == [[PAD, PAD]]


@pytest.mark.parametrize("penalty", [0.3, 1])
def test_equal_scores_or_counts_say_nothing(penalty: float) -> None:
    assert reranked([[4, 4, 4, 4]], FOUR, penalty) == [[10, 11, 12, 13]]
    equal = made([[10, 11, 12, 13]], [[0.1, 0.1, 0.1, 0.1]])
    assert reranked(COUNT, equal, penalty) == [[13, 11, 12, 10]]


def test_only_the_pool_changes_places_so_a_longer_list_begins_with_the_shorter() -> None:
    n = POOL + 30
    lists = Lists(torch.arange(n)[None], -torch.arange(n)[None].float())
    count: Tensor = torch.arange(n, 0, -1)[None]  # the items behind the pool are the least popular
    long = penalise_popularity(lists, count, 1, n).items[0]
    assert long[:POOL].tolist() == list(range(POOL - 1, -1, -1))
    assert long[POOL:].tolist() == list(range(POOL, n))
    pool = Lists(lists.items[:, :POOL], lists.scores[:, :POOL])
    assert depth(10, 1) == POOL
    assert penalise_popularity(pool, count[:, :POOL], 1, 10).items[0].tolist() == long[:10].tolist()
