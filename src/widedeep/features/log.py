"""Who rated what, looked up for a whole batch at once: lists of different lengths, compressed by row."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from widedeep.features.inputs import Interactions


def ranges(count: Tensor) -> tuple[Tensor, Tensor]:
    """The entries of lists of `count` (n,) int64, one after the other: which list each is of, and its place in it."""
    place = torch.arange(len(count), device=count.device).repeat_interleave(count)
    within = torch.arange(len(place), device=count.device) - (count.cumsum(0) - count)[place]
    return place, within


@dataclass(frozen=True)
class Log:
    """The interactions of each user (or item) in order of time, compressed by row: those of entity e lie at
    `start[e]:start[e + 1]`. `other` (M,) int64 code of the other side, `rating` (M,) float32, `timestamp` (M,)
    int64. `pair` (M,) int64, sorted, is user * items + item of all ratings, `place` (M,) where in its entity's list
    each stands."""

    start: Tensor
    other: Tensor
    rating: Tensor
    timestamp: Tensor
    pair: Tensor
    place: Tensor

    @classmethod
    def of(cls, owner: Tensor, other: Tensor, rating: Tensor, timestamp: Tensor, pair: Tensor, n: int) -> Self:
        """From (M,) ratings in any order of n owners."""
        order = pair.argsort()
        order = order[timestamp[order].argsort(stable=True)]
        order = order[owner[order].argsort(stable=True)]
        counts = torch.bincount(owner, minlength=n)
        start = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        place = torch.arange(len(order)) - start[:-1].repeat_interleave(counts)
        by_pair = pair[order].argsort()
        return cls(start, other[order], rating[order], timestamp[order], pair[order][by_pair], place[by_pair])

    def seen_before(self, owner: Tensor, timestamp: Tensor) -> Tensor:
        """How many interactions each owner (N,) had strictly before `timestamp` (N,)."""
        if not len(self.timestamp):
            return torch.zeros_like(owner)
        first = torch.minimum(self.timestamp.min(), timestamp.min())
        span = torch.maximum(self.timestamp.max(), timestamp.max()) - first + 1
        key = torch.arange(len(self.start) - 1).repeat_interleave(self.start.diff()) * span + self.timestamp - first
        return torch.searchsorted(key, owner * span + timestamp - first) - self.start[owner]

    def latest(self, owner: Tensor, seen: Tensor, most: int, index: Tensor) -> Interactions:
        """The last `most` of the first `seen` (n,) interactions of each owner (n,); `index` maps codes of the
        other side to its vocabulary."""
        count = seen.clamp(max=most)
        places, within = ranges(count)
        entry = (self.start[owner] + seen - count)[places] + within
        return Interactions(places, index[self.other[entry]], self.rating[entry], count.float())

    def own(self, pair: Tensor, seen: Tensor, most: int) -> Tensor:
        """1.0 where the pair's own rating is among the last `most` of the first `seen` interactions of its owner."""
        if not len(self.pair):
            return torch.zeros_like(pair, dtype=torch.float32)
        at = torch.searchsorted(self.pair, pair).clamp(max=len(self.pair) - 1)
        place = self.place[at]
        return ((self.pair[at] == pair) & (place < seen) & (place >= seen - most)).float()

    def to(self, device: torch.device | str) -> Self:
        return type(self)(**{name: value.to(device) for name, value in vars(self).items()})


class Sets:
    """The items of each user among some ratings, and when the first of them was rated (`first`, (U,) int64)."""

    def __init__(self, user: Tensor, item: Tensor, timestamp: Tensor, users: int) -> None:
        self.item = item[user.argsort(stable=True)]
        self.count = torch.bincount(user, minlength=users)
        self.start = self.count.cumsum(0) - self.count
        self.first = torch.zeros_like(self.count).scatter_reduce(0, user, timestamp, "amin", include_self=False)

    def of(self, user: Tensor) -> tuple[Tensor, Tensor]:
        """Place in `user` (B,) and item of all pairs of these users, (P,) each."""
        place, within = ranges(self.count[user])
        return place, self.item[self.start[user][place] + within]
