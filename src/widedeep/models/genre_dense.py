"""Embeddings of user, item and genres, concatenated, into dense layers."""

import torch
from torch import Tensor

from widedeep.errors import UserError
from widedeep.features.inputs import Inputs
from widedeep.features.spec import Spec
from widedeep.models.deep import vectors
from widedeep.models.dense import Dense
from widedeep.params import ModelParams


class GenreDense(Dense):
    """mu + MLP([p_u, q_i, mean of the vectors of the item's genres])."""

    extra = 1

    def __init__(self, spec: Spec, params: ModelParams) -> None:
        super().__init__(spec, params)
        genres = sum(int(field.cardinality or 0) for field in spec.of_kind("bag"))
        if genres < 2:
            raise UserError("train.model: genre_dense needs genres, and this data set has none. Choose dense.")
        self.genres = vectors(genres, params.embedding_size, params.embedding_deviation)

    def of_item(self, inputs: Inputs, item: Tensor) -> Tensor:
        bag = inputs.items.bag
        mean = self.genres(bag).sum(1) / (bag > 0).sum(1, keepdim=True).clamp(min=1)
        return torch.cat([item, mean], 1)
