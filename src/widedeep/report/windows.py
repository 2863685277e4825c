"""How far each feature moved in each window of time: a heat map, and the features that moved most."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pandas as pd
from markupsafe import Markup

from widedeep.report.charts import SHADES, Axis, heat_map
from widedeep.report.results import Figure
from widedeep.report.text import number

MOST = 10  # features in the table of those that moved most
PSI_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0)
# The columns of reports/plots/drift.csv that are read: text, and numbers.
WINDOW_COLUMNS = (("feature", "window", "start", "split"), ("n", "psi", "psi_by_chance", "js"))


@dataclass(frozen=True)
class Moves:
    """What a page shows of the windows.

    most : rows of the features that moved most
    shades : each colour of the heat map, and what it stands for
    """

    heat_map: Figure
    most: Sequence[dict[str, Any]]
    shades: Sequence[tuple[str, str]]


def moves_of(windows: pd.DataFrame) -> Moves:
    """Collect what a page shows of the windows, which are as `heat_map_figure` takes them."""
    texts = [f"{bound:g}" for bound in PSI_BOUNDS]
    inner = [f"{low} to {high}" for low, high in pairwise(texts)]
    ranges = [f"PSI below {texts[0]}", *inner, f"{texts[-1]} or more"]
    most = moved(windows).head(MOST).to_dict("records")
    return Moves(heat_map_figure(windows), most, list(zip(SHADES, ranges, strict=True)))


def heat_map_figure(windows: pd.DataFrame) -> Figure:
    """Draw the PSI of each feature and window. The features that moved most come first.

    Parameters
    ----------
    windows : `WINDOW_COLUMNS`, a row per feature and window. `start` is UTC. `split` is train for a window of training
        rows. `psi` is empty if it is not defined.
    """
    known = windows.dropna(subset="psi")
    first = moved(windows)["feature"].tolist()
    order = first + sorted(set(known["feature"]) - set(first))
    parts = windows.drop_duplicates("window").sort_values("start", kind="stable")
    cells = known.set_index(["feature", "window"])["psi"].to_dict()
    values = [[cells.get((feature, name), math.nan) for name in parts["window"]] for feature in order]
    labels = [_month(start) or str(name) for start, name in zip(parts["start"], parts["window"], strict=True)]
    train = int(parts["split"].eq("train").sum())
    mark = (train, "after training") if 0 < train < len(parts) else None
    title = heat_map_finding(windows)
    svg = Markup(heat_map(order, labels, values, PSI_BOUNDS, Axis("start of the window (UTC)"), title, mark))
    return Figure(title, svg, "Population stability index, by feature and window")


def heat_map_finding(windows: pd.DataFrame) -> str:
    """Name the feature and the window after training whose PSI is furthest above the PSI by chance."""
    features = moved(windows)
    if features.empty:
        return "No window lies after the training period"
    most = features.iloc[0]
    if most["psi"] <= most["psi_by_chance"]:
        return "No feature moved more than chance alone would move it"
    start, when = _month(most["start"]), str(most["window"])
    if start and when[:4] != start[:4]:  # the name of the window does not tell its time
        when = f"{when} (from {start})"
    return f"{most['feature']} moved most: PSI {number(most['psi'], 2)} in {when}"


def moved(windows: pd.DataFrame) -> pd.DataFrame:
    """Select for each feature the window after training whose PSI is furthest above chance, the furthest first."""
    after = windows[windows["split"] != "train"].dropna(subset="psi")
    beyond = (after["psi"] - after["psi_by_chance"]).sort_values(ascending=False, kind="stable")
    return after.loc[beyond.index].drop_duplicates("feature")


def _month(start: Any) -> str:
    """Return the month of a moment, or "" without timestamps."""
    return "" if pd.isna(start) else str(start)[:7]
