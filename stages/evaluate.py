"""Evaluate: the trained model and the baselines on the test rows; metrics, plots and a report."""

import argparse
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
from widedeep.features.store import Features
from widedeep.models.weights import ABOUT, WEIGHTS, load_model

from widedeep.columns import TEST, TRAIN, VALIDATION
from widedeep.errors import exit_on_user_error
from widedeep.evaluation.evaluate import evaluate, list_length
from widedeep.files import read_json, replacing, write_json
from widedeep.params import load_params
from widedeep.report.report import Sources, headline, render_report
from widedeep.report.summary import render_summary
from widedeep.tables.files import load_about, load_items
from widedeep.tracking import log_metrics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", required=True)
    for name in ("tables", "data-report", "features", "model", "curves", "out"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    args = parser.parse_args()

    params = load_params(args.params).evaluate
    features = Features.load(args.features, TRAIN, VALIDATION, TEST)
    model, about = load_model(args.model, features.spec)
    evaluation = evaluate(features, model, about, params)
    sources = Sources(
        items=load_items(args.tables),
        split=load_about(args.tables).split,
        curves=pd.read_csv(args.curves),
        kept=read_json(args.model / ABOUT)["best_epoch"],
        data=read_json(args.data_report),
    )
    summary = render_summary(evaluation.model, evaluation.metrics, features.spec.dataset, list_length(params.ks))
    report = render_report(evaluation, features, model, about, params, sources)
    with ExitStack() as outputs:  # renamed together, after all are written

        def output(name: str) -> Path:
            return outputs.enter_context(replacing(args.out / name))

        for name, table in evaluation.curves.items():
            table.to_csv(output(f"plots/{name}.csv"), index=False)
        evaluation.per_user.to_parquet(output("per_user.parquet"), index=False)
        output("report.html").write_text(report, encoding="utf-8")
        output("summary.md").write_text(summary, encoding="utf-8")
        write_json(output("metrics.json"), evaluation.metrics)
    log_metrics(args.model / WEIGHTS, headline(evaluation.metrics, list_length(params.ks)))


if __name__ == "__main__":
    with exit_on_user_error():
        main()
