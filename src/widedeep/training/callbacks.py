"""What happens after each epoch: keep the best weights, write a checkpoint, record and print the learning curves."""

import hashlib
import io
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from torch import Tensor

from widedeep.files import remove, replacing
from widedeep.progress import LINE_EVERY
from widedeep.training.module import VALIDATION_LOSS, TrainingModule
from widedeep.training.tasks import (
    TRAIN_RANKING_LOSS,
    TRAIN_RMSE,
    VALIDATION_METRICS,
    VALIDATION_NDCG,
    VALIDATION_RMSE,
)

CURVES = (
    TRAIN_RMSE,
    TRAIN_RANKING_LOSS,
    VALIDATION_RMSE,
    "validation_frozen_rmse",
    "validation_online_rmse",
    VALIDATION_NDCG,
    "validation_next_ndcg_at_10",
    "validation_period_ndcg_at_10",
)

Row = dict[str, float]
DIGEST = hashlib.sha256().digest_size


class BestWeights(pl.Callback):
    """Keeps the weights of the epoch with the lowest validation loss. Without validation rows, it keeps the last."""

    def __init__(self) -> None:
        self.loss = float("inf")
        self.epoch = -1
        self.validation: Row = {}
        self.weights: dict[str, Tensor] = {}

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        loss = trainer.callback_metrics.get(VALIDATION_LOSS)
        if loss is None or float(loss) < self.loss:
            self.loss = self.loss if loss is None else float(loss)
            self.epoch = trainer.current_epoch
            self.validation = measured(trainer, VALIDATION_METRICS)
            weights = cast(TrainingModule, module).model.state_dict()
            self.weights = {name: value.detach().cpu().clone() for name, value in weights.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"loss": self.loss, "epoch": self.epoch, "validation": self.validation, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.loss, self.epoch = state["loss"], state["epoch"]
        self.validation, self.weights = state["validation"], state["weights"]


def measured(trainer: pl.Trainer, names: Iterable[str]) -> Row:
    """Return the metrics of this epoch that are in `names`. A metric that was not measured is left out."""
    return {name: float(trainer.callback_metrics[name]) for name in names if name in trainer.callback_metrics}


class Curves(pl.Callback):
    """Collects one row of metrics per epoch and passes it to `listener`. Without a progress bar, it prints the row."""

    def __init__(self, listener: Callable[[Row], None]) -> None:
        self.rows: list[Row] = []
        self.listener = listener

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        # A metric that is no longer measured keeps its last value, also when a killed training goes on.
        if self.rows:
            trainer.callback_metrics.update({name: torch.tensor(value) for name, value in self.rows[-1].items()})

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        row: Row = {"epoch": trainer.current_epoch, **measured(trainer, CURVES)}
        self.rows.append(row)
        if trainer.is_global_zero:
            self.listener(row)
            if not sys.stderr.isatty():
                print(
                    "  ".join(
                        f"{name} {value:.4f}" if name != "epoch" else f"epoch {value:2d}" for name, value in row.items()
                    ),
                    flush=True,
                )

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = state["rows"]


class Checkpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it. The file is the SHA-256 of the rest, then that of torch.

    Lightning itself writes to TMPDIR and moves the file. Between two file systems, that is a copy, which a killed
    process leaves unfinished.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        content = buffer.getbuffer()
        with replacing(path) as partial, partial.open("wb") as file:
            file.write(hashlib.sha256(content).digest())
            file.write(content)

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None) -> dict[str, Any]:
        content = Path(path).read_bytes()[DIGEST:]
        state: dict[str, Any] = torch.load(io.BytesIO(content), map_location, weights_only=weights_only)
        return state


def usable(checkpoint: Path, say: bool) -> bool:
    """Return whether there is a whole checkpoint. A damaged one is removed. If `say`, it is named on stderr."""
    try:
        content = checkpoint.read_bytes()
        problem = "" if hashlib.sha256(content[DIGEST:]).digest() == content[:DIGEST] else "its checksum is wrong"
    except FileNotFoundError:
        return False
    except OSError as error:
        problem = f"{error.strerror}"
    if problem:
        remove(checkpoint)
    if problem and say:
        print(f"{checkpoint} is damaged ({problem}). It was removed, and training starts anew.", file=sys.stderr)
    return not problem


class Steps(pl.Callback):
    """Prints now and then how many steps of a long epoch are done, where there is no progress bar."""

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.start = self.shown = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now, done = time.monotonic(), batch_idx + 1
        if trainer.is_global_zero and now - self.shown >= LINE_EVERY:
            steps, rate = trainer.num_training_batches, done / (now - self.start)
            line = f"epoch {trainer.current_epoch:2d}: {done:,} of {steps:,} steps, {rate:,.1f} per second"
            print(line, file=sys.stderr, flush=True)
            self.shown = now
