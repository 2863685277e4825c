"""`widedeep noise`: train with several seeds, and store how much each metric of the model varies."""

import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

from studies.judging import evaluate
from widedeep.columns import TEST, TRAIN, VALIDATION
from widedeep.compare.compare import DECIMALS, estimates
from widedeep.compare.noise import SECTIONS
from widedeep.features.tensors import load_features
from widedeep.files import replacing, write_json
from widedeep.params import Params, load_params
from widedeep.training.fit import fit


def measure_noise(path: Path, features: Path, out: Path, seeds: int) -> None:
    """Write the mean and the standard deviation of each metric over `seeds` trainings (at least 2) to the file `out`.

    `path` is that of params.yaml, `features` the folder of stage featurize.
    """
    params = load_params(path)
    values = measure(features, params, seeds)
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
    with replacing(out) as partial:
        write_json(partial, {"seeds": seeds, "metrics": spread, "params": sections})


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
