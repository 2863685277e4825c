"""Read and check the ratings files. The work on rows is written with Ibis, so that a database engine does it."""

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import ibis
import ibis.expr.types as ir

from widedeep.columns import ITEM, ITEM_ID, RATING, TIMESTAMP, USER, USER_ID
from widedeep.errors import UserError
from widedeep.sources.rows import find_rows
from widedeep.sources.source import Layout, RatingsFile, TableFile
from widedeep.tables.lines import integers, read_lines
from widedeep.tables.own import (
    FILE,
    LINE,
    NOT_A_TIME,
    NOT_UTF8,
    REASON,
    TEXT,
    WRONG_FIELD_COUNT,
    drop_own,
    read_own,
    shown_rules,
)

SHOWN = 5  # bad rows shown in an error
SHOWN_TEXT = 120  # characters shown of each

SPACE_AROUND = r"^[\s\p{Z}\p{Cc}]|[\s\p{Z}\p{Cc}]$"

UNKNOWN_ITEM = "unknown_item"
NOT_SECONDS = "timestamp_not_an_integer"
LATE = "timestamp_in_the_future"
EARLY = "timestamp_before_1970"

DAY = 24 * 60 * 60
ANY = (-float("inf"), float("inf"))  # a rating scale that every number is in


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
    """

    read: int = 0
    bad_rows: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    filtered: int = 0


@dataclass(frozen=True)
class Checked:
    """The rows of ratings files, each with the rule that it breaks.

    rows : the table `checked`, with user_id, item_id, rating, timestamp, file, line, text and reason (null: a good row)
    counts : the rows by reason
    understood : sentences on how the values of own files were read
    unit : the form of the times of own files
    rules : what a row must be, by reason, for errors
    """

    rows: ir.Table
    counts: Counts
    understood: list[str]
    unit: str
    folder: Path
    layouts: Sequence[Layout]
    rules: Mapping[str, str]

    @property
    def good(self) -> ir.Table:
        if not self.counts.bad_rows:
            return self.rows  # a view need not look for reasons again
        return self.rows.filter(self.rows[REASON].isnull())

    @property
    def bad(self) -> ir.Table:
        return self.rows.filter(self.rows[REASON].notnull())

    def kept(self, on_bad_rows: str, original: Callable[[str], str] | None = None) -> ir.Table:
        """Return the good rows: user_id, item_id (text), rating, timestamp, file and line.

        Parameters
        ----------
        on_bad_rows : "error", or "drop" to leave bad rows out
        original : what an error calls a file of the folder, by its name; None: its path

        Raises
        ------
        UserError
            There is no row, or no good one. Or a row is bad and `on_bad_rows` is "error": then the message shows file,
            line, reason and text of the first bad rows.
        """
        names = [original(layout.name) if original else str(self.folder / layout.name) for layout in self.layouts]
        counts, bad = self.counts, sum(self.counts.bad_rows.values())
        if counts.read == 0:
            raise UserError(f"{names[0]} is empty: it has no rating. Check the file or the download.")
        if bad and on_bad_rows == "error":
            advice = (
                "Correct the file, or set preprocess.on_bad_rows: drop in params.yaml to leave such rows out and count "
                "them."
            )
            raise UserError("\n".join([f"{bad} of {counts.read} rating rows are bad:", *self.describe(names), advice]))
        if bad == counts.read:
            raise UserError(f"{names[0]} has only bad rows, by reason: {counts.bad_rows}.")
        return self.good.select(USER_ID, ITEM_ID, RATING, TIMESTAMP, FILE, LINE)

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
    timestamp_unit: str = "auto",
    stored: bool = True,
) -> Checked:
    """Read the ratings files of a data set and check each row.

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
    timestamp_unit : of own files, see `widedeep.tables.own`
    stored : whether the checked rows are a table. Else they are a view, which takes less memory and more time.

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
            table = table.mutate(**{name: integers(table[name]).cast("string") for name in (USER_ID, ITEM_ID)})
        reason = table[REASON].fill_null(_reason(table, TIMESTAMP in own[0].fields, rating_scale, integer_ids))
    else:
        plain = [layout for layout in layouts if isinstance(layout, RatingsFile)]
        parsed = [read_lines(con, folder / layout.name, layout, i, integer_ids) for i, layout in enumerate(plain)]
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
    if not stored:
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
    )
    return Checked(checked, counts, understood, unit, folder, layouts, rules)


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
