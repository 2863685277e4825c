"""The two places where a model meets many rows: it predicts the ratings of listed pairs, and it ranks a catalogue.

Both go through their rows in parts, so that memory does not grow with them. Several models that read the same share one
look at the features. Shapes: N rows, U users, I items of the catalogue, k places in a list.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from widedeep.features.assemble import grid, listed
from widedeep.features.context import Context
from widedeep.features.inputs import Inputs, Reads
from widedeep.features.ragged import Ragged
from widedeep.features.rows import Queries
from widedeep.models.model import Model

ROWS = 2**15  # rows scored at a time, each with all that its user rated before
PAIRS = 2**18  # pairs of a grid scored at a time
PAD = -1


class Lists(NamedTuple):
    """The best items of each user: `items` (U, k) int64 codes, best first, `PAD` at the end of a short list; `scores`
    (U, k) float32, -inf there."""

    items: Tensor
    scores: Tensor


@torch.no_grad()
def predict(models: Mapping[str, Model], context: Context, rows: Queries, clip: bool = True) -> dict[str, Tensor]:
    """Predict the rating of each row by each model, clipped to the rating scale unless `clip` is false: name -> (N,)
    float32.

    A model knows of a row what the row says: its history, and how many interactions it may see.
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
    models: Mapping[str, Model], context: Context, user: Tensor, timestamp: Tensor, k: int, exclude_seen: bool = True
) -> dict[str, Lists]:
    """List for each user (U,) the k best items of the whole catalogue, asked for at `timestamp` (U,), by each model.

    All is as the state of the context knows it. `exclude_seen`: leave out what the user has rated by then.

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
        seen = seen_items(context, some) if exclude_seen else Ragged.empty(len(some)).to(user.device)
        looks: dict[Reads, Inputs] = {}
        for name, model in models.items():
            if model.reads not in looks:
                looks[model.reads] = grid(context, some, catalogue, asked_at, model.reads, with_history)
            inputs = looks[model.reads]
            scores = model(inputs if model.ranks_with_history else inputs._replace(history=None)).ranking
            found[name].append(top_items(scores.float().expand(len(some), len(catalogue)), seen, k))
    return {name: Lists(*(torch.cat(part) for part in zip(*parts, strict=True))) for name, parts in found.items()}


def seen_items(context: Context, user: Tensor) -> Ragged:
    """What each user (U,) has rated as far as the state knows."""
    count = context.state.users.count[user]
    return context.state.by_user.pick(user, torch.zeros_like(count), count)


def top_items(scores: Tensor, exclude: Ragged, k: int) -> Lists:
    """The k best items of each user, without the excluded ones.

    Equal scores are ordered by item code, lower first, so that the list does not depend on the device.

    Parameters
    ----------
    scores : (U, I) float, higher is better; an item with score -inf is no candidate
    exclude : items that are no candidates, by user

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
    best, items = scores.topk(min(k + 1, n_items))  # one more than asked for shows a tie at the border; NaN sorts first
    if best.isnan().any():
        raise ValueError("scores must not hold NaN.")
    if n_items > k:
        items, border = items[:, :k], best[:, k - 1]
        tied = (border == best[:, k]).nonzero().squeeze(1)
        if len(tied):
            items[tied] = _resolve_border(scores[tied], border[tied, None], k)
    items = items.sort(dim=1).values
    best, order = scores.gather(1, items).sort(dim=1, descending=True, stable=True)
    items = items.gather(1, order).masked_fill(best == -torch.inf, PAD)
    return Lists(functional.pad(items, (0, k - kept), value=PAD), functional.pad(best, (0, k - kept), value=-torch.inf))


def _resolve_border(scores: Tensor, border: Tensor, k: int) -> Tensor:
    """The items above the border score and the first of those at it, k in all: (T, I), (T, 1) -> (T, k) int64."""
    n_items = scores.shape[1]
    first = torch.arange(n_items, 0, -1, dtype=torch.int32, device=scores.device)
    key = torch.where(scores > border, n_items + 1, torch.where(scores == border, first, 0))
    return key.topk(k).indices
