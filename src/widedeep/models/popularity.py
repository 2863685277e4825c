"""The popularity of items: their number of ratings, of all time or lately."""

import math

import torch
from torch import Tensor

from widedeep.columns import TRAIN, VALIDATION
from widedeep.features.assemble import DAY, lately
from widedeep.features.inputs import Inputs, Output, Reads
from widedeep.features.rows import Rows
from widedeep.features.spec import Spec
from widedeep.features.tensors import FeatureSet
from widedeep.models.knobs import ModelConfig, RecentPopularityConfig
from widedeep.models.model import Model

YEAR = 365.0
HALF_LIVES = (7.0, 30.0, 90.0, 180.0, YEAR, 2 * YEAR, 4 * YEAR, 8 * YEAR)


class Popularity(Model):
    """Rating = a + b log(1 + n_i), where n_i is the number of ratings of the item so far. Ranks by n_i.

    a and b are fitted by least squares on the training rows. A negative b does not change the ranking.
    """

    reads = Reads(half_lives=(math.inf,))
    ranks_with_history = False

    def __init__(self, spec: Spec, config: ModelConfig) -> None:
        super().__init__()
        self.count = [field.name for field in spec.of_kind("history")].index("item_count")
        self.line: Tensor
        self.register_buffer("line", torch.zeros(2))

    def fit(self, features: FeatureSet) -> None:
        rows = features.splits[TRAIN]
        self.line.copy_(least_squares(rows.history[:, self.count], rows.rating))

    def forward(self, inputs: Inputs) -> Output:
        assert inputs.lately is not None
        count = inputs.lately[..., 0]
        known = torch.log1p(count) if inputs.history is None else inputs.history[..., self.count]
        return Output(self.line[0] + self.line[1] * known, count, count.new_zeros(()))


class RecentPopularity(Model):
    """Ranks by the number of ratings of an item, where a rating counts half for every half-life that has passed.

    Without a half-life in its knobs, it takes the one of `HALF_LIVES` under which the items of the validation rows are
    most likely, given the training rows. An item's share of the decayed counts, with 1 added to each count, is its
    probability. Without validation rows it takes a year. Rating = a + b log(1 + decayed count), as in `Popularity`.

    half_life : () float32, in days
    """

    ranks_with_history = False

    def __init__(self, spec: Spec, config: RecentPopularityConfig) -> None:
        super().__init__()
        self.chosen = config.half_life_days
        self.half_life: Tensor
        self.line: Tensor
        self.register_buffer("half_life", torch.tensor(float(self.chosen or YEAR)))
        self.register_buffer("line", torch.zeros(2))

    @property
    def reads(self) -> Reads:  # type: ignore[override]
        return Reads(half_lives=(float(self.half_life),))

    def fit(self, features: FeatureSet) -> None:
        rows = features.splits[VALIDATION]
        if self.chosen is None and len(rows):
            best = max(HALF_LIVES, key=lambda days: _likelihood(features, rows, days))
            self.half_life.fill_(best)
        rows = features.splits[TRAIN]
        count = lately(features, rows.item, rows.item_seen, rows.timestamp, self.reads.half_lives)
        assert count is not None
        self.line.copy_(least_squares(torch.log1p(count[:, 0]), rows.rating))

    def forward(self, inputs: Inputs) -> Output:
        assert inputs.lately is not None
        count = inputs.lately[..., 0]
        return Output(self.line[0] + self.line[1] * torch.log1p(count), count, count.new_zeros(()))


def _likelihood(features: FeatureSet, rows: Rows, days: float) -> float:
    """Return the mean log probability of the items of `rows`, with the counts at the first of these rows."""
    known = features.state.items.count
    rated = features.state.by_item.pick(torch.arange(len(known)), torch.zeros_like(known), known)
    age = (rows.timestamp.min() - rated.timestamp).clamp(min=0).double() / DAY
    count = torch.zeros(len(known), dtype=torch.float64).index_add(0, rated.owner, torch.exp2(-age / days))
    share = (count + 1) / (count + 1).sum()
    return float(share[rows.item].log().mean())


def least_squares(x: Tensor, y: Tensor) -> Tensor:
    """Fit y, (N,), by a line of x, (N,): return intercept and slope, (2,) float32. If x is constant, the slope is 0."""
    x, y = x.double(), y.double()
    variance = x.var(correction=0)
    covariance = ((x - x.mean()) * (y - y.mean())).mean()
    slope = torch.where(variance > 0, covariance / variance, 0)
    return torch.stack([y.mean() - slope * x.mean(), slope]).float()
