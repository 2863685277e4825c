"""Render the report: one static HTML page that opens offline. The same numbers give the same bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from widedeep.columns import FROZEN, ONLINE, SPLIT, SPLITS, TIMESTAMP, USER_ID
from widedeep.report import learning, penalty, ranking, rating, slices
from widedeep.report.about import About
from widedeep.report.examples import examples
from widedeep.report.labels import model_title
from widedeep.report.page import render_page
from widedeep.report.results import FEW, Results
from widedeep.report.windows import moves_of

KNOWLEDGE = {
    ONLINE: "The model knows everything that happened before a rating, including earlier test ratings. Its weights "
    "stay as trained. This is like a model with a live feature store.",
    FROZEN: "The model knows the training ratings and nothing later. This is like a model that was deployed once.",
}

BESIDE = "recent_popularity"  # the lists of this baseline stand beside those of the model


@dataclass(frozen=True)
class Tables:
    """The canonical tables of the data, and facts about them."""

    ratings: pd.DataFrame
    items: pd.DataFrame
    dataset: str
    rating_scale: tuple[float, float]
    split: str
    """Kind of split, as in params.yaml."""
    counts: Mapping[str, Any] | None = None
    """Numbers of rows, as in reports/data.json. None if the page does not show them."""


@dataclass(frozen=True)
class Scores:
    """The test rows, and the lists of the trained model and of the baseline that stands beside them.

    test : user_id, item_id and rating of each test row
    lists : user_id, rank, item_id and predicted rating of each place in the frozen lists
    beside : user_id, rank and item_id of each place in the frozen lists of `BESIDE`. None: without them.
    """

    test: pd.DataFrame
    lists: pd.DataFrame
    beside: pd.DataFrame | None = None


@dataclass(frozen=True)
class Choices:
    """The choices about what the report shows.

    k : length of the lists in the headline
    relevant : a test item is relevant from this rating on
    examples : number of users whose lists are shown, drawn with `seed`
    penalty : popularity penalty of the lists of the model
    """

    k: int
    relevant: float
    examples: int
    seed: int
    penalty: float = 0


def render_report(
    about: About,
    metrics: Mapping[str, Any],
    plots: Mapping[str, pd.DataFrame],
    curves: pd.DataFrame | None,
    scores: Scores,
    tables: Tables,
    choices: Choices,
    windows: pd.DataFrame | None = None,
) -> str:
    """Render the whole page as text.

    Parameters
    ----------
    metrics : as in reports/metrics.json
    plots : the tables of reports/plots that `evaluate` writes, by name
    curves : the learning curves, a row per epoch. None for a system that was trained elsewhere.
    windows : as in reports/plots/drift.csv. None: the page does not show how the data move.
    """
    results, k = Results(about.model, metrics), choices.k
    figures = [] if curves is None else learning.learning_figures(curves, about.kept)
    return render_page(
        "report.html.j2",
        title=model_title(about.model),
        dataset=tables.dataset,
        scale=tables.rating_scale,
        split=tables.split,
        relevant=choices.relevant,
        no_ratings=results.no_ratings,
        finding=rating.rating_findings(results),
        ranking_finding=[ranking.ranking_finding(results, knowledge, k) for knowledge in results.listed],
        rating_note="" if results.no_ratings else rating.rating_note(about, bool(figures)),
        sorting_note=ranking.sorting_note(about, bool(figures)),
        knowledge={knowledge: KNOWLEDGE[knowledge] for knowledge in KNOWLEDGE if knowledge in metrics["rating"]},
        headline=rating.error_table(results),
        rating_rows=rating.rating_rows(results),
        headline_figures=rating.headline_figures(results),
        learning=figures,
        trained_here=curves is not None,
        validated=curves is not None and bool(curves.filter(like="validation").notna().any(axis=None)),
        fitted_finding="" if curves is None else learning.fitted_finding(about, curves),
        positive=about.positive_rating,
        calibration=None if results.no_ratings else rating.calibration_figure(results, plots["calibration"]),
        slices=slices.slice_figures(results, plots),
        slice_knowledge="" if results.no_ratings else results.knowledges[0],
        known=slices.known_figures(results, plots["by_known_ratings"]),
        n_users=scores.test[USER_ID].nunique(),
        k=k,
        ranking=ranking.ranking_tables(results, k),
        missing_of_lists=results.missing_of_lists,
        by_k=ranking.by_k_figures(results, plots["ranking_by_k"]),
        penalty=choices.penalty,
        by_penalty=penalty.penalty_figures(results, plots["by_popularity_penalty"], k),
        by_penalty_rows=penalty.penalty_rows(results, plots["by_popularity_penalty"]),
        by_k_rows=ranking.by_k_rows(plots["ranking_by_k"]),
        examples=examples(
            tables.ratings,
            tables.items,
            scores.test,
            scores.lists,
            choices.relevant,
            choices.examples,
            choices.seed,
            scores.beside,
        ),
        beside=model_title(BESIDE),
        seed=choices.seed,
        moved=None if windows is None else moves_of(windows),
        data=tables.counts,
        sizes=tables.ratings[SPLIT].value_counts().to_dict(),
        periods=periods(tables.ratings),
        rated=[results.looks[name] for name in (results.model, *results.rated)],
        compared=[results.looks[name] for name in results.compared],
        ranked=[results.looks[name] for name in results.by_model("ranking", FROZEN)],
        few=FEW,
    )


def periods(ratings: pd.DataFrame) -> dict[str, str]:
    """Return the first and the last day of each split that has timestamps."""
    found = {}
    for split in SPLITS:
        times = ratings.loc[ratings[SPLIT] == split, TIMESTAMP].dropna()
        if len(times):
            first, last = pd.to_datetime([times.min(), times.max()], unit="s").strftime("%Y-%m-%d")
            found[split] = f"{first} to {last}"
    return found
