"""What every model of the family is: inputs to a predicted rating and a score to rank by, for each pair."""

import torch
from torch import Tensor, nn

from widedeep.features.inputs import Inputs, Output, Reads
from widedeep.features.spec import Spec
from widedeep.features.tensors import FeatureSet
from widedeep.models.registry import Architecture


class Model(nn.Module):
    """One way to score users with items; inputs in, `Output` out.

    A model learns in `fit`, in closed form or by counting, or its parameters are trained by gradient, or both: `fit`
    comes first and sees all training rows.

    reads : the interactions that it wants among its inputs
    ranks_with_history : whether `ranking` may use the history of a pair
    ranks_only : whether it learns an order and no ratings. Such a model predicts the rating `line[0] + line[1] * score`
        with a buffer `line` (2,). It starts as (0, 1), so that the rating is the score; the training then sets it by
        least squares on the training rows.
    """

    reads = Reads()
    ranks_with_history = True
    ranks_only = False

    def fit(self, features: FeatureSet) -> None:
        """Take from the training rows what needs no gradient."""

    def forward(self, inputs: Inputs) -> Output:
        raise NotImplementedError

    def wide_parameters(self) -> list[nn.Parameter]:
        """Those of the linear part, which has an optimizer of its own."""
        return []

    @staticmethod
    def same(score: Tensor) -> Output:
        """A score that is at once the predicted rating and what to rank by."""
        return Output(score, score, score.new_zeros(()))


class Ensemble(Model):
    """The mean of several models that differ in their random start, each trained as if it were alone (Lakshminarayanan
    et al. 2017, arXiv 1612.01474). A model whose only objective is a ranking predicts ratings by the line
    `intercept + slope * ranking`, least squares on the training rows."""

    def __init__(self, members: list[Model], about: Architecture) -> None:
        super().__init__()
        self.about = about
        self.members = nn.ModuleList(members)
        self.reads, self.ranks_with_history = members[0].reads, members[0].ranks_with_history
        self.ranks_only, self.rating_weight = about.objective == "ranking", about.rating_weight
        self.line: Tensor
        if self.ranks_only:
            self.register_buffer("line", torch.tensor([0.0, 1.0]))

    def fit(self, features: FeatureSet) -> None:
        for member in self.each():
            member.fit(features)

    def each(self) -> list[Model]:
        return [member for member in self.members if isinstance(member, Model)]

    def forward(self, inputs: Inputs) -> Output:
        if self.ranks_only:
            inputs = inputs._replace(history=None)  # on which nothing was learnt
        outputs = [member(inputs) for member in self.members]
        rating, ranking, penalty = (torch.stack(parts).mean(0) for parts in zip(*outputs, strict=True))
        if self.ranks_only:
            rating = self.line[0] + self.line[1] * ranking
        elif self.rating_weight:
            ranking = ranking + self.rating_weight * rating
        return Output(rating, ranking, penalty)

    def wide_parameters(self) -> list[nn.Parameter]:
        return [parameter for member in self.each() for parameter in member.wide_parameters()]


class Standardize(nn.Module):
    """(x - mean) / deviation of each number by the training rows; a constant number becomes 0."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def fit(self, numbers: Tensor) -> None:
        """Take mean and deviation from numbers (rows, N)."""
        if not numbers.shape[1]:
            return  # torch would warn
        deviation, mean = torch.std_mean(numbers.double(), dim=0, correction=0)
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(deviation > 1e-6, 1 / deviation.clamp(min=1e-6), 0))

    def forward(self, numbers: Tensor) -> Tensor:
        standardized: Tensor = (numbers - self.mean) * self.scale
        return standardized


def start_of(spec: Spec, bounded: bool) -> Tensor:
    """Where a score starts: at the mean rating, or at what a sigmoid into the scale takes there."""
    if not bounded:
        return torch.tensor(spec.mean, dtype=torch.float32)
    low, high = spec.rating_scale
    return torch.tensor((spec.mean - low) / (high - low)).clamp(0.01, 0.99).logit()


def into_scale(score: Tensor, spec: Spec) -> Tensor:
    """Squeeze scores into the rating scale by a sigmoid."""
    low, high = spec.rating_scale
    return low + (high - low) * torch.sigmoid(score)
