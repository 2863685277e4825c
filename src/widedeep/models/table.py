"""A table of weights by index. Each weight is a number or a normal distribution."""

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn

Part = str | tuple[str, ...]  # the name of a field, or the names of the fields of a cross
START_DEVIATION = 0.1  # initial deviation of a weight that is a distribution
TINY = 1e-12  # keeps the prior variance above 0


class Table(nn.Embedding):
    """Rows of weights for the indices of one or more fields or crosses, one after the other.

    With `uncertain`, each weight is a normal distribution, its posterior, whose mean and deviation are learnt
    (variational Bayes: Blundell et al. 2015, arXiv 1505.05424). In training each look-up draws from it, independently
    for each user and item of a batch (local reparameterization: Kingma et al. 2015, arXiv 1506.02557). After training a
    look-up gives the mean. The loss adds `divergence`, which shrinks weights with few ratings most.

    Parameters
    ----------
    rows : number of rows
    size : weights per row
    padding_idx : a row that is and stays 0; None: no such row
    uncertain : whether each weight is a distribution
    parts : each field or cross with its first row; needed to grow the table when vocabularies grow
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
        """Return the whole table, (rows, size). In training, distributions are drawn from once."""
        if self.log_deviation is None:
            return self.weight
        whole: Tensor = self(torch.arange(len(self.weight), device=self.weight.device))
        return whole

    def divergence(self) -> Tensor:
        """Return the Kullback-Leibler divergence of the posterior from a prior N(0, v), in nats; 0 without `uncertain`.

        For each part and column, v minimizes the divergence: it is the mean of w^2 under the posterior (empirical
        Bayes). So there is no strength of shrinkage to choose, and columns that the ratings do not need vanish.
        """
        total = self.weight.new_zeros(())
        if self.log_deviation is None:
            return total
        for start, stop in pairwise([*(start for _, start in self.parts), len(self.weight)]):
            mean, log_deviation = self.weight[start:stop], self.log_deviation[start:stop]
            prior = (mean.square() + (2 * log_deviation).exp()).mean(0) + TINY
            total = total + (stop - start) / 2 * prior.log().sum() - log_deviation.sum()
        return total
