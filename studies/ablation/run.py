"""`widedeep ablation`: the preset of a data set against the same with one change at a time, on validation rows.

Each variant of variants.yaml is trained with several seeds on the training rows, with early stopping, and judged on the
validation rows at its best epoch. Both sides of a comparison are equally optimistic. Test rows are not read.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from studies.tuning.presets import load_preset, preset_file
from widedeep.columns import TRAIN, VALIDATION
from widedeep.errors import UserError
from widedeep.evaluation.bootstrap import Bootstrap, Terms, verdict
from widedeep.features.ragged import Ragged
from widedeep.features.tensors import FeatureSet, load_features
from widedeep.files import replacing
from widedeep.models.model import Model
from widedeep.params import Params, Recipe, TrainParams, changed, load_params, merged, nested
from widedeep.scoring import predict, rank
from widedeep.sections import read_yaml
from widedeep.training.fit import fit
from widedeep.training.losses import ndcg
from widedeep.training.tasks import RankingTask

ROOT = Path(__file__).resolve().parents[2]
PLACES = 10


def squared_errors(features: FeatureSet, model: Model) -> NDArray[np.float64]:
    """Sums of squared errors and numbers of rows of each user of the validation rows, frozen: (2, U)."""
    rows = features.frozen(features.splits[VALIDATION])
    predicted = predict({"model": model}, features, rows)["model"]
    error = (predicted - rows.rating).double().square().numpy()
    user = np.unique(rows.user.numpy(), return_inverse=True)[1]
    return np.stack([np.bincount(user, error), np.bincount(user)])


def ndcgs(features: FeatureSet, model: Model, params: TrainParams) -> NDArray[np.float64]:
    """NDCG at 10 of each user with a positive validation row, and 1: (2, U)."""
    positives = RankingTask(params).positive(features.splits[VALIDATION])
    user = positives.user.unique()
    columns = positives.item, positives.rating, positives.timestamp
    relevant = Ragged.of(positives.user, *columns, n=len(features.users)).lists(user)
    first = relevant.timestamp[relevant.start[:-1]]
    lists = rank({"model": model}, features, user, first, PLACES)["model"].items
    values = ndcg(lists, relevant).double().numpy()
    return np.stack([values, np.ones_like(values)])


def measured(features: FeatureSet, recipe: Recipe, seeds: int) -> tuple[NDArray[np.float64], float, float]:
    """Sums by user of each seed (seeds, 2, U), seconds of training per seed, and best epoch on average."""
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
    """Mean over seeds of RMSE or of mean NDCG, of the data and of each resample: (1 + R,)."""
    of_seeds = [bootstrap.ratios([Terms(above, below, root=rating)])[0] for above, below in sums]
    values: NDArray[np.float64] = np.mean(of_seeds, axis=0)
    return values


def ablate(features: FeatureSet, preset: Params, variants: Mapping[str, Mapping[str, Any]], seeds: int) -> pd.DataFrame:
    """A row per variant, the preset first: its value, the difference to the preset with its interval, the verdict.

    variants: by name, values by the name of the parameter, as in `dvc exp run -S`.
    """
    bootstrap, rating = Bootstrap(), preset.train.objective == "rating"
    rows: list[dict[str, Any]] = []
    base: NDArray[np.float64] | None = None
    for name, changes in {"preset": {}, **variants}.items():
        variant = changed(preset, nested(changes), f"variant {name}")
        sums, seconds, epochs = measured(features, variant.recipe, seeds)
        values = statistic(sums, bootstrap, rating)
        base = values if base is None else base
        difference = bootstrap.estimate(values - base, int(sums[0, 1].sum()))
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
    folder : of stage featurize, with validation rows
    changes : `key=value` as in `dvc exp run -S`, for the preset and all variants

    Raises
    ------
    UserError
        There is no such preset, there are no variants for the objective, or there are no validation rows.
    """
    preset = load_preset(preset_file(dataset), split, objective)
    if preset is None:
        raise UserError(f"There is no preset for {dataset} {split} {objective}.")
    overrides = {key: yaml.safe_load(value) for key, _, value in (text.partition("=") for text in changes)}
    changed_too = merged(preset, nested({"train.objective": objective} | overrides))
    params = changed(load_params(ROOT / "params.yaml"), changed_too, "preset and --set")
    variants = read_yaml(Path(__file__).with_name("variants.yaml"))
    if objective not in variants:
        raise UserError(f"There are variants for {' and '.join(variants)} only. Got '{objective}' instead.")
    features = load_features(folder, TRAIN, VALIDATION)
    if not len(features.splits[VALIDATION]):
        raise UserError(f"{folder} has no validation rows. Set preprocess.validation_fraction above 0.")
    table = ablate(features, params, variants[objective], seeds)
    with replacing(out) as partial:
        table.to_csv(partial, index=False)
