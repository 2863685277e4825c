"""Items that the same users rated."""

import torch
from torch import Tensor

from widedeep.features.context import Context
from widedeep.features.ragged import Ragged
from widedeep.scoring import Lists, top_items

TOGETHER = 20.0  # users added to the number of raters of an item, so that few raters make no similar items
POPULAR = 0.65  # how much a popular item must share to be similar; with 0.5 (cosine) bestsellers are similar to all


def similar_to(context: Context, code: int, n: int) -> Lists:
    """Return the n items that are most similar to one: a list of one owner, with scores in [0, 1].

    The score is 0.9 c / (n_i^p n^(1 - p)) + 0.1 g. c is the number of users of both items beyond what chance gives,
    n_i and n are the users of the two plus `TOGETHER`, p is `POPULAR`, and g is the overlap of the genres. So an item
    without ratings gets items with the same genres.
    """
    state, catalogue = context.state, len(context.items)
    raters = state.by_item.lists(torch.tensor([code])).other
    both = torch.bincount(state.by_user.lists(raters).other, minlength=catalogue).float()
    chance = state.items.count * len(raters) / max(len(state.users.count), 1)
    damped = state.items.count + TOGETHER
    norm = damped**POPULAR * damped[code] ** (1 - POPULAR)
    scores = 0.9 * (both - chance).clamp(min=0) / norm + 0.1 * _overlap(context.items.bag, code)
    own = Ragged.of(torch.zeros(1, dtype=torch.int64), torch.tensor([code]), torch.ones(1), torch.zeros(1), 1)
    return top_items(scores[None], own, min(n, catalogue), context.tie_order)


def _overlap(bag: Tensor, code: int) -> Tensor:
    """Return the Jaccard similarity of the genres of each item with those of one item: (I,) float32."""
    own = bag[code][bag[code] > 0]
    common = (torch.isin(bag, own) & (bag > 0)).sum(1).float()
    either = (bag > 0).sum(1) + len(own) - common
    return torch.where(either > 0, common / either.clamp(min=1), 0)
