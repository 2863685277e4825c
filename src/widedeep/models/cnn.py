"""A convolutional network over the outer product of the embeddings of user and item."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from widedeep.features.inputs import Inputs, Output
from widedeep.features.spec import Spec
from widedeep.models.ids import IdEmbeddings
from widedeep.models.knobs import CnnConfig
from widedeep.models.model import Model

CHUNK = 2**14  # pairs per step; each pair is an image


class Cnn(Model):
    """Rating = mu + b_u + b_i + w . conv(p_u q_i^T), as in ConvNCF (He et al. 2018, arXiv 1808.03912).

    Convolutions of 2 x 2 with stride 2 and `channels` maps halve the (E, E) image until it is 1 x 1. If the embedding
    size E is not a power of 2, the border of the image is lost.
    """

    def __init__(self, spec: Spec, config: CnnConfig) -> None:
        super().__init__()
        self.ids = IdEmbeddings(spec, config.embedding_size, config.embedding_deviation)
        self.biases = IdEmbeddings(spec, 1, 0.0)
        layers: list[nn.Module] = []
        size, maps = config.embedding_size, 1
        while size > 1:
            layers += [nn.Conv2d(maps, config.channels, kernel_size=2, stride=2), nn.ReLU()]
            size, maps = size // 2, config.channels
        self.convolutions = nn.Sequential(*layers)
        self.output = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(maps, 1, bias=False))
        self.mean = spec.mean
        self.factors_l2, self.wide_l2 = config.factors_l2, config.wide_l2

    def forward(self, inputs: Inputs) -> Output:
        (user, item), (user_bias, item_bias) = self.ids(inputs), self.biases(inputs)
        pairs = inputs.pairs
        users, items = torch.broadcast_tensors(pairs.of_users(user), pairs.of_items(item))
        shape = users.shape[:-1]
        chunks = [*zip(users.flatten(0, -2).split(CHUNK), items.flatten(0, -2).split(CHUNK), strict=True)]
        # Activations of many chunks would fill tens of gigabytes, so compute them again for the gradient.
        convolve = partial(checkpoint, self._convolve, use_reentrant=False) if len(chunks) > 1 else self._convolve
        score: Tensor = torch.cat([convolve(*chunk) for chunk in chunks]).view(shape)
        score = self.mean + score + pairs.of_users(user_bias[:, 0]) + pairs.of_items(item_bias[:, 0])
        penalty = self.factors_l2 * self.ids.penalty(inputs, user, item)
        penalty = penalty + self.wide_l2 * self.biases.penalty(inputs, user_bias, item_bias)
        return Output(score, score, penalty)

    def _convolve(self, user: Tensor, item: Tensor) -> Tensor:
        image = (user[:, :, None] * item[:, None, :])[:, None]  # (P, 1, E, E)
        output: Tensor = self.output(self.convolutions(image).flatten(1))
        return output[:, 0]
