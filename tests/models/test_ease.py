"""EASE against ridge regression, which it is item by item, and against weights worked out by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor
from widedeep.features.store import Features

from tests.small_data import written
from widedeep.errors import UserError
from widedeep.features.build import FeatureTables
from widedeep.features.inputs import Reads
from widedeep.models import ease
from widedeep.models.ease import Ease, check_catalogue, ease_weights
from widedeep.models.popularity import Popularity
from widedeep.models.registry import EaseConfig, ModelConfig

NO_PAIRS = torch.zeros(0, dtype=torch.int64)


def random_pairs(n_users: int, n_items: int) -> tuple[Tensor, Tensor, Tensor]:
    """(U, I) float32 of zeros and ones, and the positions of the ones in a random order."""
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
    with pytest.raises(UserError, match=r"30,001 items would take 14 GB .* model wide_deep"):
        check_catalogue(ease.MAX_ITEMS + 1, "EASE")
    check_catalogue(ease.MAX_ITEMS, "EASE")


def fitted(features: Features, positive: float | None) -> Ease:
    model = Ease(features.spec, EaseConfig(l2=2.0, positive_rating=positive))
    model.fit(features)
    return model


def chosen(features: Features, positive: float) -> Tensor:
    """(users, item indices): 1 for the training pairs rated at least so high."""
    rows = features.splits["train"]
    x = torch.zeros(len(features.users), int(features.items.categories[:, 0].max()) + 1)
    rows = rows[rows.rating >= positive]
    x[rows.user, features.items.categories[rows.item, 0]] = 1
    return x


@pytest.mark.parametrize("positive", [None, 3.0])
def test_a_model_sums_the_weights_of_what_the_user_chose(load: Callable[..., Features], positive: float | None) -> None:
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
    grid = model(features.grid(users, items, torch.zeros_like(users), model.reads))
    known = x.any(1)
    np.testing.assert_allclose(grid.ranking[known], scores[:, index][known], atol=1e-5)
    train = features.splits["train"]
    score = scores[train.user, index[train.item]]
    slope, intercept = np.polyfit(score, train.rating, 1)
    np.testing.assert_allclose(grid.rating, intercept + slope * scores[:, index], atol=1e-3)


@torch.no_grad()
def test_pairs_are_scored_batch_by_batch(load: Callable[..., Features], monkeypatch: pytest.MonkeyPatch) -> None:
    features = load("temporal")
    model = fitted(features, None)
    inputs = features.inputs(features.splits["test"], model.reads)
    whole = model(inputs).ranking
    assert whole.unique().numel() > 10
    monkeypatch.setattr(ease, "BATCH", 7)
    torch.testing.assert_close(model(inputs).ranking, whole)


@pytest.fixture
def few(featurize: Callable[..., FeatureTables], tmp_path: Path) -> Features:
    """Items 1 to 4 with 4, 2, 1 and 1 ratings. User 3 likes none of theirs, user 4 rated none, and user 5 rated what
    nobody else did."""
    rows = [(1, 1, 5.0), (1, 2, 5.0), (2, 1, 5.0), (2, 2, 4.0), (2, 3, 4.0), (3, 1, 1.0), (5, 4, 5.0), (6, 1, 4.0)]
    ratings = pd.DataFrame(rows, columns=["user_id", "item_id", "rating"]).assign(timestamp=1000, split="train")
    ratings.loc[len(ratings)] = [4, 1, 5.0, 1000, "test"]
    items = pd.DataFrame({"item_id": [1, 2, 3, 4], "title": "T", "genres": [[] for _ in range(4)]})
    users = pd.DataFrame({"user_id": [1, 2, 3, 4, 5, 6]})
    tables = featurize("random", ratings=ratings, items=items, users=users, crosses=())
    return Features.load(written(tables, tmp_path), "train", "test")


@torch.no_grad()
def test_who_gets_no_score_from_others_gets_the_popular_items_first(few: Features) -> None:
    model = fitted(few, 3.0)
    users, items = torch.arange(6), torch.arange(4)
    grid = model(few.grid(users, items, torch.zeros_like(users), model.reads))
    for user in (2, 3, 4):  # the users 3, 4 and 5
        assert grid.ranking[user].tolist() == [4, 2, 1, 1]
        assert grid.rating[user].tolist() == [model.line[0]] * 4

    x = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0]])
    p = np.linalg.inv(x.T @ x + 2 * np.eye(4))
    weights = -p / np.diag(p)
    np.fill_diagonal(weights, 0)
    for user in (0, 1, 5):
        np.testing.assert_allclose(grid.ranking[user], (x @ weights)[user], atol=1e-6)

    listed = model(few.listed(users[:, None], items, torch.tensor(0), model.reads))
    torch.testing.assert_close(listed.ranking.view(6, 4), grid.ranking)
    torch.testing.assert_close(listed.rating.view(6, 4), grid.rating)


@torch.no_grad()
def test_a_new_user_gets_the_list_of_the_popularity_model(load: Callable[..., Features]) -> None:
    features = load("temporal")
    user, items, asked_at = torch.tensor([3]), torch.arange(31), torch.tensor([1060])
    popularity = Popularity(features.spec, ModelConfig())
    inputs = features.grid(user, items, asked_at, Reads(ease.ALL), with_history=True)
    found = fitted(features, None)(inputs).ranking
    assert found.unique().numel() > 3
    assert found.argsort(stable=True).equal(popularity(inputs).ranking.argsort(stable=True))
