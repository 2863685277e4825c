"""The objective of a search: the loss of a trial, and the validation rows that measure it."""

import io
import sys
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import optuna
import torch
from optuna.trial import TrialState

from studies.tuning.space import POSITIVE, Space, draw
from widedeep.columns import FROZEN, ONLINE, VALIDATION
from widedeep.errors import UserError
from widedeep.features.tensors import FeatureSet
from widedeep.params import Params, changed, nested
from widedeep.training.callbacks import Row
from widedeep.training.data import TrainingData
from widedeep.training.fit import fit
from widedeep.training.tasks import VALIDATION_NDCG, VALIDATION_RMSE

# The names of the values that a trial keeps beside its loss.
VALUES, EPOCH, MEASURED, REASON = "values", "epoch", "validation", "pruned"


@dataclass(frozen=True)
class Objective:
    """The validation loss of a training, the same as for early stopping.

    It is RMSE for the objective rating, -NDCG for ranking, and their sum for joint.
    """

    features: FeatureSet
    params: Params
    space: Space

    def __call__(self, trial: optuna.Trial) -> float:
        values = draw(self.space, trial)
        trial.set_user_attr(VALUES, values)
        try:
            recipe = changed(self.params, nested(values), "drawn").recipe
        except UserError as error:
            _prune(trial, str(error))

        def on_epoch(row: Row) -> None:
            trial.report(_loss(row), int(row["epoch"]))
            if trial.should_prune():
                _prune(trial, f"after epoch {row['epoch']:.0f}")

        # On a terminal the progress of the epochs is one line. In a file it would be many.
        quiet = nullcontext() if sys.stderr.isatty() else redirect_stdout(io.StringIO())
        try:
            with TemporaryDirectory(prefix="widedeep-") as checkpoints, quiet:
                trained = fit(self.features, recipe, Path(checkpoints), on_epoch)
        except SystemExit:  # Lightning turns Ctrl-C into this
            raise KeyboardInterrupt from None
        except (UserError, torch.OutOfMemoryError) as error:
            if not trial.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
                raise  # the first trial has the values of params.yaml, so the drawn values are not the cause
            _prune(trial, str(error))
        trial.set_user_attr(EPOCH, trained.epoch)
        trial.set_user_attr(MEASURED, trained.validation)
        return _loss(trained.validation)


def _loss(row: Row) -> float:
    return row.get(VALIDATION_RMSE, 0) - row.get(VALIDATION_NDCG, 0)


def _prune(trial: optuna.Trial, reason: str) -> NoReturn:
    trial.set_user_attr(REASON, reason)
    raise optuna.TrialPruned(reason)


def fix_positives(features: FeatureSet, params: Params, space: Space) -> FeatureSet:
    """Give all trials the same positives among the validation rows, if the search varies what a positive is.

    These are the rows that are relevant to the evaluation. They get an infinite rating, so that they are positives in
    every trial. The other validation rows are left out.
    """
    if POSITIVE not in space or params.train.objective != "ranking":
        return features
    rows = features.splits[VALIDATION]
    rows = rows[rows.rating >= params.evaluate.relevant_from(features.spec.rating_scale)]
    relevant = replace(rows, rating=torch.full_like(rows.rating, torch.inf))
    return replace(features, splits=features.splits | {VALIDATION: relevant})


def check(features: FeatureSet, params: Params) -> None:
    """Check that a search can measure its trials.

    Raises
    ------
    UserError
        Training would use several processes, or no validation row can measure the loss.
    """
    train = params.train
    if (train.devices, train.nodes) != (1, 1):
        raise UserError(
            "train.devices and train.nodes must be 1, because a search trains in its own process. "
            f"Got {train.devices} and {train.nodes} instead."
        )
    parts = [name for _, name in TrainingData(features, train).validated]
    if not parts or (train.objective != "rating" and not set(parts) - {FROZEN, ONLINE}):
        raise UserError(
            "The features have no validation row that measures the loss. Set preprocess.validation_fraction above 0. "
            "For a ranking, set train.ranking.positive_rating (or evaluate.relevant_rating, if the search varies "
            "positives) to a rating that some validation rows reach. Then run `dvc repro featurize`."
        )
