import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, ndcg_score
from torch import Tensor
from torchmetrics.functional import retrieval

from tests.lists import lists
from widedeep.evaluation.metrics import METRICS
from widedeep.evaluation.ranking import PAD, Lists, coverage, diversity, ndcg, novelty, reciprocal_rank

ACCURACY = ("precision", "recall", "f1", "ndcg", "map", "mrr", "hit_rate")


def value(name: str, of: Lists, k: int) -> list[float]:
    """Compute a metric of the registry for each user who has a relevant item."""
    of_lists = METRICS[name].of_lists
    assert of_lists is not None
    values: list[float] = of_lists(of, k).tolist()
    return values


def metrics(top: Sequence[Sequence[int]], relevant: Sequence[Sequence[int]], *ks: int) -> dict[str, list[float]]:
    of = lists(top, relevant)
    return {f"{name}_at_{k}": value(name, of, k) for k in ks for name in ACCURACY}


def test_metrics_look_no_further_than_k() -> None:
    found = metrics([[7, 1, 4, 8]], [[1, 4, 9]], 1, 2)
    assert [found[f"{name}_at_1"] for name in ACCURACY] == [[0.0]] * 7
    assert found["map_at_2"] == [1 / 2 / 2]
    assert found["recall_at_2"] == [1 / 3]


def test_perfect_list_scores_1() -> None:
    found = metrics([[4, 1, 9]], [[1, 4, 9]], 3)
    assert set(found) == {f"{name}_at_3" for name in ACCURACY}
    assert all(value == [pytest.approx(1)] for value in found.values())


def test_ideal_list_has_at_most_as_many_hits_as_relevant_items() -> None:
    found = metrics([[4, 0, 2]], [[4]], 3)
    assert (found["ndcg_at_3"], found["map_at_3"], found["precision_at_3"]) == ([1.0], [1.0], [1 / 3])


def test_ideal_list_has_at_most_k_hits() -> None:
    found = metrics([[4, 0]], [[0, 1, 2, 3, 4]], 2)
    assert (found["ndcg_at_2"], found["map_at_2"], found["recall_at_2"]) == ([1.0], [1.0], [2 / 5])


def test_padding_is_never_a_hit() -> None:
    # With the code user * width + item, the padding of user 1 has the code of the last item of user 0.
    found = metrics([[3, 2], [0, PAD]], [[3], [1]], 2)
    assert found["precision_at_2"] == [0.5, 0.0]


def test_precision_of_a_short_list_is_divided_by_k() -> None:
    assert metrics([[3, PAD, PAD, PAD]], [[3]], 4)["precision_at_4"] == [1 / 4]


def test_users_without_relevant_items_have_no_row() -> None:
    found = reciprocal_rank(lists([[0, 1], [2, 3], [1, 0]], [[1], [], [1]]), 2)
    assert found.to_dict() == {0: 0.5, 2: 1.0}


def test_no_user_with_relevant_items_gives_no_row() -> None:
    assert ndcg(lists([[0, 1]], [[]]), 2).empty


def test_a_relevant_pair_given_twice_counts_once() -> None:
    assert value("recall", lists([[0, 1]], [[1, 1, 2]]), 2) == [1 / 2]


def test_an_item_beyond_the_catalogue_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"range \[0, 3\)"):
        lists([[0, 3]], [[1]], item_counts=[1, 1, 1])


def test_users_may_come_in_any_order() -> None:
    top, relevant = [[0, 1, 2], [3, 4, 5], [1, 3, 0]], [[2, 3], [3], [0, 1, 5]]
    forth, back = metrics(top, relevant, 2, 3), metrics(top[::-1], relevant[::-1], 2, 3)
    assert forth == {name: values[::-1] for name, values in back.items()}


def test_cut_off_beyond_the_list_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"range \[1, 2\]"):
        ndcg(lists([[0, 1]], [[1]]), 3)


