"""Run `widedeep noise`: train with several seeds, and store how much each metric of the model varies."""

import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

from studies.judging import evaluate
from widedeep.columns import TEST, TRAIN, VALIDATION
from widedeep.compare.compare import estimates
from widedeep.compare.noise import SECTIONS, TEST_HASH
from widedeep.errors import UserError
from widedeep.evaluation.results import DECIMALS
from widedeep.features.tensors import load_features
from widedeep.files import replacing, write_json
from widedeep.params import Params, load_params
from widedeep.reading import read_json
from widedeep.training.fit import fit


def measure_noise(path: Path, data: Path, features: Path, out: Path, seeds: int) -> None:
    """Write the mean and the standard deviation of each metric over several trainings to the file `out`.

    Parameters
    ----------
    path : file of parameters
    data : reports/data.json of the run that made the features
    features : folder of stage featurize
    seeds : number of trainings, at least 2

    Raises
    ------
    UserError
        The file `data` does not exist.
    """
    params = load_params(path)
    try:
        test_sha256 = read_json(data)[TEST_HASH]
    except FileNotFoundError:
        raise UserError(f"{data} does not exist. Run `dvc repro` to make it.") from None
    values = measure(features, params, seeds)
    sections = params.model_dump(mode="json", include=set(SECTIONS), exclude={"train": {"seed"}})
    # dvc.lock has the knobs of the model under this name too.
    sections[f"models.{params.train.model}"] = params.recipe.config.model_dump(mode="json")
    spread = {
        metric: {
            "mean": round(statistics.fmean(of_seeds), DECIMALS),
            "deviation": round(statistics.stdev(of_seeds), DECIMALS),
        }
        for metric, of_seeds in values.items()
    }
    with replacing(out) as partial:
        write_json(partial, {"seeds": seeds, TEST_HASH: test_sha256, "metrics": spread, "params": sections})


def measure(folder: Path, params: Params, seeds: int) -> dict[str, list[float]]:
    """Measure each metric of the model for train.seed and the following seeds.

    Returns
    -------
    A list of `seeds` values for each metric, by flat name.
    """
    known = load_features(folder, TRAIN, VALIDATION)
    features = load_features(folder, TRAIN, VALIDATION, TEST)
    quick = params.evaluate.model_copy(update={"bootstrap_replicates": 1})  # intervals are not needed
    values: dict[str, list[float]] = {}
    for run in range(seeds):
        seed = (params.train.seed + run) % 2**32
        # With several devices Lightning would run this script once for each.
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
