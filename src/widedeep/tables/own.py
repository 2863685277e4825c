"""Read the user's own files of ratings with DuckDB, and say how ids, ratings and times were understood.

What a column means is decided for all rows together. Rows that do not follow are bad, with a reason, and never bent to
fit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir

from widedeep.columns import ITEM_ID, RATING, TIMESTAMP, USER_ID
from widedeep.errors import UserError
from widedeep.reading import brief
from widedeep.sources.form import ENCODINGS, MISSING, SEPARATORS, Form
from widedeep.sources.matrix import MatrixFile
from widedeep.sources.rows import as_plain_text, is_simple
from widedeep.sources.source import TableFile
from widedeep.tables.engine import is_about_limits

FILE, LINE, TEXT, REASON = "file", "line", "text", "reason"
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
FIELDS = (USER_ID, ITEM_ID, RATING, TIMESTAMP)

WRONG_FIELD_COUNT = "wrong_field_count"
NOT_UTF8 = "not_utf8"
OPEN_QUOTE = "quote_not_closed"
TOO_LONG = "line_too_long"
NOT_JSON = "not_json"
NOT_A_TIME = "timestamp_of_another_form"
_REJECTED = {
    "MISSING COLUMNS": WRONG_FIELD_COUNT,
    "TOO MANY COLUMNS": WRONG_FIELD_COUNT,
    "UNQUOTED VALUE": OPEN_QUOTE,
    "LINE SIZE OVER MAXIMUM": TOO_LONG,
}

# Times as numbers: name, and the number of units in a second.
UNITS = {
    "s": ("seconds", 1),
    "ms": ("milliseconds", 10**3),
    "us": ("microseconds", 10**6),
    "ns": ("nanoseconds", 10**9),
}
# The numbers that are taken for each unit. 10^10 is the year 2286 in seconds, and April 1970 in milliseconds.
_RANGES = {"s": (0, 10**10 - 1), "ms": (10**10, 10**13 - 1), "us": (10**13, 10**16 - 1), "ns": (10**16, 2**63 - 1)}
_ISO = "[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}([T ].*)?"
_DATES = {8: "%Y%m%d", 14: "%Y%m%d%H%M%S"}  # digits of a date, by their number


def try_strptime(text, form):  # type: ignore[no-untyped-def]
    """Read a time: null where the text does not have the form. This is a function of DuckDB."""


TRY_STRPTIME = ibis.udf.scalar.builtin(try_strptime, signature=(("string", "string"), "timestamp"))


@dataclass(frozen=True)
class OwnRatings:
    """The rows of own files.

    rows : file (position in the list of files), line (number of the row in its file, from 1; for a rejected row its
        line), user_id, item_id (text), rating (float64; 1 where files have none), timestamp (int64, seconds since
        1970) and, for rejected rows, text and reason. A value that cannot be read is null.
    understood : sentences on how the values were read
    times : what a timestamp must be, for errors
    unit : the form of the times, as preprocess.timestamp_unit names it; auto without times
    """

    rows: ir.Table
    understood: list[str]
    times: str
    unit: str


def read_own(con: ibis.BaseBackend, folder: Path, layouts: Sequence[TableFile], unit: str, scratch: Path) -> OwnRatings:
    """Read the rows of own files of ratings.

    Parameters
    ----------
    con : a DuckDB connection; the table is made there
    folder, layouts : the files
    unit : preprocess.timestamp_unit
    scratch : a folder for unpacked files; what is written there is removed

    Raises
    ------
    UserError
        A file cannot be read at all, or the files have different columns.
    """
    have = {tuple(sorted(layout.fields)) for layout in layouts}
    if len(have) > 1:
        some = " and ".join(", ".join(names) for names in sorted(have))
        raise UserError(
            f"{', '.join(layout.name for layout in layouts)} must have the same columns. Some have {some}. Give each "
            "the same columns."
        )
    con.con.execute("SET TimeZone = 'UTC'")  # for times without a zone
    fields = ", ".join(f"{name} VARCHAR" for name in FIELDS)
    con.con.execute(
        f"CREATE TABLE own_rejected ({FILE} INTEGER, {LINE} BIGINT, {fields}, {TEXT} VARCHAR, {REASON} VARCHAR)"
    )
    for position, layout in enumerate(layouts):
        _read_file(con.con, folder / layout.name, layout, position, scratch)
    parts = [
        f"SELECT {i} AS {FILE}, {LINE if isinstance(layout, MatrixFile) else 'rowid + 1'} AS {LINE}, "
        f"{', '.join((*FIELDS, TEXT, REASON))} FROM own_{i}"
        for i, layout in enumerate(layouts)
    ]
    con.con.execute(f"CREATE VIEW own AS {' UNION ALL '.join(parts)} UNION ALL SELECT * FROM own_rejected")
    table = con.table("own")
    facts = _facts(table)
    table, ids = _plain_ids(table, facts)
    table, rating = _ratings(table, facts) if RATING in layouts[0].fields else _no_ratings(table)
    table, times, rule, unit = _times(table, unit, facts) if TIMESTAMP in layouts[0].fields else _no_times(table)
    return OwnRatings(table, [*ids, *rating, *times], rule, unit)


def drop_own(con: ibis.BaseBackend, files: int) -> None:
    """Drop what `read_own` has made of this number of files. `OwnRatings.rows` is gone then."""
    con.drop_view("own")
    for name in ("own_rejected", *(f"own_{i}" for i in range(files))):
        con.drop_table(name)


def _read_file(con: duckdb.DuckDBPyConnection, path: Path, layout: TableFile, position: int, scratch: Path) -> None:
    """Make the table own_<position> of the rows of a file. Rejected rows go to own_rejected, with a reason."""
    form, plain = layout.form, path
    if form.kind != "parquet" and not (form.plain and is_simple(path)):
        # DuckDB refuses lines that end with LF here and with CR LF there, and fails at some bytes that are no UTF-8.
        plain = scratch / "plain"
        as_plain_text(path, form, plain)
    try:
        if isinstance(layout, MatrixFile):
            _load_matrix(con, plain, layout, f"own_{position}")
        else:
            _load(con, plain, layout, f"own_{position}")
    except duckdb.Error as error:
        if is_about_limits(error):
            raise
        raise UserError(f"{path} cannot be read ({brief(error)}). Check the file, or get it again.") from None
    if form.kind == "text":
        reasons = " ".join(f"WHEN '{kind}' THEN '{reason}'" for kind, reason in _REJECTED.items())
        con.execute(
            f"INSERT INTO own_rejected SELECT {position}, line, NULL, NULL, NULL, NULL, "
            "trim(coalesce(any_value(csv_line), ''), chr(10) || chr(13)), "
            f"CASE min_by(error_type::VARCHAR, column_idx) {reasons} ELSE '{WRONG_FIELD_COUNT}' END "
            "FROM rejects GROUP BY line"
        )
        con.execute("DROP TABLE rejects; DROP TABLE scans")
    if plain != path:
        plain.unlink()


def _load(con: duckdb.DuckDBPyConnection, path: Path, layout: TableFile, name: str) -> None:
    """Make a table: the four fields, text (null) and reason (null, or that the line is no JSON)."""
    form, fields = layout.form, layout.fields
    if form.kind == "parquet":
        values = {role: f'CAST("{_doubled(form.columns[i])}" AS VARCHAR)' for role, i in fields.items()}
        source, reason = f"read_parquet({_literal(path)})", "NULL"
    elif form.kind == "json":
        values = {
            role: f"CASE WHEN json_valid(line) THEN json_extract_string(line, {_pointer(form.columns[i])}) END"
            for role, i in fields.items()
        }
        source = (
            f"read_csv({_literal(path)}, auto_detect = false, header = false, columns = {{'line': 'VARCHAR'}}, "
            "delim = '\x01', quote = '', escape = '', max_line_size = 16777216)"
        )
        reason = f"(CASE WHEN NOT json_valid(line) THEN '{NOT_JSON}' END)"
    else:
        values = {role: f"c{i}" for role, i in fields.items()}
        source, reason = _csv(path, form), "NULL"
    chosen = ", ".join(f"trim(coalesce({values.get(role, 'NULL')}, '')) AS {role}" for role in FIELDS)
    text = "line" if form.kind == "json" else "NULL"
    con.execute(
        f"CREATE TABLE {name} AS SELECT {chosen}, CASE WHEN {reason} IS NOT NULL THEN {text} END::VARCHAR AS {TEXT}, "
        f"{reason}::VARCHAR AS {REASON} FROM {source}"
    )


def _load_matrix(con: duckdb.DuckDBPyConnection, path: Path, matrix: MatrixFile, name: str) -> None:
    """Make a table of the ratings of a matrix: the number of the row, the four fields, text and reason (both null)."""
    form, columns = matrix.form, matrix.form.columns
    parquet = form.kind == "parquet"
    source = f"read_parquet({_literal(path)})" if parquet else _csv(path, form)
    named = [f'"{_doubled(column)}"' if parquet else f"c{i}" for i, column in enumerate(columns)]
    cells = ", ".join(f"trim(CAST({named[i]} AS VARCHAR)) AS cell{n}" for n, i in enumerate(matrix.cells.values(), 1))
    key = "NULL" if matrix.key is None else named[matrix.key]
    con.execute(f"CREATE TABLE wide AS SELECT CAST({key} AS VARCHAR) AS matrix_key, {cells} FROM {source}")
    missing = ", ".join(map(_literal, MISSING))
    none = "" if matrix.none is None else f"AND TRY_CAST(rating AS DOUBLE) IS DISTINCT FROM {matrix.none}"
    con.execute(
        f"""
        CREATE TABLE {name} AS
        SELECT {LINE}, trim({"CAST(line AS VARCHAR)" if matrix.key is None else "coalesce(matrix_key, '')"})
            AS {matrix.rows_are}, $ids[CAST(cell[5:] AS INTEGER)] AS {matrix.columns_are}, {RATING}, '' AS {TIMESTAMP},
            NULL::VARCHAR AS {TEXT}, NULL::VARCHAR AS {REASON}
        FROM (SELECT rowid + 1 AS {LINE}, * FROM wide)
        UNPIVOT ({RATING} FOR cell IN ({", ".join(f"cell{n}" for n in range(1, len(matrix.cells) + 1))}))
        WHERE {RATING} NOT IN ({missing}) {none}
        """,
        {"ids": list(matrix.cells)},
    )
    con.execute("DROP TABLE wide")


def _csv(path: Path, form: Form) -> str:
    columns = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(form.columns)))
    quote, escape = ('"', form.escape) if form.quoted else ("", "")
    return (
        f"read_csv({_literal(path)}, auto_detect = false, header = {str(form.header).lower()}, "
        f"columns = {{{columns}}}, "
        f"delim = {_literal(form.separator)}, quote = {_literal(quote)}, escape = {_literal(escape)}, "
        "store_rejects = true, rejects_table = 'rejects', rejects_scan = 'scans', rejects_limit = 0)"
    )


def _literal(text: Path | str) -> str:
    return "'" + str(text).replace("'", "''") + "'"


def _doubled(name: str) -> str:
    return name.replace('"', '""')


def _pointer(key: str) -> str:
    """Return the JSON pointer (RFC 6901) of a key, as a text of SQL."""
    return _literal("/" + key.replace("~", "~0").replace("/", "~1"))


def _facts(table: ir.Table) -> Mapping[str, int]:
    """Count what decides how the values are read, in one pass. Without rows all counts are 0."""
    good = table.filter(table[REASON].isnull())
    rating, moment = good[RATING], good[TIMESTAMP]
    found = good.aggregate(
        user_point=good[USER_ID].contains(".").sum(),
        item_point=good[ITEM_ID].contains(".").sum(),
        comma=rating.contains(",").sum(),
        rating_point=rating.contains(".").sum(),
        other_times=(~moment.re_search(r"^[0-9]{1,19}$")).sum(),
        dates=moment.length().isin(tuple(_DATES)).sum(),
    ).execute()
    return dict(found.iloc[0].fillna(0).astype("int64"))


def _plain_ids(table: ir.Table, facts: Mapping[str, int]) -> tuple[ir.Table, list[str]]:
    """Read 1.0, 32.0 as the integers 1, 32, where all ids of a column are such numbers."""
    lines = []
    for name, key in ((USER_ID, "user_point"), (ITEM_ID, "item_point")):
        if not facts[key]:
            continue
        column = table.filter(table[REASON].isnull())[name]
        counts = column.as_table().aggregate(
            decimal=column.re_search(r"^-?[0-9]+\.0+$").sum(),
            whole=column.re_search(r"^-?[0-9]+(\.0+)?$").sum(),
            rows=column.count(),
        )
        found = counts.execute().iloc[0]
        if found["decimal"] and found["whole"] == found["rows"]:
            table = table.mutate(**{name: table[name].re_replace(r"\.0+$", "")})
            lines.append(f"{name}: integers, written as decimals (such as 32.0) in {int(found['decimal']):,} rows")
    return table, lines


def _ratings(table: ir.Table, facts: Mapping[str, int]) -> tuple[ir.Table, list[str]]:
    """Read ratings as numbers; 4,5 is 4.5 if no rating has a point."""
    text, lines = table[RATING], []
    if facts["comma"] and not facts["rating_point"]:
        text, lines = text.replace(",", "."), ["rating: decimals are written with a comma"]
    # A bare cast would read "4_0" as 40, and "nan".
    number = ibis.ifelse(text.re_search(NUMBER), text, None).try_cast("float64")
    return table.mutate(**{RATING: number}), lines


def _no_ratings(table: ir.Table) -> tuple[ir.Table, list[str]]:
    return table.mutate(**{RATING: ibis.literal(1.0, "float64")}), []


def _no_times(table: ir.Table) -> tuple[ir.Table, list[str], str, str]:
    return table.mutate(**{TIMESTAMP: ibis.null("int64")}), ["timestamp: none"], "", "auto"


def _times(table: ir.Table, unit: str, facts: Mapping[str, int]) -> tuple[ir.Table, list[str], str, str]:
    """Read times, in the form that most rows have or that the user names. A row of another form gets null."""
    text, never = table[TIMESTAMP], ibis.null("int64")
    whole = ibis.ifelse(text.re_search(r"^[0-9]{1,19}(\.[0-9]*)?$"), text.split(".")[0], None).try_cast("int64")
    digits = ibis.ifelse(text.re_search(r"^[0-9]{8}$|^[0-9]{14}$"), text, None)
    date = ibis.coalesce(*(_strptime(digits, n, form) for n, form in _DATES.items())) if facts["dates"] else never
    iso = ibis.ifelse(text.re_search(f"^{_ISO}$"), text.replace("/", "-"), None)
    moment = iso.try_cast("timestamp('UTC')").epoch_seconds() if facts["other_times"] else never
    table = table.mutate(_whole=whole, _date=date, _iso=moment)
    chosen = _form(table.filter(table[REASON].isnull()), unit)
    if chosen == "iso":
        seconds, name = table._iso, "dates and times of ISO 8601, UTC where there is no zone"
        rule = "an ISO 8601 date or time, such as 2024-11-30 or 2024-11-30T13:30:45+02:00"
    elif chosen == "date":
        seconds, name, rule = table._date, "dates as digits", "a date as digits, such as 20241130"
    else:
        name, per_second = UNITS[chosen]
        lowest, highest = _RANGES[chosen] if unit == "auto" else (0, 2**63 - 1)
        in_unit = table._whole.between(lowest, highest)
        seconds = ibis.ifelse(in_unit, table._whole // per_second, None)
        name, rule = f"{name} since 1970", f"a number of {name} since 1970, 0 or more"
        if facts["other_times"] and bool(text.re_search(r"^[0-9]+\.[0-9]*[1-9]").any().execute()):
            name += "; fractions are cut"
    table = table.mutate(**{TIMESTAMP: seconds.cast("int64")}).drop("_whole", "_date", "_iso")
    return table, [f"timestamp: {name}"], rule, chosen


def _strptime(digits: ir.StringValue, n: int, form: str) -> ir.Value:
    """Return the seconds since 1970 of dates of `n` digits; null where the digits are no date."""
    return TRY_STRPTIME(ibis.ifelse(digits.length() == n, digits, None), form).epoch_seconds()


def _form(good: ir.Table, unit: str) -> str:
    """Return the form that most times have: a key of `UNITS`, iso or date. Digits that are dates count as dates."""
    if unit != "auto":
        return unit
    counts: dict[str, Any] = {
        name: (good._whole.between(*between) & good._date.isnull()).sum() for name, between in _RANGES.items()
    }
    found = good.aggregate(iso=good._iso.notnull().sum(), date=good._date.notnull().sum(), **counts).execute().iloc[0]
    best: str = found.fillna(0).astype("int64").idxmax()
    return best if found[best] else "iso"


def shown_rules(layouts: Iterable[TableFile], times: str) -> dict[str, str]:
    """Return the rules that only own files have, by reason, as a sentence for errors."""
    forms = {(len(layout.form.columns), layout.form.separator) for layout in layouts}
    fields = " or ".join(f"{n} fields between {SEPARATORS.get(sep, repr(sep))}" for n, sep in sorted(forms))
    encodings = " or ".join(sorted({ENCODINGS.get(layout.form.encoding, layout.form.encoding) for layout in layouts}))
    return {
        WRONG_FIELD_COUNT: f"a line must have {fields}",
        NOT_UTF8: f"the line must be in the encoding of the file, {encodings} (preprocess.encoding names another one)",
        OPEN_QUOTE: "a field that starts with a quote must end with one, and quotes inside must be doubled",
        TOO_LONG: "a line must have at most 2 million characters",
        NOT_JSON: "the line must be a JSON object",
        NOT_A_TIME: f"the timestamp must be {times}, as in the other rows",
    }
