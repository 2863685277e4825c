"""Read a file of rows whose layout is known: row by row, or as plain text for the engine."""

import codecs
import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq

from widedeep.errors import UserError
from widedeep.reading import read_file
from widedeep.sources.form import Form, dialect_of, json_object, open_bytes

_BLOCK = 2**24  # characters converted at once


def rows(path: Path, form: Form, shown: Path) -> Iterator[tuple[int, list[str]]]:
    """Read the rows of a file one by one, as text. For files of items and users, and to show rows of ratings.

    Yields
    ------
    the line on which the row starts (for Parquet: the number of the row), from 1, and its fields. A missing value is
    "". A list is written as in JSON. Blank lines are skipped.

    Raises
    ------
    UserError
        A line is not in the encoding of the file, or is not valid.
    """
    if form.kind == "parquet":
        table = read_file(path, pq.read_table, "a whole Parquet file", "Get it again.")
        start = 1
        for batch in table.to_batches(max_chunksize=2**16):
            for number, record in enumerate(batch.to_pylist(), start=start):
                yield number, [_text(record[name]) for name in form.columns]
            start += batch.num_rows
    elif form.kind == "json":
        for number, line in _lines(path, form, shown):
            if line.strip():
                record = json_object(line, number, shown)
                yield number, [_text(record.get(name)) for name in form.columns]
    else:
        for number, fields in _records((line for _, line in _lines(path, form, shown)), form, shown):
            yield number, [field.strip() for field in fields] if len(form.separator) == 1 else fields


def _records(lines: Iterable[str], form: Form, shown: Path, strict: bool = True) -> Iterator[tuple[int, list[str]]]:
    """Split lines into rows, without the header and blank lines: the line on which a row starts, and its fields."""
    start, header = 1, form.header
    if len(form.separator) > 1:
        numbered = ((number, line.rstrip("\r\n")) for number, line in enumerate(lines, start=1) if line.strip())
        yield from ((number, line.split(form.separator)) for number, line in islice(numbered, int(header), None))
        return
    reader = csv.reader(lines, dialect_of(form, strict))
    try:
        for fields in reader:
            if fields and not header:
                yield start, fields
            header = header and not fields
            start = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{shown}, line {start}: this row is not valid CSV ({error}). Correct its quotes.") from None


def _lines(path: Path, form: Form, shown: Path) -> Iterator[tuple[int, str]]:
    with io.TextIOWrapper(
        open_bytes(path, form.packed), encoding=form.codec, errors="surrogateescape", newline=""
    ) as file:
        for number, line in enumerate(file, start=1):
            if not line.isascii() and (damaged := re.search("[\udc80-\udcff]", line)):
                byte = line[damaged.start()].encode(form.encoding, "surrogateescape")
                raise UserError(
                    f"{shown}, line {number}: the text must be {form.encoding}. Got the byte {byte!r} at position "
                    f"{damaged.start()}. Save the file as {form.encoding}, or set preprocess.encoding."
                )
            if "\0" in line:
                raise UserError(
                    f"{shown}, line {number}: the text must have no control character. Got {chr(0)!r} at position "
                    f"{line.index(chr(0))}. Correct that line, or get the file again."
                )
            yield number, line


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value).strip()


def find_rows(path: Path, form: Form, wanted: Iterable[int], skipped: Iterable[int]) -> dict[int, tuple[int, str]]:
    """Find rows by their number, to show them in an error.

    Parameters
    ----------
    wanted : numbers of rows, from 1, where the rows that start on the lines `skipped` do not count

    Returns
    -------
    by number: the line on which the row starts (for Parquet: the number of the row), and its text
    """
    left, skip, found, number = set(wanted), set(skipped), {}, 0
    for line, text in _loose_rows(path, form):
        if not left:
            break
        if line in skip:
            continue
        number += 1
        if number in left:
            found[number] = (line, text)
            left.remove(number)
    return found


def _loose_rows(path: Path, form: Form) -> Iterator[tuple[int, str]]:
    if form.kind == "parquet":
        yield from ((line, ",".join(fields)) for line, fields in rows(path, form, path))
        return
    with io.TextIOWrapper(open_bytes(path, form.packed), encoding=form.codec, errors="replace", newline=None) as file:
        if form.kind == "json":
            yield from ((number, line.rstrip("\n")) for number, line in enumerate(file, start=1) if line.strip())
        else:
            yield from ((number, form.separator.join(row)) for number, row in _records(file, form, path, strict=False))


def as_plain_text(path: Path, form: Form, out: Path) -> None:
    """Write a text or JSON file as UTF-8, unpacked, with lines that end with LF. A wrong byte becomes U+FFFD."""
    with open_bytes(path, form.packed) as packed, out.open("w", encoding="utf-8", newline="") as plain:
        text = io.TextIOWrapper(packed, encoding=form.codec, errors="replace", newline=None)
        while block := text.read(_BLOCK):
            plain.write(block)


def is_simple(path: Path) -> bool:
    """Whether a file is UTF-8 to its last byte, with lines that all end in LF or all in CR LF."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    both = cr = lf = 0
    last = b""
    with path.open("rb") as file:
        try:
            while block := file.read(_BLOCK):
                decoder.decode(block)
                cr, lf = cr + block.count(b"\r"), lf + block.count(b"\n")
                both += block.count(b"\r\n") + (last + block[:1] == b"\r\n")
                last = block[-1:]
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return cr == both and both in (0, lf)
