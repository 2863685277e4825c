"""EASE, compared with a ridge regression for each item, and with weights worked out by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from tests.small_data import written
from widedeep.errors import UserError
from widedeep.features.assemble import ask, grid, listed
from widedeep.features.files import FeatureTables
from widedeep.features.inputs import Reads
from widedeep.features.tensors import FeatureSet, load_features
from widedeep.models import ease
from widedeep.models.ease import Ease, _inverse_by_users, check_catalogue, ease_weights
from widedeep.models.knobs import EaseConfig, ModelConfig
from widedeep.models.popularity import Popularity
from widedeep.training.fit import set_line

NO_PAIRS = torch.zeros(0, dtype=torch.int64)


def random_pairs(n_users: int, n_items: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw a (U, I) float32 matrix of zeros and ones, and list the positions of the ones in random order."""
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(n_users, n_items, generator=generator) < 0.2).float()
    user, item = x.nonzero()[torch.randperm(int(x.sum()), generator=generator)].T
    return x, user, item


def test_two_items_by_hand() -> None:
    # X^T X = [[2, 1], [1, 1]]; from item 0 to 1: 1 / (2 + 1), from item 1 to 0: 1 / (1 + 1).
    weights = ease_weights(torch.tensor([1, 0, 0]), torch.tensor([0, 1, 0]), 3, 2, l2=1.0)
    torch.testing.assert_close(weights, torch.tensor([[0, 1 / 3], [1 / 2, 0]]))


def test_three_items_by_the_closed_form() -> None:
    # Users rated {0, 1}, {0, 1, 2}, {2} and {0}.
    x = np.array([[1, 1, 0], [1, 1, 1], [0, 0, 1], [1, 0, 0]])
    p = np.linalg.inv(x.T @ x + 0.5 * np.eye(3))
    expected = -p / np.diag(p)
    np.fill_diagonal(expected, 0)
    user, item = torch.from_numpy(np.argwhere(x)).T
    np.testing.assert_allclose(ease_weights(user, item, 4, 3, l2=0.5), expected, atol=1e-6)


@pytest.mark.parametrize("l2", [0.5, 50.0])
def test_each_column_of_weights_is_a_ridge_regression_on_the_other_items(l2: float) -> None:
    x, user, item = random_pairs(60, 300)  # more items than are counted at once
    weights = ease_weights(user, item, 60, 300, l2).numpy()
    for target in (0, 137, 256, 299):
        others = np.delete(np.arange(300), target)
        expected = Ridge(alpha=l2, fit_intercept=False).fit(x[:, others].double(), x[:, target]).coef_
        np.testing.assert_allclose(weights[others, target], expected, atol=1e-6)
        assert weights[target, target] == 0


@pytest.mark.parametrize(("n_users", "n_items"), [(40, 25), (25, 40)])
def test_solving_by_users_is_the_same_as_solving_by_items(n_users: int, n_items: int) -> None:
    x, user, item = random_pairs(n_users, n_items)
    expected = np.linalg.inv((x.T @ x).double().numpy() + 2 * np.eye(n_items))
    np.testing.assert_allclose(_inverse_by_users(user, item, n_users, n_items, 2.0), expected, atol=1e-12)
    weights = -expected / np.diag(expected)
    np.fill_diagonal(weights, 0)
    np.testing.assert_allclose(ease_weights(user, item, n_users, n_items, 2.0), weights, atol=1e-6)


def test_a_repeated_pair_counts_once() -> None:
    _, user, item = random_pairs(30, 20)
    once = ease_weights(user, item, 30, 20, 3.0)
    assert ease_weights(user.repeat(2), item.repeat(2), 30, 20, 3.0).equal(once)


def test_an_item_without_users_has_no_weights() -> None:
    _, user, item = random_pairs(30, 20)
    weights = ease_weights(user, item, 30, 22, 3.0)
    assert not weights[20:].any()
    assert not weights[:, 20:].any()


def test_without_pairs_all_weights_are_zero() -> None:
    assert not ease_weights(NO_PAIRS, NO_PAIRS, 2, 3, 1.0).any()


def test_a_catalogue_that_does_not_fit_is_refused_with_what_to_choose_instead() -> None:
    with pytest.raises(UserError, match=r"20,001 items would take 6 GB .* model wide_deep"):
        check_catalogue(ease.MAX_ITEMS + 1, "EASE")
    check_catalogue(ease.MAX_ITEMS, "EASE")


def fitted(features: FeatureSet, positive: float | None) -> Ease:
    model = Ease(features.spec, EaseConfig(l2=2.0, positive_rating=positive))
    model.fit(features)
    set_line(model, features)
    return model


