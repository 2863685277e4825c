"""What each ingredient gives: the preset of a data set, and the same with one change at a time, on validation rows.

    python -m studies.ablation.run ml-100k predefined rating --features data/features --out docs/ablation.csv

Each variant of variants.yaml is trained with `--seeds` seeds on the training rows, with early stopping, and judged on
the validation rows at its best epoch, so both sides of a comparison enjoy the same optimism. Test rows are not read.
The difference to the preset is that of the mean over seeds, with a 95 % interval of a bootstrap that resamples users.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from numpy.typing import NDArray

from studies.tuning.presets import FAMILIES, load_preset, merged, preset_file
from widedeep.columns import TRAIN, VALIDATION
from widedeep.errors import UserError, exit_on_user_error
from widedeep.evaluation.bootstrap import Bootstrap, Terms, verdict
from widedeep.features.log import Sets
from widedeep.features.store import Features
from widedeep.files import replacing
from widedeep.models.model import Model
from widedeep.params import Params, TrainParams
from widedeep.training.data import RatingData
from widedeep.training.fit import fit
from widedeep.training.losses import ndcg

ROOT = Path(__file__).resolve().parents[2]
PLACES = 10


@torch.no_grad()
def squared_errors(features: Features, model: Model) -> NDArray[np.float64]:
    """Sums of squared errors and numbers of rows of each user of the validation rows, frozen: (2, U)."""
    rows = features.frozen(features.splits[VALIDATION])
    low, high = features.spec.rating_scale
    parts = [model(features.inputs(part, model.reads)).rating.clamp(low, high) for part in rows.parts(2**14)]
    error = (torch.cat(parts) - rows.rating).double().square().numpy()
    user = np.unique(rows.user.numpy(), return_inverse=True)[1]
    return np.stack([np.bincount(user, error), np.bincount(user)])


@torch.no_grad()
def ndcgs(features: Features, model: Model, params: TrainParams) -> NDArray[np.float64]:
    """NDCG at 10 of each user with a positive validation row, and 1: (2, U)."""
    users, rated = len(features.users), features.splits[TRAIN]
    positives = RatingData(features, params).positives(VALIDATION)
    relevant = Sets(positives.user, positives.item, positives.timestamp, users)
    known = Sets(rated.user, rated.item, rated.timestamp, users)
    catalogue = torch.arange(len(features.items))
    found = []
    for some in positives.user.unique().split(256):
        inputs = features.grid(some, catalogue, relevant.first[some], model.reads, model.ranks_with_history)
        scores = model(inputs).ranking.index_put(known.of(some), torch.tensor(-torch.inf))
        found.append(ndcg(scores, *relevant.of(some), PLACES))
    values = torch.cat(found).double().numpy()
    return np.stack([values, np.ones_like(values)])


def measured(features: Features, params: TrainParams, seeds: int) -> tuple[NDArray[np.float64], float, float]:
    """Sums by user of each seed (seeds, 2, U), seconds of training per seed, and best epoch on average."""
    sums, seconds, epochs = [], 0.0, 0
    for seed in range(seeds):
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            trained = fit(features, params.model_copy(update={"seed": seed}), Path(folder))
        seconds += time.perf_counter() - start
        epochs += trained.epoch + 1
        by_user = squared_errors(features, trained.model) if params.objective == "rating" else None
        sums.append(ndcgs(features, trained.model, params) if by_user is None else by_user)
    return np.stack(sums), seconds / seeds, epochs / seeds


def statistic(sums: NDArray[np.float64], bootstrap: Bootstrap, rating: bool) -> NDArray[np.float64]:
    """Mean over seeds of RMSE or of mean NDCG, of the data and of each resample: (1 + R,)."""
    of_seeds = [bootstrap.ratios([Terms(above, below, root=rating)])[0] for above, below in sums]
    values: NDArray[np.float64] = np.mean(of_seeds, axis=0)
    return values


def ablate(
    features: Features, preset: TrainParams, variants: Mapping[str, Mapping[str, Any]], seeds: int
) -> pd.DataFrame:
    """A row per variant, the preset first: its value, the difference to the preset with its interval, the verdict."""
    bootstrap, rating = Bootstrap(), preset.objective == "rating"
    rows: list[dict[str, Any]] = []
    base: NDArray[np.float64] | None = None
    for name, changes in {"preset": {}, **variants}.items():
        params = TrainParams.model_validate(preset.model_dump() | dict(changes))
        sums, seconds, epochs = measured(features, params, seeds)
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


def main(arguments: list[str] | None = None) -> None:
    description, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        prog="python -m studies.ablation.run",
        description=description,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", help="as download.dataset: which preset")
    parser.add_argument("split", choices=list(FAMILIES), help="as preprocess.split")
    parser.add_argument("objective", choices=["rating", "ranking"])
    parser.add_argument("--features", type=Path, default=Path("data/features"), help="with validation rows")
    parser.add_argument("--out", type=Path, required=True, help="the table, as CSV")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], help="key=value of train, for preset and variants")
    options = parser.parse_args(arguments)
    with exit_on_user_error():
        raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        preset = load_preset(preset_file(options.dataset), options.split, options.objective)
        if preset is None:
            raise UserError(f"There is no preset for {options.dataset} {options.split} {options.objective}.")
        overrides = {key: yaml.safe_load(value) for key, _, value in (text.partition("=") for text in options.set)}
        whole = merged(merged(raw, preset), {"train": {"objective": options.objective} | overrides})
        variants = yaml.safe_load(Path(__file__).with_name("variants.yaml").read_text(encoding="utf-8"))
        features = Features.load(options.features, TRAIN, VALIDATION)
        if not len(features.splits[VALIDATION]):
            raise UserError(f"{options.features} has no validation rows. Set preprocess.validation_fraction above 0.")
        table = ablate(features, Params.model_validate(whole).train, variants[options.objective], options.seeds)
        with replacing(options.out) as out:
            table.to_csv(out, index=False)


if __name__ == "__main__":
    main()
