"""EASE against ridge regression, which it is item by item, and against weights worked out by hand."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from widedeep.errors import UserError
from widedeep.models.ease import MAX_ITEMS, Ease

NO_PAIRS = torch.zeros(0, dtype=torch.int64)


def random_pairs(n_users: int, n_items: int) -> tuple[Tensor, Tensor, Tensor]:
    """(U, I) float32 of zeros and ones, and the positions of the ones in a random order."""
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(n_users, n_items, generator=generator) < 0.2).float()
    user, item = x.nonzero()[torch.randperm(int(x.sum()), generator=generator)].T
    return x, user, item


def test_two_items_by_hand() -> None:
    # X^T X = [[2, 1], [1, 1]]; from item 0 to 1: 1 / (2 + 1), from item 1 to 0: 1 / (1 + 1).
    model = Ease(torch.tensor([1, 0, 0]), torch.tensor([0, 1, 0]), 3, 2, l2=1.0)
    torch.testing.assert_close(model.weights, torch.tensor([[0, 1 / 3], [1 / 2, 0]]))
    scores = model.score(torch.tensor([1, 0, 2, 1]))
    torch.testing.assert_close(scores, torch.tensor([[0, 1 / 3], [1 / 2, 1 / 3], [0, 0], [0, 1 / 3]]))


@pytest.mark.parametrize("l2", [0.5, 50.0])
def test_each_column_of_weights_is_a_ridge_regression_on_the_other_items(l2: float) -> None:
    x, user, item = random_pairs(60, 300)  # more items than are counted at once
    weights = Ease(user, item, 60, 300, l2).weights.numpy()
    for target in (0, 137, 256, 299):
        others = np.delete(np.arange(300), target)
        expected = Ridge(alpha=l2, fit_intercept=False).fit(x[:, others].double(), x[:, target]).coef_
        np.testing.assert_allclose(weights[others, target], expected, atol=1e-6)
        assert weights[target, target] == 0


def test_scores_are_the_sum_of_the_weights_of_the_users_items() -> None:
    x, user, item = random_pairs(30, 20)
    model = Ease(user, item, 30, 20, l2=3.0)
    asked = torch.tensor([4, 0, 29, 4])
    scores = model.score(asked)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, x[asked] @ model.weights)


def test_a_repeated_pair_counts_once() -> None:
    _, user, item = random_pairs(30, 20)
    once, twice = Ease(user, item, 30, 20, 3.0), Ease(user.repeat(2), item.repeat(2), 30, 20, 3.0)
    everyone = torch.arange(30)
    assert twice.score(everyone).equal(once.score(everyone))


def test_an_item_without_users_scores_zero() -> None:
    _, user, item = random_pairs(30, 20)
    assert not Ease(user, item, 30, 22, 3.0).score(torch.arange(30))[:, 20:].any()


def test_without_pairs_all_scores_are_zero() -> None:
    scores = Ease(NO_PAIRS, NO_PAIRS, 2, 3, 1.0).score(torch.tensor([1, 0]))
    assert scores.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_a_catalogue_that_does_not_fit_is_refused_with_what_to_choose_instead() -> None:
    with pytest.raises(UserError, match=r"30,001 items would take 14 GB .* model wide_deep"):
        Ease(NO_PAIRS, NO_PAIRS, 1, MAX_ITEMS + 1, 1.0)


@pytest.mark.parametrize("l2", [0.0, -1.0])
def test_l2_that_is_not_positive_is_refused(l2: float) -> None:
    with pytest.raises(ValueError, match=rf"^l2 must be a float in the range \(0, inf\)\. Got {l2} instead\.$"):
        Ease(NO_PAIRS, NO_PAIRS, 1, 1, l2)
