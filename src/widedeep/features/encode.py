"""Vocabularies and encodings of items and users: fitted on the entities of the training rows,
or grown from those of an earlier model."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from widedeep.columns import GENRES, TITLE, USER, YEAR
from widedeep.features.spec import Field


def grown(earlier: Sequence[Any], values: Iterable[Any]) -> list[Any]:
    """A vocabulary with what it lacks of `values` at its end, sorted, so that what it has keeps its index."""
    return [*earlier, *sorted(set(values) - set(earlier))]


def encode_ids(ids: pd.Series, vocabulary: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """Index of each id in the vocabulary, from 1; 0 for an id that is not in it. Shape (n,)."""
    order = np.argsort(vocabulary)
    place = order[np.searchsorted(vocabulary, ids.to_numpy(), sorter=order).clip(max=len(vocabulary) - 1)]
    return np.where(vocabulary[place] == ids.to_numpy(), place + 1, 0).astype(np.int32)


def encode_entities(
    table: pd.DataFrame,
    key: str,
    vocabulary: npt.NDArray[np.int64],
    crossed: set[str],
    buckets: int,
    earlier: Mapping[str, Field] | None = None,
) -> tuple[pd.DataFrame, list[Field]]:
    """Encode an entity table: ids and text to indices, genres to lists of indices, numbers to float32.

    A number whose name is in `crossed` gets a second field with suffix "_bucket": which of `buckets` quantile ranges
    of the entities of `vocabulary`, the ids that were trained on, it is in. The year is only bucketed.

    Of `earlier` fields, by name, the vocabularies grow, the ranges stay, and there are no others.
    Returns the encoded table, one row per entity in the order of `table`, and its fields.
    """
    name: Literal["user", "item"] = "user" if key == USER else "item"
    encoded = pd.DataFrame({key: table[key], f"{name}_index": encode_ids(table[key], vocabulary)})
    fields = [Field(key, name, "category", f"ratings.{key}", len(vocabulary) + 1)]
    known = {} if earlier is None else earlier
    seen = table[key].isin(vocabulary).to_numpy()

    def values_of(field: str) -> tuple[str, ...]:
        return (known[field].values or ()) if field in known else ()

    for column in table.columns.drop([key, TITLE], errors="ignore"):
        values, source = table[column], f"{name}s.{column}"
        bucketed = column if column == YEAR else f"{column}_bucket"
        if earlier is not None and column not in earlier and bucketed not in earlier:
            continue
        if column == GENRES:
            genres = grown(values_of(GENRES), (genre for genres in values[seen] for genre in genres))
            index = {genre: position + 1 for position, genre in enumerate(genres)}
            encoded[GENRES] = [[index[genre] for genre in genres if genre in index] for genres in values]
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
            index = {text: position + 1 for position, text in enumerate(texts)}
            encoded[column] = values.map(index).fillna(0).astype(np.int32)
            fields.append(Field(column, name, "category", source, len(texts) + 1, tuple(texts)))
    return encoded, fields


def _quantiles(numbers: npt.NDArray[np.float64], buckets: int) -> tuple[float, ...]:
    """The bounds between quantile ranges of about equal size, each once."""
    quantiles = np.nanquantile(numbers, np.linspace(0, 1, buckets + 1)[1:-1], method="higher")
    return tuple(np.unique(quantiles).tolist())
