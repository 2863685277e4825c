"""Predict ratings of listed pairs, and rank a catalogue, by one or several models.

Both work on parts of their rows, so that memory does not grow with the number of rows. Models that read the same inputs
share them. Shapes: N rows, U users, I items of the catalogue, k places in a list.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from widedeep.columns import FROZEN, ONLINE
from widedeep.features.assemble import grid, listed
from widedeep.features.context import Context
from widedeep.features.inputs import Inputs, Reads
from widedeep.features.questions import ask_for_lists
from widedeep.features.ragged import Ragged
from widedeep.features.rows import Queries
from widedeep.models.model import Model

ROWS = 2**15  # rows scored at once, each with the interactions of its user
PAIRS = 2**16  # pairs of a grid scored at once
PAD = -1  # an empty place at the end of a list


class Lists(NamedTuple):
    """The best items of each user, best first. A list with fewer than k items is padded at its end.

    items : (U, k) int64
        Codes; `PAD` in an empty place.
    scores : (U, k) float32
        Scores of these items; -inf in an empty place.
    """

    items: Tensor
    scores: Tensor

    def cut(self, k: int) -> "Lists":
        """Return the first k places."""
        return Lists(self.items[:, :k], self.scores[:, :k])


@torch.no_grad()
def predict(models: Mapping[str, Model], context: Context, rows: Queries, clip: bool = True) -> dict[str, Tensor]:
    """Predict the rating of each row by each model.

    What a model may know is set by the row: its history, and how many interactions of its user and item are visible.

    Parameters
    ----------
    models : by name
    rows : N pairs of a user and an item
    clip : whether to clip predictions to the rating scale

    Returns
    -------
    by name of the model, (N,) float32 in rating points
    """
    predicted: dict[str, list[Tensor]] = {name: [rows.timestamp.new_zeros(0).float()] for name in models}
    for part in rows.parts(ROWS):
        looks: dict[Reads, Inputs] = {}
        for name, model in models.items():
            if model.reads not in looks:
                looks[model.reads] = listed(context, part, model.reads)
            predicted[name].append(model(looks[model.reads]).rating.float())
    whole = {name: torch.cat(parts) for name, parts in predicted.items()}
    return {name: values.clamp(*context.spec.rating_scale) if clip else values for name, values in whole.items()}


@torch.no_grad()
def rank(
    models: Mapping[str, Model],
    context: Context,
    user: Tensor,
    timestamp: Tensor,
    k: int,
    exclude_seen: bool = True,
    online: bool = False,
) -> dict[str, Lists]:
    """Rank the whole catalogue for each user by each model, and keep the k best items.

    Parameters
    ----------
    models : by name
    user : (U,) int64
        Codes. With `online`, a user may ask several times.
    timestamp : (U,) int64
        When each user asks, in seconds since 1970.
    k : length of the lists, >= 1
    exclude_seen : whether to leave out items that the user has rated, as far as this is known
    online : whether all interactions before the second of a question are known. If not, models know what the state of
        the context knows. Models that rank with the history of ratings cannot rank online.

    Raises
    ------
    ValueError
        `k` is below 1, or a score is NaN.
    """
    catalogue = torch.arange(len(context.items), device=user.device)
    with_history = any(model.ranks_with_history for model in models.values())
    found: dict[str, list[Lists]] = {name: [] for name in models}
    step = max(1, PAIRS // max(1, len(catalogue)))
    for some, asked_at in zip(user.split(step), timestamp.split(step), strict=True):
        seen = Ragged.empty(len(some)).to(user.device)
        if exclude_seen:
            seen = seen_items(context, some, asked_at if online else None)
        looks: dict[Reads, Inputs] = {}
        for name, model in models.items():
            if model.half_lives:
                asked = ask_for_lists(context, some, asked_at, model.half_lives, online, period=not online)
                found[name].append(top_items(model.answer(asked).float(), seen, k, context.tie_order))
                continue
            if model.reads not in looks:
                looks[model.reads] = grid(context, some, catalogue, asked_at, model.reads, with_history, online)
            inputs = looks[model.reads]
            scores = model(inputs if model.ranks_with_history else inputs._replace(history=None)).ranking
            every = scores.float().expand(len(some), len(catalogue))
            found[name].append(top_items(every, seen, k, context.tie_order))
    return {name: Lists(*(torch.cat(part) for part in zip(*parts, strict=True))) for name, parts in found.items()}


def seen_items(context: Context, user: Tensor, before: Tensor | None = None) -> Ragged:
    """Return the items that each user (U,) rated before a second (U,), or that the state knows if that is None."""
    by_user = context.state.by_user
    count = context.state.users.count[user] if before is None else by_user.seen_before(user, before)
    return by_user.pick(user, torch.zeros_like(count), count)


def top_items(scores: Tensor, exclude: Ragged, k: int, tie_order: Tensor) -> Lists:
    """Return the k best items of each user, without the excluded ones.

    Items with equal scores are in the order of `tie_order`, so the list is the same on every device. Codes would not do
    for ties: publishers often list well-known items first, so a model without any knowledge would look good.

    Parameters
    ----------
    scores : (U, I) float
        Higher is better. An item with the score -inf is never listed.
    exclude : items to leave out, by user
    tie_order : (I,) int64
        The place of each item among items with equal scores, a permutation of 0 to I - 1 (see `Context`).

    Raises
    ------
    ValueError
        `k` is below 1, or a score of a candidate is NaN.
    """
    if k < 1:
        raise ValueError(f"k must be an int in the range [1, inf). Got {k} instead.")
    n_items = scores.shape[1]
    kept = min(k, n_items)
    scores = scores.index_put((exclude.owner, exclude.other), scores.new_tensor(-torch.inf))
    best, items = scores.topk(min(k + 1, n_items))  # one more than k, to see a tie at the border; NaN sorts first
    if best.isnan().any():
        raise ValueError("scores must not hold NaN.")
    if n_items > k:
        items, border = items[:, :k], best[:, k - 1]
        tied = (border == best[:, k]).nonzero().squeeze(1)
        if len(tied):
            items[tied] = _resolve_border(scores[tied], border[tied, None], k, tie_order)
    items = items.gather(1, tie_order[items].argsort(dim=1))
    best, order = scores.gather(1, items).sort(dim=1, descending=True, stable=True)
    items = items.gather(1, order).masked_fill(best == -torch.inf, PAD)
    return Lists(functional.pad(items, (0, k - kept), value=PAD), functional.pad(best, (0, k - kept), value=-torch.inf))


def _resolve_border(scores: Tensor, border: Tensor, k: int, tie_order: Tensor) -> Tensor:
    """Choose the items above the border score, then the first in `tie_order` at it: (T, I), (T, 1) -> (T, k) int64."""
    n_items = scores.shape[1]
    first = (n_items - tie_order).int()
    key = torch.where(scores > border, n_items + 1, torch.where(scores == border, first, 0))
    return key.topk(k).indices


def knowledges(context: Context) -> tuple[str, ...]:
    """Return the kinds of knowledge that this data set allows, the fullest first."""
    return (ONLINE, FROZEN) if context.spec.online else (FROZEN,)
