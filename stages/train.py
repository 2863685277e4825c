"""Stage train: train a model on the features, and write it with its learning curves."""

import argparse
import shutil
from pathlib import Path

import pandas as pd

from widedeep.columns import TRAIN, VALIDATION
from widedeep.errors import exit_on_user_error
from widedeep.features.tensors import load_features
from widedeep.files import PARTIAL, replacing, sha256
from widedeep.models.bundle import Bundle
from widedeep.models.files import WEIGHTS
from widedeep.params import load_params
from widedeep.tracking import Tracker
from widedeep.training.callbacks import CURVES
from widedeep.training.fit import fingerprint, fit, is_first_process
from widedeep.training.grow import warm_start
from widedeep.warm_start import earlier_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", required=True)
    parser.add_argument("--features", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--curves", required=True, type=Path)
    parser.add_argument("--checkpoints", required=True, type=Path)
    args = parser.parse_args()

    recipe = load_params(args.params).recipe
    features = load_features(args.features, TRAIN, VALIDATION)
    data_sha256 = sha256(args.features)
    vocabulary, start, inputs = features.vocabulary(), None, [data_sha256]
    if recipe.train.warm_start_from is not None:
        with earlier_model(recipe.train.warm_start_from, Path(args.params), args.out) as folder:
            start, vocabulary, features = warm_start(folder, recipe, features)
            inputs.append(sha256(folder))
    checkpoints = args.checkpoints / fingerprint(recipe, *inputs)
    if not is_first_process():  # Lightning runs this script once per device
        fit(features, recipe, checkpoints, start=start)
        return
    # Entered before the training, so that an output that cannot be replaced costs no time.
    with replacing(args.curves) as curves, replacing(args.out) as out:
        for unfinished in args.checkpoints.glob(f"*/*{PARTIAL}"):  # of killed trainings, also with other parameters
            unfinished.unlink()
        tracker = Tracker(features.spec.dataset, recipe.flat(), args.features)
        trained = fit(features, recipe, checkpoints, tracker.log, start)
        # Write all columns, empty if the objective lacks one: without a column `dvc plots` would draw nothing.
        pd.DataFrame(trained.curves, columns=["epoch", *CURVES]).to_csv(curves, index=False)
        out.mkdir()
        Bundle(
            model=trained.model,
            architecture=recipe.architecture,
            context=features.context(),
            names=features.names,
            vocabulary=vocabulary,
            data_sha256=data_sha256,
            best_epoch=trained.epoch,
            validation=trained.validation,
        ).save(out)
    tracker.finish(args.out / WEIGHTS)
    shutil.rmtree(checkpoints, ignore_errors=True)  # a model without a training loop has no checkpoints


if __name__ == "__main__":
    with exit_on_user_error():
        main()
