"""The popularity of items: their number of ratings."""

import torch
from torch import Tensor

from widedeep.columns import TRAIN
from widedeep.features.inputs import Inputs, Output
from widedeep.features.spec import Spec
from widedeep.features.tensors import FeatureSet
from widedeep.models.model import Model
from widedeep.models.registry import ModelConfig


class Popularity(Model):
    """Rating = a + b log(1 + n_i), where n_i is the number of ratings of the item so far. Ranks by n_i.

    a and b are fitted by least squares on the training rows. A negative b does not change the ranking.
    """

    def __init__(self, spec: Spec, config: ModelConfig) -> None:
        super().__init__()
        self.count = [field.name for field in spec.of_kind("history")].index("item_count")
        self.line: Tensor
        self.register_buffer("line", torch.zeros(2))

    def fit(self, features: FeatureSet) -> None:
        rows = features.splits[TRAIN]
        self.line.copy_(least_squares(rows.history[:, self.count], rows.rating))

    def forward(self, inputs: Inputs) -> Output:
        assert inputs.history is not None
        count = inputs.history[..., self.count]
        return Output(self.line[0] + self.line[1] * count, count, count.new_zeros(()))


def least_squares(x: Tensor, y: Tensor) -> Tensor:
    """Fit y, (N,), by a line of x, (N,): return intercept and slope, (2,) float32. If x is constant, the slope is 0."""
    x, y = x.double(), y.double()
    variance = x.var(correction=0)
    covariance = ((x - x.mean()) * (y - y.mean())).mean()
    slope = torch.where(variance > 0, covariance / variance, 0)
    return torch.stack([y.mean() - slope * x.mean(), slope]).float()
