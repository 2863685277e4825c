"""Stage report: write the report page and the summary from metrics and tables."""

import argparse
from contextlib import ExitStack
from pathlib import Path

import pandas as pd

from widedeep.columns import FROZEN, ITEM_ID, KNOWLEDGE, MODEL, PREDICTED, RANK, RATING, USER_ID
from widedeep.errors import exit_on_user_error
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
    relevant = params.evaluate.relevant_from(tables.rating_scale)
    choices = Choices(list_length(params.evaluate.ks), relevant, params.report.examples, params.report.seed)
    scores = _scores(args.results, about.model, next(iter(metrics["rating"])))
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


def _scores(folder: Path, model: str, knowledge: str) -> Scores:
    """Read the model's frozen lists, and its test rows, which are the same under each knowledge."""
    own = [(MODEL, "==", model)]
    test = pd.read_parquet(
        folder / PREDICTIONS, columns=[USER_ID, ITEM_ID, RATING], filters=[*own, (KNOWLEDGE, "==", knowledge)]
    )
    columns = [USER_ID, RANK, ITEM_ID, PREDICTED]
    frozen = [*own, (KNOWLEDGE, "==", FROZEN)]
    return Scores(test, pd.read_parquet(folder / RECOMMENDATIONS, columns=columns, filters=frozen))


if __name__ == "__main__":
    with exit_on_user_error():
        main()
