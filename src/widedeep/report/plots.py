"""The tables behind the charts: those of reports/plots that `evaluate` writes."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from widedeep.report.slices import SLICES

TEXT = {"group": str, "model": str, "metric": str}


def read_plots(folder: Path) -> Mapping[str, pd.DataFrame]:
    """Read the tables by name. Names stay text, also those that look like a number or like a missing value."""
    return {
        name: pd.read_csv(folder / f"{name}.csv", dtype=TEXT, keep_default_na=False, float_precision="round_trip")
        for name in ("calibration", "ranking_by_k", *SLICES)
    }
