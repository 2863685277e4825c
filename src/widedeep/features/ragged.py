"""Lists of interactions with different lengths, such as the items that each user rated (a compressed sparse row)."""

import math
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Final, Self

import torch
from torch import Tensor

SECONDS: Final = "seconds"
RATINGS: Final = "ratings"
SEARCH = 20  # times as long as counting an entry


@dataclass(frozen=True)
class Ragged:
    """A list of interactions for each of n owners. If the owners are users, the interactions are with items.

    The lists lie end to end in three columns of M entries. The list of owner e has the entries
    `start[e]:start[e + 1]`, in order of time. Entries of the same second are in the order of `other`.

    start : (n + 1,) int64
    other : (M,) int64
        The item, if owners are users, or the user, if owners are items. A code or an index.
    rating : (M,) float32
    timestamp : (M,) int64
        Seconds since 1970.
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
        """Return empty lists of n owners."""
        none = torch.zeros(0, dtype=torch.int64)
        return cls(torch.zeros(n + 1, dtype=torch.int64), none, torch.zeros(0), none)

    def __len__(self) -> int:
        """Return the number of owners, n."""
        return len(self.start) - 1

    @cached_property
    def count(self) -> Tensor:
        """The length of each list, (n,) int64."""
        return self.start.diff()

    @cached_property
    def owner(self) -> Tensor:
        """The owner of each entry, (M,) int64."""
        return torch.arange(len(self), device=self.start.device).repeat_interleave(self.count)

    def pick(self, owner: Tensor, first: Tensor, count: Tensor) -> Self:
        """Return B new lists: of each `owner` (B,), `count` (B,) entries from position `first` (B,) on."""
        start = _starts(count)
        within = torch.arange(int(start[-1]), device=start.device) - start[:-1].repeat_interleave(count)
        entry = (self.start[owner] + first).repeat_interleave(count) + within
        return type(self)(start, *picked(entry, self.other, self.rating, self.timestamp))

    def lists(self, owner: Tensor) -> Self:
        """Return the whole list of each `owner` (B,)."""
        count = self.count[owner]
        return self.pick(owner, torch.zeros_like(count), count)

    def latest(self, owner: Tensor, seen: Tensor, most: int) -> Self:
        """Return, of each `owner` (B,), the last `most` of its first `seen` (B,) entries."""
        count = seen.clamp(max=most)
        return self.pick(owner, seen - count, count)

    def seen_before(self, owner: Tensor, timestamp: Tensor) -> Tensor:
        """Count the entries of each `owner` (N,) strictly before `timestamp` (N,): (N,) int64."""
        if not len(self.timestamp) or not owner.numel():
            return torch.zeros_like(owner)
        key, first, span = self._by_owner
        return torch.searchsorted(key, owner * span + (timestamp - first).clamp(0, span - 1)) - self.start[owner]

    def counts_before(self, timestamp: Tensor) -> Tensor:
        """Count the entries of every list strictly before each `timestamp` (Q,): (Q, n) int64."""
        if len(timestamp) * len(self) * SEARCH < len(self.timestamp):
            owner = torch.arange(len(self), device=timestamp.device).repeat(len(timestamp))
            return self.seen_before(owner, timestamp.repeat_interleave(len(self))).view(-1, len(self))
        owner = self._by_time[1]
        end, order = self.before(timestamp).sort()
        # Count each entry for the first question that sees it, and add up over the questions.
        first = torch.searchsorted(end, torch.arange(int(end[-1]), device=end.device), right=True)
        counted = torch.bincount(first * len(self) + owner[: len(first)], minlength=len(end) * len(self))
        counts = torch.empty(len(end), len(self), dtype=torch.int64, device=end.device)
        counts[order] = counted.view(len(end), len(self)).cumsum(0)
        return counts

    def decayed(self, half_lives: tuple[float, ...], clock: str = SECONDS, least: float = -math.inf) -> Tensor:
        """Count the entries of each list up to and including each entry, where older ones count less: (M, L) float64.

        An entry counts 2^(-age / half-life), where age is the time until the later entry. With the half-life infinity
        every entry counts 1. To add an entry later, its value is 1 + the value before it * its decay.

        Parameters
        ----------
        half_lives : L half-lives, in units of the clock
        clock : `SECONDS`, or `RATINGS`: the number of entries of all lists that are older
        least : entries rated lower do not count
        """
        key = (half_lives, clock, least)
        if key not in self._decayed:
            time = (self.timestamp if clock == SECONDS else self.tick).double()
            rate = 1 / torch.tensor(half_lives, dtype=torch.float64, device=time.device)
            total = (self.rating >= least).double()[:, None].repeat(1, len(half_lives))
            count, owners = self.count, torch.arange(len(self), device=time.device)
            for place in range(1, int(count.max()) if len(count) else 0):
                owners = owners[count[owners] > place]
                at = self.start[owners] + place
                total[at] += total[at - 1] * torch.exp2((time[at - 1] - time[at])[:, None] * rate)
            self._decayed[key] = total
        return self._decayed[key]

    def decayed_at(
        self,
        owner: Tensor,
        seen: Tensor,
        now: Tensor,
        half_lives: tuple[float, ...],
        clock: str = SECONDS,
        least: float = -math.inf,
    ) -> Tensor:
        """Count the first `seen` entries of each owner at the time `now`, as `decayed` does: (..., L) float64.

        Parameters
        ----------
        owner, seen, now : int64, of shapes that broadcast to (...)
        half_lives, clock, least : as in `decayed`
        """
        owner, seen, now = torch.broadcast_tensors(owner, seen, now)
        if least == -math.inf and set(half_lives) == {math.inf}:
            return seen.double()[..., None].expand(*seen.shape, len(half_lives))
        if not len(self.other):
            return torch.zeros(*seen.shape, len(half_lives), dtype=torch.float64, device=seen.device)
        entry = (self.start[owner] + seen - 1).clamp(min=0)
        time = self.timestamp if clock == SECONDS else self.tick
        age = (now - time[entry]).clamp(min=0).double()
        rate = 1 / torch.tensor(half_lives, dtype=torch.float64, device=seen.device)
        counted = self.decayed(half_lives, clock, least)[entry] * torch.exp2(-age[..., None] * rate)
        return torch.where(seen[..., None] > 0, counted, 0)

    @cached_property
    def tick(self) -> Tensor:
        """The number of entries of all lists that are older than each entry, (M,) int64."""
        return torch.searchsorted(self._by_time[0], self.timestamp)

    def before(self, timestamp: Tensor) -> Tensor:
        """Count the entries of all lists strictly before each `timestamp` (Q,): (Q,) int64."""
        return torch.searchsorted(self._by_time[0], timestamp)

    def place(self, owner: Tensor, other: Tensor) -> Tensor:
        """Find the position of `other` in the list of `owner`, or -1 if it is not there.

        owner, other : int64, of the same shape as the int64 result
        """
        keys, place = self._by_pair
        if not len(keys):
            return torch.full_like(other, -1)
        wanted = owner * self._width + other
        at = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
        inside = (other >= 0) & (other < self._width)
        return torch.where((keys[at] == wanted) & inside, place[at], -1)

    def sum(self, table: Tensor, weight: Tensor | None = None) -> Tensor:
        """Sum the rows of `table` (I, K) that the entries of each list point to: (n, K).

        The row of an entry is multiplied by its `weight` (M,). The sum is a product with a sparse matrix. On long lists
        this is several times faster than an embedding bag, with gradient.
        """
        values = torch.ones_like(self.rating) if weight is None else weight
        matrix = torch.sparse_coo_tensor(
            torch.stack([self.owner, self.other]), values, (len(self), len(table)), check_invariants=False
        )
        with torch.autocast(table.device.type, enabled=False):  # sparse products know no half precision
            total: Tensor = torch.sparse.mm(matrix, table)
        return total

    def padded(self, owner: Tensor) -> tuple[Tensor, Tensor]:
        """Return the entries of each `owner` (B,) as rows of a matrix, padded to the longest list.

        Returns
        -------
        the number of each entry, 0 to M - 1, (B, longest) int64, and False for padding, (B, longest) bool
        """
        count = self.count[owner]
        within = torch.arange(int(count.max()) if len(owner) else 0, device=owner.device)
        known = within < count[:, None]
        return torch.where(known, self.start[owner][:, None] + within, 0), known

    def appended(self, owner: Tensor, other: Tensor, rating: Tensor, timestamp: Tensor) -> Self:
        """Return the lists with B more interactions, which must be later than all others. Everything is copied."""
        old, new = (self.owner, self.other, self.rating, self.timestamp), (owner, other, rating, timestamp)
        owner, other, rating, timestamp = (torch.cat(pair) for pair in zip(old, new, strict=True))
        return type(self).of(owner, other, rating, timestamp, len(self))

    def extended(self, n: int) -> Self:
        """Return the lists and n empty lists behind them."""
        return replace(self, start=torch.cat([self.start, self.start[-1:].expand(n)]))

    @cached_property
    def behind_one(self) -> Self:
        """The same lists, for codes of others that are one higher."""
        return replace(self, other=self.other + 1)

    def to(self, device: torch.device | str) -> Self:
        return type(self)(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})

    @cached_property
    def _by_time(self) -> tuple[Tensor, Tensor]:
        """Return the sorted timestamps of all entries, and the owner of each."""
        times, order = self.timestamp.sort()
        return times, self.owner[order]

    @cached_property
    def _by_owner(self) -> tuple[Tensor, int, int]:
        """Return the sorted keys of (owner, timestamp), the first second, and the number of seconds of an owner.

        An owner has a second more than the entries need: all entries are before it.
        """
        first = int(self.timestamp.min())
        span = int(self.timestamp.max()) - first + 2
        return self.owner * span + self.timestamp - first, first, span

    @cached_property
    def _decayed(self) -> dict[tuple[tuple[float, ...], str, float], Tensor]:
        return {}

    @cached_property
    def _width(self) -> int:
        return int(self.other.max()) + 1 if len(self.other) else 1

    @cached_property
    def _by_pair(self) -> tuple[Tensor, Tensor]:
        """Return the sorted keys of (owner, other), and the position of each in the list of its owner."""
        keys, order = (self.owner * self._width + self.other).sort()
        return keys, order - self.start[self.owner[order]]


def picked(entry: Tensor, *columns: Tensor) -> tuple[Tensor, ...]:
    """Return the entries of columns (M,) at the places `entry` (E,), (E,) each. This is faster than indexing."""
    return tuple(column.index_select(0, entry) for column in columns)


def _starts(count: Tensor) -> Tensor:
    return torch.cat([count.new_zeros(1), count.cumsum(0)])
