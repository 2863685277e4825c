"""Cut the time line into windows: calendar months, quarters, or parts with equal numbers of ratings."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from widedeep.columns import SPLITS, TRAIN

CALENDAR = {"month": 1, "quarter": 3}  # length in months


@dataclass(frozen=True)
class Window:
    """A window of the time line. All its ratings were made in [start, end).

    name : such as "2018-03", "2018-Q1" or "part 3"
    start, end : UTC, "YYYY-MM-DDTHH:MM:SS", or "" without timestamps
    split : the split of most of its ratings
    rows : (n,) int64, positions of its ratings, at least one
    """

    name: str
    start: str
    end: str
    split: str
    rows: NDArray[np.int64]


def cut(
    timestamp: NDArray[np.int64] | None, split: NDArray[np.int64], windows: Literal["month", "quarter"] | int
) -> tuple[Window, ...]:
    """Put every rating into one window. Windows are in order of time, and windows without ratings are left out.

    If `windows` is a number k, the windows are parts that begin at every N/k-th rating in order of time. Ratings of the
    same second stay in one part. So parts may differ in size, and there may be fewer than k. Without timestamps there
    is no time line, and each split other than train is a window.

    Parameters
    ----------
    timestamp : (N,) seconds since 1970-01-01 UTC in any order, or None if the data set has none
    split : (N,) position of the split in `SPLITS`
    windows : "month", "quarter", or the number of parts, at least 2
    """
    if timestamp is None:
        held_out = [(name, np.flatnonzero(split == place)) for place, name in enumerate(SPLITS) if name != TRAIN]
        return tuple(Window(name, "", "", name, rows) for name, rows in held_out if rows.size)
    if isinstance(windows, int):
        code, bounds = _parts(timestamp, windows)
    else:
        code, bounds = _calendar(timestamp, CALENDAR[windows])
    found = []
    for place, rows in _members(code):
        start, end = bounds[place], bounds[place + 1]
        majority = SPLITS[int(np.bincount(split[rows], minlength=len(SPLITS)).argmax())]
        found.append(Window(_name(start, place, windows), str(start), str(end), majority, rows))
    return tuple(found)


def _parts(timestamp: NDArray[np.int64], k: int) -> tuple[NDArray[np.int64], NDArray[np.datetime64]]:
    ordered = np.sort(timestamp)
    starts = np.unique(ordered[np.arange(k) * len(ordered) // k])
    code = np.searchsorted(starts, timestamp, side="right") - 1
    return code, np.append(starts, ordered[-1] + 1).astype("datetime64[s]")


def _calendar(timestamp: NDArray[np.int64], months: int) -> tuple[NDArray[np.int64], NDArray[np.datetime64]]:
    number = timestamp.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64) // months
    first = number.min()
    bounds = (np.arange(first, number.max() + 2) * months).astype("datetime64[M]").astype("datetime64[s]")
    return number - first, bounds


def _members(code: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    order = np.argsort(code, kind="stable")
    ends = np.cumsum(np.bincount(code))[:-1]
    for place, rows in enumerate(np.split(order, ends)):
        if rows.size:
            yield place, rows


def _name(start: np.datetime64, place: int, windows: str | int) -> str:
    if isinstance(windows, int):
        return f"part {place + 1:0{len(str(windows))}d}"
    year, month = str(start)[:7].split("-")
    return f"{year}-{month}" if windows == "month" else f"{year}-Q{(int(month) + 2) // 3}"
