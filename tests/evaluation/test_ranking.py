import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, ndcg_score
from torch import Tensor
from torchmetrics.functional import retrieval

from widedeep.evaluation.ranking import PAD, UserItems, coverage, diversity, novelty, ranking_metrics, top_items

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


def metrics(top: Sequence[Sequence[int]], relevant: UserItems, *ks: int) -> dict[str, list[float]]:
    return {str(name): column.tolist() for name, column in ranking_metrics(torch.tensor(top), relevant, ks).items()}


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


def test_metrics_by_hand() -> None:
    # Relevant are 1, 4 and 9; the list has them at ranks 2 and 3, and misses one.
    assert metrics([[7, 1, 4, 8]], user_items([1, 4, 9]), 4) == {
        "precision_at_4": [2 / 4],
        "recall_at_4": [2 / 3],
        "f1_at_4": [pytest.approx(2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3))],
        "ndcg_at_4": [pytest.approx((1 / math.log2(3) + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2))],
        "map_at_4": [pytest.approx((1 / 2 + 2 / 3) / 3)],
        "mrr_at_4": [1 / 2],
        "hit_rate_at_4": [1.0],
    }


def test_metrics_look_no_further_than_k() -> None:
    found = metrics([[7, 1, 4, 8]], user_items([1, 4, 9]), 1, 2)
    assert [found[f"{name}_at_1"] for name in ("precision", "recall", "f1", "ndcg", "map", "mrr", "hit_rate")] == [
        [0.0]
    ] * 7
    assert found["map_at_2"] == [1 / 2 / 2]
    assert found["recall_at_2"] == [1 / 3]


def test_perfect_list_scores_1() -> None:
    found = metrics([[4, 1, 9]], user_items([1, 4, 9]), 3)
    assert set(found) == {f"{n}_at_3" for n in ("precision", "recall", "f1", "ndcg", "map", "mrr", "hit_rate")}
    assert all(value == [pytest.approx(1)] for value in found.values())


def test_ideal_list_has_at_most_as_many_hits_as_relevant_items() -> None:
    found = metrics([[4, 0, 2]], user_items([4]), 3)
    assert (found["ndcg_at_3"], found["map_at_3"], found["precision_at_3"]) == ([1.0], [1.0], [1 / 3])


def test_ideal_list_has_at_most_k_hits() -> None:
    found = metrics([[4, 0]], user_items([0, 1, 2, 3, 4]), 2)
    assert (found["ndcg_at_2"], found["map_at_2"], found["recall_at_2"]) == ([1.0], [1.0], [2 / 5])


def test_padding_is_never_a_hit() -> None:
    # Coded as user * width + item, the padding of user 1 would be the last item of user 0.
    found = metrics([[3, 2], [0, PAD]], user_items([3], [1]), 2)
    assert found["precision_at_2"] == [0.5, 0.0]


def test_precision_of_a_short_list_is_divided_by_k() -> None:
    assert metrics([[3, PAD, PAD, PAD]], user_items([3]), 4)["precision_at_4"] == [1 / 4]


def test_users_without_relevant_items_have_no_row() -> None:
    table = ranking_metrics(torch.tensor([[0, 1], [2, 3], [1, 0]]), user_items([1], [], [1]), [2])
    assert table.index.tolist() == [0, 2]
    assert table["mrr_at_2"].tolist() == [0.5, 1.0]


def test_no_user_with_relevant_items_gives_an_empty_table() -> None:
    table = ranking_metrics(torch.tensor([[0, 1]]), user_items([]), [2])
    assert table.empty
    assert "ndcg_at_2" in table


def test_users_may_come_in_any_order() -> None:
    top, relevant = [[0, 1, 2], [3, 4, 5], [1, 3, 0]], [[2, 3], [3], [0, 1, 5]]
    forth, back = metrics(top, user_items(*relevant), 2, 3), metrics(top[::-1], user_items(*relevant[::-1]), 2, 3)
    assert forth == {name: values[::-1] for name, values in back.items()}


def test_cut_off_beyond_the_list_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"range \[1, 2\]"):
        ranking_metrics(torch.tensor([[0, 1]]), user_items([1]), [1, 3])


@pytest.fixture
def example() -> tuple[Tensor, Tensor]:
    """Scores (80, 25) without ties and relevance (80, 25) with at least one relevant item by user."""
    generator = torch.Generator().manual_seed(3)
    # From 1: torchmetrics takes the score 0 for "not listed".
    scores = torch.stack([1.0 + torch.randperm(25, generator=generator) for _ in range(80)])
    relevance = torch.rand(80, 25, generator=generator) < torch.rand(80, 1, generator=generator) * 0.7
    relevance[:, 0] |= ~relevance.any(1)
    return scores, relevance


