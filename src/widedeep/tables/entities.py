"""Items and users: each code has a row; numbers are imputed and scaled by training rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from widedeep.columns import GENRES
from widedeep.sources.source import Entities
from widedeep.tables.ids import KEYS

DECIMALS = 6  # of scaled values: hides the last bits, in which processors differ


def complete(entities: Entities | None, key: str, ids: pa.Array) -> Entities:
    """Bring the rows into the order of the codes: a row for each of `ids`, also where no file lists it.

    The column of the id gives way to `key` with the code. An item's missing genres become an empty list, every other
    missing value stays missing.
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
    """Fill and scale the numeric columns to [0, 1] by what the entities of the training rows (`seen`) show, each
    counted once, or as fitted `earlier`.

    A column of `imputed_from` is first filled by a least-squares line on the other column; what is still missing is
    filled by the mean; then (value - min) / (max - min), clipped to [0, 1]; a constant column becomes 0.

    Returns the table and, per column, the fitted numbers (for the reader and for new entities).
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
    # Its import takes half a second, and most data sets have no numeric column.
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
