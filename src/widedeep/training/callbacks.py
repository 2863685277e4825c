"""What happens around the epochs: the best weights are kept, a line is printed, a row of the curves is written."""

import sys
from collections.abc import Callable
from typing import Any, cast

import pytorch_lightning as pl
from torch import Tensor

from widedeep.training.module import BY_KNOWLEDGE, TRAIN_RMSE, VALIDATION_RMSE, RatingModule

Row = dict[str, float]


class BestWeights(pl.Callback):
    """Keep the weights of the epoch with the lowest validation RMSE; without validation rows, the last ones."""

    def __init__(self) -> None:
        self.rmse = float("inf")
        self.epoch = -1
        self.weights: dict[str, Tensor] = {}

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        rmse = trainer.callback_metrics.get(VALIDATION_RMSE)
        if rmse is None or float(rmse) < self.rmse:
            self.rmse = self.rmse if rmse is None else float(rmse)
            self.epoch = trainer.current_epoch
            weights = cast(RatingModule, module).model.state_dict()
            self.weights = {name: value.detach().cpu().clone() for name, value in weights.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"rmse": self.rmse, "epoch": self.epoch, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rmse, self.epoch, self.weights = state["rmse"], state["epoch"], state["weights"]


class Curves(pl.Callback):
    """Collect one row per epoch and hand it to `listener`; print it where no progress bar is shown."""

    def __init__(self, listener: Callable[[Row], None]) -> None:
        self.rows: list[Row] = []
        self.listener = listener

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        names = (TRAIN_RMSE, VALIDATION_RMSE, *BY_KNOWLEDGE)
        measured = {name: float(trainer.callback_metrics[name]) for name in names if name in trainer.callback_metrics}
        row: Row = {"epoch": trainer.current_epoch, **measured}
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
