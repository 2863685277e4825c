"""Embeddings of the two ids, which the smaller models are made of."""

import torch
from torch import Tensor, nn

from widedeep.features.inputs import Inputs
from widedeep.features.spec import Spec


class IdEmbeddings(nn.Module):
    """A vector per user and item of training; that of the unseen id starts at 0."""

    def __init__(self, spec: Spec, size: int, deviation: float) -> None:
        super().__init__()
        cardinality = {field.name: int(field.cardinality or 0) for field in spec.of_kind("category")}
        self.user, self.item = (nn.Embedding(cardinality[name], size) for name in ("user_id", "item_id"))
        for table in (self.user, self.item):
            nn.init.normal_(table.weight, std=deviation) if deviation else nn.init.zeros_(table.weight)
            with torch.no_grad():
                table.weight[0] = 0

    def forward(self, inputs: Inputs) -> tuple[Tensor, Tensor]:  # -> (U, size), (I, size)
        return self.user(inputs.users.categories[:, 0]), self.item(inputs.items.categories[:, 0])

    @staticmethod
    def penalty(inputs: Inputs, user: Tensor, item: Tensor) -> Tensor:
        """Mean over pairs of the sum of squares of both vectors."""
        squares: Tensor = inputs.pairs.of_users(user.square().sum(1)).mean()
        return squares + inputs.pairs.of_items(item.square().sum(1)).mean()