@pytest.mark.parametrize("k", [1, 5, 10, 25])
@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("precision", retrieval.retrieval_precision),
        ("recall", retrieval.retrieval_recall),
        ("ndcg", retrieval.retrieval_normalized_dcg),
        ("mrr", retrieval.retrieval_reciprocal_rank),
        ("hit_rate", retrieval.retrieval_hit_rate),
    ],
)
def test_metric_agrees_with_torchmetrics(
    example: tuple[Tensor, Tensor], name: str, reference: Callable[..., Tensor], k: int
) -> None:
    scores, relevance = example
    relevant = user_items_of(relevance)
    ours = ranking_metrics(top_items(scores, user_items(*[[]] * 80), k), relevant, [k])[f"{name}_at_{k}"]
    theirs = [float(reference(row, target, top_k=k)) for row, target in zip(scores, relevance, strict=True)]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("k", [1, 5, 10, 25])
def test_ndcg_agrees_with_sklearn(example: tuple[Tensor, Tensor], k: int) -> None:
    scores, relevance = example
    relevant = user_items_of(relevance)
    ours = ranking_metrics(top_items(scores, user_items(*[[]] * 80), k), relevant, [k])[f"ndcg_at_{k}"]
    assert ours.mean() == pytest.approx(ndcg_score(relevance.numpy(), scores.numpy(), k=k))


def test_map_over_the_whole_catalogue_agrees_with_sklearn(example: tuple[Tensor, Tensor]) -> None:
    scores, relevance = example
    relevant = user_items_of(relevance)
    ours = ranking_metrics(top_items(scores, user_items(*[[]] * 80), 25), relevant, [25])["map_at_25"]
    theirs = [average_precision_score(*row) for row in zip(relevance.numpy(), scores.numpy(), strict=True)]
    np.testing.assert_allclose(ours, theirs)


def test_coverage_counts_each_listed_item_once() -> None:
    assert coverage(torch.tensor([[0, 3], [3, PAD]]), n_items=8) == 2 / 8


def test_coverage_of_empty_lists_is_0() -> None:
    assert coverage(torch.tensor([[PAD, PAD]]), n_items=8) == 0


def test_novelty_is_the_mean_information_of_a_list() -> None:
    found = novelty(torch.tensor([[0, 1], [1, 2]]), torch.tensor([8, 4, 2]), n_users=8)
    assert found.tolist() == [(0 + 1) / 2, (1 + 2) / 2]


def test_novelty_of_a_never_rated_item_is_that_of_an_item_rated_once() -> None:
    assert novelty(torch.tensor([[0], [1]]), torch.tensor([0, 1]), n_users=8).tolist() == [3.0, 3.0]


def test_novelty_leaves_out_padding_and_empty_lists() -> None:
    found = novelty(torch.tensor([[PAD, PAD], [1, PAD]]), torch.tensor([8, 4]), n_users=8)
    assert found.to_dict() == {1: 1.0}


GENRES = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0], [1, 1, 0]], dtype=torch.bool)


def test_diversity_by_hand() -> None:
    # Cosines of the pairs: (0, 1) 1 / sqrt(2), (0, 2) 0, (1, 2) 0.
    assert diversity(torch.tensor([[0, 1, 2]]), GENRES).tolist() == [pytest.approx(1 - 1 / math.sqrt(2) / 3)]


def test_diversity_of_items_with_the_same_genres_is_0() -> None:
    assert diversity(torch.tensor([[0, 4]]), GENRES).tolist() == [pytest.approx(0, abs=1e-12)]


def test_diversity_of_items_without_common_genres_is_1() -> None:
    assert diversity(torch.tensor([[0, 2]]), GENRES).tolist() == [1.0]


def test_diversity_leaves_out_items_without_genres() -> None:
    assert diversity(torch.tensor([[0, 3, 2]]), GENRES).tolist() == [1.0]


def test_diversity_needs_two_items_with_genres() -> None:
    found = diversity(torch.tensor([[0, PAD], [0, 3], [PAD, PAD], [0, 2]]), GENRES)
    assert found.index.tolist() == [3]


def test_diversity_of_no_defined_list_is_empty() -> None:
    assert diversity(torch.tensor([[0, PAD]]), GENRES).empty
