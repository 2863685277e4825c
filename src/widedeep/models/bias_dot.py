"""Matrix factorization with biases, squeezed into the rating scale."""

from widedeep.features.inputs import Inputs, Output
from widedeep.features.spec import Spec
from widedeep.models.ids import IdEmbeddings
from widedeep.models.knobs import BiasDotConfig
from widedeep.models.model import Model, into_scale, start_of


class BiasDot(Model):
    """Rating = low + (high - low) * sigmoid(s + b_u + b_i + p_u . q_i), where s gives the mean rating.

    Koren et al. 2009, "Matrix factorization techniques for recommender systems", eq. 4, inside a sigmoid.
    """

    def __init__(self, spec: Spec, config: BiasDotConfig) -> None:
        super().__init__()
        self.spec = spec
        self.ids = IdEmbeddings(spec, config.embedding_size, config.embedding_deviation)
        self.biases = IdEmbeddings(spec, 1, 0.0)
        self.start = float(start_of(spec, bounded=True))
        self.factors_l2, self.wide_l2 = config.factors_l2, config.wide_l2

    def forward(self, inputs: Inputs) -> Output:
        (user, item), (user_bias, item_bias) = self.ids(inputs), self.biases(inputs)
        pairs = inputs.pairs
        score = pairs.dot(user, item) + pairs.of_users(user_bias[:, 0]) + pairs.of_items(item_bias[:, 0])
        penalty = self.factors_l2 * self.ids.penalty(inputs, user, item)
        penalty = penalty + self.wide_l2 * self.biases.penalty(inputs, user_bias, item_bias)
        return Output(into_scale(self.start + score, self.spec), score, penalty)
