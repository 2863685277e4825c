"""Stage report: write the report page and the summary from metrics and tables."""

import argparse
import math
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd

from widedeep.columns import ITEM_ID, KNOWLEDGE, MODEL, PREDICTED, RANK, RATING, USER_ID
from widedeep.errors import UserError, exit_on_user_error
from widedeep.evaluation.background import relevant_from
from widedeep.evaluation.files import PREDICTIONS, RECOMMENDATIONS
from widedeep.evaluation.metrics import list_length
from widedeep.files import read_json, replacing
from widedeep.params import load_params
from widedeep.report.about import About
from widedeep.report.plots import read_plots
from widedeep.report.report import Choices, Scores, Tables, render_report
from widedeep.report.summary import render_summary
from widedeep.tables.files import load_about, load_named


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", required=True)
    for name in ("tables", "data-report", "model", "results", "curves", "out"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    args = parser.parse_args()

    params = load_params(args.params)
    about = About.from_json(read_json(args.model))
    metrics = read_json(args.results / "metrics.json")
    tables = _tables(args.tables, args.data_report)
    relevant = relevant_from(params.evaluate.relevant_rating, tables.rating_scale)
    choices = Choices(list_length(params.evaluate.ks), relevant, params.report.examples, params.report.seed)
    scores = _scores(args.results, about.model, *next(iter(metrics["rating"].items())))
    plots = read_plots(args.results / "plots")
    page = render_report(about, metrics, plots, pd.read_csv(args.curves), scores, tables, choices)
    summary = render_summary(about.model, metrics, tables.dataset, choices.k)
    with ExitStack() as outputs:  # renamed together, after all are written
        for name, text in (("report.html", page), ("summary.md", summary)):
            outputs.enter_context(replacing(args.out / name)).write_text(text, encoding="utf-8")


def _tables(folder: Path, counts: Path) -> Tables:
    about = load_about(folder)
    ratings, items = load_named(folder)
    return Tables(ratings, items, about.dataset, about.rating_scale, about.split, read_json(counts))


def _scores(folder: Path, model: str, knowledge: str, metrics: Mapping[str, Any]) -> Scores:
    """Read the model's rows of the score tables. One knowledge is enough: the test rows are the same under each.

    metrics : estimates of the rating metrics under this knowledge, to check that the tables are of the same run
    """
    own = [(MODEL, "==", model)]
    test = pd.read_parquet(
        folder / PREDICTIONS,
        columns=[USER_ID, ITEM_ID, RATING, PREDICTED],
        filters=[*own, (KNOWLEDGE, "==", knowledge)],
    )
    rmse, known = float(((test[PREDICTED] - test[RATING]) ** 2).mean() ** 0.5), metrics["rmse"]["value"]
    if not math.isclose(rmse, known, rel_tol=1e-5, abs_tol=1e-5):
        raise UserError(
            f"{folder / PREDICTIONS} and {folder / 'metrics.json'} are not of one run: the {knowledge} RMSE of {model} "
            f"is {rmse:.6f} and {known:.6f}. `dvc repro evaluate` makes both again."
        )
    columns = [USER_ID, RANK, ITEM_ID, PREDICTED]
    return Scores(test, pd.read_parquet(folder / RECOMMENDATIONS, columns=columns, filters=own))


if __name__ == "__main__":
    with exit_on_user_error():
        main()
