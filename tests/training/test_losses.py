"""Losses, compared with values worked out by hand, and at scores where a naive formula overflows."""

from math import e, exp, log, log2

import numpy as np
import pytest
import torch
from sklearn.metrics import ndcg_score
from torch import Tensor

from tests.lists import lists
from widedeep.evaluation import ranking
from widedeep.features.ragged import Ragged
from widedeep.scoring import top_items
from widedeep.training.losses import full_softmax, ndcg, sampled_softmax


def test_sampled_softmax_by_hand() -> None:
    # Probabilities 3 / (3 + 1 + 2) and 1 / (1 + 1 + e).
    positive, negative = torch.tensor([log(3), 0.0]), torch.tensor([[0.0, log(2)], [0.0, 1.0]])
    expected = (log(2) + log(2 + e)) / 2
    assert sampled_softmax(positive, negative).item() == pytest.approx(expected)


def test_sampled_softmax_of_one_negative_is_bpr() -> None:
    # Bayesian personalised ranking (Rendle et al. 2009): -log sigmoid of the difference. Sigmoids 3/4 and 1/2.
    positive, negative = torch.tensor([log(3), 1.0]), torch.tensor([[0.0], [1.0]])
    assert sampled_softmax(positive, negative).item() == pytest.approx(-log(3 / 4 * 1 / 2) / 2)


def test_full_softmax_by_hand() -> None:
    # User 0: probabilities 1/6, 2/6, 3/6, items 1 and 2 chosen. User 1: 1/3 each, item 0 chosen.
    scores = torch.tensor([[0.0, log(2), log(3)], [5.0, 5.0, 5.0]])
    loss = full_softmax(scores, torch.tensor([0, 1, 0]), torch.tensor([2, 0, 1]))
    assert loss.item() == pytest.approx(-log(1 / 2 * 1 / 3 * 1 / 3) / 3)


def test_full_softmax_is_least_at_the_shares_of_the_positives() -> None:
    user, item = torch.tensor([0, 0, 0, 0]), torch.tensor([0, 0, 0, 1])
    scores = torch.tensor([[log(3), 0.0, -100.0]], requires_grad=True)
    full_softmax(scores, user, item).backward()
    assert scores.grad is not None
    torch.testing.assert_close(scores.grad, torch.zeros(1, 3), rtol=0, atol=1e-6)


@pytest.mark.parametrize("gap", [200.0, -200.0])
def test_losses_are_exact_where_the_exponential_overflows(gap: float) -> None:
    positive, negative = torch.tensor([gap], requires_grad=True), torch.zeros(1, 1)
    losses: list[Tensor] = [
        sampled_softmax(positive, negative),
        full_softmax(torch.cat([positive[:, None], negative], 1), torch.tensor([0]), torch.tensor([0])),
    ]
    for loss in losses:
        assert loss.item() == pytest.approx(max(0.0, -gap), abs=1e-6)
        (gradient,) = torch.autograd.grad(loss, positive)
        assert gradient.item() == pytest.approx(0.0 if gap > 0 else -1.0)


@pytest.mark.parametrize("shift", [-30.0, 1000.0])
def test_only_differences_of_scores_count(shift: float) -> None:
    positive, negative = torch.tensor([0.5, -1.0]), torch.tensor([[0.0, 2.0], [1.0, -1.0]])
    sampled = sampled_softmax(positive + shift, negative + shift)
    torch.testing.assert_close(sampled, sampled_softmax(positive, negative), rtol=1e-4, atol=0)
    user, item = torch.tensor([0, 1]), torch.tensor([0, 1])
    shifted = full_softmax(negative + shift, user, item)
    torch.testing.assert_close(shifted, full_softmax(negative, user, item), rtol=1e-4, atol=0)


def test_equal_scores_cost_what_guessing_costs() -> None:
    positive, negative = torch.zeros(3), torch.zeros(3, 4)
    assert exp(sampled_softmax(positive, negative).item()) == pytest.approx(5)
    assert exp(full_softmax(torch.zeros(2, 7), torch.tensor([0]), torch.tensor([0])).item()) == pytest.approx(7)


def relevant_to(user: Tensor, item: Tensor, n: int) -> Ragged:
    return Ragged.of(user, item, torch.ones(len(user)), torch.zeros_like(user), n)


def test_ndcg_by_hand() -> None:
    # User 0: items 0 and 1 at ranks 2 and 4. User 1: item 2 at rank 1. User 2: item 3 at rank 3.
    lists = torch.tensor([[2, 0, 3, 1]]).expand(3, 4)
    relevant = relevant_to(torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 2, 3]), 3)
    expected = [(1 / log2(3)) / (1 + 1 / log2(3)), 1, 1 / 2]
    assert ndcg(lists[:, :3], relevant).tolist() == pytest.approx(expected)
    assert ndcg(lists[:, :2], relevant).tolist() == pytest.approx([expected[0], 1, 0])


@pytest.mark.parametrize("k", [1, 5, 10, 100])
def test_ndcg_is_that_of_the_evaluation_and_of_scikit_learn(k: int) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(20, 30, generator=generator)
    relevant = torch.rand(20, 30, generator=generator) < torch.linspace(0.05, 0.9, 20)[:, None]
    relevant[:, 3] = True
    known = ~relevant & (torch.rand(20, 30, generator=generator) < 0.3)
    user, item = relevant.nonzero()[torch.randperm(int(relevant.sum()), generator=generator)].T

    left_out = relevant_to(known.nonzero()[:, 0], known.nonzero()[:, 1], 20)
    top = top_items(scores, left_out, k, torch.arange(30)).items
    found = ndcg(top, relevant_to(user, item, 20))
    ours = ranking.ndcg(lists(top, pairs=(user, item)), k)
    np.testing.assert_allclose(found, ours, atol=1e-6)
    theirs = [ndcg_score(relevant[[row]].int(), scores.masked_fill(known, -1)[[row]], k=k) for row in range(20)]
    np.testing.assert_allclose(found, theirs, atol=1e-6)
