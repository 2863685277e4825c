"""The numbers of users, items and pairs, standardized, and a linear layer on them."""

import torch
from torch import Tensor, nn

from widedeep.columns import TRAIN
from widedeep.errors import UserError
from widedeep.features.assemble import time
from widedeep.features.inputs import Inputs
from widedeep.features.spec import Spec
from widedeep.features.tensors import FeatureSet
from widedeep.models.model import Standardize


class Numbers(nn.Module):
    """Standardized numbers of users, of items and of pairs.

    The numbers of a pair are its history, if `history`, and its time, if `time` (see `Inputs`).
    """

    def __init__(self, spec: Spec, history: bool, time: bool) -> None:
        super().__init__()
        numbers = spec.of_kind("number")
        self.sizes = [
            sum(field.entity == "user" for field in numbers),
            sum(field.entity == "item" for field in numbers),
            len(spec.of_kind("history")) * history + 2 * time,
        ]
        self.history, self.time = history, time
        self.user, self.item, self.pair = map(Standardize, self.sizes)

    def fit(self, features: FeatureSet) -> None:
        rows = features.splits[TRAIN]
        self.user.fit(features.users.numbers[rows.user])
        self.item.fit(features.items.numbers[rows.item])
        parts = [rows.history] if self.history else []
        if self.time and not rows.timestamp.any():
            raise UserError(
                "models.wide_deep.time must be false for ratings without timestamps: there is no date to read. "
                "Got true instead."
            )
        parts += [time(features, rows.user, rows.user_seen, rows.timestamp)] if self.time else []
        if parts:
            self.pair.fit(torch.cat(parts, 1))

    def forward(self, inputs: Inputs) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the numbers of users (U, N), of items (I, M), and of pairs (P, H), or None if pairs have no numbers.

        If only the time of pairs is given, their history counts as average, which is 0.
        """
        history = inputs.history if self.history else None
        if self.time and inputs.time is not None:
            if history is None:
                history = self.pair.mean[: self.sizes[2] - 2].expand(*inputs.time.shape[:-1], -1)
            history = torch.cat([history, inputs.time], -1)
        of_pairs = None if history is None else self.pair(history)
        return self.user(inputs.users.numbers), self.item(inputs.items.numbers), of_pairs

    def linear(self, width: int) -> "Linear":
        """Make a linear layer of output size `width` for these numbers."""
        return Linear(self.sizes, width)


class Linear(nn.Module):
    """A linear layer without bias on the numbers of user, item and pair. The sum of its three outputs is its result."""

    def __init__(self, sizes: list[int], width: int) -> None:
        super().__init__()
        self.sizes = sizes
        size = sum(sizes)  # torch would warn about a size of 0
        self.weight = nn.Linear(size, width, bias=False).weight if size else nn.Parameter(torch.zeros(width, 0))

    def forward(self, numbers: tuple[Tensor, Tensor, Tensor | None]) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the outputs for users (U, width), items (I, width), and pairs (P, width); None without numbers."""
        of_user, of_item, of_pair = self.weight.split(self.sizes, 1)
        user, item, pair = numbers
        return user @ of_user.T, item @ of_item.T, None if pair is None else pair @ of_pair.T
