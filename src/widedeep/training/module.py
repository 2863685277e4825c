"""The LightningModule: losses, optimizers and logging around a model that knows none of them."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric, MeanSquaredError

from widedeep.columns import TRAIN, VALIDATION
from widedeep.errors import UserError
from widedeep.features.inputs import Inputs
from widedeep.features.log import Sets
from widedeep.features.store import Features, Rows
from widedeep.models.model import Ensemble, Model, Output
from widedeep.models.registry import WideDeepConfig
from widedeep.models.table import Table
from widedeep.params import Recipe
from widedeep.training.data import RANKING, RATING, RatingData
from widedeep.training.ftrl import Ftrl
from widedeep.training.losses import bpr, full_softmax, ndcg, sampled_softmax
from widedeep.training.negatives import Negatives

TRAIN_RMSE = "train_rmse"
TRAIN_RANKING_LOSS = "train_ranking_loss"
VALIDATION_RMSE = "validation_rmse"  # over all validation rows under every knowledge
VALIDATION_NDCG = "validation_ndcg_at_10"
VALIDATION_LOSS = "validation_loss"  # what decides: RMSE (rating), -NDCG (ranking), or their sum (joint)
VALIDATION_METRICS = (VALIDATION_RMSE, VALIDATION_NDCG)
PLACES = 10


class RatingModule(pl.LightningModule):
    """Trains the members of an ensemble, each on its own loss, by two optimizers: one for the wide parts and one for
    all else (Cheng et al. 2016, section 3.2); and one for the deviations of weights that are distributions.

    A rating costs its squared error. A positive costs its loss against negatives of the same user, or against the
    whole catalogue; its inputs have no history, which would tell the rated items apart.
    """

    def __init__(self, model: Model, data: RatingData, recipe: Recipe) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model, self.params = model, recipe.train
        # The knobs of the model that has a wide part; no other has parameters that these are for.
        self.wide = recipe.config if isinstance(recipe.config, WideDeepConfig) else WideDeepConfig()
        self.data = data
        self.parts = list(data.validation_parts())
        self.train_rmse = MeanSquaredError(squared=False)
        self.train_ranking_loss = MeanMetric(nan_strategy="disable")  # a loss that diverged must be seen
        self.validation_rmse = MeanSquaredError(squared=False)
        self.by_knowledge = nn.ModuleDict(
            {name: MeanSquaredError(squared=False) for name in self.parts if name != RANKING}
        )
        self.validation_ndcg = MeanMetric(nan_strategy="disable")

    @property
    def features(self) -> Features:
        return self.data.features

    def setup(self, stage: str) -> None:
        # Of the evidence lower bound of all training rows, in units of a row's squared error.
        taught = self.data.positives(TRAIN) if self.params.objective == "ranking" else self.features.splits[TRAIN]
        self.divergence_weight = 2 * self.wide.noise_variance / max(len(taught), 1)
        self.tables = [module for module in self.model.modules() if isinstance(module, Table)]
        if self.params.objective == "rating":
            return
        users, items = len(self.features.users), len(self.features.items)
        rows = self.features.known()
        self.negatives = Negatives(rows.user, rows.item, users, items) if self.params.ranking.negatives else None
        self.liked, self.rated, self.relevant = (
            Sets(some.user, some.item, some.timestamp, users)
            for some in (self.data.positive(rows), rows, self.data.positives(VALIDATION))
        )
        self.catalogue = torch.arange(items, device=self.data.device)  # the module moves later
        if stage == "fit" and self.negatives and not self.negatives.has_negative[self.data.positives(TRAIN).user].any():
            raise UserError(
                "train.ranking.negatives must be 0 where every user with a positive has rated all items of the "
                f"catalogue ({items:,}): there is no negative to draw. Got {self.params.ranking.negatives} instead. "
                "Set it to 0 with train.ranking.loss: softmax, or train.objective to rating."
            )

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        params, knobs = self.params, self.wide
        wide = self.model.wide_parameters()
        # Decay would take deviations to 1.
        deviations = [table.log_deviation for table in self.tables if table.log_deviation is not None]
        apart = {id(parameter) for parameter in (*wide, *deviations)}
        others = [parameter for parameter in self.model.parameters() if id(parameter) not in apart]
        kind = {"adamw": torch.optim.AdamW, "adagrad": torch.optim.Adagrad}[params.optimizer]
        optimizers: list[torch.optim.Optimizer] = []
        if others:
            optimizers.append(kind(others, lr=params.learning_rate, weight_decay=params.weight_decay))
        if deviations:
            optimizers.append(kind(deviations, lr=params.learning_rate, weight_decay=0))
        if wide and knobs.wide_optimizer == "ftrl":
            optimizers.append(Ftrl(wide, knobs.wide_learning_rate, l1=knobs.wide_l1, l2=knobs.wide_weight_decay))
        elif wide:
            rate = knobs.wide_learning_rate
            optimizers.append(torch.optim.AdamW(wide, lr=rate, weight_decay=knobs.wide_weight_decay))
        return optimizers

    def training_step(self, batch: dict[str, Any], batch_index: int) -> None:
        # Dropout of an epoch must not depend on what was drawn before it, so that a resumed run gives the same weights.
        # (At the start of the epoch would be too early: data loaders draw from the same generator.)
        if batch_index == 0:
            torch.manual_seed(self.params.seed * 1_000_003 + self.current_epoch)
        loss = torch.zeros((), device=self.device)
        if RATING in batch:
            loss = loss + self._rating_loss(batch[RATING])
        if RANKING in batch:
            weight = self.params.ranking.weight if RATING in batch else 1
            loss = loss + weight * self._ranking_loss(batch[RANKING])
        if self.wide.noise_variance:
            loss = loss + self.divergence_weight * torch.stack([table.divergence() for table in self.tables]).sum()
        found = self.optimizers()
        optimizers = found if isinstance(found, list) else [found]
        for optimizer in optimizers:
            optimizer.zero_grad()
        self.manual_backward(loss)
        if self.params.gradient_clip:
            # 16-mixed: the gradients are still scaled here, so the limit is scaled as well.
            scaler = getattr(self.trainer.precision_plugin, "scaler", None)
            scale = scaler.get_scale() if scaler else 1.0
            nn.utils.clip_grad_norm_(self.model.parameters(), scale * self.params.gradient_clip)
        for optimizer in optimizers:
            optimizer.step()

    def _members(self, inputs: Inputs) -> list[Output]:
        assert isinstance(self.model, Ensemble)
        return [member(inputs) for member in self.model.members]

    def _rating_loss(self, rows: Rows) -> Tensor:
        hidden_user, hidden_item = (self._drawn(len(rows), self.params.rating.unseen_rate) for _ in range(2))
        new = self._drawn(len(rows), self.params.rating.new_user_rate)
        seen = rows if new is None else self.features.by_new_users(rows, new)
        hidden_user = new if hidden_user is None else hidden_user if new is None else hidden_user | new
        outputs = self._members(self.features.inputs(seen, self.model.reads, hidden_user, hidden_item))
        mean = torch.stack([output.rating.detach() for output in outputs]).mean(0)
        self.train_rmse(mean, rows.rating)
        self.log(TRAIN_RMSE, self.train_rmse, on_step=False, on_epoch=True, batch_size=len(rows))
        losses = [nn.functional.mse_loss(output.rating, rows.rating) + output.penalty for output in outputs]
        return torch.stack(losses).sum()

    def _ranking_loss(self, batch: Rows | Tensor) -> Tensor:
        """Of positive rows (B,) against drawn negatives, or of users (B,) against the whole catalogue; 0 where no row
        has a negative."""
        self.log(TRAIN_RANKING_LOSS, self.train_ranking_loss, on_step=False, on_epoch=True, batch_size=len(batch))
        if isinstance(batch, Rows):
            assert self.negatives is not None
            batch = batch[self.negatives.has_negative[batch.user]]
            if not len(batch):
                # Every weight gets a gradient, of 0: other processes wait for it.
                return torch.stack([0 * parameter.sum() for parameter in self.model.parameters()]).sum()
            items = torch.cat(
                [batch.item[:, None], self.negatives.sample(batch.user, self.params.ranking.negatives)], 1
            )
            inputs = self.features.listed(batch.user[:, None], items, batch.timestamp[:, None], self.model.reads)
            loss = bpr if self.params.ranking.loss == "bpr" else sampled_softmax
            outputs = self._members(inputs)
            scores = [output.ranking.view(items.shape) for output in outputs]
            losses = [loss(score[:, 0], score[:, 1:]) for score in scores]
        else:
            place, item = self.liked.of(batch)
            timestamp = self.liked.first[batch]
            outputs = self._members(self.features.grid(batch, self.catalogue, timestamp, self.model.reads))
            losses = [full_softmax(output.ranking, place, item) for output in outputs]
        total = torch.stack([loss + output.penalty for loss, output in zip(losses, outputs, strict=True)]).sum()
        self.train_ranking_loss(torch.stack(losses).detach().mean(), len(batch))
        return total

    def validation_step(self, batch: Rows | Tensor, batch_index: int, dataloader_idx: int = 0) -> None:
        if isinstance(batch, Rows):
            predicted = self.model(self.features.inputs(batch, self.model.reads)).rating
            for metric in (self.validation_rmse, self.by_knowledge[self.parts[dataloader_idx]]):
                metric(predicted, batch.rating)
            return
        timestamp = self.relevant.first[batch]
        inputs = self.features.grid(batch, self.catalogue, timestamp, self.model.reads, self.model.ranks_with_history)
        scores = self.model(inputs).ranking.float()
        scores = scores.index_put(self.rated.of(batch), scores.new_tensor(-torch.inf))
        self.validation_ndcg(ndcg(scores, *self.relevant.of(batch), PLACES))

    def on_validation_epoch_end(self) -> None:
        loss = torch.zeros((), device=self.device)
        if self.validation_rmse.update_called:
            self.log(VALIDATION_RMSE, self.validation_rmse, prog_bar=True)
            loss = loss + self.validation_rmse.compute()
            for name, metric in self.by_knowledge.items():
                assert isinstance(metric, MeanSquaredError)
                self.log(f"validation_{name}_rmse", metric)
        if self.validation_ndcg.update_called:
            self.log(VALIDATION_NDCG, self.validation_ndcg, prog_bar=True)
            loss = loss - self.validation_ndcg.compute()
        self.log(VALIDATION_LOSS, loss)

    def _drawn(self, rows: int, rate: float) -> Tensor | None:
        """Rows whose user (or item) is shown as unseen, drawn with a probability (as in DropoutNet, Volkovs et al.
        2017): without it a model leans on ids, or on histories, which new users and items do not have."""
        return torch.rand(rows, device=self.device) < rate if rate else None
