"""Convert feature tables to tensors, for training and scoring, and back."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from widedeep.columns import GENRES, ITEM, ITEM_ID, ITEM_YEAR, RATING, SPLIT, TIMESTAMP, TITLE, TRAIN, USER, USER_ID
from widedeep.features.assemble import as_of_state, history, history_numbers
from widedeep.features.context import Context, order_of_ties
from widedeep.features.entities import Entities
from widedeep.features.files import MEND, FeatureTables
from widedeep.features.ragged import Ragged
from widedeep.features.rows import Rows
from widedeep.features.spec import BY_USER, SUMS, Spec
from widedeep.features.state import State, Sums
from widedeep.features.vocabulary import Vocabulary
from widedeep.reading import refuse
from widedeep.tabular import release_memory


class Names(NamedTuple):
    """Ids, titles and years in the order of the codes, as Arrow arrays.

    user_ids, item_ids : ids as the data set has them
    titles : titles of items; null without a title
    years : years of items (int64); null without a year, and for all items of a model of an earlier version
    """

    user_ids: pa.Array
    item_ids: pa.Array
    titles: pa.Array
    years: pa.Array


@dataclass(frozen=True)
class FeatureSet(Context):
    """A context with the ratings to train on and to evaluate with.

    The state is that at the end of training, with one exception: in a temporal split, `by_user` and `by_item` hold the
    interactions of all loaded rows. Each row says how many of them it may see.

    names : ids and titles
    splits : rows by split
    whole_train : all training rows, if a warm start trains on a part of them; else None
    """

    names: Names
    splits: dict[str, Rows]
    whole_train: Rows | None = None

    def known(self) -> Rows:
        """Return all training rows, also those that a warm start does not train on again."""
        return self.splits[TRAIN] if self.whole_train is None else self.whole_train

    def to(self, device: torch.device | str) -> "FeatureSet":
        moved = super().to(device)
        whole = None if self.whole_train is None else self.whole_train.to(device)
        return replace(moved, splits={name: rows.to(device) for name, rows in self.splits.items()}, whole_train=whole)

    def frozen(self, rows: Rows) -> Rows:
        """Return rows outside training with the knowledge at the end of training.

        Only in a temporal split do they have another one.
        """
        return as_of_state(self, rows) if self.spec.online else rows

    def vocabulary(self, earlier: Vocabulary | None = None) -> Vocabulary:
        """Return the vocabulary of a model trained on these features.

        earlier : the vocabulary that they have grown from; its ids keep their indices, even if these data lack them
        """
        until = int(self.known().timestamp.max()) if self.spec.online else None
        users = _by_index(self.users.index, self.names.user_ids, [] if earlier is None else earlier.user_ids)
        items = _by_index(self.items.index, self.names.item_ids, [] if earlier is None else earlier.item_ids)
        return Vocabulary(self.spec, users, items, until)

    def context(self) -> Context:
        """Return the context as a deployed model knows it: with the interactions of the training rows only."""
        rows = self.known()
        columns = rows.rating, rows.timestamp
        state = replace(
            self.state,
            by_user=Ragged.of(rows.user, rows.item, *columns, n=len(self.users)),
            by_item=Ragged.of(rows.item, rows.user, *columns, n=len(self.items)),
        )
        return Context(self.spec, self.users, self.items, state, self.tie_order)


def _by_index(index: Tensor, ids: pa.Array, earlier: list[str]) -> list[str]:
    """Return the ids of the indices 1, 2, ..., also of ids in `earlier` that are not in these data."""
    known = [*earlier, *[""] * (int(index.max()) - len(earlier))]
    for code in (index > 0).nonzero()[:, 0].tolist():
        known[int(index[code]) - 1] = ids[code].as_py()
    return known


def feature_set(tables: FeatureTables, *splits: str) -> FeatureSet:
    """Convert tables to users, items, state and the rows of the named splits. These must include the training rows."""
    spec = tables.spec
    rows = {split: _of_split(tables.rows, split) for split in splits}
    visible = pa.concat_tables([table for split, table in rows.items() if split == TRAIN or spec.online])
    context, names = _context(tables, visible)
    parts = {split: _rows(context, table, split) for split, table in rows.items()}
    return FeatureSet(context.spec, context.users, context.items, context.state, context.tie_order, names, parts)


def _of_split(rows: pa.Table, split: str) -> pa.Table:
    """Return the rows of a split. If they stand side by side, as after a temporal split, nothing is copied."""
    chosen = np.flatnonzero(pc.equal(rows[SPLIT], split))
    first, last = (int(chosen[0]), int(chosen[-1])) if len(chosen) else (0, -1)
    return rows.slice(first, len(chosen)) if last - first + 1 == len(chosen) else rows.take(chosen)


def load_features(folder: str | Path, *splits: str) -> FeatureSet:
    """Read the folder that the featurize stage wrote, and convert it by `feature_set`.

    Raises
    ------
    UserError
        A file is missing or damaged, or there is no training row.
    """
    tables = FeatureTables.load(folder)
    if not pc.any(pc.equal(tables.rows[SPLIT], TRAIN)).as_py():
        refuse(Path(folder), "has no training row", MEND)
    features = feature_set(tables, *splits)
    del tables
    release_memory()
    return features


def context_of(tables: FeatureTables) -> tuple[Context, Names]:
    """Convert tables that `tables_of` made back to a context. All their rows are interactions in its state."""
    return _context(tables, tables.rows)


def tables_of(context: Context, names: Names) -> FeatureTables:
    """Convert a context to tables. The rows are its interactions. Pending ratings count from then on."""
    context = context.settled()
    spec, state, log = context.spec, context.state, context.state.by_user
    rows = {USER: log.owner, ITEM: log.other, RATING: log.rating, TIMESTAMP: log.timestamp}
    columns = {f"history_{name}": _lists(getattr(state, name)) for name in BY_USER}
    users = {USER_ID: names.user_ids, **_columns(spec, context.users, state.users, "user"), **columns}
    columns_of_items = _columns(spec, context.items, state.items, "item")
    items = {ITEM_ID: names.item_ids, TITLE: names.titles, ITEM_YEAR: names.years, **columns_of_items}
    return FeatureTables(
        pa.table({name: column.numpy() for name, column in rows.items()}), pa.table(users), pa.table(items), spec
    )


def _context(tables: FeatureTables, interactions: pa.Table) -> tuple[Context, Names]:
    spec, users, items = tables.spec, tables.users, tables.items
    user, item = _int64(interactions[USER]), _int64(interactions[ITEM])
    columns = _float(interactions[RATING]), _int64(interactions[TIMESTAMP].fill_null(0))
    by_user = {name: _matrix(users[f"history_{name}"]) for name in BY_USER}
    state = State(
        users=_sums(users),
        items=_sums(items),
        genre_count=by_user["genre_count"],
        genre_total=by_user["genre_total"],
        moment_count=by_user["moment_count"],
        moment_total=by_user["moment_total"],
        by_user=Ragged.of(user, item, *columns, n=len(users)),
        by_item=Ragged.of(item, user, *columns, n=len(items)),
    )
    years = (
        items[ITEM_YEAR] if ITEM_YEAR in items.column_names else pa.chunked_array([pa.nulls(len(items), pa.int64())])
    )
    names = Names(*(column.combine_chunks() for column in (users[USER_ID], items[ITEM_ID], items[TITLE], years)))
    own = _entities(users, spec, "user"), _entities(items, spec, "item")
    return Context(spec, *own, state, order_of_ties(names.item_ids.to_pylist())), names


def _rows(context: Context, table: pa.Table, split: str) -> Rows:
    spec, state = context.spec, context.state
    user, item = _int64(table[USER]), _int64(table[ITEM])
    timestamp = _int64(table[TIMESTAMP].fill_null(0))
    names = [field.name for field in spec.of_kind("history")]
    known = {name: _float(table[name]) for name in names if not table[name].null_count}
    whole = len(known) == len(names)
    numbers = history_numbers(spec, known) if whole else history(context, user, item, timestamp, known)
    if len(table) and spec.history == "point_in_time" and (split == TRAIN or spec.online):
        seen = state.by_user.seen_before(user, timestamp), state.by_item.seen_before(item, timestamp)
    else:
        seen = state.users.count[user], state.items.count[item]
    return Rows(user, item, timestamp, *seen, numbers, _float(table[RATING]))


def _fields(spec: Spec, entity: str, kind: str) -> list[str]:
    """Return the columns that hold the fields of a kind. The index of the id is in user_index or item_index."""
    fields = (field.name for field in spec.of_kind(kind) if field.entity == entity)
    return [f"{entity}_index" if name == f"{entity}_id" else name for name in fields]


def _entities(table: pa.Table, spec: Spec, entity: str) -> Entities:
    numbers = [_float(table[name]) for name in _fields(spec, entity, "number")]
    return Entities(
        categories=torch.stack([_int64(table[name]) for name in _fields(spec, entity, "category")], 1),
        numbers=torch.stack(numbers, 1) if numbers else torch.zeros(len(table), 0),
        bag=_padded(table[GENRES]) if GENRES in table.column_names else torch.zeros(len(table), 0, dtype=torch.int64),
    )


def _columns(spec: Spec, entities: Entities, sums: Sums, entity: str) -> dict[str, pa.Array]:
    columns: dict[str, Tensor] = dict(zip(_fields(spec, entity, "category"), entities.categories.int().T, strict=True))
    columns |= dict(zip(_fields(spec, entity, "number"), entities.numbers.T, strict=True))
    found = {name: pa.array(column.numpy()) for name, column in columns.items()}
    if _fields(spec, entity, "bag"):
        known = entities.bag > 0
        ends = np.append(0, known.sum(1).cumsum(0).numpy())
        found[GENRES] = pa.ListArray.from_arrays(
            pa.array(ends, pa.int32()), pa.array(entities.bag[known].int().numpy())
        )
    return found | {f"history_{name}": pa.array(getattr(sums, name).numpy()) for name in SUMS}


def _sums(table: pa.Table) -> Sums:
    return Sums(*(_int64(table[f"history_{name}"]) for name in SUMS))


def _lists(matrix: Tensor) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.flatten().numpy()), matrix.shape[1])


def _matrix(column: pa.ChunkedArray) -> Tensor:
    lists = column.combine_chunks()
    return torch.from_numpy(lists.flatten().to_numpy().reshape(len(column), lists.type.list_size).astype(np.int64))


def _int64(column: pa.ChunkedArray) -> Tensor:
    return torch.from_numpy(column.to_numpy().astype(np.int64))


def _float(column: pa.ChunkedArray) -> Tensor:
    return torch.from_numpy(column.to_numpy().astype(np.float32))


def _padded(column: pa.ChunkedArray) -> Tensor:
    lists = column.combine_chunks()
    lengths = lists.value_lengths().to_numpy()
    padded = np.zeros((len(lists), max(int(lengths.max(initial=0)), 1)), dtype=np.int64)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = lists.flatten().to_numpy()
    return torch.from_numpy(padded)
