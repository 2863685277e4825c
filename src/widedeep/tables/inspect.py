"""Look at own files before the pipeline reads them: what they hold, how they are understood, and what is wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
from ibis.backends.duckdb import Backend

from widedeep.columns import ITEM_ID, RATING, TIMESTAMP, USER_ID
from widedeep.sources.form import Form
from widedeep.sources.naming import ITEMS, KEYS, USERS, roles
from widedeep.sources.own import Own
from widedeep.sources.source import Layout, TableFile
from widedeep.tables.engine import engine
from widedeep.tables.feedback import implicit
from widedeep.tables.ratings import ANY, Checked, check_rows

MEMORY_GIB = 0.45  # limit of DuckDB's memory
SHOWN = 12  # at most this many different ratings are listed with their counts
_LIKE_TIMES = 10**8  # a lowest rating from here on is taken for a time, in a warning
_ROUNDED = r"^[0-9.]+[eE]\+?[0-9]+$"  # a large id that a spreadsheet has rounded: 1.58E+18


@dataclass(frozen=True)
class Inspection:
    """What was found.

    lines : sentences for the user
    warnings : what is wrong, or may be
    bad_rows : number of rows that break a rule
    answers : values for params.yaml by dotted name, without download.source
    """

    lines: list[str]
    warnings: list[str]
    bad_rows: int
    answers: dict[str, Any]


def inspect(source: Own, folder: Path) -> Inspection:
    """Read own files once and describe them.

    Parameters
    ----------
    source : with what the user says about the files
    folder : a folder that the stage download could have written

    Raises
    ------
    UserError
        No file of ratings can be told from the others, a file cannot be read, or its columns are in doubt.
    """
    layouts = source.ratings(folder)
    assert all(isinstance(layout, TableFile) for layout in layouts)
    with engine(MEMORY_GIB) as con:
        return _inspected(con, source, folder, layouts)


def _inspected(con: Backend, source: Own, folder: Path, layouts: Sequence[Layout]) -> Inspection:
    checked = check_rows(con, folder, layouts, ANY, False, None, source.reading.timestamp_unit, stored=False)
    lines = [line for layout in layouts if isinstance(layout, TableFile) for line in source.understood(layout)]
    lines += checked.understood
    warnings: list[str] = []
    if bad := sum(checked.counts.bad_rows.values()):
        shown = "\n".join(checked.describe([str(source.shown(folder / layout.name)) for layout in layouts]))
        warnings.append(f"{bad:,} of {checked.counts.read:,} rows are bad:\n{shown}")
    good = checked.good
    found = _count(good)
    lines += _sizes(good, found)
    feedback = ""
    if found["rows"]:
        feedback = implicit(source.reading.feedback, layouts[0], found["lowest"], found["highest"])
    scale = None
    if RATING in layouts[0].fields:
        scale, about_scale, warning = _scale(good)
        lines.append(about_scale)
        warnings += warning
    lines += [feedback] if feedback else []
    timed = TIMESTAMP in layouts[0].fields and found["first"] < found["last"]
    lines += _times(found)
    if TIMESTAMP in layouts[0].fields and found["first"] == found["last"]:
        warnings.append("All ratings have the same time, so they cannot be split by time.")
    for name in (USER_ID, ITEM_ID):
        if found[f"{name}_rounded"]:
            warnings.append(
                f"{name}: {found[f'{name}_rounded']:,} ids look like 1.58E+18. A spreadsheet has rounded them, so "
                "different users or items have one id. Export the ids as text."
            )
    lines.append(f"split: {'temporal, as there are times' if timed else 'random, as there are no times to split by'}")
    lines += _entities(source, folder, good)
    forms = [source.form(folder / name) for names in roles(folder).values() for name in names]
    return Inspection(lines, warnings, bad, _answers(layouts[0], forms, checked, scale, timed, bool(feedback)))


def _count(good: ir.Table) -> dict[str, Any]:
    found = dict(
        good.aggregate(
            rows=good.count(),
            first=good[TIMESTAMP].min(),
            last=good[TIMESTAMP].max(),
            lowest=good[RATING].min(),
            highest=good[RATING].max(),
        )
        .to_pyarrow()
        .to_pylist()[0]
    )
    for name in (USER_ID, ITEM_ID):
        ids = good.select(name).distinct()[name]
        about = {"n": ids.count(), "rounded": ids.re_search(_ROUNDED).sum(), "whole": ids.re_search("^-?[0-9]+$").all()}
        found |= {
            f"{name}_{key}": value
            for key, value in ids.as_table().aggregate(**about).to_pyarrow().to_pylist()[0].items()
        }
    # A table of all pairs would take more memory and time than sorting a number for each.
    pair = good.select(pair=good[USER_ID].concat("\x1f", good[ITEM_ID]).hash())
    numbers = np.concatenate([batch["pair"].to_numpy() for batch in pair.to_pyarrow_batches()] or [np.empty(0)])
    numbers.sort()
    return found | {"pairs": int((numbers[1:] != numbers[:-1]).sum()) + min(len(numbers), 1)}


def _sizes(good: ir.Table, found: Mapping[str, Any]) -> list[str]:
    if not found["rows"]:
        return ["ratings: none that is good"]
    density = found["pairs"] / (found["user_id_n"] * found["item_id_n"])
    kinds = {name: "integers" if found[f"{name}_whole"] else "text" for name in (USER_ID, ITEM_ID)}
    return [
        f"ids: users are {kinds[USER_ID]}, items are {kinds[ITEM_ID]}",
        f"size: {found['rows']:,} ratings of {found['item_id_n']:,} items by {found['user_id_n']:,} users; "
        f"{density:.2%} of all pairs are rated",
        f"duplicates: {found['rows'] - found['pairs']:,} ratings of a pair that is rated again; the latest counts",
    ]


def _scale(good: ir.Table) -> tuple[list[float] | None, str, list[str]]:
    """Describe the ratings. Also return their lowest and highest value, or None if all are equal."""
    counts = good.group_by(RATING).aggregate(n=good.count()).order_by(RATING).execute()
    values, rows = counts[RATING].tolist(), int(counts["n"].sum())
    if not values:
        return None, "rating: none", []
    if len(values) > SHOWN:
        shown = f"{len(values):,} different values"
    else:
        shown = ", ".join(f"{value:g} ({n / rows:.1%})" for value, n in zip(values, counts["n"], strict=True))
    low, high = values[0], values[-1]
    line = f"rating: {low:g} to {high:g}; {shown}"
    if low == high:
        return None, line, []
    warnings = []
    if low >= _LIKE_TIMES:
        warnings.append(
            "The ratings look like seconds since 1970. If they are times, set preprocess.columns, such as "
            "{user: '1', item: '2', timestamp: '3'} for a file that does not name its columns."
        )
    if low == 0 and len(values) > 2 and counts["n"][0] > rows / 5:
        warnings.append(
            f"{counts['n'][0] / rows:.0%} of the ratings are 0. If 0 means that there is no rating, set "
            f"preprocess.rating_scale to [{values[1]:g}, {high:g}] and preprocess.on_bad_rows to drop."
        )
    return [_short(low), _short(high)], line, warnings


def _short(value: float) -> float:
    return int(value) if value == int(value) else float(value)


def _times(found: Mapping[str, Any]) -> list[str]:
    if found["first"] is None:
        return []
    days = [datetime.fromtimestamp(int(found[name]), UTC).date().isoformat() for name in ("first", "last")]
    return [f"times: {days[0]} to {days[1]} UTC"]


def _entities(source: Own, folder: Path, good: ir.Table) -> list[str]:
    """Describe the files of items and users, and count the rated ones that they lack."""
    lines = []
    files = roles(folder)
    for role, key, entities in ((ITEMS, ITEM_ID, source.items(folder)), (USERS, USER_ID, source.users(folder))):
        if role not in files or entities is None:
            lines.append(f"{role}: no file")
            continue
        lines += entities.understood
        listed = ibis.memtable({key: entities.table[key].tolist()}, schema={key: "string"})
        unlisted = int(good.select(key).distinct().anti_join(listed, key).count().execute())
        lines.append(f"{role}: {len(entities.table):,} rows; {unlisted:,} rated {role} have no row and no features")
    return lines


def _answers(
    layout: Any, forms: Sequence[Form], checked: Checked, scale: list[float] | None, timed: bool, implicit: bool
) -> dict[str, Any]:
    """Return the values for params.yaml. A separator or encoding is for all files, so null if they differ in it."""
    separators = {form.separator if form.kind == "text" else None for form in forms}
    encodings = {form.encoding if form.kind != "parquet" else None for form in forms}
    separator, encoding = (next(iter(found)) if len(found) == 1 else None for found in (separators, encodings))
    answers: dict[str, Any] = {f"preprocess.columns.{key}": layout.column(role) or None for role, key in KEYS.items()}
    answers |= {
        "preprocess.separator": "tab" if separator == "\t" else separator,
        "preprocess.encoding": encoding,
        "preprocess.timestamp_unit": checked.unit,
        "preprocess.feedback": "implicit" if implicit else "explicit",
        "preprocess.split": "temporal" if timed else "random",
    }
    if implicit:
        return answers | {"preprocess.rating_scale": None}
    return answers if scale is None else answers | {"preprocess.rating_scale": scale}
