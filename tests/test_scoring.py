"""The lists that are made of scores, against sorting one user at a time."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from widedeep.scoring import PAD, UserItems, top_items

INF = math.inf
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def user_items(*items: Sequence[int]) -> UserItems:
    user = [user for user, row in enumerate(items) for _ in row]
    item = [item for row in items for item in row]
    return UserItems.from_pairs(
        torch.tensor(user, dtype=torch.int64), torch.tensor(item, dtype=torch.int64), n_users=len(items)
    )


def user_items_of(matrix: Tensor) -> UserItems:
    """From a (U, I) bool matrix."""
    user, item = matrix.nonzero(as_tuple=True)
    return UserItems.from_pairs(user, item, n_users=len(matrix))


def by_sorting(scores: Tensor, exclude: UserItems, k: int) -> list[list[int]]:
    """The definition of `top_items`, one user at a time."""
    lists = []
    for user, row in enumerate(scores.tolist()):
        left_out = set(exclude.items[exclude.indptr[user] : exclude.indptr[user + 1]].tolist())
        candidates = [item for item, score in enumerate(row) if item not in left_out and score > -INF]
        best = sorted(candidates, key=lambda item: (-row[item], item))[:k]
        lists.append(best + [PAD] * (k - len(best)))
    return lists


def test_user_items_are_sorted_and_unique() -> None:
    items = UserItems.from_pairs(torch.tensor([2, 0, 2, 2]), torch.tensor([5, 1, 3, 5]), n_users=4)
    assert items.indptr.tolist() == [0, 1, 1, 3, 3]
    assert items.items.tolist() == [1, 3, 5]


def test_user_items_of_a_batch_are_renumbered() -> None:
    batch = user_items([1], [], [3, 5], [7]).batch(1, 3)
    assert batch.indptr.tolist() == [0, 0, 2]
    assert batch.items.tolist() == [3, 5]
    assert batch.users().tolist() == [1, 1]


def test_top_items_are_best_first() -> None:
    assert top_items(torch.tensor([[0.1, 0.9, 0.5, 0.7]]), user_items([]), 3).tolist() == [[1, 3, 2]]


def test_top_items_leaves_out_excluded_items() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.5], [0.1, 0.9, 0.5]])
    assert top_items(scores, user_items([1], [2, 0]), 2).tolist() == [[2, 0], [1, PAD]]


def test_equal_scores_are_ordered_by_item_also_at_the_border() -> None:
    scores = torch.tensor([[1.0, 2.0, 1.0, 2.0, 1.0, 1.0]])
    assert top_items(scores, user_items([0]), 4).tolist() == [[1, 3, 2, 4]]


def test_equal_scores_everywhere_give_the_first_items() -> None:
    assert top_items(torch.zeros(2, 1000), user_items([], [1]), 4).tolist() == [[0, 1, 2, 3], [0, 2, 3, 4]]


def test_list_longer_than_the_catalogue_is_padded() -> None:
    assert top_items(torch.tensor([[1.0, 2.0]]), user_items([]), 4).tolist() == [[1, 0, PAD, PAD]]


def test_item_with_score_minus_infinity_is_no_candidate() -> None:
    assert top_items(torch.tensor([[-INF, 2.0, -INF, -INF]]), user_items([]), 2).tolist() == [[1, PAD]]


def test_user_without_candidates_gets_an_empty_list() -> None:
    assert top_items(torch.tensor([[1.0, 2.0]]), user_items([0, 1]), 2).tolist() == [[PAD, PAD]]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("levels", [1, 3, 20, 10**6])
@pytest.mark.parametrize("k", [1, 7, 39, 40, 50])
def test_top_items_agrees_with_sorting(k: int, levels: int, device: str) -> None:
    generator = torch.Generator().manual_seed(levels + k)
    scores = torch.randint(levels, (60, 40), generator=generator).float()
    scores[torch.rand(60, 40, generator=generator) < 0.1] = -INF
    exclude = user_items_of(torch.rand(60, 40, generator=generator) < torch.rand(60, 1, generator=generator))
    top = top_items(scores.to(device), UserItems(*(part.to(device) for part in exclude)), k)
    assert top.dtype == torch.int64
    assert top.tolist() == by_sorting(scores, exclude, k)


def test_batches_give_the_lists_of_the_whole() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(9, (10, 30), generator=generator).float()
    exclude = user_items_of(torch.rand(10, 30, generator=generator) < 0.2)
    halves = [top_items(scores[at : at + 5], exclude.batch(at, at + 5), 6) for at in (0, 5)]
    assert torch.equal(torch.cat(halves), top_items(scores, exclude, 6))


def test_top_items_leaves_the_scores_as_they_are() -> None:
    scores = torch.ones(1, 3)
    top_items(scores, user_items([1]), 2)
    assert scores.tolist() == [[1, 1, 1]]


def test_nan_score_of_a_candidate_is_an_error() -> None:
    with pytest.raises(ValueError, match="NaN"):
        top_items(torch.tensor([[1.0, math.nan, 0.5]]), user_items([]), 1)


def test_k_below_1_is_an_error() -> None:
    with pytest.raises(ValueError, match="k must"):
        top_items(torch.zeros(1, 3), user_items([]), 0)
