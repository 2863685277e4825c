"""The neighbourhood model against a table worked out by hand, and against loops over the formula."""

from math import sqrt

import numpy as np
import pytest
import torch
from torch import Tensor

from widedeep.models import item_knn
from widedeep.models.item_knn import ItemKnn

NAN = float("nan")

# Residuals, users by items; NAN is no rating. User 3 and item 4 have none.
TABLE = torch.tensor(
    [
        [1.0, 2.0, 1.0, -1.0, NAN],
        [1.0, 0.5, NAN, NAN, NAN],
        [2.0, NAN, 0.5, NAN, NAN],
        [NAN, NAN, NAN, NAN, NAN],
    ]
)
# With shrinkage 2: 2 of 4, 2 of 4 and 1 of 3 times the cosines over the common users.
S01 = 2 / 4 * (1 * 2 + 1 * 0.5) / sqrt((1 + 1) * (4 + 0.25))
S02 = 2 / 4 * (1 * 1 + 2 * 0.5) / sqrt((1 + 4) * (1 + 0.25))
S12 = 1 / 3


def fitted(table: Tensor, k: int, shrinkage: float) -> ItemKnn:
    user, item = (~table.isnan()).nonzero().flip(0).T
    n_users, n_items = table.shape
    return ItemKnn(user, item, table[user, item], n_users, n_items, k, shrinkage)


def predicted(model: ItemKnn, *pairs: tuple[int, int]) -> Tensor:
    user, item = torch.tensor(pairs).T
    return model.predict(user, item)


def test_prediction_is_the_mean_over_similar_items_weighted_by_similarity() -> None:
    found = predicted(fitted(TABLE, k=2, shrinkage=2), (1, 2), (2, 1))
    expected = [(S02 * 1 + S12 * 0.5) / (S02 + S12), (S01 * 2 + S12 * 0.5) / (S01 + S12)]
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx(expected)


def test_only_the_k_most_similar_items_count() -> None:
    assert predicted(fitted(TABLE, k=1, shrinkage=2), (1, 2), (2, 1)).tolist() == pytest.approx([1, 2])


def test_the_rating_to_predict_is_not_used() -> None:
    expected = (S01 * 2 + S02 * 1) / (S01 + S02)
    assert predicted(fitted(TABLE, k=3, shrinkage=2), (0, 0)).tolist() == pytest.approx([expected])


def test_nothing_is_added_where_there_is_no_similar_item() -> None:
    only_dissimilar, item_without_ratings, user_without_ratings = (2, 3), (0, 4), (3, 0)
    model = fitted(TABLE, k=3, shrinkage=2)
    assert predicted(model, only_dissimilar, item_without_ratings, user_without_ratings).tolist() == [0, 0, 0]


def test_without_shrinkage_few_common_users_count_as_much_as_many() -> None:
    # Over one common user every cosine is 1; over two it is below: the order of the neighbours turns.
    assert predicted(fitted(TABLE, k=1, shrinkage=0), (2, 1)).item() == pytest.approx(0.5)
    assert predicted(fitted(TABLE, k=1, shrinkage=2), (2, 1)).item() == pytest.approx(2)


@pytest.mark.parametrize(("k", "shrinkage"), [(1, 10.0), (5, 100.0), (1000, 0.5)])
def test_predictions_are_those_of_the_formula(k: int, shrinkage: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_knn, "BLOCK", 7)
    monkeypatch.setattr(item_knn, "BATCH", 11)
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(25, 1, generator=generator) + torch.randn(25, 18, generator=generator)
    table[torch.rand(25, 18, generator=generator) < 0.4] = NAN
    user, item = torch.ones_like(table).nonzero().T

    e = table.double().numpy()
    expected = []
    for u, i in zip(user.tolist(), item.tolist(), strict=True):
        neighbours = []
        for j in np.flatnonzero(~np.isnan(e[u])):
            both = ~np.isnan(e[:, i]) & ~np.isnan(e[:, j])
            cosine = e[both, i] @ e[both, j] / np.sqrt((e[both, i] ** 2).sum() * (e[both, j] ** 2).sum())
            similarity = both.sum() / (both.sum() + shrinkage) * cosine
            if j != i and similarity > 0:
                neighbours.append((similarity, e[u, j]))
        best = sorted(neighbours, reverse=True)[:k]
        expected.append(sum(s * r for s, r in best) / sum(s for s, _ in best) if best else 0.0)
    np.testing.assert_allclose(fitted(table, k, shrinkage).predict(user, item), expected, atol=1e-5)


def test_no_pairs_give_no_predictions() -> None:
    empty = torch.zeros(0, dtype=torch.int64)
    assert fitted(TABLE, 2, 2).predict(empty, empty).shape == (0,)


def test_without_training_pairs_nothing_is_added() -> None:
    assert predicted(fitted(torch.full((2, 3), NAN), 2, 2), (0, 1), (1, 2)).tolist() == [0, 0]


@pytest.mark.parametrize(("name", "k", "shrinkage"), [("k", 0, 1.0), ("shrinkage", 1, -1.0)])
def test_options_out_of_range_are_refused(name: str, k: int, shrinkage: float) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must be "):
        fitted(TABLE, k, shrinkage)
