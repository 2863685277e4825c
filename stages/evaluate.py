"""Evaluate: the trained model and the baselines on the test rows; metrics, plots and a report."""

import argparse
from pathlib import Path

import pandas as pd

from widedeep.columns import TEST, TRAIN, VALIDATION
from widedeep.errors import exit_on_user_error
from widedeep.evaluation.evaluate import evaluate
from widedeep.features.store import Features
from widedeep.files import replacing, write_json
from widedeep.models.weights import load_model
from widedeep.params import load_params


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", required=True)
    parser.add_argument("--tables", required=True, type=Path)
    parser.add_argument("--features", required=True, type=Path)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--curves", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()

    params = load_params(args.params).evaluate
    features = Features.load(args.features, TRAIN, VALIDATION, TEST)
    evaluation = evaluate(features, load_model(args.model, features.spec), params)
    for name, table in evaluation.curves.items():
        with replacing(args.out / "plots" / f"{name}.csv") as out:
            table.to_csv(out, index=False)
    with replacing(args.out / "per_user.parquet") as out:
        evaluation.per_user.to_parquet(out, index=False)
    write_json(args.out / "metrics.json", evaluation.metrics)


if __name__ == "__main__":
    with exit_on_user_error():
        main()
