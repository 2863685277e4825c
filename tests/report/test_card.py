"""The model card: its head can be read by machines, and its text says what the numbers say."""

import re
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.report import made_up
from widedeep.report.about import About
from widedeep.report.card import render_card
from widedeep.report.report import Tables
from widedeep.sources import SOURCES

SECTIONS = ["Model", "Data and terms", "Intended use", "Metrics", "Slices", "Drift", "Limits"]


def card(model: str = "wide_deep", split: str = "temporal", dataset: str = "csv", **changes: Any) -> str:
    online = split == "temporal"
    found = made_up.metrics(model, online, judged=changes.get("judged", True))
    if changes.get("alone"):
        found["baselines"] = {}
    ratings = made_up.ratings()
    ratings = ratings if online else ratings.assign(timestamp=pd.array([pd.NA] * len(ratings), dtype="Int64"))
    tables = Tables(ratings, made_up.items(), dataset, (0.5, 5.0), split)
    plots = made_up.plots(found, model, months=online)
    return render_card(About(model, kept=1), found, plots, tables, "Ask first.", max(made_up.KS))


def head(text: str) -> Any:
    return yaml.safe_load(text.split("---\n")[1])


def test_head_has_the_metrics_that_the_stage_evaluate_wrote() -> None:
    read = head(card())
    assert read["library_name"] == "widedeep"
    (model,) = read["model-index"]
    (result,) = model["results"]
    named = {metric["name"]: metric["value"] for metric in result["metrics"]}
    found = made_up.metrics()
    assert named["online RMSE"] == found["rating"]["online"]["rmse"]["value"]
    assert named["frozen NDCG at 5"] == found["ranking"]["frozen"]["ndcg_at_5"]["value"]


def test_every_section_has_text() -> None:
    parts = re.split(r"^## (.+)$", card(), flags=re.MULTILINE)
    assert parts[1::2] == SECTIONS
    assert all(part.strip() for part in parts[2::2])


def test_metrics_stand_beside_baselines_with_their_intervals() -> None:
    text = card()
    assert "| Wide & Deep | 0.900 [0.850, 0.950] | 1.000 [0.950, 1.050] |" in text
    assert "| bias | 1.000 [0.950, 1.050] | 1.100 [1.050, 1.150] |" in text
    assert "| Action | 16 | 12 | 0.900 [0.800, 2.000] | 1.000 [0.900, 2.000] |" in text


def test_terms_of_the_data_and_its_drift_are_stated() -> None:
    text = card()
    assert "Ask first." in text
    # Users 7 and 8 of 8 have no training rating, and items 12 to 15 have none.
    assert "25.0\N{NO-BREAK SPACE}% of the test ratings are by users without a training rating" in text
    assert "100.0\N{NO-BREAK SPACE}% are of items without one" in text


@pytest.mark.parametrize(
    "changes", [{"model": "bias"}, {"split": "random"}, {"judged": False}, {"alone": True}, {"model": "ease"}]
)
def test_card_of_other_models_splits_and_metrics(changes: dict[str, Any]) -> None:
    text = card(**changes)
    assert "nan" not in text
    assert head(text)["model-index"][0]["results"][0]["metrics"]


def test_name_of_a_data_set_stays_text() -> None:
    text = card(dataset="a: b\n# <script>")
    assert head(text)["model-index"][0]["results"][0]["dataset"]["name"] == "a: b\n# <script>"
    assert "<script>" not in text.split("---\n", 2)[2]


@pytest.mark.parametrize("dataset", SOURCES)
def test_every_data_set_states_its_terms(dataset: str) -> None:
    assert SOURCES[dataset].terms.endswith(".")
