"""The loop around a model, from features to the weights of its best epoch."""

import logging
import os
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

import widedeep
from widedeep.columns import TRAIN, VALIDATION
from widedeep.errors import UserError
from widedeep.features.store import Features
from widedeep.models.wide_deep import WideDeep
from widedeep.params import TrainParams
from widedeep.training.callbacks import BestWeights, Curves, Row
from widedeep.training.data import RatingData
from widedeep.training.module import VALIDATION_RMSE, RatingModule


@dataclass(frozen=True)
class Fit:
    """A trained model on the CPU, the curves (a row per epoch), its best epoch and that epoch's validation RMSE
    (None without validation rows)."""

    model: WideDeep
    curves: list[Row]
    epoch: int
    validation_rmse: float | None


def fit(
    features: Features, params: TrainParams, checkpoints: Path, on_epoch: Callable[[Row], None] = lambda row: None
) -> Fit:
    """Train a `WideDeep` on the training rows; stop when the validation RMSE has not improved for `patience` epochs.

    A run that was killed goes on from its last epoch, kept in the folder `checkpoints`, if parameters and features
    are still the same (see `fingerprint`); its weights are those of a run that was not killed.

    Raises
    ------
    UserError
        The asked-for accelerator is not there, or the loss is not finite.
    """
    _quiet()
    torch.manual_seed(params.seed)
    model = WideDeep(features.spec, params)
    rows = features.splits[TRAIN]
    model.standardize.fit(features.inputs(rows.user, rows.item, rows.history).numbers)

    best, curves = BestWeights(), Curves(on_epoch)
    resume = ModelCheckpoint(
        checkpoints, filename="last", save_top_k=1, enable_version_counter=False, save_on_train_epoch_end=True
    )
    callbacks: list[Callback] = [best, curves, resume]
    if len(features.splits[VALIDATION]):
        callbacks.append(EarlyStopping(VALIDATION_RMSE, patience=params.patience, check_finite=True))
    if sys.stderr.isatty():
        callbacks.append(TQDMProgressBar())
    try:
        trainer = pl.Trainer(
            accelerator=params.accelerator,
            devices=params.devices,
            num_nodes=params.nodes,
            precision=params.precision,
            max_epochs=params.epochs,
            gradient_clip_val=params.gradient_clip or None,
            deterministic=True,
            callbacks=callbacks,
            logger=False,
            enable_progress_bar=sys.stderr.isatty(),
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
        # Lightning would start as many processes, on however few cores.
        if isinstance(trainer.accelerator, CPUAccelerator) and trainer.num_devices > (os.cpu_count() or 1):
            raise MisconfigurationException(f"it has {os.cpu_count()} CPU cores and no other device was found")
    except (MisconfigurationException, RuntimeError) as error:
        raise UserError(
            f"train.accelerator: {params.accelerator} with train.devices: {params.devices} cannot be had on this "
            f"machine ({error}). Set train.accelerator to auto and train.devices to 1."
        ) from None
    module = RatingModule(model, features.spec, params)
    last = checkpoints / "last.ckpt"
    trainer.fit(
        module,
        datamodule=RatingData(features, params.batch_size, params.seed),
        ckpt_path=last if last.exists() else None,
    )
    if not best.weights or not all(bool(torch.isfinite(weight).all()) for weight in best.weights.values()):
        raise UserError(
            "Training gave no finite weights or validation RMSE. Lower train.learning_rate or set train.gradient_clip."
        )
    model.load_state_dict(best.weights)
    return Fit(model.cpu().eval(), curves.rows, best.epoch, best.rmse if best.rmse < float("inf") else None)


def is_first_process() -> bool:
    """Whether this process keeps the record of a training run; others only help with the work."""
    return bool(cast(Any, rank_zero_only).rank == 0)


def fingerprint(params: TrainParams, features: str) -> str:
    """Names the checkpoints of one set of parameters, features (their hash) and code: only these may be resumed."""
    package = Path(widedeep.__file__).parent
    code = [path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py"))]
    return sha256("\n".join([params.model_dump_json(), features, torch.__version__, *code]).encode()).hexdigest()[:16]


def _quiet() -> None:
    """Lightning talks about hardware, loggers and data loaders at each start; none of it concerns our users."""
    for name in ("pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
