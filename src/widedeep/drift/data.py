"""Drift of the data: compare every feature and the rating of each window of time with the training rows.

The distribution of a feature is over ratings: the age of a user counts once per rating. Features are compared as the
model sees them: categories by their index (0 for unseen or missing), genres by how often each occurs, numbers and
histories in deciles of the training rows. Ids are left out, because the rates of new users and items describe them.
Crosses are left out, because they follow from their fields.

Notation: N rows, U users, B bins.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_array

from widedeep.columns import RATING, SPLIT, SPLITS, TIMESTAMP, TRAIN
from widedeep.drift.distribution import jensen_shannon, population_stability_index, psi_by_chance, quantile_codes
from widedeep.drift.windows import Window, cut
from widedeep.features.files import FeatureTables
from widedeep.features.spec import Spec

LABEL = "label"
LABEL_VALUES = 20  # with more distinct ratings than this, ratings are cut into deciles
DECIMALS = 6  # further digits differ between processors
DISTANCES = ["psi", "psi_by_chance", "js"]
COLUMNS = ["feature", "entity", "window", "start", "end", "split", "n", *DISTANCES]
WINDOW_COLUMNS = ["window", "start", "end", "split", "train_share", "n", "users", "mean_rating"]
WINDOW_COLUMNS += ["new_user_rate", "new_item_rate"]
HELD_OUT = "held out"
FEW = 100  # the terminal counts the windows with fewer ratings
MOST = 5  # number of features that the terminal names


@dataclass(frozen=True)
class DataDrift:
    """The distances from the training rows.

    features : columns `COLUMNS`, a row per feature and window. The rating comes first, with the entity "label".
    windows : columns `WINDOW_COLUMNS`, a row per window. train_share and the rates are shares of its n ratings.
    held_out : feature, entity and `DISTANCES` of all rows outside training taken together. The feature that moved
        furthest beyond chance comes first. Empty if there are no such rows.
    metrics : numbers of held_out for `dvc metrics diff`
    """

    features: pd.DataFrame
    windows: pd.DataFrame
    held_out: pd.DataFrame
    metrics: dict[str, Any]


def data_drift(tables: FeatureTables, windows: Literal["month", "quarter"] | int) -> DataDrift:
    """Compare each window with the training rows, and also all rows outside training taken together.

    Histories are left out if rows outside training have no history of their own (`spec.online` is False).
    """
    rows, users, items, spec = tables.rows, tables.users, tables.items, tables.spec
    split = pc.index_in(rows[SPLIT], pa.array(SPLITS)).to_numpy().astype(np.int64)
    training = split == SPLITS.index(TRAIN)
    timestamp = None if rows[TIMESTAMP].null_count else rows[TIMESTAMP].to_numpy()
    parts = cut(timestamp, split, windows)
    held_out = Window(HELD_OUT, "", "", HELD_OUT, np.flatnonzero(~training))
    compared = [*parts, held_out] if held_out.rows.size else list(parts)

    by_user = _one_hot(rows["user"].to_numpy())
    of_training = by_user[training].T
    of_windows = [by_user[window.rows].T for window in compared]
    found = []
    for name, entity, indicator in _indicators(rows, users, items, spec, training):
        expected = of_training @ indicator[training]
        for window, of_window in zip(compared, of_windows, strict=True):
            counts = of_window @ indicator[window.rows]
            totals = counts.sum(axis=0), expected.sum(axis=0)
            distances = population_stability_index(*totals), psi_by_chance(counts, expected), jensen_shannon(*totals)
            about = window.name, window.start, window.end, window.split, len(window.rows)
            found.append((name, entity, *about, *distances))
    table = pd.DataFrame(found, columns=COLUMNS).round(DECIMALS)
    whole = table["window"] == HELD_OUT
    overview = _overview(compared, rows, users, items, training)
    of_all = table.loc[whole, ["feature", "entity", *DISTANCES]]
    beyond_chance = (of_all["psi"] - of_all["psi_by_chance"]).sort_values(ascending=False, kind="stable")
    mean = float(rows[RATING].to_numpy()[training].mean(dtype=np.float64))
    return DataDrift(
        table[~whole].reset_index(drop=True),
        overview.iloc[: len(parts)],
        of_all.loc[beyond_chance.index].reset_index(drop=True),
        _metrics(of_all, overview, mean),
    )


def _indicators(
    rows: pa.Table, users: pa.Table, items: pa.Table, spec: Spec, training: NDArray[np.bool_]
) -> Iterator[tuple[str, str, csr_array]]:
    """Yield name and entity of each feature, and the bins of each row: (N, B). With genres a row has several bins."""
    ratings = rows[RATING].to_numpy()
    values, codes = np.unique(ratings, return_inverse=True)
    yield RATING, LABEL, _one_hot(codes if len(values) <= LABEL_VALUES else quantile_codes(ratings, training))
    tables = {"user": users, "item": items}
    for field in spec.fields:
        table, place = tables[field.entity], rows[field.entity].to_numpy()
        if field.kind == "history":
            if spec.online:
                history = rows[field.name].to_numpy()
                seen = np.minimum(history, spec.recency_cap) if field.name.endswith("recency") else history
                yield field.name, field.entity, _one_hot(quantile_codes(seen, training))
        elif field.kind == "number":
            yield field.name, field.entity, _one_hot(quantile_codes(table[field.name].to_numpy()[place], training))
        elif field.kind == "bag":
            yield field.name, field.entity, _bags(table[field.name])[place]
        elif field.name != f"{field.entity}_id":
            yield field.name, field.entity, _one_hot(table[field.name].to_numpy()[place])


def _one_hot(codes: NDArray[np.int64]) -> csr_array:
    """Mark the bin of each row: (N,) -> (N, B)."""
    n = len(codes)
    return csr_array((np.ones(n, np.int64), codes, np.arange(n + 1)), shape=(n, codes.max() + 1))


def _bags(column: pa.ChunkedArray) -> csr_array:
    """Mark the bins of each row that holds a list of indices: (N, B). An empty list is in bin 0."""
    lists = column.combine_chunks()
    lengths = lists.value_lengths().to_numpy()
    ends = np.maximum(lengths, 1).cumsum()
    codes = np.zeros(ends[-1], np.int64)
    codes[np.repeat(lengths > 0, np.maximum(lengths, 1))] = lists.flatten().to_numpy()
    return csr_array((np.ones(len(codes), np.int64), codes, np.append(0, ends)))


def _overview(
    windows: list[Window], rows: pa.Table, users: pa.Table, items: pa.Table, training: NDArray[np.bool_]
) -> pd.DataFrame:
    """Make the table of windows, with the columns `WINDOW_COLUMNS`."""
    user, item = rows["user"].to_numpy(), rows["item"].to_numpy()
    of_rows = pd.DataFrame(
        {
            "train_share": training,
            "mean_rating": rows[RATING].to_numpy().astype(np.float64),
            "new_user_rate": users["history_count"].to_numpy()[user] == 0,
            "new_item_rate": items["history_count"].to_numpy()[item] == 0,
        }
    )
    found = [
        {
            "window": window.name,
            "start": window.start,
            "end": window.end,
            "split": window.split,
            "n": len(window.rows),
            "users": len(np.unique(user[window.rows])),
            **of_rows.iloc[window.rows].mean(),
        }
        for window in windows
    ]
    return pd.DataFrame(found, columns=WINDOW_COLUMNS).round(DECIMALS)


def describe(drift: DataDrift) -> str:
    """Describe the drift for the terminal: small windows, ratings outside training, the features that moved most."""
    few = int((drift.windows["n"] < FEW).sum())
    lines = [f"windows: {len(drift.windows)} ({few} with fewer than {FEW} ratings)"]
    if drift.held_out.empty:
        return "\n".join([*lines, "there are no ratings outside training, so there is nothing to compare"])
    told = drift.metrics
    lines += [
        f"outside training: {told['ratings']} ratings of {told['users']} users, {told['new_user_rate']:.1%} by new"
        f" users, {told['new_item_rate']:.1%} of new items, mean rating {told['mean_rating_shift']:+.3f}"
    ]
    in_training = drift.features[drift.features["split"] == TRAIN]
    usual = in_training.groupby(["feature", "entity"])["psi"].median()
    moved = drift.held_out.head(MOST)
    width = moved["feature"].str.len().max() + 2
    lines += [f"{'moved most':<{width}}{'PSI':>8}{'by chance':>11}{'median of training windows':>28}"]
    for row in moved.itertuples():
        median = usual.get((row.feature, row.entity))
        shown = "-" if median is None else f"{median:.3f}"
        lines += [f"{row.feature:<{width}}{row.psi:>8.3f}{row.psi_by_chance:>11.3f}{shown:>28}"]
    return "\n".join(lines)


def _metrics(held_out: pd.DataFrame, overview: pd.DataFrame, training_mean: float) -> dict[str, Any]:
    """Collect the numbers of reports/drift.json. The last row of `overview` is of all rows outside training."""
    if held_out.empty:
        return {"ratings": 0}
    whole = overview.iloc[-1]
    psi = held_out.set_index("feature")["psi"]
    label, of_features = psi[held_out["entity"].to_numpy() == LABEL], psi[held_out["entity"].to_numpy() != LABEL]
    return {
        "ratings": int(whole["n"]),
        "users": int(whole["users"]),
        "new_user_rate": float(whole["new_user_rate"]),
        "new_item_rate": float(whole["new_item_rate"]),
        "mean_rating_shift": round(float(whole["mean_rating"]) - training_mean, DECIMALS),
        "rating_psi": float(label.iloc[0]),
        "feature_psi_max": float(of_features.max()),
        "feature_psi_mean": round(float(of_features.mean()), DECIMALS),
        "feature_psi": of_features.to_dict(),
    }
