"""Wide & Deep (Cheng et al. 2016, arXiv 1606.07792): a linear model plus a neural network. An inner product of users
and items can be added."""

import torch
from torch import Tensor

from widedeep.features.inputs import Inputs, Output, Reads
from widedeep.features.questions import Questions
from widedeep.features.spec import Spec
from widedeep.features.tensors import FeatureSet
from widedeep.models.deep import Deep
from widedeep.models.factors import Factors
from widedeep.models.knobs import WideDeepConfig
from widedeep.models.model import Model, into_scale, start_of
from widedeep.models.next_items import NextItems
from widedeep.models.numbers import Numbers
from widedeep.models.other_items import OtherItems
from widedeep.models.registry import Task
from widedeep.models.wide import Wide


class WideDeep(Model):
    """Rating = mu + wide + deep + factors, in rating points, where mu is the mean of the training ratings.

    `hidden: []` leaves out the deep part, `factors: 0` the inner product. Without both the model is linear. The
    objective `joint` recommends as well: by `NextItems` if the data are in order of time, else by `OtherItems`. With
    an inner product it is instead a second head on the same embeddings that recommends if there is no order of time.
    """

    def __init__(self, spec: Spec, config: WideDeepConfig, objective: Task) -> None:
        super().__init__()
        self.spec, self.bounded = spec, config.bounded_output
        self.reads = Reads(time=config.time)
        if config.factors:
            self.reads = Reads(config.user_items, config.item_users, config.time)
        self.ranks_with_history = objective == "rating" and config.history
        self.next_items = NextItems() if objective == "joint" and spec.online else None
        apart = objective == "joint" and not spec.online and not config.factors
        self.other_items = OtherItems(spec) if apart else None
        heads = 2 if objective == "joint" and self.lists is None else 1
        self.numbers = Numbers(spec, config.history, config.time)
        self.wide = Wide(spec, self.numbers, heads, config.wide_l2, uncertain=config.noise_variance > 0)
        self.deep = Deep(spec, config, self.numbers, heads) if config.hidden else None
        self.factors = Factors(spec, config, heads) if config.factors else None
        self.factors_l2 = config.factors_l2
        self.start: Tensor
        self.register_buffer("start", start_of(spec, self.bounded))

    @property
    def lists(self) -> NextItems | OtherItems | None:
        """The part that recommends, if it is apart from the rest."""
        return self.next_items if self.next_items is not None else self.other_items

    @property
    def half_lives(self) -> tuple[float, ...]:
        return () if self.lists is None else self.lists.half_lives

    def fit(self, features: FeatureSet) -> None:
        self.numbers.fit(features)
        if self.lists is not None:
            self.lists.fit(features)

    def answer(self, questions: Questions) -> Tensor:
        assert self.lists is not None
        score: Tensor = self.lists(questions)
        return score

    def squares(self, questions: Questions, question: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
        assert self.other_items is not None
        return self.other_items.squares(questions, question, item)

    def explain(self, questions: Questions, item: int) -> tuple[Tensor, Tensor]:
        assert self.lists is not None
        return self.lists.explain(questions, item)

    def forward(self, inputs: Inputs) -> Output:
        numbers = self.numbers(inputs)
        score, penalty = self.wide(inputs, numbers)  # (P, heads)
        if self.deep is not None:
            score = score + self.deep(inputs, numbers)
        if self.factors is not None:
            product, square = self.factors(inputs)
            score, penalty = score + product, penalty + self.factors_l2 * square
        rating = self.start + score[..., 0]
        return Output(into_scale(rating, self.spec) if self.bounded else rating, score[..., -1], penalty)

    def wide_parameters(self) -> list[torch.nn.Parameter]:
        return [weights for name, weights in self.wide.named_parameters() if not name.endswith("log_deviation")]

    def list_parameters(self) -> list[torch.nn.Parameter]:
        return [] if self.lists is None else list(self.lists.parameters())
