"""Lists of different lengths side by side: who rated what, compressed by row."""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ragged:
    """A list of interactions for each of n owners, the users (or the items), laid end to end in order of time.

    The list of owner e is the entries `start[e]:start[e + 1]` of three columns: `other` (M,) int64, the item (or the
    user) as a code or an index; `rating` (M,) float32; `timestamp` (M,) int64. `start` is (n + 1,) int64. Entries of
    one second are in the order of `other`.
    """

    start: Tensor
    other: Tensor
    rating: Tensor
    timestamp: Tensor

    @classmethod
    def of(cls, owner: Tensor, other: Tensor, rating: Tensor, timestamp: Tensor, n: int) -> Self:
        """Group interactions (M,), in any order, by their owners 0 to n - 1."""
        order = other.argsort()
        order = order[timestamp[order].argsort(stable=True)]
        order = order[owner[order].argsort(stable=True)]
        return cls(_starts(torch.bincount(owner, minlength=n)), other[order], rating[order], timestamp[order])

    @classmethod
    def empty(cls, n: int) -> Self:
        none = torch.zeros(0, dtype=torch.int64)
        return cls(torch.zeros(n + 1, dtype=torch.int64), none, torch.zeros(0), none)

    def __len__(self) -> int:
        """The number of owners, n."""
        return len(self.start) - 1

    @property
    def count(self) -> Tensor:
        """The length of each list, (n,) int64."""
        return self.start.diff()

    @cached_property
    def owner(self) -> Tensor:
        """The owner of each entry, (M,) int64."""
        return torch.arange(len(self), device=self.start.device).repeat_interleave(self.count)

    def pick(self, owner: Tensor, first: Tensor, count: Tensor) -> Self:
        """One list for each `owner` (B,): `count` (B,) of its entries, from place `first` (B,) on."""
        start = _starts(count)
        within = torch.arange(int(start[-1]), device=start.device) - start[:-1].repeat_interleave(count)
        entry = (self.start[owner] + first).repeat_interleave(count) + within
        return type(self)(start, self.other[entry], self.rating[entry], self.timestamp[entry])

    def lists(self, owner: Tensor) -> Self:
        """The whole list of each `owner` (B,)."""
        count = self.count[owner]
        return self.pick(owner, torch.zeros_like(count), count)

    def latest(self, owner: Tensor, seen: Tensor, most: int) -> Self:
        """The last `most` of the first `seen` (B,) entries of each `owner` (B,)."""
        count = seen.clamp(max=most)
        return self.pick(owner, seen - count, count)

    def seen_before(self, owner: Tensor, timestamp: Tensor) -> Tensor:
        """How many entries each owner (N,) had strictly before `timestamp` (N,): (N,) int64."""
        if not len(self.timestamp):
            return torch.zeros_like(owner)
        first = torch.minimum(self.timestamp.min(), timestamp.min())
        span = torch.maximum(self.timestamp.max(), timestamp.max()) - first + 1
        key = self.owner * span + self.timestamp - first
        return torch.searchsorted(key, owner * span + timestamp - first) - self.start[owner]

    def place(self, owner: Tensor, other: Tensor) -> Tensor:
        """The place of `other` in the list of `owner`, of one shape; -1 where it is not in it. int64."""
        keys, place = self._by_pair
        if not len(keys):
            return torch.full_like(other, -1)
        wanted = owner * self._width + other
        at = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
        inside = (other >= 0) & (other < self._width)
        return torch.where((keys[at] == wanted) & inside, place[at], -1)

    def sum(self, table: Tensor, weight: Tensor | None = None) -> Tensor:
        """Sum over each list of the rows of `table` (I, K) that `other` points to, times `weight` (M,): (n, K).

        A product with a sparse matrix: on long lists several times faster than an embedding bag and its gradient.
        """
        values = torch.ones_like(self.rating) if weight is None else weight
        matrix = torch.sparse_coo_tensor(
            torch.stack([self.owner, self.other]), values, (len(self), len(table)), check_invariants=False
        )
        with torch.autocast(table.device.type, enabled=False):  # its gradient fails in mixed precision
            total: Tensor = torch.sparse.mm(matrix, table)
        return total

    def padded(self, owner: Tensor) -> tuple[Tensor, Tensor]:
        """Numbers of the entries of each `owner` (B,), side by side: (B, longest) int64; and whether each is one of
        the owner's and no padding: (B, longest) bool."""
        count = self.count[owner]
        within = torch.arange(int(count.max()) if len(owner) else 0, device=owner.device)
        known = within < count[:, None]
        return torch.where(known, self.start[owner][:, None] + within, 0), known

    def appended(self, owner: Tensor, other: Tensor, rating: Tensor, timestamp: Tensor) -> Self:
        """The lists with further interactions (B,), all later than those that the lists have. Copies everything."""
        old, new = (self.owner, self.other, self.rating, self.timestamp), (owner, other, rating, timestamp)
        owner, other, rating, timestamp = (torch.cat(pair) for pair in zip(old, new, strict=True))
        return type(self).of(owner, other, rating, timestamp, len(self))

    def extended(self, n: int) -> Self:
        """With n more owners, whose lists are empty."""
        return replace(self, start=torch.cat([self.start, self.start[-1:].expand(n)]))

    def to(self, device: torch.device | str) -> Self:
        return type(self)(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})

    @cached_property
    def _width(self) -> int:
        return int(self.other.max()) + 1 if len(self.other) else 1

    @cached_property
    def _by_pair(self) -> tuple[Tensor, Tensor]:
        """Sorted keys of (owner, other), and the place of each in its list."""
        keys, order = (self.owner * self._width + self.other).sort()
        return keys, order - self.start[self.owner[order]]


def _starts(count: Tensor) -> Tensor:
    return torch.cat([count.new_zeros(1), count.cumsum(0)])
