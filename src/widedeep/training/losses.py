"""Losses for ranking, and NDCG. Higher scores are better.

Shapes: B positive items, n negative items for each of them, U users, I items.
"""

import torch
from torch import Tensor

from widedeep.features.ragged import Ragged


def sampled_softmax(positive: Tensor, negative: Tensor) -> Tensor:
    """Return the mean cross entropy of the positive item among itself and its n negatives.

    The result is a scalar >= 0, and log(1 + n) if all scores are equal.

    positive : (B,) float
        Score of a positive item of a user.
    negative : (B, n) float
        Scores of negative items of the same user, which must be drawn uniformly. Other draws need the correction of
        Bengio and Senécal 2008.
    """
    candidates = torch.cat([positive[:, None], negative], 1)
    return (candidates.logsumexp(1) - positive).mean()


def full_softmax(scores: Tensor, user: Tensor, item: Tensor) -> Tensor:
    """Return the negative multinomial log-likelihood over the whole catalogue, as in Mult-VAE (Liang et al. 2018).

    arXiv 1802.05814. This is the mean over positives, so a user with more positives counts more. The result is a
    scalar >= 0, and log I if all scores are equal.

    scores : (U, I) float
    user, item : (P,) int64
        The positives, as rows and columns of `scores`; P >= 1.
    """
    return (scores.logsumexp(1)[user] - scores[user, item]).mean()


def ndcg(lists: Tensor, relevant: Ragged) -> Tensor:
    """Compute the NDCG of each user's list with binary gains, as in the evaluation: (U,) in [0, 1].

    lists : (U, k) int64
        Items, best first; -1 at the end of a shorter list.
    relevant : the relevant items of each user, at least one
    """
    users = torch.arange(len(lists), device=lists.device)[:, None]
    hits = relevant.place(users.expand_as(lists), lists) >= 0
    # Computed on the CPU, because a GPU has no deterministic cumulative sum of floats.
    discount = torch.arange(2, lists.shape[1] + 2).log2().reciprocal()
    ideal = discount.cumsum(0).to(lists.device)[relevant.count.clamp(max=lists.shape[1]) - 1]
    return (hits * discount.to(lists.device)).sum(1) / ideal
