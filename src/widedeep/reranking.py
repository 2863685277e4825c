"""Re-rank the lists of any model so that popular items move down. This trades accuracy for coverage, without training.

Only the `POOL` best items of a user change places, so an item that does not suit the user cannot come up. Re-ranking a
pool with a weight between the model's score and a term for less popular items follows Abdollahpouri, Burke and
Mobasher, "Managing popularity bias in recommender systems with personalized re-ranking", FLAIRS 2019. Here the term is
the popularity of the item itself. Shapes: U users, k places in a list.
"""

import torch
from torch import Tensor

from widedeep.features.context import Context
from widedeep.scoring import PAD, Lists

POOL = 100  # the best items of a user, which change places


def depth(k: int, penalty: float) -> int:
    """Return how many items to rank for lists of k items that `penalise_popularity` will re-rank."""
    return max(k, POOL) if penalty else k


def penalise_popularity(lists: Lists, count: Tensor, penalty: float, k: int) -> Lists:
    """Re-rank the first `POOL` places of each list, and keep the k best items.

    The items are sorted by (1 - penalty) * z(score) - penalty * z(log(1 + count)), where z(x) is (x - mean of x) /
    (standard deviation of x) over the pool of the user. So a penalty means the same for every user and for scores of
    any unit: an item that is one standard deviation more popular needs a score that is penalty / (1 - penalty) standard
    deviations higher. Items with equal sums keep their order, and those behind the pool follow in theirs.

    Parameters
    ----------
    lists : lists of `depth(k, penalty)` places, without the penalty
    count : (U, places) int64
        Number of ratings of each item, see `popularity`.
    penalty : weight in [0, 1]. 0: the order of the scores. 1: the least popular of the pool come first.

    Returns
    -------
    Lists of k places. Their scores are those of the model, so with a penalty they do not always fall.
    """
    if penalty:
        listed = lists.items[:, :POOL] != PAD
        score, popular = lists.scores[:, :POOL].double(), count[:, :POOL].clamp(min=0).double().log1p()
        value = (1 - penalty) * _standardised(score, listed) - penalty * _standardised(popular, listed)
        order = value.masked_fill(~listed, -torch.inf).sort(dim=1, descending=True, stable=True).indices
        behind = torch.arange(order.shape[1], lists.items.shape[1], device=order.device).expand(len(order), -1)
        order = torch.cat([order, behind], dim=1)
        lists = Lists(lists.items.gather(1, order), lists.scores.gather(1, order))
    return lists.cut(k)


def popularity(context: Context, lists: Lists, before: Tensor | None = None) -> Tensor:
    """Count the ratings of each listed item: (U, places) int64.

    before : (U,) int64, the second of each list. Count ratings before it. None: those that the state knows.
    """
    if before is None:
        return context.state.items.count[lists.items]
    return context.state.by_item.seen_before(lists.items, before[:, None])


def _standardised(values: Tensor, listed: Tensor) -> Tensor:
    """Give the listed values of each row the mean 0 and the standard deviation 1, or 0 to each if all are equal."""
    n = listed.sum(1, keepdim=True).clamp(min=1)
    values = values.masked_fill(~listed, 0)
    away = (values - values.sum(1, keepdim=True) / n).masked_fill(~listed, 0)
    deviation = ((away**2).sum(1, keepdim=True) / n).sqrt()
    return torch.where(deviation > 1e-9 * values.abs().amax(1, keepdim=True), away / deviation, 0)