def chosen(features: FeatureSet, positive: float) -> Tensor:
    """Make a matrix (users, item indices) that is 1 for training pairs with at least this rating."""
    rows = features.splits["train"]
    x = torch.zeros(len(features.users), int(features.items.categories[:, 0].max()) + 1)
    rows = rows[rows.rating >= positive]
    x[rows.user, features.items.categories[rows.item, 0]] = 1
    return x


@pytest.mark.parametrize("positive", [None, 3.0])
def test_a_model_sums_the_weights_of_what_the_user_chose(
    load: Callable[..., FeatureSet], positive: float | None
) -> None:
    features = load("random")
    model = fitted(features, positive)
    x = chosen(features, positive or 0.0)
    assert 0 < x.sum() < len(features.splits["train"]) or positive is None
    gram = (x.T @ x).double().numpy() + 2 * np.eye(x.shape[1])
    p = np.linalg.inv(gram)
    weights = -p / np.diag(p)
    np.fill_diagonal(weights, 0)
    scores = x.numpy() @ weights

    users, items = torch.arange(10), torch.arange(31)
    index = features.items.categories[:, 0]
    found = model(grid(features, users, items, torch.zeros_like(users), model.reads))
    known = x.any(1)
    np.testing.assert_allclose(found.ranking[known], scores[:, index][known], atol=1e-5)
    train = features.splits["train"]
    score = scores[train.user, index[train.item]]
    slope, intercept = np.polyfit(score, train.rating, 1)
    np.testing.assert_allclose(found.rating, intercept + slope * scores[:, index], atol=1e-3)


@torch.no_grad()
def test_pairs_are_scored_batch_by_batch(load: Callable[..., FeatureSet], monkeypatch: pytest.MonkeyPatch) -> None:
    features = load("temporal")
    model = fitted(features, None)
    inputs = listed(features, features.splits["test"], model.reads)
    whole = model(inputs).ranking
    assert whole.unique().numel() > 10
    monkeypatch.setattr(ease, "BATCH", 7)
    torch.testing.assert_close(model(inputs).ranking, whole)


@pytest.fixture
def few(featurize: Callable[..., FeatureTables], tmp_path: Path) -> FeatureSet:
    """Items 1 to 4 with 4, 2, 1 and 1 ratings. User 3 likes none of theirs, user 4 rated none, and user 5 rated what
    nobody else did."""
    rows = [(1, 1, 5.0), (1, 2, 5.0), (2, 1, 5.0), (2, 2, 4.0), (2, 3, 4.0), (3, 1, 1.0), (5, 4, 5.0), (6, 1, 4.0)]
    ratings = pd.DataFrame(rows, columns=["user_id", "item_id", "rating"]).assign(timestamp=1000, split="train")
    ratings.loc[len(ratings)] = [4, 1, 5.0, 1000, "test"]
    items = pd.DataFrame({"item_id": [1, 2, 3, 4], "title": "T", "genres": [[] for _ in range(4)]})
    users = pd.DataFrame({"user_id": [1, 2, 3, 4, 5, 6]})
    tables = featurize("random", ratings=ratings, items=items, users=users, crosses=())
    return load_features(written(tables, tmp_path), "train", "test")


@torch.no_grad()
def test_who_gets_no_score_from_others_gets_the_popular_items_first(few: FeatureSet) -> None:
    model = fitted(few, 3.0)
    users, items = torch.arange(6), torch.arange(4)
    found = model(grid(few, users, items, torch.zeros_like(users), model.reads))
    for user in (2, 3, 4):  # the users 3, 4 and 5
        assert found.ranking[user].tolist() == [4, 2, 1, 1]
        assert found.rating[user].tolist() == [model.line[0]] * 4

    x = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0]])
    p = np.linalg.inv(x.T @ x + 2 * np.eye(4))
    weights = -p / np.diag(p)
    np.fill_diagonal(weights, 0)
    for user in (0, 1, 5):
        np.testing.assert_allclose(found.ranking[user], (x @ weights)[user], atol=1e-6)

    pairs = ask(few, users[:, None], items, torch.tensor(0), with_history=False)
    one_by_one = model(listed(few, pairs, model.reads))
    torch.testing.assert_close(one_by_one.ranking.view(6, 4), found.ranking)
    torch.testing.assert_close(one_by_one.rating.view(6, 4), found.rating)


@torch.no_grad()
def test_a_new_user_gets_the_list_of_the_popularity_model(load: Callable[..., FeatureSet]) -> None:
    features = load("temporal")
    user, items, asked_at = torch.tensor([3]), torch.arange(31), torch.tensor([1060])
    popularity = Popularity(features.spec, ModelConfig())
    inputs = grid(features, user, items, asked_at, Reads(ease.ALL, half_lives=popularity.reads.half_lives))
    found = fitted(features, None)(inputs).ranking
    assert found.unique().numel() > 3
    assert found.argsort(stable=True).equal(popularity(inputs).ranking.argsort(stable=True))
