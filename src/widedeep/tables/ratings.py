"""Read and check the ratings files. The work on rows is written with Ibis, so that a database engine does it."""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from widedeep.columns import ITEM, ITEM_ID, RATING, TIMESTAMP, USER, USER_ID
from widedeep.errors import UserError
from widedeep.sources.form import find_rows
from widedeep.sources.source import Layout, RatingsFile, TableFile
from widedeep.tables.own import (
    FILE,
    LINE,
    NOT_A_TIME,
    NOT_UTF8,
    NUMBER,
    REASON,
    TEXT,
    WRONG_FIELD_COUNT,
    drop_own,
    read_own,
    shown_rules,
)

SHOWN = 5  # bad rows shown in an error
SHOWN_TEXT = 120  # characters shown of each
BLOCK = 2**24  # bytes read at once

SPACE_AROUND = r"^[\s\p{Z}\p{Cc}]|[\s\p{Z}\p{Cc}]$"

UNKNOWN_ITEM = "unknown_item"
NOT_SECONDS = "timestamp_not_an_integer"
LATE = "timestamp_in_the_future"
EARLY = "timestamp_before_1970"

DAY = 24 * 60 * 60


def latest_timestamp() -> int:
    """Return the largest timestamp that a rating may have: now and one day, as clocks and time zones differ."""
    return int(time.time()) + DAY


@dataclass
class Counts:
    """Counts of the rows read and of those left out, for reports/data.json.

    read : rows in the files
    bad_rows : rows that break a rule, by reason
    duplicates : rows left out because their user rated the item again later
    filtered : rows left out because their user or item has too few ratings
    understood : sentences on how the values of own files were read
    """

    read: int = 0
    bad_rows: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    filtered: int = 0
    understood: list[str] = field(default_factory=list)


def read_ratings(
    con: ibis.BaseBackend,
    folder: Path,
    layouts: Sequence[Layout],
    rating_scale: tuple[float, float],
    integer_ids: bool,
    known_items: Iterable[str] | None,
    on_bad_rows: str,
    timestamp_unit: str = "auto",
    original: Callable[[str], str] | None = None,
) -> tuple[ir.Table, Counts]:
    """Read and check the ratings files of a data set.

    Each line after the header must have the declared number of fields, two ids, a finite rating within `rating_scale`
    and, if the layout has timestamps, a timestamp from 1970 until tomorrow: an integer of seconds, or in own files what
    `widedeep.tables.own` reads.

    Parameters
    ----------
    con : where the tables are made
    folder : the folder of the files
    layouts : the layout of each file
    rating_scale : lowest and highest allowed rating, both included
    integer_ids : True: an id must be an integer, and is normalized ("007" becomes "7"). False: an id is any UTF-8 text
        and stays as it is, but it must not be empty, or start or end with a space or a control character.
    known_items : ids of the items that may be rated; None: any item
    on_bad_rows : "error", or "drop" to leave bad rows out and count them by reason
    timestamp_unit : of own files, see `widedeep.tables.own`
    original : what an error calls a file of the folder, by its name; None: its path

    Returns
    -------
    a table with user_id, item_id (text), rating, timestamp, file and line, and counts of the rows

    Raises
    ------
    UserError
        A file is missing, is empty or has another header. Or a row is bad and `on_bad_rows` is "error": then the
        message shows file, line, reason and text of the first bad rows.
    """
    names = [original(layout.name) if original else str(folder / layout.name) for layout in layouts]
    checked = check_rows(con, folder, layouts, rating_scale, integer_ids, known_items, timestamp_unit)
    counts = checked.counts
    if counts.read == 0:
        raise UserError(f"{names[0]} is empty: it has no rating. Check the file or the download.")
    if counts.bad_rows and on_bad_rows == "error":
        total = sum(counts.bad_rows.values())
        advice = "Correct the file, or set preprocess.on_bad_rows: drop in params.yaml to leave such rows out and count"
        lines = [f"{total} of {counts.read} rating rows are bad:", *checked.describe(names), f"{advice} them."]
        raise UserError("\n".join(lines))
    if sum(counts.bad_rows.values()) == counts.read:
        raise UserError(f"{names[0]} has only bad rows, by reason: {counts.bad_rows}.")
    return checked.good.select(USER_ID, ITEM_ID, RATING, TIMESTAMP, FILE, LINE), counts


