"""The tables behind the charts, which stage `evaluate` writes to reports/plots."""

from collections.abc import Collection, Mapping
from pathlib import Path

import pandas as pd

from widedeep.columns import PENALTY
from widedeep.evaluation.metrics import METRICS
from widedeep.evaluation.results import LIKED
from widedeep.reading import made_by, refuse
from widedeep.report.slices import SLICES
from widedeep.tabular import read_csv

INTERVAL = ("low", "high", "n")
# The columns of each table: text, and numbers.
COLUMNS = {
    "calibration": ((), ("mean_predicted", "mean_rating", "n")),
    "ranking_by_k": (("model", "metric"), ("k", "value", *INTERVAL)),
    "by_popularity_penalty": (("model", "metric"), (PENALTY, "value", *INTERVAL)),
    "by_known_ratings": (("metric", "group", "model"), ("users", "value", *INTERVAL)),
    **dict.fromkeys(SLICES, (("group", "model"), ("users", "rmse", *INTERVAL))),
}


def read_plots(folder: Path, models: Collection[str], rated: Collection[str]) -> Mapping[str, pd.DataFrame]:
    """Read the tables, by name. A name in a table stays text, even if it looks like a number or a missing value.

    models : the model that is reported, and the others beside it
    rated : those of them that predict ratings

    Raises
    ------
    UserError
        A table is missing or damaged, or has no row for a model in one of its groups.
    """
    mend, tables = made_by("evaluate"), {}
    for name, columns in COLUMNS.items():
        path = folder / f"{name}.csv"
        table = tables[name] = read_csv(path, *columns, mend)
        if table[list(columns[1])].isna().any(axis=None):
            refuse(path, "must have a number in each row", mend)
        if "model" not in table:
            continue
        group = [column for column in ("metric", "k", PENALTY, "group") if column in table]
        known = {*models, LIKED} if PENALTY in table else set(models)
        if not set(table["model"]) <= known or table.duplicated([*group, "model"]).any():
            refuse(path, f"must have rows of the models {', '.join(models)}, each once in a group", mend)
        # Not every model has ratings and lists. Those that a table has for a metric are in each of its groups.
        for _, part in table.groupby("metric") if "metric" in table else [("rmse", table)]:
            needed = part["model"].nunique() if "metric" in table else len(rated)
            if (part.groupby(group)["model"].size() != needed).any():
                refuse(path, "lacks a row of a model", mend)
        if PENALTY in table and table.groupby("metric")[PENALTY].nunique().nunique() > 1:
            refuse(path, "must have the same penalties for each metric", mend)
    metrics = set(tables["ranking_by_k"]["metric"])
    if not metrics <= set(METRICS):
        refuse(folder / "ranking_by_k.csv", f"has an unknown metric among {', '.join(sorted(metrics))}", mend)
    return tables
