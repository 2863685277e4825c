"""Evaluate: metrics of the trained model and the baselines on the test rows, and the tables of the plots."""

import argparse
from contextlib import ExitStack
from pathlib import Path

from widedeep.columns import TEST, TRAIN, VALIDATION
from widedeep.errors import exit_on_user_error
from widedeep.evaluation.evaluate import evaluate, headline, list_length
from widedeep.features.store import Features
from widedeep.files import replacing, write_json
from widedeep.models.weights import WEIGHTS, load_model
from widedeep.params import load_params
from widedeep.tracking import log_metrics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", required=True)
    for name in ("features", "model", "out"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    args = parser.parse_args()

    params = load_params(args.params).evaluate
    features = Features.load(args.features, TRAIN, VALIDATION, TEST)
    model, about = load_model(args.model, features.spec)
    evaluation = evaluate(features, model, about, params)
    with ExitStack() as outputs:  # renamed together, after all are written

        def output(name: str) -> Path:
            return outputs.enter_context(replacing(args.out / name))

        for name, table in evaluation.curves.items():
            table.to_csv(output(f"plots/{name}.csv"), index=False)
        evaluation.per_user.to_parquet(output("per_user.parquet"), index=False)
        write_json(output("metrics.json"), evaluation.metrics)
    log_metrics(args.model / WEIGHTS, headline(evaluation.metrics, list_length(params.ks)))


if __name__ == "__main__":
    with exit_on_user_error():
        main()