@dataclass(frozen=True)
class Checked:
    """The rows of ratings files, each with the rule that it breaks.

    rows : the table `checked`, with user_id, item_id, rating, timestamp, file, line, text and reason (null: a good row)
    counts : the rows by reason
    unit : the form of the times of own files
    """

    rows: ir.Table
    counts: Counts
    unit: str
    folder: Path
    layouts: Sequence[Layout]
    rules: Mapping[str, str]

    @property
    def good(self) -> ir.Table:
        return self.rows.filter(self.rows[REASON].isnull())

    @property
    def bad(self) -> ir.Table:
        return self.rows.filter(self.rows[REASON].notnull())

    def describe(self, names: Sequence[str]) -> list[str]:
        """Show the first bad rows, a line for each. `names` are what the files are called."""
        lines = [
            f"  {names[file]}, line {line}: {self.rules[reason]}. Got {text!r} instead."
            for file, line, reason, text in self._first()
        ]
        if (total := sum(self.counts.bad_rows.values())) > SHOWN:
            lines.append(f"  ... and {total - SHOWN} more; by reason: {self.counts.bad_rows}")
        return lines

    def _first(self) -> list[tuple[int, int, str, str]]:
        """Return the first bad rows: file, line, reason and text. DuckDB numbers the rows of own files, not lines."""
        bad = self.bad
        shown = bad.order_by([FILE, LINE]).limit(SHOWN)[[FILE, LINE, REASON, TEXT]].to_pyarrow().to_pylist()
        found = [(row[FILE], row[LINE], row[REASON], row[TEXT]) for row in shown]
        for position, layout in enumerate(self.layouts):
            numbers = [row[1] for row in found if row[0] == position and row[3] is None]
            if numbers and isinstance(layout, TableFile):
                rejected = bad.filter((bad[FILE] == position) & bad[TEXT].notnull())[LINE].execute()
                where = find_rows(self.folder / layout.name, layout.form, numbers, rejected)
                found = [
                    (file, where[line][0], reason, where[line][1][:SHOWN_TEXT])
                    if file == position and text is None
                    else (file, line, reason, text)
                    for file, line, reason, text in found
                ]
        return sorted(found, key=lambda row: row[:2])


def check_rows(
    con: ibis.BaseBackend,
    folder: Path,
    layouts: Sequence[Layout],
    rating_scale: tuple[float, float],
    integer_ids: bool,
    known_items: Iterable[str] | None,
    timestamp_unit: str,
    keep: bool = True,
) -> Checked:
    """Read the ratings files and check each row. For arguments see `read_ratings`.

    With `keep`, the checked rows are a table. Without it they are a view, which takes less memory and more time.

    Raises
    ------
    UserError
        A file is missing, is empty, has another header or cannot be read.
    """
    understood: list[str] = []
    rules, unit = _rules(layouts, rating_scale), "s"
    if own := [layout for layout in layouts if isinstance(layout, TableFile)]:
        with tempfile.TemporaryDirectory() as scratch:
            found = read_own(con, folder, own, timestamp_unit, Path(scratch))
        table, understood, unit = found.rows, found.understood, found.unit
        rules |= shown_rules(own, found.times)
        if integer_ids:
            table = table.mutate(**{name: _integer(table[name]).cast("string") for name in (USER_ID, ITEM_ID)})
        reason = table[REASON].fill_null(_reason(table, TIMESTAMP in own[0].fields, rating_scale, integer_ids))
    else:
        plain = [layout for layout in layouts if isinstance(layout, RatingsFile)]
        parsed = [_parse(con, folder / layout.name, layout, i, integer_ids) for i, layout in enumerate(plain)]
        table = parsed[0].union(*parsed[1:]) if len(parsed) > 1 else parsed[0]
        width = plain[0].width
        wide = table.n_fields >= width if plain[0].at_least else table.n_fields == width
        by_width = ibis.ifelse(wide, ibis.null("string"), WRONG_FIELD_COUNT)
        reason = by_width.fill_null(_reason(table, TIMESTAMP in plain[0].fields, rating_scale, integer_ids))
    if known_items is not None:
        items = ibis.memtable({ITEM_ID: sorted(known_items)}, schema={ITEM_ID: "string"}).mutate(listed=True)
        table = table.left_join(items, ITEM_ID).drop(f"{ITEM_ID}_right")
        reason = reason.fill_null(ibis.ifelse(table.listed.isnull(), UNKNOWN_ITEM, ibis.null("string")))
    table = table.mutate(reason=reason)
    # Keep the text of bad rows only, to save memory.
    shown = ibis.ifelse(table.reason.isnull(), None, table.text[:SHOWN_TEXT])
    if not keep:
        checked = con.create_view("checked", table.mutate(text=shown))
    else:
        checked = con.create_table("checked", table.mutate(text=shown))
        if own:
            drop_own(con, len(own))
        else:
            for i in range(len(layouts)):
                con.drop_table(f"numbered_{i}")
    bad = checked.filter(checked.reason.notnull())
    by_reason = bad.group_by("reason").aggregate(n=bad.count()).order_by("reason").execute()
    counts = Counts(
        read=int(checked.count().execute()),
        bad_rows={str(row.reason): int(row.n) for row in by_reason.itertuples()},
        understood=understood,
    )
    return Checked(checked, counts, unit, folder, layouts, rules)


