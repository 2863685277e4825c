"""Batches are slices of permuted tensors that are already on the device, so no Python code runs per row."""

import math
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import CombinedLoader
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from widedeep.errors import UserError
from widedeep.features.rows import Rows
from widedeep.features.tensors import FeatureSet
from widedeep.models.registry import ENTRIES
from widedeep.params import TrainParams
from widedeep.training.next_item_task import NextItemTask
from widedeep.training.other_items_task import OtherItemsTask
from widedeep.training.tasks import RankingTask, RatingTask, Task


class Sliced(Dataset[Any]):
    """Rows, or a tensor. An index is a whole batch of row numbers (B,)."""

    def __init__(self, rows: Rows | Tensor) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Tensor) -> Rows | Tensor:
        return self.rows[index]


class Slices(Sampler[Tensor]):
    """Yields the row numbers of each batch, in order or newly permuted in every epoch.

    With several processes, each takes every `processes`-th row. If the rows cannot be divided equally, the first ones
    are used twice.

    rows : number of rows
    batch_size : rows per batch; the last batch may have fewer
    device : where the row numbers are needed
    seed : None: keep the order of the rows. Else the permutation depends only on seed and epoch.
    process : number of this process, from 0
    processes : number of processes
    """

    def __init__(
        self,
        rows: int,
        batch_size: int,
        device: torch.device,
        seed: int | None,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self.rows, self.batch_size, self.device, self.seed = rows, batch_size, device, seed
        self.process, self.processes = process, processes
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the epoch. Lightning calls this at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        rows = math.ceil(self.rows / self.processes)
        return max(1, math.ceil(rows / self.batch_size))

    def __iter__(self) -> Iterator[Tensor]:
        if self.seed is None:
            order = torch.arange(self.rows)
        else:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
            order = torch.randperm(self.rows, generator=generator)
        if self.processes > 1:
            missing = -self.rows % self.processes
            order = torch.cat([order, order[:missing]])[self.process :: self.processes]
        yield from torch.split(order.to(self.device), self.batch_size)


class TrainingData(pl.LightningDataModule):
    """The training and validation rows. `setup` moves them to the trainer's device once.

    A training batch is a mapping with a part for each task. If a task has fewer batches than another, its batches are
    repeated.

    apart : as in `tasks_of`
    validated : for each validation loader its task, and the name of what it validates
    """

    def __init__(self, features: FeatureSet, params: TrainParams, apart: bool = False) -> None:
        super().__init__()
        self.features, self.params = features, params
        self.tasks = tasks_of(params, features, apart)
        self.validated = [(task, name) for task in self.tasks for name in task.validation(features)]

    @property
    def epochs(self) -> int:
        """The largest number of epochs in which there is something to learn."""
        return int(min(self.params.epochs, max(task.epochs for task in self.tasks)))

    def setup(self, stage: str) -> None:
        assert self.trainer is not None
        self.device = self.trainer.strategy.root_device
        self.features = self.features.to(self.device)

    def train_dataloader(self) -> CombinedLoader:
        loaders = {task.name: self._loader(*task.batches(self.features), self.params.seed) for task in self.tasks}
        return CombinedLoader(loaders, "max_size_cycle")

    def val_dataloader(self) -> list[DataLoader[Any]]:
        parts = [part for task in self.tasks for part in task.validation(self.features).values()]
        return [self._loader(part, max(len(part), 1), None) for part in parts]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch  # `setup` has moved it already

    def _loader(self, rows: Rows | Tensor, batch_size: int, seed: int | None) -> DataLoader[Any]:
        assert self.trainer is not None
        process, processes = self.trainer.global_rank, self.trainer.world_size
        slices = Slices(len(rows), batch_size, self.device, seed, process, processes)
        return DataLoader(Sliced(rows), batch_size=None, sampler=slices)


def tasks_of(params: TrainParams, features: FeatureSet, apart: bool) -> list[Task]:
    """Return the tasks of `train.objective`, the rating first.

    With implicit feedback there are no ratings to predict, so joint has only the task of lists.

    apart : whether the model has a part of its own for lists. Data in order of time need one.

    Raises
    ------
    UserError
        A value of section train does not suit the task or the data.
    """
    tasks: list[Task] = []
    implicit = features.spec.implicit
    if implicit and params.objective == "rating":
        raise UserError(
            "train.objective must be ranking or joint for implicit feedback, which has no ratings to predict. "
            "Got rating instead."
        )
    if implicit and params.objective == "joint" and params.ranking.rating_weight:
        raise UserError(
            "train.ranking.rating_weight must be 0 for implicit feedback, which has no ratings to predict. "
            f"Got {params.ranking.rating_weight:g} instead."
        )
    if params.objective != "ranking" and not implicit:
        tasks.append(RatingTask(params, features))
    if params.objective == "joint" and features.spec.online and ENTRIES[params.model].trained:
        tasks.append(NextItemTask(params, alone=implicit))
    elif params.objective == "joint" and apart:
        tasks.append(OtherItemsTask(params, alone=implicit))
    elif params.objective != "rating":
        tasks.append(RankingTask(params))
    return tasks
