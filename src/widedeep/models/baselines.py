"""What a recommender must beat: predictors fitted by counting or in closed form, from the same history as the model.

Each takes a row's history, so it is judged under the same knowledge as the model: as of the training cut-off, or as
of the event.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from widedeep.columns import TRAIN
from widedeep.features.spec import Spec
from widedeep.features.store import Features


@dataclass(frozen=True)
class Known:
    """What may be known at B events: `history` (B, H) float32 and `mean` (B,) float32, of all ratings before."""

    history: Tensor
    mean: Tensor


class Baseline(Protocol):
    name: str

    def predict(self, known: Known) -> Tensor:
        """Predicted rating of each row, (B,)."""


class GlobalMean:
    """The mean of all ratings so far."""

    name = "global_mean"

    def predict(self, known: Known) -> Tensor:
        return known.mean


class Bias:
    """mu + b_u + b_i with damped means (Koren 2010, "Factor in the Neighbors", eq. 1 and section 2.1)."""

    name = "bias"

    def __init__(self, spec: Spec) -> None:
        self.mean = spec.mean
        self.user, self.item = (_column(spec, name) for name in ("user_mean", "item_mean"))

    def predict(self, known: Known) -> Tensor:
        return self.score(known.history)

    def score(self, history: Tensor) -> Tensor:
        return self.mean + history[:, self.user] + history[:, self.item]


class Popularity:
    """a + b log(1 + n_i) of the item's number of ratings so far, least squares on the training rows.

    As a ranking it is the order of n_i, whatever the sign of b.
    """

    name = "popularity"

    def __init__(self, features: Features) -> None:
        self.count = _column(features.spec, "item_count")
        rows = features.splits[TRAIN]
        x, y = rows.history[:, self.count].double(), rows.rating.double()
        variance = x.var(correction=0)
        covariance = ((x - x.mean()) * (y - y.mean())).mean()
        self.slope = float(covariance / variance) if variance > 0 else 0.0
        self.intercept = float(y.mean() - self.slope * x.mean())

    def predict(self, known: Known) -> Tensor:
        return self.intercept + self.slope * known.history[:, self.count]

    def score(self, history: Tensor) -> Tensor:
        return history[:, self.count]


def running_mean(features: Features, timestamp: Tensor) -> Tensor:
    """Mean of all ratings of the data set strictly before each timestamp (B,); the training mean where there is none.

    Needs the rows of all splits, with timestamps.
    """
    times = torch.cat([rows.timestamp for rows in features.splits.values()])
    ratings = torch.cat([rows.rating for rows in features.splits.values()]).double()
    times, order = times.sort()
    total = torch.cat([torch.zeros(1, dtype=torch.float64), ratings[order].cumsum(0)])
    before = torch.searchsorted(times, timestamp)
    return torch.where(before > 0, total[before] / before.clamp(min=1), features.spec.mean).float()


def _column(spec: Spec, name: str) -> int:
    return [field.name for field in spec.of_kind("history")].index(name)