def latest_of_duplicates(ratings: ir.Table) -> ir.Table:
    """Keep one rating per user and item: the latest in time; if several share that second, the last in the file."""
    order = [ratings[TIMESTAMP].desc(nulls_first=False), ratings[FILE].desc(), ratings[LINE].desc()]
    rank = ibis.row_number().over(group_by=[USER, ITEM], order_by=order)
    return ratings.mutate(rank=rank).filter(lambda t: t["rank"] == 0).drop("rank")


def with_enough_ratings(con: ibis.BaseBackend, ratings: ir.Table, per_user: int, per_item: int) -> ir.Table:
    """Drop users and items with too few ratings, in turn, until both limits hold.

    Raises
    ------
    UserError
        No rating is left.
    """
    before = -1
    rows = int(ratings.count().execute())
    while rows != before and (per_user > 1 or per_item > 1):
        users = ibis._.count().over(group_by=USER)
        ratings = ratings.filter(users >= per_user)
        items = ibis._.count().over(group_by=ITEM)
        ratings = con.create_table(f"filtered_{rows}", ratings.filter(items >= per_item))
        before, rows = rows, int(ratings.count().execute())
    if rows == 0:
        raise UserError(
            f"No rating is left with min_ratings_per_user={per_user} and min_ratings_per_item={per_item}. "
            "Lower them in the preprocess section of params.yaml."
        )
    return ratings


def _parse(con: ibis.BaseBackend, path: Path, layout: RatingsFile, position: int, integer_ids: bool) -> ir.Table:
    """Split each line after the header into its fields. A field that is not valid becomes null."""
    if not path.exists():
        raise UserError(f"{path} is missing. Run `dvc repro -f download`, or name another download.source.")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes). Check the file or the download.")
    name = f"lines_{position}"
    # The engine's own CSV reader would refuse the whole file for one line that is too long or has another line end.
    con.con.register(name, _lines(path))
    lines = con.create_table(f"numbered_{position}", con.table(name))
    # Ignore blank lines at the end, which editors leave.
    lines = lines.filter(lines.line <= lines.filter(lines.text != "")[LINE].max().as_scalar())
    if layout.header is not None:
        first = lines.filter(lines.line == 1).text.execute().tolist() or [""]
        _check_header(path, first[0].removeprefix("\ufeff"), layout)
        lines = lines.filter(lines.line > 1)
    lines = lines.mutate(parts=lines.text.split(layout.separator))

    def part(name: str) -> ir.StringValue:
        position = layout.fields[name]
        return lines.parts[position if position >= 0 else lines.parts.length() + position]

    return lines.select(
        LINE,
        "text",
        "utf8",
        n_fields=lines.parts.length(),
        **{FILE: ibis.literal(position)},
        **{name: _integer(part(name)).cast("string") if integer_ids else part(name) for name in (USER_ID, ITEM_ID)},
        # A bare cast would read "4_0" as 40, and "nan".
        **{RATING: _matching(part(RATING), NUMBER).try_cast("float64")},
        **{TIMESTAMP: _seconds(part(TIMESTAMP)) if TIMESTAMP in layout.fields else ibis.null("int64")},
    )


def _integer(text: ir.StringValue) -> ir.IntegerValue:
    # A bare cast would round "4.5" and accept "1e3".
    return _matching(text, r"^-?[0-9]{1,18}$").try_cast("int64")


def _seconds(text: ir.StringValue) -> ir.IntegerValue:
    return _matching(text, r"^[0-9]{1,18}$").try_cast("int64")


def _matching(text: ir.StringValue, pattern: str) -> ir.StringValue:
    return ibis.ifelse(text.re_search(pattern), text, None)


