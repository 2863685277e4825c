"""The tables behind the charts, which stage `evaluate` writes to reports/plots."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from widedeep.report.slices import SLICES

TEXT = {"group": str, "model": str, "metric": str}


def read_plots(folder: Path) -> Mapping[str, pd.DataFrame]:
    """Read the tables, by name. A name in a table stays text, even if it looks like a number or a missing value."""
    return {
        name: pd.read_csv(folder / f"{name}.csv", dtype=TEXT, keep_default_na=False, float_precision="round_trip")
        for name in ("calibration", "ranking_by_k", "by_known_ratings", *SLICES)
    }
