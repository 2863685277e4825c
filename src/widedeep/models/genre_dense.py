"""Dense layers on the concatenated embeddings of user, item and genres."""

import torch
from torch import Tensor

from widedeep.columns import GENRES
from widedeep.features.inputs import Inputs
from widedeep.features.spec import Spec
from widedeep.models.deep import vectors
from widedeep.models.dense import Dense
from widedeep.models.knobs import DenseConfig


class GenreDense(Dense):
    """Rating = mu + MLP([p_u, q_i, mean of the embeddings of the item's genres])."""

    extra = 1

    def __init__(self, spec: Spec, config: DenseConfig) -> None:
        super().__init__(spec, config)
        self.genres = vectors(spec, GENRES, config.embedding_size, config.embedding_deviation)

    def of_item(self, inputs: Inputs, item: Tensor) -> Tensor:
        bag = inputs.items.bag
        mean = self.genres(bag).sum(1) / (bag > 0).sum(1, keepdim=True).clamp(min=1)
        return torch.cat([item, mean], 1)
