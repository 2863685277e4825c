"""Assemble the inputs of a model from a context: for listed pairs, or for a grid of some users with some items.

Shapes: U users, I items, P pairs, H history columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from widedeep.features.context import Context
from widedeep.features.entities import INDEX, Entities
from widedeep.features.inputs import Inputs, Pairs, Reads, Side
from widedeep.features.ragged import Ragged
from widedeep.features.rows import Queries
from widedeep.features.spec import Spec, window_columns
from widedeep.features.state import damped

DAY = 86400
Q = TypeVar("Q", bound=Queries)


def ask(context: Context, user: Tensor, item: Tensor, timestamp: Tensor, with_history: bool = True) -> Queries:
    """Make queries for pairs, with what the state of the context knows of them.

    Parameters
    ----------
    user, item : int64
        Codes.
    timestamp : int64
        When the scores are asked for, in seconds since 1970. The three are broadcast together and flattened to (P,).
    with_history : whether the queries have the history columns
    """
    user, item, timestamp = (part.flatten() for part in torch.broadcast_tensors(user, item, timestamp))
    found = history(context, user, item, timestamp) if with_history else None
    return Queries(user, item, timestamp, context.state.users.count[user], context.state.items.count[item], found)


def as_of_state(context: Context, rows: Q) -> Q:
    """Return the same pairs with what the state knows, in place of what was known at the time of each row."""
    found = history(context, rows.user, rows.item, rows.timestamp)
    count = context.state.users.count[rows.user], context.state.items.count[rows.item]
    return replace(rows, history=found, user_seen=count[0], item_seen=count[1])


def by_new_users(spec: Spec, rows: Q, new: Tensor) -> Q:
    """Hide the history and the interactions of the users in the rows marked by `new` (P,) bool."""
    assert rows.history is not None
    of_user = torch.tensor([field.entity == "user" for field in spec.of_kind("history")], device=new.device)
    known = rows.history.masked_fill(new[:, None] & of_user, 0)
    return replace(rows, history=known, user_seen=rows.user_seen.masked_fill(new, 0))


def listed(
    context: Context,
    queries: Queries,
    reads: Reads,
    hidden_user: Tensor | None = None,
    hidden_item: Tensor | None = None,
) -> Inputs:
    """Assemble the inputs for listed pairs.

    Parameters
    ----------
    queries : P pairs
    reads : the inputs that the model reads
    hidden_user, hidden_item : (P,) bool
        Where true, the id is shown as unseen. None: no id is hidden.
    """
    users, user = _once(queries.user, queries.user_seen if reads.user_items else None, hidden_user)
    items, item = _once(queries.item, queries.item_seen if reads.item_users else None, hidden_item)
    by_user, by_item = context.state.by_user, context.state.by_item
    return Inputs(
        _side(context.users, context.items, by_user, *users, reads.user_items),
        _side(context.items, context.users, by_item, *items, reads.item_users),
        Pairs(user, item),
        queries.history,
        lately(context, queries.item, queries.item_seen, queries.timestamp, reads.half_lives),
        time(context, queries.user, queries.user_seen, queries.timestamp) if reads.time else None,
        _own(by_user, queries.user, queries.item, queries.user_seen, reads.user_items),
        _own(by_item, queries.item, queries.user, queries.item_seen, reads.item_users),
    )


def grid(
    context: Context,
    user: Tensor,
    item: Tensor,
    timestamp: Tensor,
    reads: Reads,
    with_history: bool = False,
    online: bool = False,
) -> Inputs:
    """Assemble the inputs for every user with every item.

    Parameters
    ----------
    user : (U,) int64
        Codes.
    item : (I,) int64
        Codes.
    timestamp : (U,) int64
        When each user asks, in seconds since 1970. A user may ask several times.
    reads : the inputs that the model reads
    with_history : whether the inputs have the history columns, as the state knows them
    online : whether a user's question sees all interactions before its second. If not, it sees what the state knows.
        The users who rated an item (`reads.item_users`) are always those that the state knows.
    """
    state = context.state
    user_seen, item_seen = state.users.count[user], state.items.count[item]
    visible = item_seen.expand(len(user), -1)
    if online:
        user_seen = state.by_user.seen_before(user, timestamp)
        if reads.half_lives:
            visible = state.by_item.counts_before(timestamp)[:, item]
    known = None
    if with_history:
        known = history(context, user[:, None], item[None], timestamp[:, None])
    user_own = None
    if reads.user_items:
        latest = state.by_user.latest(user, user_seen, reads.user_items)
        rated = torch.zeros(len(user), len(context.items), device=user.device)
        user_own = rated.index_put((latest.owner, latest.other), rated.new_ones(()))[:, item]
    users, items = torch.broadcast_tensors(user[:, None], item)
    return Inputs(
        _side(context.users, context.items, state.by_user, user, user_seen, None, reads.user_items),
        _side(context.items, context.users, state.by_item, item, item_seen, None, reads.item_users),
        Pairs(),
        known,
        lately(context, item.expand(len(user), -1), visible, timestamp[:, None], reads.half_lives),
        time(context, user, user_seen, timestamp)[:, None].expand(-1, len(item), -1) if reads.time else None,
        user_own,
        _own(state.by_item, items, users, item_seen, reads.item_users),
    )


def history(
    context: Context, user: Tensor, item: Tensor, timestamp: Tensor, known: Mapping[str, Tensor] | None = None
) -> Tensor:
    """Compute the history columns of pairs from the state: (P, H) float32, or (U, I, H) for a grid.

    Parameters
    ----------
    user, item, timestamp : int64
        Codes, and seconds since 1970: (P,) each, or (U, 1), (1, I) and (U, 1) for a grid.
    known : columns to use in place of computed ones
    """
    spec, state, damping = context.spec, context.state, context.spec.damping
    bag = context.items.bag[item]
    listed, slots = bag > 0, (bag > 0).sum(-1).clamp(min=1)
    of_genres = state.genre_count[user].float(), state.genre_total[user].float()
    genre_mean = damped(of_genres[1], of_genres[0], damping.genre)
    user_count, item_count = state.users.count[user].float(), state.items.count[item].float()
    columns = {
        "user_count": user_count,
        "user_mean": damped(state.users.total[user].float(), user_count, damping.user),
        "user_recency": _since(state.users.last[user], timestamp),
        "user_genre_count": (torch.take_along_dim(of_genres[0], bag, -1) * listed).sum(-1) / slots,
        "user_genre_mean": (torch.take_along_dim(genre_mean, bag, -1) * listed).sum(-1) / slots,
        "item_count": item_count,
        "item_mean": damped(state.items.total[item].float(), item_count, damping.item),
        "item_recency": _since(state.items.last[item], timestamp),
    }
    if spec.recent:
        last = torch.tensor(spec.recent, device=user.device) - 1
        count, total = (_windows(part, user, last) for part in (state.moment_count, state.moment_total))
        means = damped(total, count, damping.user).unbind(-1)
        columns |= zip(window_columns(spec.history, spec.recent), means, strict=True)
    return history_numbers(spec, {**columns, **(known or {})})


def _windows(moments: Tensor, user: Tensor, last: Tensor) -> Tensor:
    """Sum the moments (U, M) of each user (P,) up to each of the positions `last` (W,): (P, W) float32."""
    if len(user) > len(moments):  # users repeat
        return moments.cumsum(1)[:, last][user].float()
    return moments[user].cumsum(-1)[..., last].float()


def history_numbers(spec: Spec, columns: Mapping[str, Tensor]) -> Tensor:
    """Convert history columns to the form that a model sees: (P, H) float32. Their shapes are broadcast to (P,).

    Means stay in rating points. Counts and seconds become log(1 + x), and 0 without ratings. Seconds are capped,
    because a deployed model meets longer absences than training has shown it.
    """
    seen = []
    for name in (field.name for field in spec.of_kind("history")):
        column = columns[name].float()
        if not name.endswith("mean"):
            column = column.clamp(0, spec.recency_cap if name.endswith("recency") else None).log1p()
        seen.append(column)
    return torch.stack(torch.broadcast_tensors(*seen), -1)


def lately(
    context: Context, item: Tensor, seen: Tensor, timestamp: Tensor, half_lives: Sequence[float]
) -> Tensor | None:
    """Count the first `seen` ratings of each item, where a rating counts half after each half-life: (P, L) float32.

    Parameters
    ----------
    item, seen, timestamp : int64, of shapes that broadcast to (P,)
        Code of the item, number of its visible interactions, and time of the question in seconds since 1970.
    half_lives : L half-lives in days. Without any, the result is None.
    """
    if not half_lives:
        return None
    seconds = tuple(days * DAY for days in half_lives)
    return context.state.by_item.decayed_at(item, seen, timestamp, seconds).float()


def time(context: Context, user: Tensor, seen: Tensor, timestamp: Tensor) -> Tensor:
    """Compute the days since the first rating of the data set, and since the user's first rating: (B, 2) float32.

    The second number is 0 for a user without visible ratings.

    user, seen, timestamp : (B,) int64
        Code, number of visible interactions, and time of the question in seconds since 1970.
    """
    log, every = context.state.by_user, context.state.by_item.timestamp
    if not len(every):
        return torch.zeros(len(user), 2, device=user.device)
    age = torch.zeros_like(timestamp)
    if len(log.timestamp):
        first = log.timestamp[log.start[user].clamp(max=len(log.timestamp) - 1)]
        age = torch.where(seen > 0, (timestamp - first).clamp(min=0), 0)
    return torch.stack([timestamp - every.min(), age], 1).float() / DAY


def _once(
    code: Tensor, seen: Tensor | None, hidden: Tensor | None
) -> tuple[tuple[Tensor, Tensor, Tensor | None], Tensor]:
    """Find the distinct combinations of code, seen and hidden, and the position of each row among them."""
    key = code if hidden is None else code * 2 + hidden
    most = 1 if seen is None else int(seen.max()) + 1
    if seen is not None:
        key = key * most + seen
    key, place = torch.unique(key, return_inverse=True)
    key, seen = key // most, key % most
    return (key, seen, None) if hidden is None else (key // 2, seen, (key % 2).bool()), place


def _side(
    own: Entities, other: Entities, log: Ragged, code: Tensor, seen: Tensor, hidden: Tensor | None, most: int
) -> Side:
    categories = own.categories[code]
    index = categories[:, INDEX].clone()
    if hidden is not None:
        categories[:, INDEX].masked_fill_(hidden, 0)
    interactions = None
    if most:
        interactions = log.latest(code, seen, most)
        interactions = replace(interactions, other=other.index[interactions.other])
    return Side(categories, own.bag[code], own.numbers[code], index, interactions)


def _own(log: Ragged, owner: Tensor, other: Tensor, seen: Tensor, most: int) -> Tensor | None:
    """Return 1.0 if the pair's own rating is among the last `most` of the first `seen` interactions of its owner."""
    if not most:
        return None
    place = log.place(owner, other)
    return ((place >= 0) & (place < seen) & (place >= seen - most)).float()


def _since(last: Tensor, timestamp: Tensor) -> Tensor:
    return torch.where(last >= 0, timestamp - last, -1)
