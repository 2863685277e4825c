"""The neighbourhood model, compared with a table worked out by hand and with loops over the formula."""

from collections.abc import Callable
from math import sqrt

import numpy as np
import pytest
import torch
from torch import Tensor

from widedeep.features.assemble import grid, history, listed
from widedeep.features.inputs import Inputs, Output, Pairs, Side
from widedeep.features.ragged import Ragged
from widedeep.features.spec import UNIT, Damping, Field, Spec
from widedeep.features.tensors import FeatureSet
from widedeep.models import item_knn
from widedeep.models.bias import Bias
from widedeep.models.item_knn import ItemKnn, item_similarity
from widedeep.models.knobs import ItemKnnConfig, ModelConfig

NAN = float("nan")

# Residuals of users by items. NAN means no rating. User 3 and item 4 have no rating.
TABLE = torch.tensor(
    [
        [1.0, 2.0, 1.0, -1.0, NAN],
        [1.0, 0.5, NAN, NAN, NAN],
        [2.0, NAN, 0.5, NAN, NAN],
        [NAN, NAN, NAN, NAN, NAN],
    ]
)
# With shrinkage 2, the cosines over the common users are multiplied by 2/4, 2/4 and 1/3.
S01 = 2 / 4 * (1 * 2 + 1 * 0.5) / sqrt((1 + 1) * (4 + 0.25))
S02 = 2 / 4 * (1 * 1 + 2 * 0.5) / sqrt((1 + 4) * (1 + 0.25))
S12 = 1 / 3


def spec_of(table: Tensor) -> Spec:
    """Make the model of a data set with mean 0 and with biases that are damped to 0."""
    users, items = table.shape
    fields = (
        Field("user_id", "user", "category", "", users + 1),
        Field("item_id", "item", "category", "", items + 1),
        Field("user_mean", "user", "history", ""),
        Field("item_mean", "item", "history", ""),
    )
    return Spec("csv", (-5, 5), 0.0, "out_of_fold", False, Damping(1e12, 1e12, 1e12), (), 1, fields, (), (), {})


def fitted(table: Tensor, k: int, shrinkage: float) -> ItemKnn:
    """Use the items 0, 1, ... of the table as indices 1, 2, ..."""
    user, item = (~table.isnan()).nonzero().flip(0).T
    model = ItemKnn(spec_of(table), ItemKnnConfig(neighbours=k, shrinkage=shrinkage))
    n_users, n_items = table.shape
    model.similarity.copy_(item_similarity(user, item + 1, table[user, item], n_users, n_items + 1, shrinkage))
    return model


def residuals(model: ItemKnn, table: Tensor, *pairs: tuple[int, int]) -> Tensor:
    """Compute what the model adds to the biases of these pairs."""
    n_users, n_items = table.shape
    owner, item = (~table.isnan()).nonzero().T

    def side(n: int, interactions: Ragged | None) -> Side:
        index = torch.arange(1, n + 1)
        return Side(index[:, None], torch.zeros(n, 0), torch.zeros(n, 0), index, interactions)

    users = side(n_users, Ragged.of(owner, item + 1, table[owner, item], torch.zeros_like(owner), n_users))
    asked = Pairs(*torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T)
    output: Output = model(Inputs(users, side(n_items, None), asked, torch.zeros(len(pairs), 2)))
    return output.rating


def test_prediction_is_the_mean_over_similar_items_weighted_by_similarity() -> None:
    found = residuals(fitted(TABLE, k=2, shrinkage=2), TABLE, (1, 2), (2, 1))
    expected = [(S02 * 1 + S12 * 0.5) / (S02 + S12), (S01 * 2 + S12 * 0.5) / (S01 + S12)]
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx(expected)


def test_only_the_k_most_similar_items_count() -> None:
    assert residuals(fitted(TABLE, k=1, shrinkage=2), TABLE, (1, 2), (2, 1)).tolist() == pytest.approx([1, 2])


def test_the_rating_to_predict_is_not_used() -> None:
    expected = (S01 * 2 + S02 * 1) / (S01 + S02)
    assert residuals(fitted(TABLE, k=3, shrinkage=2), TABLE, (0, 0)).tolist() == pytest.approx([expected])


def test_nothing_is_added_where_there_is_no_similar_item() -> None:
    only_dissimilar, item_without_ratings, user_without_ratings = (2, 3), (0, 4), (3, 0)
    model = fitted(TABLE, k=3, shrinkage=2)
    asked = only_dissimilar, item_without_ratings, user_without_ratings
    assert residuals(model, TABLE, *asked).tolist() == [0, 0, 0]


