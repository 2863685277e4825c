"""Batches as slices of permuted tensors that already lie on the device: no per-row Python, no collate."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from widedeep.columns import TRAIN, VALIDATION
from widedeep.features.store import Features, Inputs, Rows


class Batch(NamedTuple):
    """B rows: their inputs and their ratings (B,) float32."""

    inputs: Inputs
    rating: Tensor


class RatingRows(Dataset[Batch]):
    """Rows that, indexed by a tensor of row numbers (B,), answer with a whole `Batch`."""

    def __init__(self, features: Features, rows: Rows) -> None:
        self.features = features
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Tensor) -> Batch:
        rows = self.rows
        inputs = self.features.inputs(rows.user[index], rows.item[index], rows.history[index])
        return Batch(inputs, rows.rating[index])


class Slices(Sampler[Tensor]):
    """Row numbers of each batch, in order or freshly permuted in every epoch.

    With several processes each takes every `processes`-th row; the first rows come twice where that is needed to give
    all of them the same number of rows. The permutation depends on seed and epoch alone.
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
        """Called by Lightning at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        rows = math.ceil(self.rows / self.processes)
        return max(1, math.ceil((rows - 1) / self.batch_size))

    def __iter__(self) -> Iterator[Tensor]:
        if self.seed is None:
            order = torch.arange(self.rows)
        else:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
            order = torch.randperm(self.rows, generator=generator)
        if self.processes > 1:
            missing = -self.rows % self.processes
            order = torch.cat([order, order[:missing]])[self.process :: self.processes]
        # A single row left over joins the batch before: batch normalisation cannot train on one.
        sizes = [self.batch_size] * (len(self) - 1)
        yield from torch.split(order.to(self.device), [*sizes, len(order) - sum(sizes)])


class RatingData(pl.LightningDataModule):
    """Training and validation rows of a features folder; put on the trainer's device once, in `setup`.

    Validation rows come as the frozen model will meet them and, in a temporal split, also as the online one will.
    """

    def __init__(self, features: Features, batch_size: int, seed: int) -> None:
        super().__init__()
        self.features = features
        self.batch_size, self.seed = batch_size, seed

    def setup(self, stage: str) -> None:
        assert self.trainer is not None
        self.device = self.trainer.strategy.root_device
        self.features = self.features.to(self.device)

    def train_dataloader(self) -> DataLoader[Batch]:
        return self._loader(self.features.splits[TRAIN], self.batch_size, self.seed)

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        rows = self.features.splits[VALIDATION]
        if not len(rows):
            return []
        known = [self.features.frozen(rows), rows] if self.features.spec.online else [rows]
        return [self._loader(part, 8 * self.batch_size, None) for part in known]

    def _loader(self, rows: Rows, batch_size: int, seed: int | None) -> DataLoader[Batch]:
        assert self.trainer is not None
        process, processes = self.trainer.global_rank, self.trainer.world_size
        slices = Slices(len(rows), batch_size, self.device, seed, process, processes)
        return DataLoader(RatingRows(self.features, rows), batch_size=None, sampler=slices)
