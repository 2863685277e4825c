"""Vocabularies and encodings of items and users: fitted on the entities of the training rows,
or grown from those of an earlier model."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from widedeep.columns import GENRES, TITLE, USER, YEAR
from widedeep.features.spec import Field


def grown(earlier: Sequence[Any], values: Iterable[Any]) -> list[Any]:
    """Append the `values` that a vocabulary lacks, sorted. What it has keeps its index."""
    return [*earlier, *sorted(set(values) - set(earlier))]


def index_codes(
    ids: pa.Array, trained: NDArray[np.int64], earlier: Sequence[str] = ()
) -> tuple[NDArray[np.int32], int]:
    """Give each code its index in the embeddings: 0 if it is unseen, else 1 + its place among the codes that are
    `trained` on, in their order.

    The ids of an `earlier` vocabulary keep their indices 1, 2, ..., whatever their codes are now; new ones come after
    them. `ids` has the id behind each code, in the order of the codes.

    Returns the indices, and how many ids have one (those that these data lack among them).
    """
    index = pc.fill_null(pc.index_in(ids, pa.array(earlier, pa.string())), -1).to_numpy().astype(np.int32) + 1
    new = np.unique(trained)
    new = new[index[new] == 0]
    index[new] = len(earlier) + np.arange(1, len(new) + 1)
    return index, len(earlier) + len(new)


def encode_entities(
    table: pd.DataFrame,
    key: str,
    index: NDArray[np.int32],
    trained: int,
    crossed: set[str],
    buckets: int,
    earlier: Mapping[str, Field] | None = None,
) -> tuple[pd.DataFrame, list[Field]]:
    """Encode an entity table: codes and text to indices, genres to lists of indices, numbers to float32.

    `index` and `trained` are those of `index_codes`. A number whose name is in `crossed` gets a second field with
    suffix "_bucket": in which of `buckets` ranges it lies. The ranges are quantiles of the entities with an index. The
    year is only bucketed.

    The vocabularies of `earlier` fields, by name, grow; their ranges stay; no other fields are made.
    Returns the encoded table, one row per entity in the order of the codes, and its fields.
    """
    name: Literal["user", "item"] = "user" if key == USER else "item"
    encoded = pd.DataFrame({f"{name}_index": index})
    fields = [Field(f"{name}_id", name, "category", f"ratings.{name}_id", trained + 1)]
    known = {} if earlier is None else earlier
    seen = index > 0

    def values_of(field: str) -> tuple[str, ...]:
        return (known[field].values or ()) if field in known else ()

    for column in table.columns.drop([key, TITLE], errors="ignore"):
        values, source = table[column], f"{name}s.{column}"
        bucketed = column if column == YEAR else f"{column}_bucket"
        if earlier is not None and column not in earlier and bucketed not in earlier:
            continue
        if column == GENRES:
            genres = grown(values_of(GENRES), (genre for genres in values[seen] for genre in genres))
            of_genre = {genre: place for place, genre in enumerate(genres, start=1)}
            encoded[GENRES] = [[of_genre[genre] for genre in genres if genre in of_genre] for genres in values]
            fields.append(Field(GENRES, name, "bag", source, len(genres) + 1, tuple(genres)))
        elif pd.api.types.is_numeric_dtype(values):
            if earlier is None and not values[seen].notna().any():
                continue
            if column != YEAR:
                encoded[column] = values.astype(np.float32)
                fields.append(Field(column, name, "number", source))
            if column == YEAR or column in crossed:
                # A year never enters as a number: a slope learned on the past runs off the scale on newer items.
                numbers = values.astype("float64").to_numpy(na_value=np.nan)
                edges = known[bucketed].edges if bucketed in known else _quantiles(numbers[seen], buckets)
                assert edges is not None
                place = np.searchsorted(np.array(edges), numbers, side="right") + 1
                encoded[bucketed] = np.where(np.isnan(numbers), 0, place).astype(np.int32)
                bounds = ["", *(f"{edge:g}" for edge in edges), ""]
                labels = tuple(f"[{low}, {high})" for low, high in pairwise(bounds))
                fields.append(Field(bucketed, name, "category", source, len(labels) + 1, labels, edges))
        else:
            texts = grown(values_of(column), values[seen].dropna())
            if not texts:
                continue
            of_text = {text: place for place, text in enumerate(texts, start=1)}
            encoded[column] = values.map(of_text).fillna(0).astype(np.int32)
            fields.append(Field(column, name, "category", source, len(texts) + 1, tuple(texts)))
    return encoded, fields


def _quantiles(numbers: NDArray[np.float64], buckets: int) -> tuple[float, ...]:
    """The bounds between quantile ranges of about equal size, each once."""
    quantiles = np.nanquantile(numbers, np.linspace(0, 1, buckets + 1)[1:-1], method="higher")
    return tuple(np.unique(quantiles).tolist())
