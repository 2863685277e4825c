"""Weights by index, as points or as normal distributions."""

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn

Part = str | tuple[str, ...]  # a field, or the fields of a cross
START_DEVIATION = 0.1
TINY = 1e-12  # a variance that float32 can still tell from 0


class Table(nn.Embedding):
    """Rows of weights of one or more fields, or crosses of fields, that lie one behind the other.

    `parts` names each by its field, or by the fields of its cross, with its first row: so a table can grow with its
    vocabularies. Row `padding_idx` is 0 and stays so.

    With `uncertain`, each weight has a normal distribution, its posterior, of which mean and deviation are learnt
    (variational Bayes: Blundell et al. 2015, arXiv 1505.05424). In training a look-up draws from it, apart for every
    user and item of a batch (the local reparameterization of Kingma et al. 2015, arXiv 1506.02557); afterwards it gives
    the mean. `divergence` is what the loss adds: it shrinks a weight the more, the fewer ratings speak for it.
    """

    def __init__(
        self,
        rows: int,
        size: int,
        parts: Iterable[tuple[Part, int]],
        padding_idx: int | None = None,
        uncertain: bool = False,
    ) -> None:
        super().__init__(rows, size, padding_idx=padding_idx)
        self.parts = tuple(parts)
        self.log_deviation = nn.Parameter(torch.full((rows, size), START_DEVIATION).log()) if uncertain else None

    def forward(self, index: Tensor) -> Tensor:  # (...) -> (..., size)
        mean = super().forward(index)
        if self.log_deviation is None or not self.training:
            return mean
        noise = torch.randn_like(mean) * nn.functional.embedding(index, self.log_deviation).exp()
        return mean + (noise if self.padding_idx is None else noise * (index != self.padding_idx)[..., None])

    def draw(self) -> Tensor:
        """The whole table (rows, size), in training one draw of it."""
        if self.log_deviation is None:
            return self.weight
        whole: Tensor = self(torch.arange(len(self.weight), device=self.weight.device))
        return whole

    def divergence(self) -> Tensor:
        """Kullback-Leibler divergence of the posterior from a prior N(0, v), in nats; 0 for points.

        v is the one of least divergence, the mean of w^2 under the posterior, for each field and column (empirical
        Bayes): so no strength of the shrinkage is to be chosen, and columns that the ratings do not need vanish.
        """
        total = self.weight.new_zeros(())
        if self.log_deviation is None:
            return total
        for start, stop in pairwise([*(start for _, start in self.parts), len(self.weight)]):
            mean, log_deviation = self.weight[start:stop], self.log_deviation[start:stop]
            prior = (mean.square() + (2 * log_deviation).exp()).mean(0) + TINY
            total = total + (stop - start) / 2 * prior.log().sum() - log_deviation.sum()
        return total
