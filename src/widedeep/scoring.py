"""Predict ratings of listed pairs, and rank a catalogue, by one or several models.

Both work on parts of their rows, so that memory does not grow with the number of rows. Models that read the same inputs
share them. Shapes: N rows, U users, I items of the catalogue, k places in a list.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from widedeep.columns import FROZEN, ONLINE
from widedeep.features.assemble import grid, listed
from widedeep.features.context import Context
from widedeep.features.entities import encode
from widedeep.features.inputs import Inputs, Reads
from widedeep.features.questions import Questions, ask_for_lists, by_someone_new
from widedeep.features.ragged import Ragged
from widedeep.features.rows import Queries
from widedeep.models.model import Model
from widedeep.progress import progress

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
    for part in progress(rows.parts(ROWS), len(rows), "predicted", "ratings"):
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
    penalty: float = 0,
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
    penalty : popularity penalty in [0, 1), see `penalised`

    Raises
    ------
    ValueError
        `k` is below 1, or a score is NaN.
    """
    penalties = dict.fromkeys(models, (penalty,))
    ranked = rank_by_penalty(models, context, user, timestamp, k, penalties, exclude_seen, online)
    return {name: lists[penalty] for name, lists in ranked.items()}


@torch.no_grad()
def rank_by_penalty(
    models: Mapping[str, Model],
    context: Context,
    user: Tensor,
    timestamp: Tensor,
    k: int,
    penalties: Mapping[str, Sequence[float]],
    exclude_seen: bool = True,
    online: bool = False,
) -> dict[str, dict[float, Lists]]:
    """Rank as `rank` does, but by each model with several popularity penalties. The catalogue is scored once for all.

    penalties : by name of the model
    """
    catalogue = torch.arange(len(context.items), device=user.device)
    with_history = {model.reads for model in models.values() if model.ranks_with_history}
    found: dict[str, dict[float, list[Lists]]] = {name: {one: [] for one in penalties[name]} for name in models}
    step = max(1, PAIRS // max(1, len(catalogue)))
    for place in progress(torch.arange(len(user), device=user.device).split(step), len(user), "made", "lists"):
        some, asked_at = user[place], timestamp[place]
        seen = Ragged.empty(len(some)).to(user.device)
        if exclude_seen:
            seen = seen_items(context, some, asked_at if online else None)
        looks: dict[Reads, Inputs] = {}
        for name, model in models.items():
            asked = None
            if model.half_lives:
                asked = ask_for_lists(context, some, asked_at, model.half_lives, online, period=not online)
                scores = model.answer(asked).float()
            else:
                if model.reads not in looks:
                    history = model.reads in with_history
                    looks[model.reads] = grid(context, some, catalogue, asked_at, model.reads, history, online)
                inputs = looks[model.reads]
                scored = model(inputs if model.ranks_with_history else inputs._replace(history=None)).ranking
                scores = scored.float().expand(len(some), len(catalogue))
            common = score_of_anyone(model, context, asked_at, asked, online) if any(penalties[name]) else None
            for penalty, lists in found[name].items():
                lists.append(top_items(penalised(scores, common, penalty), seen, k, context.tie_order))
    return {
        name: {one: Lists(*(torch.cat(part) for part in zip(*parts, strict=True))) for one, parts in lists.items()}
        for name, lists in found.items()
    }


def penalised(scores: Tensor, common: Tensor | None, penalty: float) -> Tensor:
    """Subtract a share of what the model would tell anyone, so that popular items move down: scores (U, I) float32.

    score - penalty * common. If scores are logarithms of probabilities, this is log p(item | user) - penalty *
    log p(item), as in Li et al., "A diversity-promoting objective function for neural conversation models", NAACL 2016.
    Wei et al., "Model-agnostic counterfactual reasoning for eliminating popularity bias in recommender system", KDD
    2021, subtract the same kind of score. The unit of the scores does not matter, so a penalty means the same for each
    model: the share of the popularity that is taken away. Whoever gets the common list keeps its order.

    Parameters
    ----------
    common : (U, I) or (1, I) float32, from `score_of_anyone`. It may be None without a penalty.
    penalty : in [0, 1). 0 gives the scores themselves.
    """
    return scores if common is None or not penalty else scores - penalty * common


def score_of_anyone(
    model: Model, context: Context, timestamp: Tensor, asked: Questions | None, online: bool = False
) -> Tensor:
    """Score the catalogue for someone of whom nothing is known, at each second (U,): (U, I) float32.

    What such a person would be offered is what the model takes for popular.

    asked : the questions, for a model that answers questions
    """
    if asked is not None:
        return model.answer(by_someone_new(asked)).float()
    none = timestamp[:0]
    anyone = context.of_new_user(encode(context.spec, "user", {}), none, none.float(), torch.tensor(0))
    items, code = torch.arange(len(context.items)), torch.zeros_like(timestamp)
    inputs = grid(anyone, code, items, timestamp, model.reads, model.ranks_with_history, online)
    scored: Tensor = model(inputs).ranking
    return scored.float().expand(len(timestamp), len(items))


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
