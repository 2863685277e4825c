"""Vocabularies and encodings of items and users: fitted on the entities of the training rows."""

from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from widedeep.columns import GENRES, TITLE, USER, YEAR
from widedeep.features.spec import Field


def encode_ids(ids: pd.Series, training_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """Index of each id among the sorted training ids, from 1; 0 for an id without training rows. Shape (n,)."""
    position = np.searchsorted(training_ids, ids.to_numpy())
    known = training_ids[np.minimum(position, len(training_ids) - 1)] == ids.to_numpy()
    return np.where(known, position + 1, 0).astype(np.int32)


def encode_entities(
    table: pd.DataFrame, key: str, training_ids: npt.NDArray[np.int64], crossed: set[str], buckets: int
) -> tuple[pd.DataFrame, list[Field]]:
    """Encode an entity table: ids and text to indices, genres to lists of indices, numbers to float32.

    A number whose name is in `crossed` gets a second field with suffix "_bucket": which of `buckets` quantile ranges
    of the training entities it is in. The year is only bucketed.
    Returns the encoded table, one row per entity in the order of `table`, and its fields.
    """
    name: Literal["user", "item"] = "user" if key == USER else "item"
    encoded = pd.DataFrame({key: table[key], f"{name}_index": encode_ids(table[key], training_ids)})
    fields = [Field(key, name, "category", f"ratings.{key}", len(training_ids) + 1)]
    seen = table[key].isin(training_ids).to_numpy()
    for column in table.columns.drop([key, TITLE], errors="ignore"):
        values, source = table[column], f"{name}s.{column}"
        if column == GENRES:
            vocabulary = sorted({genre for genres in values[seen] for genre in genres})
            index = {genre: position + 1 for position, genre in enumerate(vocabulary)}
            encoded[GENRES] = [[index[genre] for genre in genres if genre in index] for genres in values]
            fields.append(Field(GENRES, name, "bag", source, len(vocabulary) + 1, tuple(vocabulary)))
        elif pd.api.types.is_numeric_dtype(values):
            if not values[seen].notna().any():
                continue
            if column != YEAR:
                encoded[column] = values.astype(np.float32)
                fields.append(Field(column, name, "number", source))
            if column == YEAR or column in crossed:
                # A year never enters as a number: a slope learned on the past runs off the scale on newer items.
                bucketed = column if column == YEAR else f"{column}_bucket"
                encoded[bucketed], labels = _bucketed(values, seen, buckets)
                fields.append(Field(bucketed, name, "category", source, len(labels) + 1, labels))
        else:
            texts = sorted(values[seen].dropna().unique())
            if not texts:
                continue
            index = {text: position + 1 for position, text in enumerate(texts)}
            encoded[column] = values.map(index).fillna(0).astype(np.int32)
            fields.append(Field(column, name, "category", source, len(texts) + 1, tuple(texts)))
    return encoded, fields


def _bucketed(
    values: pd.Series, seen: npt.NDArray[np.bool_], buckets: int
) -> tuple[npt.NDArray[np.int32], tuple[str, ...]]:
    numbers = values.astype("float64").to_numpy(na_value=np.nan)
    edges = np.unique(np.nanquantile(numbers[seen], np.linspace(0, 1, buckets + 1)[1:-1], method="higher"))
    index = np.where(np.isnan(numbers), 0, np.searchsorted(edges, numbers, side="right") + 1)
    bounds = ["", *(f"{edge:g}" for edge in edges), ""]
    return index.astype(np.int32), tuple(f"[{low}, {high})" for low, high in pairwise(bounds))
