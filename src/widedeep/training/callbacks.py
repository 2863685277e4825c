"""What happens after each epoch: keep the best weights, and record and print the learning curves."""

import sys
from collections.abc import Callable, Iterable
from typing import Any, cast

import pytorch_lightning as pl
from torch import Tensor

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
