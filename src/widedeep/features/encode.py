"""Fit vocabularies of users and items on the training rows, or grow those of an earlier model, and encode with them."""

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
    """Append the values that a vocabulary lacks, in sorted order. Known values keep their index."""
    return [*earlier, *sorted(set(values) - set(earlier))]


def index_codes(
    ids: pa.Array, trained: NDArray[np.int64], earlier: Sequence[str] = ()
) -> tuple[NDArray[np.int32], int]:
    """Give each code an index in the embeddings. An id without training ratings gets 0, the others 1, 2, ...

    The ids of an earlier vocabulary keep their indices, even if their codes have changed. New ids follow, in the order
    of their codes.

    Parameters
    ----------
    ids : the id of each code
    trained : codes that occur in the training rows, repeated or not
    earlier : ids of the indices 1, 2, ... of the earlier vocabulary

    Returns
    -------
    the index of each code, (n,) int32, and the number of ids with an index, including ids of the earlier vocabulary
    that are not in these data
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
    """Encode a table of users or items: text becomes indices, genres lists of indices, numbers float32.

    A number whose name is in `crossed` also becomes a category, the field with the suffix "_bucket": the index of the
    quantile range that holds it. The year becomes only this category.

    Parameters
    ----------
    table : one row per code, in the order of the codes
    key : user or item
    index, trained : the results of `index_codes`
    crossed : names of the fields in crosses
    buckets : number of quantile ranges, fitted on the entities that have an index
    earlier : fields of an earlier model, by name. Their vocabularies grow, their ranges stay, and no other field is
        made.

    Returns
    -------
    the encoded table, one row per code, and its fields
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
                # A year is never a number: a slope learnt on past years would give wild values for newer items.
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
    """Return the bounds between quantile ranges with about equal numbers of values. Equal bounds are merged."""
    quantiles = np.nanquantile(numbers, np.linspace(0, 1, buckets + 1)[1:-1], method="higher")
    return tuple(np.unique(quantiles).tolist())
