"""Stage report: write the report page, the summary and the model card from metrics and tables."""

import argparse
import math
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd

from widedeep.columns import FROZEN, ITEM_ID, PREDICTED, RANK, RATING, USER_ID
from widedeep.errors import UserError, exit_on_user_error
from widedeep.evaluation.files import PREDICTIONS, RECOMMENDATIONS, load_columns
from widedeep.evaluation.metrics import RATING_TASK, list_length
from widedeep.evaluation.results import read_metrics
from widedeep.files import replacing
from widedeep.params import load_params
from widedeep.reading import made_by
from widedeep.report.about import About, read_counts
from widedeep.report.card import render_card
from widedeep.report.learning import read_curves
from widedeep.report.plots import read_plots
from widedeep.report.report import BESIDE, Choices, Scores, Tables, render_report
from widedeep.report.summary import render_summary
from widedeep.report.windows import WINDOW_COLUMNS
from widedeep.sources import SOURCES
from widedeep.tables.files import load_about, load_named
from widedeep.tabular import read_csv


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", required=True)
    for name in ("tables", "data-report", "model", "results", "curves", "drift", "out"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    args = parser.parse_args()

    params = load_params(args.params)
    about = About.read(args.model)
    metrics = read_metrics(args.results / "metrics.json", about.model, list_length(params.evaluate.ks))
    tables = _tables(args.tables, args.data_report)
    relevant = params.evaluate.relevant_from(tables.rating_scale)
    k, penalty = list_length(params.evaluate.ks), params.evaluate.popularity_penalty
    choices = Choices(k, relevant, params.report.examples, params.report.seed, penalty)
    others = metrics["baselines"]
    scores = _scores(args.results, tables, about.model, BESIDE in others, metrics["rating"])
    rated = [name for name, tasks in {about.model: metrics, **others}.items() if tasks.get(RATING_TASK)]
    plots = read_plots(args.results / "plots", [about.model, *others], rated)
    curves, windows = read_curves(args.curves, about.kept), read_csv(args.drift, *WINDOW_COLUMNS, made_by("drift"))
    page = render_report(about, metrics, plots, curves, scores, tables, choices, windows)
    summary = render_summary(about.model, metrics, tables.dataset, choices.k)
    terms = SOURCES.get(tables.dataset, SOURCES["csv"]).terms
    card = render_card(about, metrics, plots, tables, terms, choices.k)
    with ExitStack() as outputs:  # renamed together, after all are written
        for name, text in (("report.html", page), ("summary.md", summary), ("model_card.md", card)):
            outputs.enter_context(replacing(args.out / name)).write_text(text, encoding="utf-8")


def _tables(folder: Path, counts: Path) -> Tables:
    about = load_about(folder)
    ratings, items = load_named(folder)
    return Tables(ratings, items, about.dataset, about.rating_scale, about.split, read_counts(counts))


def _scores(folder: Path, tables: Tables, model: str, compared: bool, metrics: Mapping[str, Any]) -> Scores:
    """Read the model's frozen lists, those of `BESIDE`, and the test rows, which are the same under each knowledge.

    compared : whether there are lists of `BESIDE`
    metrics : estimates of the rating metrics by knowledge, to check that the tables are of the same run. With implicit
        feedback there are none, and predicted ratings are left out.
    """
    knowledge = next(iter(metrics), FROZEN)
    columns = [USER_ID, ITEM_ID, RATING, PREDICTED]
    test = load_columns(folder / PREDICTIONS, columns, tables.ratings, model, knowledge)
    rmse = float(((test[PREDICTED] - test[RATING]) ** 2).mean() ** 0.5)
    known = metrics[knowledge]["rmse"]["value"] if metrics else rmse
    if not math.isclose(rmse, known, rel_tol=1e-5, abs_tol=1e-5):
        raise UserError(
            f"{folder / PREDICTIONS} and {folder / 'metrics.json'} are not of one run: the {knowledge} RMSE of {model} "
            f"is {rmse:.6f} and {known:.6f}. `dvc repro evaluate` makes both again."
        )

    def lists(name: str) -> pd.DataFrame:
        columns = [USER_ID, RANK, ITEM_ID, *([PREDICTED] if metrics else [])]
        return load_columns(folder / RECOMMENDATIONS, columns, tables.ratings, name, FROZEN)

    return Scores(test, lists(model), lists(BESIDE) if compared else None)


if __name__ == "__main__":
    with exit_on_user_error():
        main()
