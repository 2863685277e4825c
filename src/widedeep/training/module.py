"""The LightningModule: loss, optimizer and logging around a model that knows none of them."""

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import MeanSquaredError

from widedeep.features.spec import Spec
from widedeep.features.store import Inputs
from widedeep.models.wide_deep import WideDeep
from widedeep.params import TrainParams
from widedeep.training.data import Batch

TRAIN_RMSE = "train_rmse"
VALIDATION_RMSE = "validation_rmse"  # over all validation rows under every knowledge
BY_KNOWLEDGE = ("validation_frozen_rmse", "validation_online_rmse")  # in the order of the validation loaders


class RatingModule(pl.LightningModule):
    """Joint training of the wide and the deep part on the squared error of the rating.

    One AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101) with a group of parameters per part, each with its own
    learning rate and weight decay.
    """

    def __init__(self, model: WideDeep, spec: Spec, params: TrainParams) -> None:
        super().__init__()
        self.model = model
        self.params = params
        names = [field.name for field in spec.of_kind("category")]
        self.id_slots = [names.index("user_id"), names.index("item_id")]
        self.train_rmse = MeanSquaredError(squared=False)
        self.validation_rmse = MeanSquaredError(squared=False)
        self.validation_frozen_rmse = MeanSquaredError(squared=False)
        self.validation_online_rmse = MeanSquaredError(squared=False)
        self.by_knowledge = (self.validation_frozen_rmse, self.validation_online_rmse)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        params = self.params
        wide = {"lr": params.wide_learning_rate, "weight_decay": params.wide_weight_decay}
        deep = {"lr": params.learning_rate, "weight_decay": params.weight_decay}
        return torch.optim.AdamW(
            [{"params": self.model.wide.parameters(), **wide}, {"params": self.model.deep.parameters(), **deep}]
        )

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        # Dropout of an epoch must not depend on what was drawn before it, so that a resumed run gives the same weights.
        # (At the start of the epoch would be too early: data loaders draw from the same generator.)
        if batch_index == 0:
            torch.manual_seed(self.params.seed * 1_000_003 + self.current_epoch)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        predicted = self.model(self._with_unseen(batch.inputs))
        self.train_rmse(predicted.detach(), batch.rating)
        self.log(TRAIN_RMSE, self.train_rmse, on_step=False, on_epoch=True, batch_size=len(batch.rating))
        return nn.functional.mse_loss(predicted, batch.rating)

    def validation_step(self, batch: Batch, batch_index: int, dataloader_idx: int = 0) -> None:
        predicted = self.model(batch.inputs)
        for metric in (self.validation_rmse, self.by_knowledge[dataloader_idx]):
            metric(predicted, batch.rating)

    def on_validation_epoch_end(self) -> None:
        self.log(VALIDATION_RMSE, self.validation_rmse, prog_bar=True)
        for name, metric in zip(BY_KNOWLEDGE, self.by_knowledge, strict=True):
            if metric.update_called:
                self.log(name, metric)

    def _with_unseen(self, inputs: Inputs) -> Inputs:
        """Hide the id of the user and of the item of a share of the rows, each by itself (as in DropoutNet, Volkovs et
        al. 2017): without it the model leans on ids, which new users and items do not have."""
        categories = inputs.categories.clone()
        for slot in self.id_slots:
            hidden = torch.rand(len(categories), device=categories.device) < self.params.unseen_rate
            categories[:, slot].masked_fill_(hidden, 0)
        return inputs._replace(categories=categories)
