"""The state of users and items: what is known from their ratings so far, and how new ratings change it.

`widedeep.features.history` computes the same sums for whole tables. They are integers in units of 1 / `UNIT` rating
points, so that the order of additions does not matter.
"""

from dataclasses import dataclass, fields, replace
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional

from widedeep.features.ragged import Ragged
from widedeep.features.spec import BY_USER, UNIT, Damping


@dataclass(frozen=True)
class Sums:
    """Sums over the ratings of each of n users, or items.

    count : (n,) int64
        Number of ratings.
    total : (n,) int64
        Sum of the residuals, in units of 1 / `UNIT` rating points.
    last : (n,) int64
        Second of the latest rating; -1 without ratings.
    """

    count: Tensor
    total: Tensor
    last: Tensor

    def extended(self, n: int) -> Self:
        """Return a copy with n more users (or items) without ratings."""
        none = self.count.new_zeros(n)
        return type(self)(
            *(torch.cat(part) for part in ((self.count, none), (self.total, none), (self.last, none - 1)))
        )

    def added(self, owner: Tensor, residual: Tensor, at: Tensor) -> Self:
        """Return a copy with B more ratings of the same second `at`: their owners and residuals, both (B,) int64."""
        count = self.count.index_add(0, owner, torch.ones_like(owner))
        return type(self)(count, self.total.index_add(0, owner, residual), self.last.index_fill(0, owner, int(at)))

    def to(self, device: torch.device | str) -> Self:
        return type(self)(self.count.to(device), self.total.to(device), self.last.to(device))


class Ratings(NamedTuple):
    """B ratings of the same second.

    user, item : (B,) int64
        Codes.
    rating : (B,) float32
    at : () int64
        Seconds since 1970.
    """

    user: Tensor
    item: Tensor
    rating: Tensor
    at: Tensor


@dataclass(frozen=True)
class State:
    """What is known of U users and I items at one moment.

    users, items : sums over all ratings so far
    genre_count, genre_total : (U, G) int64
        Count and total by user and genre.
    moment_count, moment_total : (U, R) int64
        Count and total in each of the last R seconds in which the user rated, the latest first.
    by_user, by_item : the ratings themselves; `other` holds codes
    pending : ratings of the latest second, which do not count yet; None if there are none
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
        """Return a copy with more users and items, given by their numbers, without ratings."""
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
    """Return the state after new ratings, all of the same second.

    Ratings of the same second must not see each other. So they wait in `pending` until a later rating is added, or
    `settled` is called.

    Parameters
    ----------
    bag : (I, G) int64
        Indices of the genres of every item, padded with 0.
    mean : mean of the training ratings
    damping : damping of the means
    ratings : not older than the latest rating in the state

    Raises
    ------
    ValueError
        The ratings are older than the latest rating in the state.
    """
    at, now = int(ratings.at), latest(state)
    if at < now:
        raise ValueError(f"Ratings must be added in order of time. Got second {at} after second {now}.")
    waiting = state.pending
    if waiting is None or at != int(waiting.at):
        return replace(settled(state, bag, mean, damping), pending=ratings)
    user, item, rating = (torch.cat(pair) for pair in zip(waiting[:3], ratings[:3], strict=True))
    return replace(state, pending=Ratings(user, item, rating, ratings.at))


def latest(state: State) -> int:
    """Return the second of the latest rating; -1 if there is none."""
    if state.pending is not None:
        return int(state.pending.at)
    return int(state.users.last.max()) if len(state.users.last) else -1


def settled(state: State, bag: Tensor, mean: float, damping: Damping) -> State:
    """Return the state in which pending ratings count, as they do at any later second. For parameters see `add`."""
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
    """Return the mean of residuals in rating points, with `damping` residuals of 0 added; 0 without ratings.

    total, count : floats of the same shape and precision, which the result has as well
    """
    return torch.where(count > 0, total / UNIT / (count + damping), 0)


def _mean(sums: Sums, owner: Tensor, damping: float) -> Tensor:
    """Return the damped mean of each owner (B,): (B,) int64 in units of 1 / `UNIT` rating points."""
    mean = damped(sums.total[owner].double(), sums.count[owner].double(), damping)
    return (mean * UNIT).round().long()
