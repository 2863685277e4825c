"""Items and users: every id that is listed or rated has a row; numbers are imputed and scaled by training rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from widedeep.columns import GENRES, ITEM, USER, YEAR
from widedeep.sources.source import Entities

DECIMALS = 6  # of scaled values: hides the last bits, in which processors differ


def complete(entities: Entities | None, key: str, rated: npt.NDArray[np.int64]) -> Entities:
    """Add a row with only its id for every rated id that is not listed; sorted by id.

    An item's missing genres become an empty list, every other missing value stays missing.
    """
    listed = pd.DataFrame({key: pd.Series(dtype="int64")}) if entities is None else entities.table
    ids = pd.DataFrame({key: np.union1d(listed[key].to_numpy(dtype=np.int64), rated)})
    table = ids.merge(listed, on=key, how="left", validate="one_to_one")
    if GENRES in table:
        table[GENRES] = [genres if isinstance(genres, list) else [] for genres in table[GENRES]]
    if entities is None:
        return Entities(table)
    return Entities(table, entities.numeric, entities.categorical, entities.imputed_from)


Fitted = Mapping[str, Mapping[str, Any]]  # imputation and scaling by column


def impute_and_scale(
    entities: Entities, key: str, training_ids: npt.NDArray[np.int64], earlier: Fitted | None = None
) -> tuple[pd.DataFrame, Fitted]:
    """Fill and scale the numeric columns to [0, 1] by what the entities of the training rows show, each counted once,
    or as fitted `earlier`.

    A column of `imputed_from` is first filled by a least-squares line on the other column; what is still missing is
    filled by the mean; then (value - min) / (max - min), clipped to [0, 1]; a constant column becomes 0.

    Returns the table and, per column, the fitted numbers (for the reader and for new entities).
    """
    table = entities.table.copy()
    fitted = _fitted(entities, table[key].isin(training_ids).to_numpy()) if earlier is None else earlier
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


def to_arrow(table: pd.DataFrame) -> pa.Table:
    """Items or users as an Arrow table whose types do not depend on which values are missing."""
    types = {USER: pa.int64(), ITEM: pa.int64(), YEAR: pa.int64(), GENRES: pa.list_(pa.string())}
    schema = pa.schema(
        [
            (name, types.get(name, pa.float64() if pd.api.types.is_float_dtype(dtype) else pa.string()))
            for name, dtype in table.dtypes.items()
        ]
    )
    return pa.Table.from_pandas(table, schema, preserve_index=False).replace_schema_metadata()


def _round(value: float) -> float:
    return float(f"{value:.9g}")
