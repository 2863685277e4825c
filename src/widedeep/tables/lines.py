"""Read the ratings of a publisher line by line, for layouts that no reader of CSV knows."""

from collections.abc import Iterator
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from widedeep.columns import ITEM_ID, RATING, TIMESTAMP, USER_ID
from widedeep.errors import UserError
from widedeep.sources.source import RatingsFile
from widedeep.tables.own import FILE, LINE, NUMBER

BLOCK = 2**24  # bytes read at once


def read_lines(con: ibis.BaseBackend, path: Path, layout: RatingsFile, position: int, integer_ids: bool) -> ir.Table:
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
        **{name: integers(part(name)).cast("string") if integer_ids else part(name) for name in (USER_ID, ITEM_ID)},
        # A bare cast would read "4_0" as 40, and "nan".
        **{RATING: _matching(part(RATING), NUMBER).try_cast("float64")},
        **{TIMESTAMP: _seconds(part(TIMESTAMP)) if TIMESTAMP in layout.fields else ibis.null("int64")},
    )


def integers(text: ir.StringValue) -> ir.IntegerValue:
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
