"""The base class of all models, and parts that several models share."""

import torch
from torch import Tensor, nn

from widedeep.features.inputs import Inputs, Output, Reads
from widedeep.features.questions import Questions
from widedeep.features.spec import Spec
from widedeep.features.tensors import FeatureSet
from widedeep.models.registry import Architecture


class Model(nn.Module):
    """A model: it turns `Inputs` into a predicted rating and a score to rank by, for each pair.

    A model learns in `fit`, which counts or solves in closed form on all training rows. If it has parameters, these are
    then trained by gradient.

    reads : the inputs that the model reads and that take time to assemble
    ranks_with_history : whether the ranking score may use the history of a pair
    half_lives : half-lives of popularity that `answer` reads, in numbers of ratings; empty for a model whose lists come
        from the ranking score of pairs, in `forward`
    ranks_only : whether the model learns an order but no ratings. Then its rating is `line[0] + line[1] * score`, with
        a buffer `line` (2,). It starts as (0, 1), so that the rating is the score. After training it is set by least
        squares on the training rows.
    """

    reads = Reads()
    ranks_with_history = True
    ranks_only = False

    @property
    def half_lives(self) -> tuple[float, ...]:
        return ()

    def fit(self, features: FeatureSet) -> None:
        """Learn from the training rows what needs no gradient."""

    def forward(self, inputs: Inputs) -> Output:
        """Score pairs."""
        raise NotImplementedError

    def answer(self, questions: Questions) -> Tensor:
        """Score the whole catalogue for each question: (B, I). Higher is better."""
        raise NotImplementedError

    def squares(self, questions: Questions, question: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum of squares of the vectors that `answer` multiplies, of the user and the item of P pairs.

        question, item : (P,) int64; the results are (P,) float32
        """
        raise NotImplementedError

    def explain(self, questions: Questions, item: int) -> tuple[Tensor, Tensor]:
        """Take the score of an item apart, for a single question: what popularity adds, (), and what each of the latest
        items of the history adds, (N,), the latest first. Their sum is the score."""
        raise NotImplementedError

    def wide_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the linear part, which has an optimizer of its own."""
        return []

    def list_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that only `answer` uses, which have an optimizer of their own."""
        return []

    @staticmethod
    def same(score: Tensor) -> Output:
        """Return a score (P,) both as the predicted rating and as the score to rank by."""
        return Output(score, score, score.new_zeros(()))


class Ensemble(Model):
    """The mean of several models with different random starts (Lakshminarayanan et al. 2017, arXiv 1612.01474).

    Each member is trained as if it were alone. With the objective `ranking`, the rating is a line of the mean ranking
    score (see `Model.ranks_only`).
    """

    def __init__(self, members: list[Model], about: Architecture) -> None:
        super().__init__()
        self.about = about
        self.members = nn.ModuleList(members)
        self.reads, self.ranks_with_history = members[0].reads, members[0].ranks_with_history
        self.ranks_only, self.rating_weight = about.objective == "ranking", about.rating_weight
        self.line: Tensor
        if self.ranks_only:
            self.register_buffer("line", torch.tensor([0.0, 1.0]))

    @property
    def half_lives(self) -> tuple[float, ...]:
        return self.each()[0].half_lives

    def fit(self, features: FeatureSet) -> None:
        for member in self.each():
            member.fit(features)

    def answer(self, questions: Questions) -> Tensor:
        return torch.stack([member.answer(questions) for member in self.each()]).mean(0)

    def explain(self, questions: Questions, item: int) -> tuple[Tensor, Tensor]:
        popular, near = zip(*(member.explain(questions, item) for member in self.each()), strict=True)
        return torch.stack(popular).mean(0), torch.stack(near).mean(0)

    def each(self) -> list[Model]:
        """Return the members."""
        return [member for member in self.members if isinstance(member, Model)]

    def forward(self, inputs: Inputs) -> Output:
        if self.ranks_only:
            inputs = inputs._replace(history=None)  # training did not see it either
        outputs = [member(inputs) for member in self.members]
        rating, ranking, penalty = (torch.stack(parts).mean(0) for parts in zip(*outputs, strict=True))
        if self.ranks_only:
            rating = self.line[0] + self.line[1] * ranking
        elif self.rating_weight:
            ranking = ranking + self.rating_weight * rating
        return Output(rating, ranking, penalty)

    def wide_parameters(self) -> list[nn.Parameter]:
        return [parameter for member in self.each() for parameter in member.wide_parameters()]

    def list_parameters(self) -> list[nn.Parameter]:
        return [parameter for member in self.each() for parameter in member.list_parameters()]


class Standardize(nn.Module):
    """Standardize numbers: (x - mean) / deviation, both of the training rows. A constant number becomes 0."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def fit(self, numbers: Tensor) -> None:
        """Compute mean and deviation of numbers (rows, N)."""
        if not numbers.shape[1]:
            return  # torch would warn
        deviation, mean = torch.std_mean(numbers.double(), dim=0, correction=0)
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(deviation > 1e-6, 1 / deviation.clamp(min=1e-6), 0))

    def forward(self, numbers: Tensor) -> Tensor:
        standardized: Tensor = (numbers - self.mean) * self.scale
        return standardized


def start_of(spec: Spec, bounded: bool) -> Tensor:
    """Return the score of an untrained model, (): the mean rating, or the value that `into_scale` maps close to it."""
    if not bounded:
        return torch.tensor(spec.mean, dtype=torch.float32)
    low, high = spec.rating_scale
    share = 1.0 if spec.implicit else (spec.mean - low) / (high - low)
    return torch.tensor(share).clamp(0.01, 0.99).logit()


def into_scale(score: Tensor, spec: Spec) -> Tensor:
    """Squeeze scores into the rating scale by a sigmoid. The shape stays."""
    low, high = spec.rating_scale
    return low + (high - low) * torch.sigmoid(score)
