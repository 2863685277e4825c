"""The features in memory, on the device where they are used: entities stored once and looked up per batch."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor

from widedeep.columns import GENRES, RATING, SPLIT, TIMESTAMP
from widedeep.features.spec import UNIT, Spec


class Inputs(NamedTuple):
    """What a model sees of B rows.

    categories: (B, F) int64, index of each category field, 0 unseen. bag: (B, G) int64, genre indices padded with 0.
    numbers: (B, N) float32, the number fields, then the history fields.
    """

    categories: Tensor
    bag: Tensor
    numbers: Tensor


@dataclass(frozen=True)
class Entities:
    """n users or items: `ids` (n,) int64, `categories` (n, F) int64, `numbers` (n, N) float32, `bag` (n, G) int64, and
    what the training rows leave behind of each: `count` (n,), `total` (n,) float32 and `last` (n,) int64."""

    ids: Tensor
    categories: Tensor
    numbers: Tensor
    bag: Tensor
    count: Tensor
    total: Tensor
    last: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> Self:
        return type(self)(**{name: value.to(device) for name, value in vars(self).items()})


@dataclass(frozen=True)
class Rows:
    """N ratings: `user` and `item` (N,) int64 are positions in the entity tables, `rating` (N,) float32, `timestamp`
    (N,) int64 seconds (0 where there are none), `history` (N, H) float32 numbers as of each row's own event."""

    user: Tensor
    item: Tensor
    rating: Tensor
    timestamp: Tensor
    history: Tensor

    def __len__(self) -> int:
        return len(self.rating)

    def to(self, device: torch.device | str) -> Self:
        return type(self)(**{name: value.to(device) for name, value in vars(self).items()})


@dataclass(frozen=True)
class Features:
    """Everything of a features folder. `genre_count` and `genre_total` are (users, genres) float32, `recent_count` and
    `recent_total` (users, windows): what the training rows leave behind of each user."""

    spec: Spec
    users: Entities
    items: Entities
    genre_count: Tensor
    genre_total: Tensor
    recent_count: Tensor
    recent_total: Tensor
    splits: dict[str, Rows]

    @classmethod
    def load(cls, folder: str | Path, *splits: str) -> Self:
        """Read entities and the rows of the named splits from a folder that the featurize stage wrote."""
        folder = Path(folder)
        spec = Spec.load(folder / "features.json")
        users, items = pq.read_table(folder / "users.parquet"), pq.read_table(folder / "items.parquet")
        features = cls(
            spec,
            _entities(users, spec, "user"),
            _entities(items, spec, "item"),
            _matrix(users["history_genre_count"]),
            _matrix(users["history_genre_total"]),
            _recent(users, spec, "count"),
            _recent(users, spec, "total"),
            {},
        )
        for split in splits:
            rows = pq.read_table(folder / "rows.parquet", filters=pc.field(SPLIT) == split)
            features.splits[split] = features._rows(rows)
        return features

    def to(self, device: torch.device | str) -> Self:
        return type(self)(
            self.spec,
            self.users.to(device),
            self.items.to(device),
            self.genre_count.to(device),
            self.genre_total.to(device),
            self.recent_count.to(device),
            self.recent_total.to(device),
            {name: rows.to(device) for name, rows in self.splits.items()},
        )

    def inputs(self, user: Tensor, item: Tensor, history: Tensor) -> Inputs:
        """Look up users and items (B,) by position and put them beside their history (B, H)."""
        return Inputs(
            torch.cat([self.users.categories[user], self.items.categories[item]], 1),
            self.items.bag[item],
            torch.cat([self.users.numbers[user], self.items.numbers[item], history], 1),
        )

    def frozen(self, rows: Rows) -> Rows:
        """The same rows with the history as of the training cut-off."""
        return replace(rows, history=self.frozen_history(rows.user, rows.item, rows.timestamp))

    def frozen_history(self, user: Tensor, item: Tensor, timestamp: Tensor) -> Tensor:
        """History (B, H) as of the training cut-off: what a model deployed once knows at `timestamp` (B,)."""
        damping = self.spec.damping
        bag = self.items.bag[item]
        slots = (bag > 0).sum(1).clamp(min=1)
        genre_count = self.genre_count[user].gather(1, bag) * (bag > 0)
        genre_total = self.genre_total[user].gather(1, bag) * (bag > 0)
        columns = {
            "user_count": self.users.count[user],
            "user_mean": _damped(self.users.total[user], self.users.count[user], damping.user),
            "user_recency": _since(self.users.last[user], timestamp),
            "user_genre_count": genre_count.sum(1) / slots,
            "user_genre_mean": _damped(genre_total, genre_count, damping.genre).sum(1) / slots,
            "item_count": self.items.count[item],
            "item_mean": _damped(self.items.total[item], self.items.count[item], damping.item),
            "item_recency": _since(self.items.last[item], timestamp),
        }
        for place, size in enumerate(self.spec.recent if self.recent_count.shape[1] else ()):
            count, total = self.recent_count[user, place], self.recent_total[user, place]
            columns[f"user_recent_{size}_mean"] = _damped(total, count, damping.user)
        return history_numbers(self.spec, columns)

    def _rows(self, table: pa.Table) -> Rows:
        user, item = _int64(table["user"]), _int64(table["item"])
        timestamp = _int64(table[TIMESTAMP].fill_null(0))
        fields = self.spec.of_kind("history")
        if len(table) and table[fields[0].name].null_count:
            history = self.frozen_history(user, item, timestamp)
        else:
            history = history_numbers(self.spec, {field.name: _float(table[field.name]) for field in fields})
        return Rows(user, item, _float(table[RATING]), timestamp, history)


