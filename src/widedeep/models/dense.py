"""Dense layers on the concatenated embeddings of user and item."""

from torch import Tensor, nn

from widedeep.features.inputs import Inputs, Output
from widedeep.features.spec import Spec
from widedeep.models.deep import Mlp
from widedeep.models.ids import IdEmbeddings
from widedeep.models.knobs import DenseConfig
from widedeep.models.model import Model


class Dense(Model):
    """Rating = mu + MLP([p_u, q_i]) (He et al. 2017, "Neural collaborative filtering", arXiv 1708.05031)."""

    extra = 0  # number of embeddings beside those of the ids

    def __init__(self, spec: Spec, config: DenseConfig) -> None:
        super().__init__()
        self.ids = IdEmbeddings(spec, config.embedding_size, config.embedding_deviation)
        self.first = nn.Linear((2 + self.extra) * config.embedding_size, config.hidden[0])
        self.mlp = Mlp(config, heads=1)
        self.mean = spec.mean

    def of_item(self, inputs: Inputs, item: Tensor) -> Tensor:
        """Return the vectors of the items, from the embeddings `item` (I, size) of their ids: (I, ...)."""
        return item

    def forward(self, inputs: Inputs) -> Output:
        user, item = self.ids(inputs)
        item = self.of_item(inputs, item)
        of_user, of_item = self.first.weight.split([user.shape[1], item.shape[1]], 1)
        first = inputs.pairs.of_users(user @ of_user.T) + inputs.pairs.of_items(item @ of_item.T) + self.first.bias
        score: Tensor = self.mean + self.mlp(first)[..., 0]
        return self.same(score)
