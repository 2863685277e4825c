"""The tables behind the charts, which stage `evaluate` writes to reports/plots."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from widedeep.reading import made_by
from widedeep.report.slices import SLICES
from widedeep.tabular import read_csv

INTERVAL = ("low", "high", "n")
# The columns of each table: text, and numbers.
COLUMNS = {
    "calibration": ((), ("mean_predicted", "mean_rating", "n")),
    "ranking_by_k": (("model", "metric"), ("k", "value", *INTERVAL)),
    **dict.fromkeys(SLICES, (("group", "model"), ("users", "rmse", *INTERVAL))),
}


def read_plots(folder: Path) -> Mapping[str, pd.DataFrame]:
    """Read the tables, by name. A name in a table stays text, even if it looks like a number or a missing value.

    Raises
    ------
    UserError
        A table is missing or damaged.
    """
    return {name: read_csv(folder / f"{name}.csv", *columns, made_by("evaluate")) for name, columns in COLUMNS.items()}
