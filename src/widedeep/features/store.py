"""The features in memory, on the device where they are used: entities stored once and looked up per batch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from widedeep.columns import GENRES, ITEM, RATING, SPLIT, TIMESTAMP, TRAIN, USER
from widedeep.features.inputs import Inputs, Pairs, Reads, Side
from widedeep.features.log import Log
from widedeep.features.spec import UNIT, Spec, window_columns
from widedeep.features.vocabulary import Vocabulary

DAY = 86400
ID = 0  # the place of the id among the categories of an entity
WHOLE_TRAIN = "whole train"  # the split of all training rows, where a warm start trains on a part of them


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

    def by_index(self, earlier: NDArray[np.int64]) -> NDArray[np.int64]:
        """The ids behind the indices 1, 2, ..., of which those of the `earlier` ids may be of no entity any more."""
        index = self.categories[:, ID].cpu().numpy()
        ids = np.zeros(max(index.max(initial=0), len(earlier)), dtype=np.int64)
        ids[: len(earlier)] = earlier
        ids[index[index > 0] - 1] = self.ids.cpu().numpy()[index > 0]
        return ids

    def to(self, device: torch.device | str) -> Self:
        return type(self)(**{name: value.to(device) for name, value in vars(self).items()})


@dataclass(frozen=True)
class Rows:
    """N ratings: `user` and `item` (N,) int64 are positions in the entity tables, `rating` (N,) float32, `timestamp`
    (N,) int64 seconds (0 where there are none), `history` (N, H) float32 numbers as of each row's own event, and
    `user_seen`, `item_seen` (N,) int64: how many interactions of the user and the item the row may see, the first."""

    user: Tensor
    item: Tensor
    rating: Tensor
    timestamp: Tensor
    history: Tensor
    user_seen: Tensor
    item_seen: Tensor

    def __len__(self) -> int:
        return len(self.rating)

    def __getitem__(self, index: Tensor | slice) -> Self:
        return type(self)(**{name: value[index] for name, value in vars(self).items()})

    def parts(self, size: int) -> Iterator[Self]:
        """The rows in order, at most `size` at a time."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def to(self, device: torch.device | str) -> Self:
        return type(self)(**{name: value.to(device) for name, value in vars(self).items()})


