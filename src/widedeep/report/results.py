"""The results of the trained model and of the baselines, and the look of each in a chart."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle
from typing import Any

import pandas as pd
from markupsafe import Markup

from widedeep.columns import FROZEN, ONLINE
from widedeep.evaluation.results import missing_sentences
from widedeep.report.charts import Point, Series
from widedeep.report.charts.canvas import BLUE, CIRCLE, DIAMOND, GREEN, GREY, ORANGE, PINK, SQUARE, TRIANGLE, VERMILION
from widedeep.report.labels import model_label

FEW = 10  # the point of a group with fewer users is drawn hollow
RMSE = "RMSE (rating points)"
TRAINED = (BLUE, CIRCLE)  # the same look for every trained model
BASELINES = {
    "bias": (VERMILION, SQUARE),
    "popularity": (GREEN, TRIANGLE),
    "global_mean": (GREY, DIAMOND),
    "recent_popularity": (ORANGE, DIAMOND),
    "ease": (PINK, SQUARE),
}
OTHERS = ((PINK, TRIANGLE), (ORANGE, SQUARE))

Estimate = Mapping[str, float]  # value, low, high, n, as in metrics.json


@dataclass(frozen=True)
class Results:
    """The name of the trained model, and the metrics of reports/metrics.json."""

    model: str
    metrics: Mapping[str, Any]

    @property
    def knowledges(self) -> list[str]:
        """The kinds of knowledge under which the models were judged. The headline and the slices use the first."""
        return list(self.metrics["rating"])

    @property
    def no_ratings(self) -> str:
        """Why there are no metrics of ratings; empty if there are some."""
        return str(self.missing.get("rating", ""))

    @property
    def missing(self) -> Mapping[str, str]:
        """Why a metric of the model is missing, by its flat name; or why all of a task are, by the name of the task."""
        missing: Mapping[str, str] = self.metrics.get("missing", {})
        return missing

    @property
    def missing_of_lists(self) -> list[str]:
        """Sentences on the ranking metrics that the model lacks."""
        return missing_sentences({name: why for name, why in self.missing.items() if name.startswith("ranking.")})

    @property
    def baselines(self) -> Mapping[str, Any]:
        """The metrics of all other models."""
        baselines: Mapping[str, Any] = self.metrics["baselines"]
        return baselines

    @property
    def rated(self) -> list[str]:
        """The baselines that predict ratings."""
        return [name for name, tasks in self.baselines.items() if "rating" in tasks]

    @property
    def listed(self) -> list[str]:
        """The kinds of knowledge under which the model has lists."""
        return [knowledge for knowledge in (FROZEN, ONLINE) if knowledge in self.metrics["ranking"]]

    @property
    def compared(self) -> list[str]:
        """The model and the first baseline, for charts with room for two. A single system has no baseline."""
        return [self.model, *self.rated[:1]]

    @cached_property
    def looks(self) -> dict[str, Series]:
        """The look of the trained model and of the baselines, in this order."""
        others = cycle(OTHERS)
        looks = {name: BASELINES.get(name) or next(others) for name in self.baselines}
        return {name: Series(model_label(name), *look) for name, look in ({self.model: TRAINED} | looks).items()}

    def by_model(self, task: str, knowledge: str) -> dict[str, Mapping[str, Any]]:
        """Return the estimates of the model, then those of the baselines that have this task."""
        tasks = {self.model: self.metrics} | dict(self.baselines)
        return {name: own[task][knowledge] for name, own in tasks.items() if knowledge in own.get(task, ())}


@dataclass(frozen=True)
class Figure:
    """A chart under the finding that it shows."""

    title: str
    svg: Markup
    what: str = ""
    """What is drawn, in a few words."""
    table: Sequence[Mapping[str, Any]] = ()
    """The numbers behind the chart."""
    looks: Sequence[Series] = ()
    """The legend of the chart."""


def point(series: Series, estimate: Mapping[str, Any]) -> Point:
    """Make a point of a chart. It is hollow if it rests on few users.

    The interval from two users is 13 times as wide as their distance. It is not drawn, because the others would look
    like points beside it.
    """
    users, value = estimate.get("users", FEW), estimate["value"]
    low, high = (value, value) if users < 3 else (estimate["low"], estimate["high"])
    return Point(series, value, low, high, users < FEW)


def estimates_by_model(part: pd.DataFrame, value: str) -> dict[str, Mapping[str, Any]]:
    """Return the rows of a plot's table as estimates, by the name of the model. `value` names the column to use."""
    return dict(zip(part["model"], estimates(part, value), strict=True))


def estimates(part: pd.DataFrame, value: str) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a plot's table as estimates. `value` names the column to use."""
    yield from part.rename(columns={value: "value"}).to_dict("records")


def overlap(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool | None:
    """Say whether the intervals of two estimates overlap. If neither has an interval, return None."""
    if one["low"] == one["high"] and other["low"] == other["high"]:
        return None
    return bool(one["low"] <= other["high"] and other["low"] <= one["high"])


def thin_out(ticks: Sequence[tuple[float, str]], most: int) -> list[tuple[float, str]]:
    """Keep at most `most` ticks at equal steps, including the first, so that labels do not overlap."""
    return list(ticks[:: -(-len(ticks) // most)])
