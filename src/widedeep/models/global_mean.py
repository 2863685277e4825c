"""The mean of the training ratings, for every user and item."""

import torch
from torch import Tensor

from widedeep.features.inputs import Inputs, Output
from widedeep.features.spec import Spec
from widedeep.models.knobs import ModelConfig
from widedeep.models.model import Model


class GlobalMean(Model):
    """Rating = mu, the mean of the training ratings."""

    def __init__(self, spec: Spec, config: ModelConfig) -> None:
        super().__init__()
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor(spec.mean, dtype=torch.float32))

    def forward(self, inputs: Inputs) -> Output:
        zeros = inputs.pairs.dot(inputs.users.numbers[:, :0], inputs.items.numbers[:, :0])
        return self.same(self.mean + zeros)