def _lines(path: Path) -> pa.RecordBatchReader:
    """Read the lines of a file: number (from 1), text, and whether it is UTF-8. Other bytes become U+FFFD."""

    def batches() -> Iterator[pa.RecordBatch]:
        number = 1
        with path.open("rb") as file:
            while lines := [line.rstrip(b"\r\n") for line in file.readlines(BLOCK)]:
                texts, valid = _decoded(lines)
                numbers = pa.array(range(number, number + len(lines)))
                yield pa.record_batch([numbers, texts, valid], schema=schema)
                number += len(lines)

    schema = pa.schema([(LINE, pa.int64()), ("text", pa.string()), ("utf8", pa.bool_())])
    return pa.RecordBatchReader.from_batches(schema, batches())


def _decoded(lines: list[bytes]) -> tuple[pa.Array, pa.Array]:
    try:
        return pa.array(lines, pa.binary()).cast(pa.string()), pa.array([True]).take(pa.array([0] * len(lines)))
    except pa.ArrowInvalid:  # some line is not UTF-8
        texts = [line.decode("utf-8", errors="replace") for line in lines]
        return pa.array(texts), pa.array([line == text.encode() for line, text in zip(lines, texts, strict=True)])


def _check_header(path: Path, found: str, layout: RatingsFile) -> None:
    assert layout.header is not None
    if found == layout.header:
        return
    columns = [column.strip().strip('"') for column in found.split(layout.separator)]
    missing = [column for column in layout.header.split(layout.separator) if column not in columns]
    detail = f"Missing: {', '.join(missing)}." if missing else "The columns must be in this order."
    raise UserError(f"{path}, line 1: the header must be '{layout.header}'. Got '{found[:200]}' instead. {detail}")


def _reason(table: ir.Table, timed: bool, scale: tuple[float, float], integer_ids: bool) -> ir.StringValue:
    own = REASON in table.columns
    rating, cases = table[RATING], []
    if integer_ids:
        cases += [(table[name].isnull(), f"{name}_not_an_integer") for name in (USER_ID, ITEM_ID)]
    else:
        texts = (USER_ID, ITEM_ID)
        if own:
            cases += [(table[name].contains("\N{REPLACEMENT CHARACTER}"), NOT_UTF8) for name in texts]
        else:
            cases.append((~table.utf8, NOT_UTF8))
        for name in texts:
            cases += [
                (table[name] == "", f"{name}_empty"),
                (table[name].re_search(SPACE_AROUND), f"{name}_with_space_around"),
            ]
    cases += [
        (rating.isnull() | rating.isinf(), "rating_not_a_number"),
        (~rating.between(*scale), "rating_out_of_scale"),
    ]
    if timed:
        early = table[TIMESTAMP] < 0
        cases += [(table[TIMESTAMP].isnull(), NOT_A_TIME if own else NOT_SECONDS), (early, EARLY)]
        cases.append((table[TIMESTAMP] > latest_timestamp(), LATE))
    return ibis.cases(*cases, else_=ibis.null("string"))


def _rules(layouts: Sequence[Layout], scale: tuple[float, float]) -> dict[str, str]:
    """Return the rule behind each reason, as a sentence for errors."""
    rules = {
        NOT_UTF8: "the line must be UTF-8 text",
        **_id_rules(USER_ID, "user"),
        **_id_rules(ITEM_ID, "item"),
        "rating_not_a_number": "the rating must be a finite number",
        "rating_out_of_scale": f"the rating must lie in [{scale[0]:g}, {scale[1]:g}]",
        NOT_SECONDS: "the timestamp must be an integer of seconds since 1970, 0 or more",
        EARLY: "the timestamp must not be before 1970",
        LATE: "the timestamp must not be later than tomorrow",
        UNKNOWN_ITEM: "the item must be in the items file",
    }
    first = layouts[0]
    if isinstance(first, TableFile):
        return rules
    separator = {"\t": "tabs", ",": "commas"}.get(first.separator, f"'{first.separator}'")
    more = " or more" if first.at_least else ""
    return rules | {
        WRONG_FIELD_COUNT: f"a line must have {first.width} fields{more} between {separator}",
        LATE: "the timestamp must be in seconds since 1970 and not later than tomorrow (are these milliseconds?)",
    }


def _id_rules(name: str, entity: str) -> dict[str, str]:
    return {
        f"{name}_not_an_integer": f"the {entity} id must be an integer",
        f"{name}_empty": f"the {entity} id must not be empty",
        f"{name}_with_space_around": f"the {entity} id must have no space or control character at its start or end",
    }
