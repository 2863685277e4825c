"""What ratings leave behind of each user and item, and how one more rating changes it.

The sums are those of `widedeep.features.history`, which computes them for whole tables: integers in units of 1 / `UNIT`
rating points, so that they do not depend on the order of additions.
"""

from dataclasses import dataclass, fields, replace
from typing import NamedTuple, Self

import torch
from torch import Tensor

from widedeep.features.ragged import Ragged
from widedeep.features.spec import UNIT, Damping

# The parts of a `State` that have a row for each user and several columns.
BY_USER = ("genre_count", "genre_total", "moment_count", "moment_total")


class Sums(NamedTuple):
    """Of n users (or items): `count` (n,) ratings, `total` (n,) of their residuals, and `last` (n,) the second of the
    latest rating, -1 where there is none. int64."""

    count: Tensor
    total: Tensor
    last: Tensor

    def extended(self, n: int) -> "Sums":
        """Room for n more, of whom nothing is known."""
        return Sums(*(torch.cat([part, part.new_full((n,), -1 if name == "last" else 0)]) for name, part in self._asdict().items()))


@dataclass(frozen=True)
class State:
    """What is known at a moment.

    users, items : sums of the ratings so far
    genre_count, genre_total : (U, G) int64, the same by user and genre
    moment_count, moment_total : (U, R) int64, the same of the last R seconds in which each user rated, the latest first
    by_user, by_item : the ratings themselves; items and users are codes
    pending : ratings of the latest second, which count for what comes later than that second
    """

    users: Sums
    items: Sums
    genre_count: Tensor
    genre_total: Tensor
    moment_count: Tensor
    moment_total: Tensor
    by_user: Ragged
    by_item: Ragged
    pending: "Ratings | None" = None

    def extended(self, users: int, items: int) -> Self:
        """Room for so many more users and items, of whom nothing is known."""
        ragged = [replace(one, start=torch.cat([one.start, one.start[-1:].expand(n)])) for one, n in ((self.by_user, users), (self.by_item, items))]
        grown = {name: torch.nn.functional.pad(getattr(self, name), (0, 0, 0, users)) for name in BY_USER}
        return replace(self, users=self.users.extended(users), items=self.items.extended(items), by_user=ragged[0], by_item=ragged[1], **grown)

    def to(self, device: torch.device | str) -> Self:
        moved = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Sums | Ratings):
                value = type(value)(*(part.to(device) for part in value))
            elif value is not None:
                value = value.to(device)
            moved[field.name] = value
        return type(self)(**moved)


class Ratings(NamedTuple):
    """B ratings of one second: `user`, `item` (B,) int64 codes, `rating` (B,) float32, `at` () int64 second."""

    user: Tensor
    item: Tensor
    rating: Tensor
    at: Tensor


def add(state: State, bag: Tensor, mean: float, damping: Damping, ratings: Ratings) -> State:
    """The state after ratings of one second, which may not lie before those that it has.

    What is tied in time is not visible to each other: the ratings of a second wait in `pending` until a later one comes
    or `settled` is asked for.

    Parameters
    ----------
    bag : (I, G) int64, the genres of every item
    mean : of the training ratings
    damping : of the means

    Raises
    ------
    ValueError
        The ratings are older than what the state knows.
    """
    at, now = int(ratings.at), latest(state)
    if at < now:
        raise ValueError(f"Ratings must come in order of time. Got second {at} after second {now}.")
    if state.pending is not None and at == int(state.pending.at):
        joined = [torch.cat([old, new]) for old, new in zip(state.pending[:3], ratings[:3], strict=True)]
        return replace(state, pending=Ratings(*joined, ratings.at))
    return replace(settled(state, bag, mean, damping), pending=ratings)


def latest(state: State) -> int:
    """The second of the latest rating; -1 if there is none."""
    times = [state.users.last.max().item() if len(state.users.last) else -1]
    return int(max(times + ([int(state.pending.at)] if state.pending is not None else [])))


def settled(state: State, bag: Tensor, mean: float, damping: Damping) -> State:
    """The state in which pending ratings count, as it is seen from any later second."""
    if state.pending is None:
        return state
    user, item, rating, at = state.pending
    residual = ((rating.double() - mean) * UNIT).round().long()
    item_mean = damped(state.items.total[item].double(), state.items.count[item].double(), damping.item)
    of_user = residual - (item_mean * UNIT).round().long()
    user_mean = damped(state.users.total[user].double(), state.users.count[user].double(), damping.user)
    of_genre = of_user - (user_mean * UNIT).round().long()

    genres = bag[item]  # (B, G)
    slot = user[:, None] * state.genre_count.shape[1] + genres
    slot, each = slot[genres > 0], of_genre[:, None].expand_as(genres)[genres > 0]
    genre_count = state.genre_count.flatten().index_add(0, slot, torch.ones_like(slot)).view_as(state.genre_count)
    genre_total = state.genre_total.flatten().index_add(0, slot, each).view_as(state.genre_total)

    raters, place = user.unique(return_inverse=True)
    moments = []
    for known, added in ((state.moment_count, torch.ones_like(of_user)), (state.moment_total, of_user)):
        newest = torch.zeros_like(raters).index_add(0, place, added)
        shifted = torch.cat([newest[:, None], known[raters]], 1)[:, : known.shape[1]]
        moments.append(known.index_copy(0, raters, shifted))
    time = at.expand(len(user))
    return State(
        _added(state.users, user, of_user, at),
        _added(state.items, item, residual, at),
        genre_count,
        genre_total,
        *moments,
        state.by_user.appended(user, item, rating, time),
        state.by_item.appended(item, user, rating, time),
    )


def damped(total: Tensor, count: Tensor, damping: float) -> Tensor:
    """Mean of residuals in rating points, with `damping` ratings of 0 added; 0 where there are none.

    `total` and `count` are floats of any one precision, which is that of the result.
    """
    return torch.where(count > 0, total / UNIT / (count + damping), 0)


def _added(sums: Sums, owner: Tensor, residual: Tensor, at: Tensor) -> Sums:
    ones = torch.ones_like(owner)
    last = sums.last.index_fill(0, owner, int(at))
    return Sums(sums.count.index_add(0, owner, ones), sums.total.index_add(0, owner, residual), last)
