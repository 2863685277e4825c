"""User and item biases, which stay up to date as ratings arrive."""

from torch import Tensor

from widedeep.features.inputs import Inputs, Output
from widedeep.features.spec import Spec
from widedeep.models.knobs import ModelConfig
from widedeep.models.model import Model


class Bias(Model):
    """Rating = mu + b_u + b_i: damped means of user and item (Koren 2010, "Factor in the Neighbors", eq. 1, sec. 2.1).

    b_u and b_i come from the history of the pair.
    """

    def __init__(self, spec: Spec, config: ModelConfig) -> None:
        super().__init__()
        self.mean = spec.mean
        names = [field.name for field in spec.of_kind("history")]
        self.user, self.item = names.index("user_mean"), names.index("item_mean")

    def forward(self, inputs: Inputs) -> Output:
        assert inputs.history is not None
        score: Tensor = self.mean + inputs.history[..., self.user] + inputs.history[..., self.item]
        return self.same(score)
