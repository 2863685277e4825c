"""Batches as slices of permuted tensors that already lie on the device: no per-row Python, no collate."""

import math
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import CombinedLoader
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from widedeep.columns import FROZEN, ONLINE, TRAIN, VALIDATION
from widedeep.features.store import Features, Rows
from widedeep.params import TrainParams

RATING, RANKING = "rating", "ranking"  # the parts of a training batch


class Sliced(Dataset[Any]):
    """Rows, or a tensor, that are indexed by a whole batch of row numbers (B,)."""

    def __init__(self, rows: Rows | Tensor) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Tensor) -> Rows | Tensor:
        return self.rows[index]


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

    A training batch has, by objective, a part "rating", rows, and a part "ranking": positive rows where negatives are
    drawn for each, else users. With both, the shorter part begins again until the longer one ends.

    Validation rows come as the frozen model will meet them and, in a temporal split, also as the online one will; for
    a ranking come the users who have a positive among them.
    """

    def __init__(self, features: Features, params: TrainParams) -> None:
        super().__init__()
        self.features, self.params = features, params

    def setup(self, stage: str) -> None:
        assert self.trainer is not None
        self.device = self.trainer.strategy.root_device
        self.features = self.features.to(self.device)

    def positives(self, split: str) -> Rows:
        """The rows of a split that a ranking must put first."""
        return self.positive(self.features.splits[split])

    def positive(self, rows: Rows) -> Rows:
        return rows if self.params.positive_rating is None else rows[rows.rating >= self.params.positive_rating]

    def train_dataloader(self) -> CombinedLoader:
        params = self.params
        parts: dict[str, DataLoader[Any]] = {}
        if params.objective != "ranking":
            parts[RATING] = self._loader(self.features.splits[TRAIN], params.batch_size, params.seed)
        if params.objective != "rating":
            positives = self.positives(TRAIN)
            if params.negatives:
                parts[RANKING] = self._loader(positives, params.batch_size, params.seed)
            else:
                parts[RANKING] = self._loader(positives.user.unique(), params.user_batch_size, params.seed)
        return CombinedLoader(parts, "max_size_cycle")

    def validation_parts(self) -> dict[str, Rows | Tensor]:
        """What is validated, by the name of its knowledge or task."""
        rows = self.features.splits[VALIDATION]
        parts: dict[str, Rows | Tensor] = {}
        if len(rows) and self.params.objective != "ranking":
            parts[FROZEN] = self.features.frozen(rows)
            if self.features.spec.online:
                parts[ONLINE] = rows
        if self.params.objective != "rating" and len(users := self.positives(VALIDATION).user.unique()):
            parts[RANKING] = users
        return parts

    def val_dataloader(self) -> list[DataLoader[Any]]:
        sizes = {RANKING: self.params.user_batch_size}
        return [
            self._loader(part, sizes.get(name, 8 * self.params.batch_size), None)
            for name, part in self.validation_parts().items()
        ]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch  # it is there

    def _loader(self, rows: Rows | Tensor, batch_size: int, seed: int | None) -> DataLoader[Any]:
        assert self.trainer is not None
        process, processes = self.trainer.global_rank, self.trainer.world_size
        slices = Slices(len(rows), batch_size, self.device, seed, process, processes)
        return DataLoader(Sliced(rows), batch_size=None, sampler=slices)
