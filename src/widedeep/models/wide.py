"""The wide part: a linear model over ids, demographics, genres, numbers and crosses (Cheng et al. 2016, eq. 1)."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from widedeep.features.inputs import Inputs
from widedeep.features.spec import Cross, Spec
from widedeep.models.numbers import Numbers
from widedeep.models.table import Part, Table


class Wide(nn.Module):
    """A linear model: a weight for each value of a category, genre or cross, and for each number, for each head.

    A look-up in a table of weights gives the same as a one-hot vector times the weights, but is faster. All weights
    are in one table; its row 0 stands for an absent value and stays 0. The weights of an item's genres are averaged, so
    that an item with many genres does not count more.
    """

    def __init__(self, spec: Spec, numbers: Numbers, heads: int, l2: float, uncertain: bool = False) -> None:
        super().__init__()
        self.l2 = l2
        fields = (*spec.of_kind("category"), *spec.of_kind("bag"))
        self.cardinality = {field.name: int(field.cardinality or 0) for field in fields}
        self.position: dict[str, tuple[str, int]] = {}
        for entity in ("user", "item"):
            own = [field.name for field in spec.of_kind("category") if field.entity == entity]
            self.position |= {name: (entity, slot) for slot, name in enumerate(own)}
        self.bag = next((field.name for field in spec.of_kind("bag")), None)
        self.crosses = spec.crosses
        self.start, start = {}, 1
        for name in (*self.position, *([self.bag] if self.bag else [])):
            self.start[name] = start
            start += self.cardinality[name]
        self.user_starts, self.item_starts = (
            nn.Buffer(
                torch.tensor([self.start[name] for name, (owner, _) in self.position.items() if owner == entity]),
                persistent=False,
            )
            for entity in ("user", "item")
        )
        self.cross_start = []
        for cross in spec.crosses:
            self.cross_start.append(start)
            start += cross.cardinality
        crosses = zip((cross.fields for cross in spec.crosses), self.cross_start, strict=True)
        parts: list[tuple[Part, int]] = [*self.start.items(), *crosses]
        self.table = Table(start, heads, padding_idx=0, uncertain=uncertain, parts=parts)
        self.numbers = numbers.linear(heads)
        nn.init.zeros_(self.table.weight)
        nn.init.zeros_(self.numbers.weight)
        self.bias = nn.Parameter(torch.zeros(heads))

    def forward(self, inputs: Inputs, numbers: tuple[Tensor, Tensor, Tensor | None]) -> tuple[Tensor, Tensor]:
        """Return the scores, (P, heads), and `l2` times the mean over pairs of the squares of the active weights."""
        pairs = inputs.pairs
        bag = [] if self.bag is None else [_rows(inputs.items.bag, self.start[self.bag])]
        crosses = [
            _rows(self._cross(cross, inputs), start)
            for cross, start in zip(self.crosses, self.cross_start, strict=True)
        ]
        categories = inputs.users.categories + self.user_starts, inputs.items.categories + self.item_starts
        user, item, *others = self._weights(*categories, *bag, *crosses)  # (U, F, heads), (I, F, heads), ...
        share = _share(inputs.items.bag)[..., None]
        if bag:
            item = torch.cat([item, others.pop(0) * share], 1)
        of_users, of_items, of_pairs = self.numbers(numbers)
        total = pairs.of_users(user.sum(1) + of_users) + pairs.of_items(item.sum(1) + of_items + self.bias)
        if of_pairs is not None:
            total = total + of_pairs
        if crosses:
            share = pairs.of_items(share)  # (P, G, 1)
        others = [weight * share if weight.ndim > total.ndim else weight for weight in others]
        for weight in others:
            total = total + (weight.sum(-2) if weight.ndim > total.ndim else weight)
        if not self.l2:
            return total, total.new_zeros(())
        squares = [pairs.of_users(user.square().sum((1, 2))), pairs.of_items(item.square().sum((1, 2)))]
        squares += [weight.square().flatten(total.ndim - 1).sum(-1) for weight in others]
        return total, self.l2 * torch.stack([square.mean() for square in squares]).sum()

    def _weights(self, *rows: Tensor) -> Iterator[Tensor]:
        """Look up the weights of several tensors of rows, each of shape (...): (..., heads) each.

        One look-up for all of them, because the gradient of each would be as large as the table.
        """
        found = self.table(torch.cat([part.flatten() for part in rows])).split([part.numel() for part in rows])
        return (weight.view(*part.shape, -1) for weight, part in zip(found, rows, strict=True))

    def _cross(self, cross: Cross, inputs: Inputs) -> Tensor:
        """Return the index of each pair's combination: (P,), or (P, G) if genres are among the fields. 0 is unseen."""
        parts = [self._values(name, inputs) for name in cross.fields]
        axes = max(part.ndim for part in parts)
        index = torch.zeros((), dtype=torch.int64, device=inputs.users.categories.device)
        seen = torch.ones((), dtype=torch.bool, device=index.device)
        for name, part in zip(cross.fields, parts, strict=True):
            part = part[..., None] if part.ndim < axes else part
            # A hash must not depend on the sizes of the vocabularies, because they grow.
            index = stable_hash(index) + part if cross.hashed else index * self.cardinality[name] + part
            seen = seen & (part > 0)
        if cross.hashed:
            index = stable_hash(index).remainder(cross.cardinality - 1)
        return torch.where(seen, index + 1, 0)

    def _values(self, name: str, inputs: Inputs) -> Tensor:
        if name not in self.position:
            return inputs.pairs.of_items(inputs.items.bag)
        entity, slot = self.position[name]
        if entity == "user":
            return inputs.pairs.of_users(inputs.users.categories[:, slot])
        return inputs.pairs.of_items(inputs.items.categories[:, slot])


def _rows(index: Tensor, start: int) -> Tensor:
    """Return the rows of a table, from `start` on, for indices of any shape. Index 0 has row 0."""
    return torch.where(index > 0, index + start, 0)


def _share(bag: Tensor) -> Tensor:
    """Return 1 / (number of the item's genres) for each genre of an item, and 0 for padding: (I, G)."""
    slots = bag > 0
    return slots / slots.sum(1, keepdim=True).clamp(min=1)


def stable_hash(keys: Tensor) -> Tensor:
    """Hash int64 keys by SplitMix64 (Steele et al. 2014). The result is the same on every device, in every process."""
    keys = keys + _signed(0x9E3779B97F4A7C15)
    keys = (keys ^ _shift(keys, 30)) * _signed(0xBF58476D1CE4E5B9)
    keys = (keys ^ _shift(keys, 27)) * _signed(0x94D049BB133111EB)
    return keys ^ _shift(keys, 31)


def _shift(keys: Tensor, bits: int) -> Tensor:
    """Shift right and fill with zeros. The shift of torch would copy the sign bit."""
    return (keys >> bits) & ((1 << (64 - bits)) - 1)


def _signed(constant: int) -> int:
    return constant - 2**64 if constant >= 2**63 else constant
