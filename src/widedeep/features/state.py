"""What ratings leave behind of each user and item, and how further ratings change it.

The sums are those of `widedeep.features.history`, which computes them for whole tables: integers in units of 1 / `UNIT`
rating points, so that they do not depend on the order of additions.
"""

from dataclasses import dataclass, fields, replace
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional

from widedeep.features.ragged import Ragged
from widedeep.features.spec import UNIT, Damping

# The parts of a `State` that have a row for each user and several columns.
BY_USER = ("genre_count", "genre_total", "moment_count", "moment_total")


@dataclass(frozen=True)
class Sums:
    """Of n users (or items): `count` (n,) ratings, `total` (n,) of their residuals, and `last` (n,) the second of the
    latest rating, -1 where there is none. int64."""

    count: Tensor
    total: Tensor
    last: Tensor

    def extended(self, n: int) -> Self:
        """Room for n more, of whom nothing is known."""
        none = self.count.new_zeros(n)
        return type(self)(
            *(torch.cat(part) for part in ((self.count, none), (self.total, none), (self.last, none - 1)))
        )

    def added(self, owner: Tensor, residual: Tensor, at: Tensor) -> Self:
        """With the residuals (B,) of ratings of one second."""
        count = self.count.index_add(0, owner, torch.ones_like(owner))
        return type(self)(count, self.total.index_add(0, owner, residual), self.last.index_fill(0, owner, int(at)))

    def to(self, device: torch.device | str) -> Self:
        return type(self)(self.count.to(device), self.total.to(device), self.last.to(device))


class Ratings(NamedTuple):
    """B ratings of one second: `user`, `item` (B,) int64 codes, `rating` (B,) float32, `at` () int64 second."""

    user: Tensor
    item: Tensor
    rating: Tensor
    at: Tensor


@dataclass(frozen=True)
class State:
    """What is known at a moment of U users and I items.

    users, items : sums of the ratings so far
    genre_count, genre_total : (U, G) int64, the same by user and genre
    moment_count, moment_total : (U, R) int64, the same of the last R seconds in which each user rated, the latest first
    by_user, by_item : the ratings themselves; the other side is a code
    pending : ratings of the latest second, which count for what comes after that second
    """

    users: Sums
    items: Sums
    genre_count: Tensor
    genre_total: Tensor
    moment_count: Tensor
    moment_total: Tensor
    by_user: Ragged
    by_item: Ragged
    pending: Ratings | None = None

    def extended(self, users: int, items: int) -> Self:
        """Room for so many more users and items, of whom nothing is known."""
        rows = {name: functional.pad(getattr(self, name), (0, 0, 0, users)) for name in BY_USER}
        return type(self)(
            users=self.users.extended(users),
            items=self.items.extended(items),
            **rows,
            by_user=self.by_user.extended(users),
            by_item=self.by_item.extended(items),
            pending=self.pending,
        )

    def to(self, device: torch.device | str) -> Self:
        pending = None if self.pending is None else Ratings(*(part.to(device) for part in self.pending))
        moved = {field.name: getattr(self, field.name).to(device) for field in fields(self) if field.name != "pending"}
        return type(self)(**moved, pending=pending)


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
    waiting = state.pending
    if waiting is None or at != int(waiting.at):
        return replace(settled(state, bag, mean, damping), pending=ratings)
    user, item, rating = (torch.cat(pair) for pair in zip(waiting[:3], ratings[:3], strict=True))
    return replace(state, pending=Ratings(user, item, rating, ratings.at))


def latest(state: State) -> int:
    """The second of the latest rating; -1 if there is none."""
    if state.pending is not None:
        return int(state.pending.at)
    return int(state.users.last.max()) if len(state.users.last) else -1


def settled(state: State, bag: Tensor, mean: float, damping: Damping) -> State:
    """The state in which pending ratings count, as it is seen from any later second."""
    if state.pending is None:
        return state
    user, item, rating, at = state.pending
    residual = ((rating.double() - mean) * UNIT).round().long()
    of_user = residual - _mean(state.items, item, damping.item)
    of_genre = of_user - _mean(state.users, user, damping.user)

    genres = bag[item]  # (B, G)
    slot = user[:, None] * state.genre_count.shape[1] + genres
    slot, each = slot[genres > 0], of_genre[:, None].expand_as(genres)[genres > 0]
    raters, place = user.unique(return_inverse=True)

    def with_genres(sums: Tensor, values: Tensor) -> Tensor:
        return sums.flatten().index_add(0, slot, values).view_as(sums)

    def with_moment(known: Tensor, values: Tensor) -> Tensor:
        newest = torch.zeros_like(raters).index_add(0, place, values)
        return known.index_copy(0, raters, torch.cat([newest[:, None], known[raters]], 1)[:, : known.shape[1]])

    time = at.expand(len(user))
    return State(
        users=state.users.added(user, of_user, at),
        items=state.items.added(item, residual, at),
        genre_count=with_genres(state.genre_count, torch.ones_like(slot)),
        genre_total=with_genres(state.genre_total, each),
        moment_count=with_moment(state.moment_count, torch.ones_like(of_user)),
        moment_total=with_moment(state.moment_total, of_user),
        by_user=state.by_user.appended(user, item, rating, time),
        by_item=state.by_item.appended(item, user, rating, time),
    )


def damped(total: Tensor, count: Tensor, damping: float) -> Tensor:
    """Mean of residuals in rating points, with `damping` ratings of 0 added; 0 where there are none.

    `total` and `count` are floats of any one precision, which is that of the result.
    """
    return torch.where(count > 0, total / UNIT / (count + damping), 0)


def _mean(sums: Sums, owner: Tensor, damping: float) -> Tensor:
    """The damped mean of each owner (B,) in units of a residual, int64."""
    mean = damped(sums.total[owner].double(), sums.count[owner].double(), damping)
    return (mean * UNIT).round().long()
