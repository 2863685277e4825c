"""A page of the made-up evaluation."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pandas as pd
import pytest

from tests.report import made_up
from widedeep.report.about import About
from widedeep.report.report import Choices, Scores, Tables, render_report

Render = Callable[..., str]


@pytest.fixture
def render() -> Render:
    """Render the report. Arguments replace the made-up values; `about` has values of the model."""

    def run(
        model: str = "wide_deep",
        split: str = "temporal",
        curves: pd.DataFrame | None = made_up.CURVES,
        about: dict[str, Any] | None = None,
        judged: bool = True,
        **changes: Any,
    ) -> str:
        online = split == "temporal"
        found = made_up.metrics(model, online, judged=judged, next_item=changes.get("next_item", True))
        if changes.get("missing"):
            found["missing"] = changes["missing"]
        if changes.get("alone"):
            found["baselines"] = {}
        ratings = changes.get("ratings", made_up.ratings())
        items, counts = changes.get("items", made_up.items()), changes.get("counts", made_up.COUNTS)
        tables = Tables(ratings, items, "csv", (0.5, 5.0), split, counts)
        test = ratings.loc[ratings["split"] == "test", ["user_id", "item_id", "rating"]]
        scores = Scores(test, changes.get("lists", made_up.lists(ratings)), changes.get("beside"))
        choices = Choices(max(made_up.KS), 3.875, changes.get("examples", 3), changes.get("seed", 0),
                          changes.get("penalty", 0))  # fmt: skip
        plots = made_up.plots(found, model, months=online, genres=changes.get("genres", True))
        return render_report(
            About(model, **({"kept": 1} | (about or {}))), found, plots, curves, scores, tables, choices,
            changes.get("windows"),
        )  # fmt: skip

    return run


def text(page: str) -> str:
    """Return the text that a reader sees, with single spaces."""
    body = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(body).replace("\N{NO-BREAK SPACE}", " "))
