"""The results of the trained model beside the baselines, and how each looks in a chart."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle
from typing import Any

import pandas as pd
from markupsafe import Markup

from widedeep.report.charts import Point, Series
from widedeep.report.charts.canvas import BLUE, CIRCLE, DIAMOND, GREEN, GREY, ORANGE, PINK, SQUARE, TRIANGLE, VERMILION
from widedeep.report.labels import model_label

FEW = 10  # users: a group with fewer is drawn hollow
RMSE = "RMSE (rating points)"
TRAINED = (BLUE, CIRCLE)  # whichever model it is
BASELINES = {"bias": (VERMILION, SQUARE), "popularity": (GREEN, TRIANGLE), "global_mean": (GREY, DIAMOND)}
OTHERS = ((PINK, SQUARE), (ORANGE, TRIANGLE))

Estimate = Mapping[str, float]  # value, low, high, n, as in metrics.json


@dataclass(frozen=True)
class Results:
    """The name of the trained model, and the metrics of reports/metrics.json."""

    model: str
    metrics: Mapping[str, Any]

    @property
    def knowledges(self) -> list[str]:
        """What the models knew of the past of the test rows. The headline and the slices use the first."""
        return list(self.metrics["rating"])

    @property
    def baselines(self) -> Mapping[str, Any]:
        baselines: Mapping[str, Any] = self.metrics["baselines"]
        return baselines

    @property
    def compared(self) -> list[str]:
        """The model, and the one baseline beside it where there is room for one. A single system has no baseline."""
        return [self.model, *list(self.baselines)[:1]]

    @cached_property
    def looks(self) -> dict[str, Series]:
        """How the trained model and the baselines look, in this order."""
        others = cycle(OTHERS)
        looks = {name: BASELINES.get(name) or next(others) for name in self.baselines}
        return {name: Series(model_label(name), *look) for name, look in ({self.model: TRAINED} | looks).items()}

    def by_model(self, task: str, knowledge: str) -> dict[str, Mapping[str, Any]]:
        """Estimates of the model, then of the baselines that have this task."""
        tasks = {self.model: self.metrics} | dict(self.baselines)
        return {name: of_model[task][knowledge] for name, of_model in tasks.items() if task in of_model}


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
    """A point of a chart, hollow where it rests on few users."""
    return Point(series, estimate["value"], estimate["low"], estimate["high"], estimate.get("users", FEW) < FEW)


def estimates_by_model(part: pd.DataFrame, value: str) -> dict[str, Mapping[str, Any]]:
    """Rows of a plot's table as estimates, with the column `value` as their value."""
    return dict(zip(part["model"], estimates(part, value), strict=True))


def estimates(part: pd.DataFrame, value: str) -> Iterator[Mapping[str, Any]]:
    yield from part.rename(columns={value: "value"}).to_dict("records")


def thin_out(ticks: Sequence[tuple[float, str]], most: int) -> list[tuple[float, str]]:
    """At most so many ticks at equal steps, the first among them, so that labels do not overlap."""
    return list(ticks[:: -(-len(ticks) // most)])
