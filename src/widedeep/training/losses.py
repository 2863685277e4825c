"""Losses of rankings, from scores that are higher for better items.

Shapes: B positives, n negatives, U users, I items.
"""

import torch
from torch import Tensor
from torch.nn import functional

from widedeep.features.ragged import Ragged


def bpr(positive: Tensor, negative: Tensor) -> Tensor:
    """Bayesian personalised ranking (Rendle et al. 2009, arXiv 1205.2618): mean of -log sigmoid(positive - negative).

    positive : (B,) float, score of an item the user chose. negative : (B, n) float, scores of items that the same user
    did not choose. Returns a scalar >= 0; log 2 when all scores are equal.
    """
    return -functional.logsigmoid(positive[:, None] - negative).mean()


def sampled_softmax(positive: Tensor, negative: Tensor) -> Tensor:
    """Mean cross entropy of the positive among itself and its n negatives.

    positive : (B,) float. negative : (B, n) float, of items drawn uniformly: other draws need the correction of Bengio
    and Senécal 2008. Returns a scalar >= 0; log(1 + n) when all scores are equal.
    """
    candidates = torch.cat([positive[:, None], negative], 1)
    return (candidates.logsumexp(1) - positive).mean()


def full_softmax(scores: Tensor, user: Tensor, item: Tensor) -> Tensor:
    """Negative multinomial log-likelihood over the whole catalogue, as in Mult-VAE (Liang et al. 2018, arXiv
    1802.05814), here as a mean over positives: a user counts by the number of them.

    scores : (U, I) float. user, item : (P,) int64, the positives as rows and columns of `scores`, P >= 1. Returns a
    scalar >= 0; log I when all scores are equal.
    """
    return (scores.logsumexp(1)[user] - scores[user, item]).mean()


def ndcg(lists: Tensor, relevant: Ragged) -> Tensor:
    """NDCG of each user's list with binary gains, (U,) in [0, 1]: the measure of the evaluation, for validation.

    lists : (U, k) int64 items, best first, -1 where a list is shorter. relevant : the relevant items of each user, at
    least one.
    """
    users = torch.arange(len(lists), device=lists.device)[:, None]
    hits = relevant.place(users.expand_as(lists), lists) >= 0
    # On the CPU first: on a GPU there is no deterministic cumulative sum of floats.
    discount = torch.arange(2, lists.shape[1] + 2).log2().reciprocal()
    ideal = discount.cumsum(0).to(lists.device)[relevant.count.clamp(max=lists.shape[1]) - 1]
    return (hits * discount.to(lists.device)).sum(1) / ideal
