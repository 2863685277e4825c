"""Run `widedeep ablation`: compare a preset with variants that make one change each, on validation rows.

Each variant of variants.yaml is trained with several seeds on the training rows, with early stopping. It is judged on
the validation rows at its best epoch. The best epoch makes all results too good, but equally so for preset and variant.
Test rows are not read.

Notation: U users, R resamples.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from studies.tuning.presets import load_preset, preset_file, read_assignments
from widedeep.columns import TRAIN, VALIDATION
from widedeep.errors import UserError
from widedeep.evaluation.bootstrap import Bootstrap, Terms, verdict
from widedeep.features.ragged import Ragged
from widedeep.features.tensors import FeatureSet, load_features
from widedeep.files import replacing
from widedeep.models.model import Model
from widedeep.params import Params, Recipe, TrainParams, changed, load_params, merged, nested
from widedeep.scoring import predict, rank
from widedeep.training.fit import fit
from widedeep.training.losses import ndcg
from widedeep.training.tasks import RankingTask
from widedeep.yaml import read_yaml

ROOT = Path(__file__).resolve().parents[2]
PLACES = 10  # length of the lists


def squared_errors(features: FeatureSet, model: Model) -> NDArray[np.float64]:
    """Compute the sum of squared errors and the number of rows of each user, on frozen validation rows: (2, U)."""
    rows = features.frozen(features.splits[VALIDATION])
    predicted = predict({"model": model}, features, rows)["model"]
    error = (predicted - rows.rating).double().square().numpy()
    user = np.unique(rows.user.numpy(), return_inverse=True)[1]
    return np.stack([np.bincount(user, error), np.bincount(user)])


def ndcgs(features: FeatureSet, model: Model, params: TrainParams) -> NDArray[np.float64]:
    """Compute the NDCG at 10 of each user with a positive validation row. The second row is 1 for each: (2, U)."""
    positives = RankingTask(params).positive(features.splits[VALIDATION])
    user = positives.user.unique()
    columns = positives.item, positives.rating, positives.timestamp
    relevant = Ragged.of(positives.user, *columns, n=len(features.users)).lists(user)
    first = relevant.timestamp[relevant.start[:-1]]
    lists = rank({"model": model}, features, user, first, PLACES)["model"].items
    values = ndcg(lists, relevant).double().numpy()
    return np.stack([values, np.ones_like(values)])


def measure(features: FeatureSet, recipe: Recipe, seeds: int) -> tuple[NDArray[np.float64], float, float]:
    """Train with several seeds, and judge each model.

    Returns
    -------
    The sums by user for each seed (seeds, 2, U), the mean seconds of a training, and the mean best epoch.
    """
    sums, seconds, epochs = [], 0.0, 0
    for seed in range(seeds):
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            trained = fit(features, recipe.with_train(seed=seed), Path(folder))
        seconds += time.perf_counter() - start
        epochs += trained.epoch + 1
        by_user = squared_errors(features, trained.model) if recipe.train.objective == "rating" else None
        sums.append(ndcgs(features, trained.model, recipe.train) if by_user is None else by_user)
    return np.stack(sums), seconds / seeds, epochs / seeds


def statistic(sums: NDArray[np.float64], bootstrap: Bootstrap, rating: bool) -> NDArray[np.float64]:
    """Average RMSE (`rating`) or NDCG over the seeds, for the data and for each resample: (seeds, 2, U) -> (1 + R,)."""
    of_seeds = [bootstrap.ratios([Terms(above, below, root=rating)])[0] for above, below in sums]
    values: NDArray[np.float64] = np.mean(of_seeds, axis=0)
    return values


def ablate(features: FeatureSet, preset: Params, variants: Mapping[str, Mapping[str, Any]], seeds: int) -> pd.DataFrame:
    """Measure the preset and each variant.

    Parameters
    ----------
    variants : the changes of each variant, by its name. A change is the value of a parameter, by its dotted name.

    Returns
    -------
    DataFrame with a row per variant, the preset first: the value of the metric, the difference from the preset, the
    95 % interval of the difference (low, high), the verdict, the mean best epoch, and the mean seconds of a training.
    """
    bootstrap, rating = Bootstrap(), preset.train.objective == "rating"
    rows: list[dict[str, Any]] = []
    base: NDArray[np.float64] | None = None
    for name, changes in {"preset": {}, **variants}.items():
        variant = changed(preset, nested(changes), f"variant {name}")
        sums, seconds, epochs = measure(features, variant.recipe, seeds)
        values = statistic(sums, bootstrap, rating)
        base = values if base is None else base
        difference = bootstrap.estimate(values - base, int(sums[0, 1].sum()), sums.shape[2])
        rows.append(
            {
                "variant": name,
                "rmse" if rating else "ndcg_at_10": round(float(values[0]), 4),
                "difference": round(difference.value, 4),
                "low": round(difference.low, 4),
                "high": round(difference.high, 4),
                "verdict": verdict(difference, lower_is_better=rating) if name != "preset" else "",
                "best_epoch": round(epochs, 1),
                "seconds": round(seconds),
            }
        )
        print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def run(dataset: str, split: str, objective: str, folder: Path, out: Path, seeds: int, changes: Sequence[str]) -> None:
    """Write the table of `ablate` for a preset to the file `out`.

    Parameters
    ----------
    dataset, split, objective : the preset
    folder : folder of stage featurize, with validation rows
    changes : `section.key=value` as in `dvc exp run -S`, for the preset and for all variants

    Raises
    ------
    UserError
        There is no such preset, there are no variants for the objective, there are no validation rows, or a change is
        impossible.
    """
    preset = load_preset(preset_file(dataset), split, objective)
    if preset is None:
        raise UserError(f"There is no preset for {dataset} {split} {objective}.")
    overrides = nested({"train.objective": objective} | read_assignments(changes))
    params = changed(load_params(ROOT / "params.yaml"), merged(preset, overrides), "preset and --set")
    variants = read_yaml(Path(__file__).with_name("variants.yaml"))
    if objective not in variants:
        raise UserError(f"OBJECTIVE must be {' or '.join(variants)}. Got '{objective}' instead.")
    features = load_features(folder, TRAIN, VALIDATION)
    if not len(features.splits[VALIDATION]):
        raise UserError(f"{folder} has no validation rows. Set preprocess.validation_fraction above 0.")
    table = ablate(features, params, variants[objective], seeds)
    with replacing(out) as partial:
        table.to_csv(partial, index=False)
