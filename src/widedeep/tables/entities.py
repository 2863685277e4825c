"""Complete the tables of items and users: one row per code, numeric columns filled and scaled."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from widedeep.columns import GENRES
from widedeep.sources.source import Entities
from widedeep.tables.ids import KEYS

DECIMALS = 6  # scaled values are rounded, because processors differ in the last bits


def complete(entities: Entities | None, key: str, ids: pa.Array) -> Entities:
    """Return a table with one row for each of `ids`, in the order of the codes.

    The column of the id is replaced by the code, in the column `key` (user or item). An id without a row in `entities`
    has missing values. Missing genres become an empty list.
    """
    codes = pd.DataFrame({key: np.arange(len(ids))})
    if entities is None:
        return Entities(codes)
    name = KEYS[key]
    known = pd.DataFrame({name: pd.Series(ids.to_pylist(), dtype=object)})
    table = known.merge(entities.table, on=name, how="left", validate="one_to_one")
    if GENRES in table:
        table[GENRES] = [genres if isinstance(genres, list) else [] for genres in table[GENRES]]
    table = pd.concat([codes, table.drop(columns=name)], axis=1)
    return Entities(table, entities.numeric, entities.categorical, entities.imputed_from)


Fitted = Mapping[str, Mapping[str, Any]]  # imputation and scaling by column


def impute_and_scale(
    entities: Entities, seen: npt.NDArray[np.bool_], earlier: Fitted | None = None
) -> tuple[pd.DataFrame, Fitted]:
    """Fill missing values of the numeric columns and scale these columns to [0, 1].

    A column in `imputed_from` is first filled by a least-squares line on the other column. Values that are still
    missing become the mean. Then each value becomes (value - min) / (max - min), clipped to [0, 1]; a constant column
    becomes 0.

    Parameters
    ----------
    seen : (n,) bool, the items or users that have a training rating; line, mean, min and max are fitted on these, each
        counted once
    earlier : fitted numbers to use instead of fitting

    Returns
    -------
    the table, and the fitted numbers of each column
    """
    table = entities.table.copy()
    fitted = _fitted(entities, seen) if earlier is None else earlier
    for column in entities.numeric:
        numbers = fitted.get(column, {})
        if "from" in numbers:
            table[column] = table[column].fillna(_line(numbers["from"], table))
        if "mean" not in numbers:
            table[column] = 0.0
            continue
        low, high = numbers["min"], numbers["max"]
        filled = table[column].astype("float64").fillna(numbers["mean"])
        table[column] = ((filled - low) / ((high - low) or 1)).clip(0, 1).round(DECIMALS)
    return table, fitted


def _line(line: Mapping[str, Any], table: pd.DataFrame) -> pd.Series:
    return line["intercept"] + line["slope"] * table[line["column"]].astype("float64")


def _fitted(entities: Entities, seen: npt.NDArray[np.bool_]) -> Fitted:
    # The import takes half a second, and most data sets have no numeric column.
    from sklearn.linear_model import LinearRegression

    table = entities.table
    fitted: dict[str, dict[str, Any]] = {column: {} for column in entities.numeric}
    filled = {column: table[column].astype("float64") for column in entities.numeric}
    for column, predictor in entities.imputed_from.items():
        both = seen & table[[column, predictor]].notna().all(axis=1).to_numpy()
        fillable = table[column].isna() & table[predictor].notna()
        if both.sum() < 2 or not fillable.any():
            continue
        line = LinearRegression().fit(table.loc[both, [predictor]], table.loc[both, column])
        fitted[column]["from"] = {
            "column": predictor,
            "slope": _round(line.coef_[0]),
            "intercept": _round(line.intercept_),
        }
        filled[column] = filled[column].fillna(_line(fitted[column]["from"], table))
    for column, values in filled.items():
        known = values[seen & np.isfinite(values)]
        if len(known):
            mean = _round(known.mean())
            known = values[seen].fillna(mean)
            fitted[column] |= {"mean": mean, "min": _round(known.min()), "max": _round(known.max())}
    return fitted


def _round(value: float) -> float:
    return float(f"{value:.9g}")