def test_without_shrinkage_few_common_users_count_as_much_as_many() -> None:
    # With one common user every cosine is 1. With two it is below 1, so the order of the neighbours changes.
    assert residuals(fitted(TABLE, k=1, shrinkage=0), TABLE, (2, 1)).item() == pytest.approx(0.5)
    assert residuals(fitted(TABLE, k=1, shrinkage=2), TABLE, (2, 1)).item() == pytest.approx(2)


def test_without_training_pairs_nothing_is_added() -> None:
    table = torch.full((2, 3), NAN)
    assert residuals(fitted(table, 2, 2), table, (0, 1), (1, 2)).tolist() == [0, 0]


def test_no_pairs_give_no_predictions() -> None:
    assert residuals(fitted(TABLE, 2, 2), TABLE).shape == (0,)


def similarities(e: np.ndarray, shrinkage: float) -> np.ndarray:
    """Compute s_ij by its formula, from residuals (U, I) with NAN for no rating."""
    n_items = e.shape[1]
    found = np.zeros((n_items, n_items))
    for i in range(n_items):
        for j in range(n_items):
            both = ~np.isnan(e[:, i]) & ~np.isnan(e[:, j])
            norm = np.sqrt((e[both, i] ** 2).sum() * (e[both, j] ** 2).sum())
            if i != j and norm > 0:
                found[i, j] = max(0, both.sum() / (both.sum() + shrinkage) * (e[both, i] @ e[both, j]) / norm)
    return found


@pytest.mark.parametrize("shrinkage", [0.0, 10.0])
def test_similarities_are_those_of_the_formula(shrinkage: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_knn, "BLOCK", 7)
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(25, 1, generator=generator) + torch.randn(25, 18, generator=generator)
    table[torch.rand(25, 18, generator=generator) < 0.4] = NAN
    user, item = (~table.isnan()).nonzero().T
    found = item_similarity(user, item, table[user, item], 25, 18, shrinkage)
    np.testing.assert_allclose(found, similarities(table.double().numpy(), shrinkage), atol=1e-5)


@torch.no_grad()
def test_a_fitted_model_predicts_by_the_formula(
    load: Callable[..., FeatureSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_knn, "BATCH", 11)
    features = load("random")
    model = ItemKnn(features.spec, ItemKnnConfig(neighbours=1000, shrinkage=4.0))
    model.fit(features)
    train, mean = features.splits["train"], features.spec.mean
    names = [field.name for field in features.spec.of_kind("history")]
    of_user, of_item = names.index("user_mean"), names.index("item_mean")

    before = history(features, train.user, train.item, train.timestamp).double()
    e = np.full((len(features.users), len(features.items)), NAN)
    e[train.user, train.item] = train.rating - mean - before[:, of_user] - before[:, of_item]
    s = similarities(e, 4.0)

    ratings = np.full_like(e, NAN)
    ratings[train.user, train.item] = train.rating
    sums = features.state.items
    item_bias = (sums.total / UNIT / (sums.count + features.spec.damping.item)).numpy()
    rest = ratings - mean - item_bias
    user_bias = np.nansum(rest, 1) / ((~np.isnan(rest)).sum(1) + features.spec.damping.user)
    rest -= user_bias[:, None]

    rows = features.splits["test"]
    expected = []
    for u, i, known in zip(rows.user.tolist(), rows.item.tolist(), rows.history.numpy(), strict=True):
        similar = [(s[i, j], rest[u, j]) for j in np.flatnonzero(~np.isnan(rest[u])) if s[i, j] > 0]
        total = sum(weight for weight, _ in similar)
        added = sum(weight * value for weight, value in similar) / total if similar else 0
        expected.append(mean + known[of_user] + known[of_item] + added)
    output = model(listed(features, rows, model.reads))
    np.testing.assert_allclose(output.rating, expected, atol=1e-4)
    assert output.ranking.equal(output.rating)


@torch.no_grad()
def test_a_new_user_gets_the_list_of_the_biases(load: Callable[..., FeatureSet]) -> None:
    features = load("temporal")
    model = ItemKnn(features.spec, ItemKnnConfig())
    model.fit(features)
    user, items, asked_at = torch.tensor([3]), torch.arange(31), torch.tensor([1060])
    inputs = grid(features, user, items, asked_at, model.reads, with_history=True)
    found = model(inputs).ranking
    assert found.unique().numel() > 10
    torch.testing.assert_close(found, Bias(features.spec, ModelConfig())(inputs).ranking)