def history_numbers(spec: Spec, columns: dict[str, Tensor]) -> Tensor:
    """The history columns (B,) as a model sees them, (B, H): means in rating points; log(1 + x) of counts and seconds,
    0 where there is none.

    Seconds are capped: a model deployed once meets longer and longer absences, of which it has seen few in training.
    """
    numbers = []
    for field in spec.of_kind("history"):
        number = columns[field.name].float()
        if field.name.endswith("recency"):
            number = number.clamp(max=spec.recency_cap)
        numbers.append(number if field.name.endswith("mean") else torch.log1p(number.clamp(min=0)))
    return torch.stack(numbers, 1)


def _damped(total: Tensor, count: Tensor, damping: float) -> Tensor:
    return torch.where(count > 0, total / UNIT / (count + damping), 0)


def _since(last: Tensor, timestamp: Tensor) -> Tensor:
    return torch.where(last >= 0, timestamp - last, -1)


def _entities(table: pa.Table, spec: Spec, entity: str) -> Entities:
    fields = [field for field in spec.fields if field.entity == entity]
    names = [f"{entity}_index" if field.name == f"{entity}_id" else field.name for field in fields]
    categories = [name for name, field in zip(names, fields, strict=True) if field.kind == "category"]
    numbers = [name for name, field in zip(names, fields, strict=True) if field.kind == "number"]
    return Entities(
        ids=_int64(table[f"{entity}_id"]),
        categories=torch.stack([_int64(table[name]) for name in categories], 1),
        numbers=torch.stack([_float(table[name]) for name in numbers], 1) if numbers else torch.zeros(len(table), 0),
        bag=_padded(table[GENRES]) if GENRES in table.column_names else torch.zeros(len(table), 0, dtype=torch.int64),
        count=_float(table["history_count"]),
        total=_float(table["history_total"]),
        last=_int64(table["history_last"]),
    )


def _int64(column: pa.ChunkedArray) -> Tensor:
    return torch.from_numpy(column.to_numpy().astype(np.int64))


def _float(column: pa.ChunkedArray) -> Tensor:
    return torch.from_numpy(column.to_numpy().astype(np.float32))


def _matrix(column: pa.ChunkedArray) -> Tensor:
    flat = column.combine_chunks().flatten().to_numpy()
    return torch.from_numpy(flat.reshape(len(column), -1).astype(np.float32))


def _recent(users: pa.Table, spec: Spec, value: str) -> Tensor:
    names = [f"history_recent_{size}_{value}" for size in spec.recent]
    known = [_float(users[name]) for name in names if name in users.column_names]
    return torch.stack(known, 1) if known else torch.zeros(len(users), 0)


def _padded(column: pa.ChunkedArray) -> Tensor:
    lists = column.combine_chunks()
    lengths = lists.value_lengths().to_numpy()
    padded = np.zeros((len(lists), max(int(lengths.max(initial=0)), 1)), dtype=np.int64)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = lists.flatten().to_numpy()
    return torch.from_numpy(padded)