@dataclass(frozen=True)
class Features:
    """Everything of a features folder. `genre_count` and `genre_total` are (users, genres) float32, `recent_count` and
    `recent_total` (users, windows): what the training rows leave behind of each user. `by_user` and `by_item` are the
    interactions that may be seen: the training rows and, in a temporal split, the rows of the other loaded splits."""

    spec: Spec
    users: Entities
    items: Entities
    genre_count: Tensor
    genre_total: Tensor
    recent_count: Tensor
    recent_total: Tensor
    splits: dict[str, Rows]
    by_user: Log
    by_item: Log

    @classmethod
    def load(cls, folder: str | Path, *splits: str) -> Self:
        """Read entities and the rows of the named splits, the training rows among them, from a folder that the
        featurize stage wrote."""
        folder = Path(folder)
        spec = Spec.load(folder / "features.json")
        users, items = pq.read_table(folder / "users.parquet"), pq.read_table(folder / "items.parquet")
        tables = {split: pq.read_table(folder / "rows.parquet", filters=pc.field(SPLIT) == split) for split in splits}
        visible = pa.concat_tables([table for split, table in tables.items() if split == TRAIN or spec.online])
        user, item = _int64(visible["user"]), _int64(visible["item"])
        rating, timestamp = _float(visible[RATING]), _int64(visible[TIMESTAMP].fill_null(0))
        pair = user * len(items) + item
        features = cls(
            spec,
            _entities(users, spec, "user"),
            _entities(items, spec, "item"),
            _matrix(users["history_genre_count"]),
            _matrix(users["history_genre_total"]),
            _recent(users, spec, "count"),
            _recent(users, spec, "total"),
            {},
            Log.of(user, item, rating, timestamp, pair, len(users)),
            Log.of(item, user, rating, timestamp, pair, len(items)),
        )
        for split, table in tables.items():
            features.splits[split] = features._rows(table, split)
        return features

    def vocabulary(self, earlier: Vocabulary | None = None) -> Vocabulary:
        """What a model that is trained on these features knows by index. `earlier`: the vocabulary that they have grown
        from, with ids that these data may lack."""
        until = int(self.known().timestamp.max()) if self.spec.online else None
        none = np.empty(0, dtype=np.int64)
        users, items = (none, none) if earlier is None else (earlier.user_ids, earlier.item_ids)
        return Vocabulary(self.spec, self.users.by_index(users), self.items.by_index(items), until)

    def known(self) -> Rows:
        """All training rows, also those that a warm start does not train on again."""
        return self.splits.get(WHOLE_TRAIN, self.splits[TRAIN])

    def to(self, device: torch.device | str) -> Self:
        moved = {name: value.to(device) for name, value in vars(self).items() if name not in ("spec", "splits")}
        return type(self)(spec=self.spec, splits={name: rows.to(device) for name, rows in self.splits.items()}, **moved)

    def by_new_users(self, rows: Rows, new: Tensor) -> Rows:
        """The rows, of which those marked in `new` (N,) bool have no history and no interactions of their user."""
        of_user = torch.tensor([field.entity == "user" for field in self.spec.of_kind("history")], device=new.device)
        history = rows.history.masked_fill(new[:, None] & of_user, 0)
        return replace(rows, history=history, user_seen=rows.user_seen.masked_fill(new, 0))

    def inputs(
        self, rows: Rows, reads: Reads, hidden_user: Tensor | None = None, hidden_item: Tensor | None = None
    ) -> Inputs:
        """What a model sees of the listed rows. `hidden_user`, `hidden_item` (P,) bool: shown as unseen ids."""
        users, user = self._once(rows.user, rows.user_seen if reads.user_items else None, hidden_user)
        items, item = self._once(rows.item, rows.item_seen if reads.item_users else None, hidden_item)
        pair = rows.user * len(self.items) + rows.item
        return Inputs(
            self._side(USER, *users, reads.user_items),
            self._side(ITEM, *items, reads.item_users),
            Pairs(user, item),
            rows.history,
            self.time(rows.user, rows.user_seen, rows.timestamp) if reads.time else None,
            self.by_user.own(pair, rows.user_seen, reads.user_items) if reads.user_items else None,
            self.by_item.own(pair, rows.item_seen, reads.item_users) if reads.item_users else None,
        )

    def listed(self, user: Tensor, item: Tensor, timestamp: Tensor, reads: Reads) -> Inputs:
        """What a model sees of pairs that need not be ratings, as of the training cut-off and without history: user,
        item and timestamp, int64, broadcast against each other and are flattened."""
        user, item, timestamp = (part.flatten() for part in torch.broadcast_tensors(user, item, timestamp))
        nothing = torch.zeros(len(user), 0, device=user.device)
        seen = self.users.count[user].long(), self.items.count[item].long()
        rows = Rows(user, item, nothing, timestamp, nothing, *seen)
        return self.inputs(rows, reads)._replace(history=None)

    def grid(self, user: Tensor, item: Tensor, timestamp: Tensor, reads: Reads, with_history: bool = False) -> Inputs:
        """What a model sees of every user (U,) with every item (I,), as of the training cut-off, asked at `timestamp`
        (U,)."""
        user_seen, item_seen = self.users.count[user].long(), self.items.count[item].long()
        pair = user[:, None] * len(self.items) + item
        history = None
        if with_history:
            owner, every = (values.flatten() for values in torch.broadcast_tensors(user[:, None], item[None]))
            history = self.frozen_history(owner, every, timestamp.repeat_interleave(len(item)))
            history = history.view(len(user), len(item), -1)
        return Inputs(
            self._side(USER, user, user_seen, None, reads.user_items),
            self._side(ITEM, item, item_seen, None, reads.item_users),
            Pairs(),
            history,
            self.time(user, user_seen, timestamp)[:, None].expand(-1, len(item), -1) if reads.time else None,
            self.by_user.own(pair, user_seen[:, None], reads.user_items) if reads.user_items else None,
            self.by_item.own(pair, item_seen, reads.item_users) if reads.item_users else None,
        )

    def _once(
        self, entity: Tensor, seen: Tensor | None, hidden: Tensor | None
    ) -> tuple[tuple[Tensor, Tensor, Tensor | None], Tensor]:
        """Each (entity, seen, hidden) of the rows once, and the place of each row's."""
        key = entity if hidden is None else entity * 2 + hidden
        most = 1 if seen is None else int(seen.max()) + 1
        if seen is not None:
            key = key * most + seen
        key, place = torch.unique(key, return_inverse=True)
        key, seen = key // most, key % most
        return (key, seen, None) if hidden is None else (key // 2, seen, (key % 2).bool()), place

    def _side(self, name: str, entity: Tensor, seen: Tensor, hidden: Tensor | None, most: int) -> Side:
        own, other, log = (
            (self.users, self.items, self.by_user) if name == USER else (self.items, self.users, self.by_item)
        )
        categories = own.categories[entity]
        known = categories[:, ID].clone()
        if hidden is not None:
            categories[:, ID].masked_fill_(hidden, 0)
        interactions = log.latest(entity, seen, most, other.categories[:, ID]) if most else None
        return Side(categories, own.bag[entity], own.numbers[entity], known, interactions)

    def time(self, user: Tensor, seen: Tensor, timestamp: Tensor) -> Tensor:
        """Days since the first visible rating of all, and of the user (0 if none of theirs is `seen`): (B, 2)
        float32."""
        if not len(self.by_user.timestamp):
            return torch.zeros(len(user), 2, device=user.device)
        start = self.by_user.start[user]
        first = self.by_user.timestamp[start.clamp(max=len(self.by_user.timestamp) - 1)]
        age = torch.where(seen > 0, (timestamp - first).clamp(min=0), 0)
        return torch.stack([timestamp - self.by_user.timestamp.min(), age], 1).float() / DAY

    def frozen(self, rows: Rows) -> Rows:
        """Rows outside training with the history as of the training cut-off; only a temporal split has another."""
        if not self.spec.online:
            return rows
        return replace(
            rows,
            history=self.frozen_history(rows.user, rows.item, rows.timestamp),
            user_seen=self.users.count[rows.user].long(),
            item_seen=self.items.count[rows.item].long(),
        )

    def frozen_history(
        self, user: Tensor, item: Tensor, timestamp: Tensor, known: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """History (B, H) as of the training cut-off: what a model deployed once knows at `timestamp` (B,). `known`:
        columns (B,) to take instead."""
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
        for place, name in enumerate(window_columns(self.spec.history, self.spec.recent)):
            count, total = self.recent_count[user, place], self.recent_total[user, place]
            columns[name] = _damped(total, count, damping.user)
        return history_numbers(self.spec, {**columns, **(known or {})})

    def _rows(self, table: pa.Table, split: str) -> Rows:
        user, item = _int64(table["user"]), _int64(table["item"])
        timestamp = _int64(table[TIMESTAMP].fill_null(0))
        names = [field.name for field in self.spec.of_kind("history")]
        known = {name: _float(table[name]) for name in names if not table[name].null_count}
        whole = len(known) == len(names)
        history = history_numbers(self.spec, known) if whole else self.frozen_history(user, item, timestamp, known)
        if len(table) and self.spec.history == "point_in_time" and (split == TRAIN or self.spec.online):
            seen = self.by_user.seen_before(user, timestamp), self.by_item.seen_before(item, timestamp)
        else:
            seen = self.users.count[user].long(), self.items.count[item].long()
        return Rows(user, item, _float(table[RATING]), timestamp, history, *seen)


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
    known = [_float(users[f"history_recent_{size}_{value}"]) for size in spec.recent]
    return torch.stack(known, 1) if known else torch.zeros(len(users), 0)


def _padded(column: pa.ChunkedArray) -> Tensor:
    lists = column.combine_chunks()
    lengths = lists.value_lengths().to_numpy()
    padded = np.zeros((len(lists), max(int(lengths.max(initial=0)), 1)), dtype=np.int64)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = lists.flatten().to_numpy()
    return torch.from_numpy(padded)
