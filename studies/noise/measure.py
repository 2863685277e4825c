"""Train with several seeds on the same features, and store how far each metric of the model spreads."""

import argparse
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

from studies.judging import evaluate
from widedeep.columns import TEST, TRAIN, VALIDATION
from widedeep.compare.compare import DECIMALS, estimates
from widedeep.compare.noise import SECTIONS
from widedeep.errors import UserError, exit_on_user_error
from widedeep.features.tensors import load_features
from widedeep.files import replacing, write_json
from widedeep.params import Params, load_params
from widedeep.training.fit import fit


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.noise.measure", description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: %(default)s")
    parser.add_argument("--features", type=Path, default=Path("data/features"), help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("reports/noise.json"), help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=5, help="trainings, at least 2; default: %(default)s")
    options = parser.parse_args(arguments)
    with exit_on_user_error():
        if options.seeds < 2:
            raise UserError(f"--seeds must be an int in the range [2, inf): one has no spread. Got {options.seeds}.")
        params = load_params(options.params)
        values = measure(options.features, params, options.seeds)
        sections = params.model_dump(mode="json", include=set(SECTIONS), exclude={"train": {"seed"}})
        # By the name that DVC has in dvc.lock for the knobs of the model.
        sections[f"models.{params.train.model}"] = params.recipe.config.model_dump(mode="json")
        spread = {
            metric: {
                "mean": round(statistics.fmean(of_seeds), DECIMALS),
                "deviation": round(statistics.stdev(of_seeds), DECIMALS),
            }
            for metric, of_seeds in values.items()
        }
        with replacing(options.out) as out:
            write_json(out, {"seeds": options.seeds, "metrics": spread, "params": sections})


def measure(folder: Path, params: Params, seeds: int) -> dict[str, list[float]]:
    """The value of each metric of the model, by flat name, for train.seed and the seeds - 1 that follow it."""
    known = load_features(folder, TRAIN, VALIDATION)
    features = load_features(folder, TRAIN, VALIDATION, TEST)
    quick = params.evaluate.model_copy(update={"bootstrap_replicates": 1})  # intervals are not asked for
    values: dict[str, list[float]] = {}
    for run in range(seeds):
        seed = (params.train.seed + run) % 2**32
        # One device: with several Lightning would run this script once for each.
        recipe = params.recipe.with_train(seed=seed, devices=1, nodes=1)
        with TemporaryDirectory(prefix="widedeep-") as checkpoints:
            trained = fit(known, recipe, Path(checkpoints))
        found = estimates(evaluate(features, trained.model, recipe.architecture, quick).metrics)
        own = {metric: found[metric]["value"] for metric in found if not metric.startswith("baselines.")}
        for metric, value in own.items():
            values.setdefault(metric, []).append(value)
        rmse = ", ".join(f"{metric} {value:.4f}" for metric, value in own.items() if metric.endswith(".rmse"))
        print(f"seed {seed} ({run + 1} of {seeds}): {rmse}", flush=True)
    return values


if __name__ == "__main__":
    main()