@pytest.fixture
def example() -> tuple[Tensor, Tensor]:
    """Draw scores (80, 25) without ties, and relevance (80, 25) with at least one relevant item for each user."""
    generator = torch.Generator().manual_seed(3)
    # Scores begin at 1, because torchmetrics takes the score 0 for "not listed".
    scores = torch.stack([1.0 + torch.randperm(25, generator=generator) for _ in range(80)])
    relevance = torch.rand(80, 25, generator=generator) < torch.rand(80, 1, generator=generator) * 0.7
    relevance[:, 0] |= ~relevance.any(1)
    return scores, relevance


def ranked(scores: Tensor, relevance: Tensor) -> Lists:
    """Rank all items for each user, best first."""
    user, item = relevance.numpy().nonzero()
    return lists(scores.argsort(1, descending=True).numpy(), pairs=(user, item))


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
    ours = value(name, ranked(scores, relevance), k)
    theirs = [float(reference(row, target, top_k=k)) for row, target in zip(scores, relevance, strict=True)]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("k", [1, 5, 10, 25])
def test_ndcg_agrees_with_sklearn(example: tuple[Tensor, Tensor], k: int) -> None:
    scores, relevance = example
    ours = value("ndcg", ranked(scores, relevance), k)
    assert np.mean(ours) == pytest.approx(ndcg_score(relevance.numpy(), scores.numpy(), k=k))


def test_map_over_the_whole_catalogue_agrees_with_sklearn(example: tuple[Tensor, Tensor]) -> None:
    scores, relevance = example
    ours = value("map", ranked(scores, relevance), 25)
    theirs = [average_precision_score(*row) for row in zip(relevance.numpy(), scores.numpy(), strict=True)]
    np.testing.assert_allclose(ours, theirs)


def test_coverage_counts_each_listed_item_once() -> None:
    assert coverage(lists([[0, 3], [3, PAD]], item_counts=[1] * 8), 2) == 2 / 8


def test_coverage_of_empty_lists_is_0() -> None:
    assert coverage(lists([[PAD, PAD]], item_counts=[1] * 8), 2) == 0


def test_novelty_is_the_mean_information_of_a_list() -> None:
    found = novelty(lists([[0, 1], [1, 2]], item_counts=[8, 4, 2], n_users=8), 2)
    assert found.tolist() == [(0 + 1) / 2, (1 + 2) / 2]


def test_novelty_of_a_never_rated_item_is_that_of_an_item_rated_once() -> None:
    assert novelty(lists([[0], [1]], item_counts=[0, 1], n_users=8), 1).tolist() == [3.0, 3.0]


def test_novelty_leaves_out_padding_and_empty_lists() -> None:
    found = novelty(lists([[PAD, PAD], [1, PAD]], item_counts=[8, 4], n_users=8), 2)
    assert found.to_dict() == {1: 1.0}


GENRES = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0], [1, 1, 0]], dtype=bool)


def listed(*top: Sequence[int]) -> Lists:
    return lists(top, item_counts=[1] * len(GENRES), item_genres=GENRES)


def test_diversity_by_hand() -> None:
    # Cosines of the pairs: (0, 1) 1 / sqrt(2), (0, 2) 0, (1, 2) 0.
    assert diversity(listed([0, 1, 2]), 3).tolist() == [pytest.approx(1 - 1 / math.sqrt(2) / 3)]


def test_diversity_of_items_with_the_same_genres_is_0() -> None:
    assert diversity(listed([0, 4]), 2).tolist() == [pytest.approx(0, abs=1e-12)]


def test_diversity_of_items_without_common_genres_is_1() -> None:
    assert diversity(listed([0, 2]), 2).tolist() == [1.0]


def test_diversity_leaves_out_items_without_genres() -> None:
    assert diversity(listed([0, 3, 2]), 3).tolist() == [1.0]


def test_diversity_needs_two_items_with_genres() -> None:
    found = diversity(listed([0, PAD], [0, 3], [PAD, PAD], [0, 2]), 2)
    assert found.index.tolist() == [3]


def test_diversity_of_no_defined_list_is_empty() -> None:
    assert diversity(listed([0, PAD]), 2).empty
