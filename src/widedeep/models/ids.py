"""Embeddings of user and item ids, for the smaller models."""

import torch
from torch import Tensor, nn

from widedeep.columns import ITEM_ID, USER_ID
from widedeep.features.inputs import Inputs
from widedeep.features.spec import Spec
from widedeep.models.table import Table


class IdEmbeddings(nn.Module):
    """A vector of `size` for each id with training ratings, and one for unseen ids, which starts at 0."""

    def __init__(self, spec: Spec, size: int, deviation: float) -> None:
        super().__init__()
        self.user, self.item = (Table(spec.cardinality(name), size, parts=[(name, 0)]) for name in (USER_ID, ITEM_ID))
        for table in (self.user, self.item):
            nn.init.normal_(table.weight, std=deviation) if deviation else nn.init.zeros_(table.weight)
            with torch.no_grad():
                table.weight[0] = 0

    def forward(self, inputs: Inputs) -> tuple[Tensor, Tensor]:  # -> (U, size), (I, size)
        return self.user(inputs.users.categories[:, 0]), self.item(inputs.items.categories[:, 0])

    @staticmethod
    def penalty(inputs: Inputs, user: Tensor, item: Tensor) -> Tensor:
        """Return the mean over pairs of the sum of squares of both vectors: (U, size), (I, size) to ()."""
        squares: Tensor = inputs.pairs.of_users(user.square().sum(1)).mean()
        return squares + inputs.pairs.of_items(item.square().sum(1)).mean()
