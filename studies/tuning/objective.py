"""What a trial of a search measures, and on which validation rows."""

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
from widedeep.columns import VALIDATION
from widedeep.errors import UserError
from widedeep.evaluation.background import relevant_from
from widedeep.features.tensors import FeatureSet
from widedeep.params import Params, changed, nested
from widedeep.training.callbacks import Row
from widedeep.training.data import TrainingData
from widedeep.training.fit import fit
from widedeep.training.tasks import RANKING, VALIDATION_NDCG, VALIDATION_RMSE

# What a trial keeps beside its loss.
VALUES, EPOCH, MEASURED, REASON = "values", "epoch", "validation", "pruned"


@dataclass(frozen=True)
class Objective:
    """The validation loss of a training, as early stopping has it: RMSE (rating), -NDCG (ranking) or their sum."""

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

        # A terminal shows the progress of the epochs; elsewhere a line for each would be too much.
        quiet = nullcontext() if sys.stderr.isatty() else redirect_stdout(io.StringIO())
        try:
            with TemporaryDirectory(prefix="widedeep-") as checkpoints, quiet:
                trained = fit(self.features, recipe, Path(checkpoints), on_epoch)
        except SystemExit:  # what Lightning makes of Ctrl-C
            raise KeyboardInterrupt from None
        except (UserError, torch.OutOfMemoryError) as error:
            if not trial.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
                raise  # not the fault of what was drawn: the search starts with params.yaml
            _prune(trial, str(error))
        trial.set_user_attr(EPOCH, trained.epoch)
        trial.set_user_attr(MEASURED, trained.validation)
        return _loss(trained.validation)


def _loss(row: Row) -> float:
    return row.get(VALIDATION_RMSE, 0) - row.get(VALIDATION_NDCG, 0)


def _prune(trial: optuna.Trial, reason: str) -> NoReturn:
    trial.set_user_attr(REASON, reason)
    raise optuna.TrialPruned(reason)


def judged(features: FeatureSet, params: Params, space: Space) -> FeatureSet:
    """The features, with the same validation rows to rank for every trial, where trials differ in what is a positive:
    those that are relevant to the evaluation, rated so high that all trials agree."""
    if POSITIVE not in space or params.train.objective != "ranking":
        return features
    rows = features.splits[VALIDATION]
    rows = rows[rows.rating >= relevant_from(params.evaluate.relevant_rating, features.spec.rating_scale)]
    relevant = replace(rows, rating=torch.full_like(rows.rating, torch.inf))
    return replace(features, splits=features.splits | {VALIDATION: relevant})


def check(features: FeatureSet, params: Params) -> None:
    """Refuse what no search can measure: several processes, or features without a validation row to judge by."""
    train = params.train
    if (train.devices, train.nodes) != (1, 1):
        raise UserError(
            "train.devices and train.nodes must be 1 in a search, which trains in its own process. "
            f"Got {train.devices} and {train.nodes} instead."
        )
    parts = [name for _, name in TrainingData(features, train).validated]
    if not parts or (train.objective != "rating" and RANKING not in parts):
        raise UserError(
            "The features have no validation row to judge by. Set preprocess.validation_fraction above 0, and "
            "train.ranking.positive_rating (for a ranking; evaluate.relevant_rating where that is searched) to what "
            "some of these rows reach; then run `dvc repro featurize`."
        )
