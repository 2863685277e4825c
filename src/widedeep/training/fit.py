"""Train a model on features, and keep the weights of its best epoch."""

import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import SIGTERMException

import widedeep
from widedeep.errors import UserError
from widedeep.features.tensors import FeatureSet
from widedeep.models.build import build
from widedeep.models.knobs import WideDeepConfig
from widedeep.models.model import Model
from widedeep.models.popularity import least_squares
from widedeep.params import Recipe
from widedeep.scoring import predict
from widedeep.training.callbacks import CURVES, BestWeights, Checkpoints, Curves, Row, Steps, usable
from widedeep.training.data import TrainingData
from widedeep.training.module import VALIDATION_LOSS, TrainingModule
from widedeep.training.tasks import VALIDATION_METRICS


@dataclass(frozen=True)
class Fit:
    """The result of a training.

    model : the trained model, on the CPU and in evaluation mode
    curves : metrics of each epoch
    epoch : the epoch whose weights were kept, from 0
    validation : validation metrics of this epoch; empty without validation rows
    """

    model: Model
    curves: list[Row]
    epoch: int
    validation: Row


def fit(
    features: FeatureSet,
    recipe: Recipe,
    checkpoints: Path,
    on_epoch: Callable[[Row], None] = lambda row: None,
    start: Model | None = None,
) -> Fit:
    """Train the model of `recipe` on the training rows. Stop if validation has not improved for `patience` epochs.

    A model without parameters to train has one epoch.

    Parameters
    ----------
    checkpoints : folder for the state after the last epoch. If it holds one, the training continues from there, with
        the same result as an uninterrupted run. So the folder must be for the same parameters, features and code: name
        it by `fingerprint`.
    on_epoch : called with the metrics of each epoch
    start : the model to continue with, from `grow`, which is changed; None: a new model

    Raises
    ------
    UserError
        The machine lacks the chosen accelerator or devices, the weights or the validation loss are not finite, there
        is no positive to rank, or a knob would make the model forget what `start` knows.
    """
    params, config = recipe.train, recipe.config
    wide = config if isinstance(config, WideDeepConfig) else None
    if start is not None and wide is not None and wide.wide_optimizer == "ftrl":
        raise UserError(
            "models.wide_deep.wide_optimizer: ftrl starts from weights of 0, so it would forget those of the "
            "earlier model. Set it to adamw for a warm start."
        )
    if start is not None and wide is not None and wide.noise_variance:
        raise UserError(
            "models.wide_deep.noise_variance must be 0 in a warm start, because with few new ratings it would shrink "
            f"what the earlier model has learnt. Got {wide.noise_variance} instead. Set it to 0: the weights start "
            "from the means of the earlier model."
        )
    if params.row_learning_rate and wide is not None and (wide.noise_variance or wide.wide_optimizer == "ftrl"):
        raise UserError(
            "train.row_learning_rate must be null with models.wide_deep.noise_variance above 0, because a distribution "
            "changes in every step, and with models.wide_deep.wide_optimizer: ftrl, because a table has one optimizer. "
            f"Got {params.row_learning_rate} instead."
        )
    _quiet()
    torch.manual_seed(params.seed)
    model = build(features.spec, recipe.architecture) if start is None else start
    data = TrainingData(features, params, apart=bool(model.list_parameters()))
    if not all(len(task.learnt(features)) for task in data.tasks):
        raise UserError(
            f"train.ranking.positive_rating: no training row is rated at least {params.ranking.positive_rating}, "
            "so there is nothing to rank. Lower it, or set it to null."
        )

    if start is None:
        model.fit(features)
    by_gradient = any(parameter.requires_grad for parameter in model.parameters())
    if model.ranks_only and not by_gradient:
        set_line(model, features)
    best, curves = BestWeights(), Curves(on_epoch)
    resume = ModelCheckpoint(
        checkpoints, filename="last", save_top_k=1, enable_version_counter=False, save_on_train_epoch_end=True
    )
    callbacks: list[Callback] = [best, curves, resume]
    if data.validated:
        callbacks.append(EarlyStopping(VALIDATION_LOSS, patience=params.patience, check_finite=True))
    callbacks.append(TQDMProgressBar() if sys.stderr.isatty() else Steps())
    try:
        trainer = pl.Trainer(
            accelerator=params.accelerator,
            devices=params.devices,
            num_nodes=params.nodes,
            precision=params.precision,
            max_epochs=data.epochs,
            deterministic=True,
            callbacks=callbacks,
            plugins=[Checkpoints()],
            logger=False,
            enable_progress_bar=sys.stderr.isatty(),
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
        # On the CPU, Lightning would start this many processes even with fewer cores.
        if isinstance(trainer.accelerator, CPUAccelerator) and trainer.num_devices > (os.cpu_count() or 1):
            raise MisconfigurationException(f"it has {os.cpu_count()} CPU cores and no other device was found")
    except (MisconfigurationException, RuntimeError) as error:
        raise UserError(
            f"train.accelerator: {params.accelerator} with train.devices: {params.devices} is not available on this "
            f"machine ({error}). Set train.accelerator to auto and train.devices to 1."
        ) from None
    if params.row_learning_rate and trainer.world_size > 1:
        raise UserError(
            f"train.row_learning_rate must be null with several processes ({trainer.world_size}). Got "
            f"{params.row_learning_rate} instead. Set it to null, or train.devices and train.nodes to 1."
        )
    module = TrainingModule(model, data, recipe)
    if not by_gradient:
        [*measured] = trainer.validate(module, datamodule=data, verbose=False) if data.validated else []
        row = {"epoch": 0.0} | {name: value for part in measured for name, value in part.items() if name in CURVES}
        on_epoch(row)
        return Fit(model.cpu().eval(), [row], 0, {name: row[name] for name in VALIDATION_METRICS if name in row})
    last = checkpoints / "last.ckpt"
    try:
        trainer.fit(module, datamodule=data, ckpt_path=last if usable(last, is_first_process()) else None)
    except SIGTERMException:  # Lightning would exit with status 0, as if the training were complete
        sys.exit(128 + signal.SIGTERM)
    if not best.weights or not all(bool(torch.isfinite(weight).all()) for weight in best.weights.values()):
        raise UserError(
            "The training diverged: weights or validation loss are not finite. Lower train.learning_rate or set "
            "train.gradient_clip."
        )
    model.load_state_dict(best.weights)
    model = model.cpu().eval()
    if model.ranks_only:
        set_line(model, features)
    return Fit(model, curves.rows, best.epoch, best.validation)


def set_line(model: Model, features: FeatureSet) -> None:
    """Fit the line that turns a score into a rating (see `Model.ranks_only`), by least squares on the training rows."""
    rows = features.known()
    score = predict({"score": model}, features, rows, clip=False)["score"]
    model.get_buffer("line").copy_(least_squares(score, rows.rating))


def is_first_process() -> bool:
    """Return whether this process writes the outputs of a training. Other processes only share the work."""
    return bool(cast(Any, rank_zero_only).rank == 0)


def fingerprint(recipe: Recipe, *inputs: str) -> str:
    """Return a name for checkpoints, 16 hex digits. Only runs with equal parameters, inputs and code share it.

    inputs : hashes of the features and of an earlier model
    """
    package = Path(widedeep.__file__).parent
    code = [path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py"))]
    return sha256("\n".join([recipe.model_dump_json(), *inputs, torch.__version__, *code]).encode()).hexdigest()[:16]


def _quiet() -> None:
    """Hide messages of Lightning about hardware, loggers and data loaders, which do not help users."""
    for name in ("pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
