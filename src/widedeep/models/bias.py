"""User and item biases, kept up to date by counting."""

from torch import Tensor

from widedeep.features.inputs import Inputs, Output
from widedeep.features.spec import Spec
from widedeep.models.model import Model
from widedeep.models.registry import ModelConfig


class Bias(Model):
    """mu + b_u + b_i with damped means (Koren 2010, "Factor in the Neighbors", eq. 1 and section 2.1), as far as the
    pair's history knows them."""

    def __init__(self, spec: Spec, config: ModelConfig) -> None:
        super().__init__()
        self.mean = spec.mean
        names = [field.name for field in spec.of_kind("history")]
        self.user, self.item = names.index("user_mean"), names.index("item_mean")

    def forward(self, inputs: Inputs) -> Output:
        assert inputs.history is not None
        score: Tensor = self.mean + inputs.history[..., self.user] + inputs.history[..., self.item]
        return self.same(score)
