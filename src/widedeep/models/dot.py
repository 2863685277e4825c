"""Matrix factorization without biases: the inner product of the embeddings of user and item."""

from torch import Tensor

from widedeep.features.inputs import Inputs, Output
from widedeep.features.spec import Spec
from widedeep.models.ids import IdEmbeddings
from widedeep.models.knobs import DotConfig
from widedeep.models.model import Model


class Dot(Model):
    """Rating = mu + p_u . q_i (Salakhutdinov and Mnih 2007, "Probabilistic matrix factorization")."""

    def __init__(self, spec: Spec, config: DotConfig) -> None:
        super().__init__()
        self.ids = IdEmbeddings(spec, config.embedding_size, config.embedding_deviation)
        self.mean = spec.mean
        self.l2 = config.factors_l2

    def forward(self, inputs: Inputs) -> Output:
        user, item = self.ids(inputs)
        score: Tensor = self.mean + inputs.pairs.dot(user, item)
        return Output(score, score, self.l2 * self.ids.penalty(inputs, user, item))
