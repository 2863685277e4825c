"""The LightningModule: training and validation steps and optimizers for a model and its tasks."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from widedeep.models.knobs import WideDeepConfig
from widedeep.models.model import Ensemble, Model
from widedeep.models.table import Table
from widedeep.params import Recipe
from widedeep.training.data import TrainingData
from widedeep.training.ftrl import Ftrl
from widedeep.training.rowwise_adagrad import RowwiseAdagrad, rows_of
from widedeep.training.tasks import RANKING, RATING

LIST_RATE = "list_rate"  # key of the first step size, in the optimizer of the parameters of lists
VALIDATION_LOSS = "validation_loss"  # chooses the best epoch: RMSE (rating), -NDCG (ranking), or their sum (joint)


class TrainingModule(pl.LightningModule):
    """Trains the members of an ensemble, each on its own loss.

    The wide parts have one optimizer and the other parameters another one (Cheng et al. 2016, section 3.2). A third one
    is for the deviations of weights that are distributions.
    """

    def __init__(self, model: Model, data: TrainingData, recipe: Recipe) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model, self.params, self.data = model, recipe.train, data
        # Only wide_deep has parameters for these knobs. For other models the defaults have no effect.
        self.wide = recipe.config if isinstance(recipe.config, WideDeepConfig) else WideDeepConfig()
        self.tasks = nn.ModuleDict({task.name: task for task in data.tasks})
        self.tables = [module for module in model.modules() if isinstance(module, Table)]
        if self.params.row_learning_rate:
            for table in self.tables:
                table.sparse = True
        self.weights = {RATING: 1.0, RANKING: recipe.train.ranking.weight if len(data.tasks) > 1 else 1.0}

    def setup(self, stage: str) -> None:
        for task in self.data.tasks:
            task.setup(self.data.features)
        # Weight of the KL term. The negative evidence lower bound of N rows, times 2 * noise_variance / N, is
        # MSE + (2 * noise_variance / N) * KL.
        rows = self.data.tasks[0].learnt(self.data.features)
        self.divergence_weight = 2 * self.wide.noise_variance / max(len(rows), 1)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        params, knobs = self.params, self.wide
        rows: list[nn.Parameter] = []
        if params.row_learning_rate:
            rows = [cast(nn.Parameter, table.weight) for table in self.tables]
        by_rows = {id(weight) for weight in rows}
        wide = [weight for weight in self.model.wide_parameters() if id(weight) not in by_rows]
        # Weight decay would pull the logarithms of deviations to 0, so deviations to 1. They get an optimizer without.
        deviations = [table.log_deviation for table in self.tables if table.log_deviation is not None]
        of_lists = self.model.list_parameters()
        apart = {id(parameter) for parameter in (*wide, *deviations, *of_lists, *rows)}
        others = [parameter for parameter in self.model.parameters() if id(parameter) not in apart]
        # The fused kernels of the CPU need less than half of the time. On a GPU there are fast ones by default.
        fused = True if self.device.type == "cpu" else None
        kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {
            "adamw": partial(torch.optim.AdamW, fused=fused),
            "adagrad": partial(torch.optim.Adagrad, fused=fused),
        }
        kind = kinds[params.optimizer]
        optimizers: list[torch.optim.Optimizer] = []
        if others:
            optimizers.append(kind(others, lr=params.learning_rate, weight_decay=params.weight_decay))
        if rows and params.row_learning_rate:
            optimizers.append(RowwiseAdagrad(rows, params.row_learning_rate))
        if deviations:
            optimizers.append(kind(deviations, lr=params.learning_rate, weight_decay=0))
        if of_lists:
            rate = params.ranking.learning_rate
            optimizers.append(kind([{"params": of_lists, LIST_RATE: rate}], lr=rate, weight_decay=0))
        if wide and knobs.wide_optimizer == "ftrl":
            optimizers.append(Ftrl(wide, knobs.wide_learning_rate, l1=knobs.wide_l1, l2=knobs.wide_weight_decay))
        elif wide:
            rate = knobs.wide_learning_rate
            optimizers.append(kinds["adamw"](wide, lr=rate, weight_decay=knobs.wide_weight_decay))
        return optimizers

    def on_train_epoch_start(self) -> None:
        for task in self.data.tasks:
            task.start(self.current_epoch)
        found = self.optimizers()
        for optimizer in found if isinstance(found, list) else [found]:
            for group in optimizer.param_groups:
                if LIST_RATE in group:  # smaller steps in later epochs average out the noise of few questions
                    group["lr"] = group[LIST_RATE] / (1 + self.current_epoch)

    def training_step(self, batch: Mapping[str, Any], batch_index: int) -> None:
        # Dropout in an epoch must not depend on earlier draws, so that a resumed run gives the same weights. (The start
        # of the epoch would be too early: data loaders draw from the same generator.)
        if batch_index == 0:
            torch.manual_seed(self.params.seed * 1_000_003 + self.current_epoch)
        members = cast(Ensemble, self.model).each()
        loss = torch.zeros((), device=self.device)
        for task in self.data.tasks:
            loss = loss + self.weights[task.name] * task.loss(self.data.features, members, batch[task.name])
        if self.wide.noise_variance:
            loss = loss + self.divergence_weight * torch.stack([table.divergence() for table in self.tables]).sum()
        found = self.optimizers()
        optimizers = found if isinstance(found, list) else [found]
        for optimizer in optimizers:
            optimizer.zero_grad()
        with torch.autocast(self.device.type, enabled=False):  # a gradient has the precision of its forward step
            self.manual_backward(loss)
        for table in self.tables:
            if table.weight.grad is not None and table.weight.grad.is_sparse:
                table.weight.grad = table.weight.grad.coalesce()
        if self.params.gradient_clip:
            # With 16-mixed the gradients are still scaled here, so scale the limit as well.
            scaler = getattr(self.trainer.precision_plugin, "scaler", None)
            scale = scaler.get_scale() if scaler else 1.0
            clip(self.model.parameters(), scale * self.params.gradient_clip)
        resting = any(task.resting for task in self.data.tasks)
        for optimizer in optimizers:
            if not (resting and LIST_RATE in optimizer.param_groups[0]):
                optimizer.step()
        if self.trainer.is_last_batch:
            for task in self.data.tasks:
                task.trained(self.log)

    def validation_step(self, batch: Any, batch_index: int, dataloader_idx: int = 0) -> None:
        task, name = self.data.validated[dataloader_idx]
        task.validate(self.data.features, self.model, name, batch)

    def on_validation_epoch_end(self) -> None:
        loss = torch.zeros((), device=self.device)
        for task in self.data.tasks:
            loss = loss + task.validated(self.log)
        self.log(VALIDATION_LOSS, loss)


def clip(parameters: Iterable[Tensor], largest: float) -> None:
    """Scale all gradients so that their common norm is at most `largest`. Sparse gradients must be coalesced."""
    gradients = [rows_of(parameter.grad)[1] for parameter in parameters if parameter.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    factor = (largest / (norm + 1e-6)).clamp(max=1)  # as in `clip_grad_norm_`
    torch._foreach_mul_(gradients, factor)
