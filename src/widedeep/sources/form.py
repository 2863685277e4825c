"""Find out how a file of rows is laid out: text with any separator and quotes, JSON lines or Parquet; packed or not.

Only the first `SAMPLE` bytes are looked at. What is found is said (`Form.sentence`), and each guess can be overruled.
"""

import codecs
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from widedeep.errors import UserError
from widedeep.reading import brief, read_file

SAMPLE = 2**20
PACKED = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
SEPARATORS = {
    ",": "commas",
    "\t": "tabs",
    ";": "semicolons",
    "|": "vertical bars",
    "::": "double colons",
    " ": "spaces",
}
ENCODINGS = {"utf-8": "UTF-8", "utf-16": "UTF-16", "cp1252": "Windows-1252 (Latin-1)"}
MISSING = ("", "NA", "N/A", "NULL", "null", "None", "none", "\\N", "nan", "NaN", "<NA>", "#N/A")
_ALIKE = 0.9  # share of the rows that must have the same number of fields
_DAMAGED = 0.01  # share of the characters of a text that may be 0; such rows are bad
_BLOCK = 2**24  # characters converted at once
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]*)?([eE][+-]?[0-9]+)?")

Kind = Literal["text", "json", "parquet"]


@dataclass(frozen=True)
class Form:
    """The layout of one file.

    kind : text, json (one object in each line) or parquet
    columns : names of the columns, in their order; "1", "2", ... if a text file has no header
    header : whether the first line of a text file names the columns
    encoding : a key of `ENCODINGS`
    separator : text between two fields
    quoted : whether fields may stand in double quotes
    escape : the character before a quote inside of quotes: " or a backslash
    packed : gzip, zstd, bz2 or None
    """

    kind: Kind
    columns: tuple[str, ...]
    header: bool = True
    encoding: str = "utf-8"
    separator: str = ","
    quoted: bool = False
    escape: str = '"'
    packed: str | None = None

    @property
    def plain(self) -> bool:
        """Whether the file is UTF-8 text that needs no unpacking."""
        return self.packed is None and self.encoding == "utf-8"

    @property
    def codec(self) -> str:
        """The encoding as Python names it. UTF-8 may start with a byte-order mark, which is no text."""
        return _codec(self.encoding)

    def sentence(self) -> str:
        """Describe the layout in a few words."""
        if self.kind == "parquet":
            return "Parquet"
        packed = f", packed with {self.packed}" if self.packed else ""
        encoding = ENCODINGS.get(self.encoding, self.encoding)
        if self.kind == "json":
            return f"JSON lines, {encoding}{packed}"
        separator = SEPARATORS.get(self.separator, repr(self.separator))
        quotes = ", with quotes" if self.quoted else ""
        header = "line 1 names the columns" if self.header else "no line names the columns"
        return f"text, {encoding}{packed}; fields between {separator}{quotes}; {header}"


def find_form(
    path: Path, separator: str | None, encoding: str | None, known: Callable[[str], bool], shown: Path | None = None
) -> Form:
    """Find out the layout of a file.

    Parameters
    ----------
    separator, encoding : what a text file has, where the user says it; None: find out
    known : whether a text is a known name of a column
    shown : the name of the file in errors; default: `path`

    Raises
    ------
    UserError
        The file is empty, is of another kind, or cannot be unpacked; a column has no unique name; or the fields of the
        text cannot be told apart. The message names file and line.
    """
    shown = shown or path
    packed = PACKED.get(path.suffix.lower())
    head = read_file(
        path, lambda path: _head(path, packed), f"a readable file{f' of {packed}' if packed else ''}", "Get it again."
    )
    if not head.strip():
        raise UserError(f"{shown} is empty. Check the file.")
    if head.startswith(b"PAR1"):
        schema = read_file(path, pq.read_schema, "a whole Parquet file", "Get it again.")
        return Form("parquet", _unique(schema.names, shown))
    text, encoding = _decode(head, encoding, shown)
    whole = len(head) < SAMPLE
    lines = text.splitlines(keepends=True)
    if not whole and len(lines) > 1:
        del lines[-1]  # it may be cut
    if text.lstrip().startswith("{"):
        return Form("json", _keys(lines, shown), encoding=encoding, packed=packed)
    if text.lstrip().startswith("["):
        raise UserError(
            f"{shown} is one JSON list. Write it as JSON lines: one object in each line, without commas between them."
        )
    candidates = [separator] if separator else list(SEPARATORS)
    splits = [split for each in candidates if (split := _split(lines, each, known)) is not None]
    if not splits:
        raise UserError(
            f"{shown}, line 1: the fields of a row must stand between {', '.join(SEPARATORS.values())}, with the same "
            f"number of fields in each row. Got {lines[0].rstrip()[:100]!r} instead. If they stand between something "
            "else, set preprocess.separator."
        )
    best = max(splits, key=lambda split: split.rank)
    header = best.header(known)
    names = tuple(name.strip() for name in best.rows[0]) if header else ()
    columns = names if header else tuple(str(i + 1) for i in range(best.width))
    return Form("text", _unique(columns, shown), header, encoding, best.separator, best.quoted, best.escape, packed)


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
                record = _object(line, number, shown)
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
    reader = csv.reader(lines, _dialect(form, strict))
    try:
        for fields in reader:
            if fields and not header:
                yield start, fields
            header = header and not fields
            start = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{shown}, line {start}: this row is not valid CSV ({error}). Correct its quotes.") from None


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
    with io.TextIOWrapper(_open(path, form.packed), encoding=form.codec, errors="replace", newline=None) as file:
        if form.kind == "json":
            yield from ((number, line.rstrip("\n")) for number, line in enumerate(file, start=1) if line.strip())
        else:
            yield from ((number, form.separator.join(row)) for number, row in _records(file, form, path, strict=False))


def as_plain_text(path: Path, form: Form, out: Path) -> None:
    """Write a text or JSON file as UTF-8, unpacked, with lines that end with LF. A wrong byte becomes U+FFFD."""
    with _open(path, form.packed) as packed, out.open("w", encoding="utf-8", newline="") as plain:
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


def _open(path: Path, packed: str | None) -> IO[bytes]:
    return pa.input_stream(str(path), compression=packed) if packed else path.open("rb")


def _head(path: Path, packed: str | None) -> bytes:
    parts, size = [], 0
    with _open(path, packed) as file:
        while size < SAMPLE and (part := file.read(SAMPLE - size)):
            parts.append(bytes(part))
            size += len(part)
    return b"".join(parts)


def _decode(head: bytes, encoding: str | None, shown: Path) -> tuple[str, str]:
    """Decode the first bytes of a file. Where no encoding is given, it is UTF-8, UTF-16 or Windows-1252."""
    if encoding is None:
        encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else _eight_bit(head)
    try:
        text = head.decode(_codec(encoding), errors="replace")
    except LookupError:
        raise UserError(f"preprocess.encoding: there is no encoding {encoding!r}.") from None
    if text.count("\0") > len(text) * _DAMAGED:
        raise UserError(
            f"{shown} is not text: it has the byte 0 near {text[: text.index(chr(0))][-20:]!r}. A data set is a text "
            "file (such as .csv), JSON lines or Parquet; .gz, .zst and .bz2 may be around it."
        )
    return text, encoding


def _codec(encoding: str) -> str:
    return "utf-8-sig" if encoding == "utf-8" else encoding


def _eight_bit(head: bytes) -> str:
    """Tell UTF-8 from Windows-1252. A few damaged bytes do not make another encoding out of UTF-8."""
    lines = head.splitlines()
    lines = [line for line in (lines[:-1] if len(head) == SAMPLE else lines) if not line.isascii()]
    valid = sum(_decodes(line, "utf-8") for line in lines)
    western = len(lines) > 1 and not valid and all(_decodes(line, "cp1252") for line in lines)
    return "cp1252" if western else "utf-8"


def _decodes(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


@dataclass(frozen=True)
class _Split:
    """The first rows of a text, split at one separator."""

    separator: str
    quoted: bool
    escape: str
    rows: list[list[str]]
    width: int
    rank: tuple[float, ...]

    def header(self, known: Callable[[str], bool]) -> bool:
        first, others = self.rows[0], [row for row in self.rows[1:] if len(row) == self.width]
        if any(known(name) for name in first):
            return True
        return any(
            # Without a name, a column of row numbers comes first. Elsewhere it is a missing value.
            (name.strip() or not i)
            and not _NUMBER.fullmatch(name.strip())
            and all(_NUMBER.fullmatch(row[i].strip()) for row in others)
            for i, name in enumerate(first[: self.width] if others else ())
        )


def _split(lines: Sequence[str], separator: str, known: Callable[[str], bool]) -> _Split | None:
    """Split lines at a separator, or return None if that gives no rows of the same number of fields (2 or more)."""
    if not any(separator in line for line in lines):
        return None
    quoted = len(separator) == 1 and any(f'{separator}"' in line or line.startswith('"') for line in lines)
    escape = "\\" if quoted and any('\\"' in line for line in lines) else '"'
    form = Form("text", (), separator=separator, quoted=quoted, escape=escape)
    if len(separator) == 1:
        try:
            table = [row for row in csv.reader(lines, _dialect(form, strict=False)) if row]
        except csv.Error:
            return None
    else:
        table = [line.rstrip("\r\n").split(separator) for line in lines if line.strip()]
    if not table:
        return None
    widths = Counter(map(len, table))
    width = len(table[0]) if any(map(known, table[0])) else widths.most_common(1)[0][0]
    if width < 2:
        return None
    names = sum(known(name) for name in table[0])
    alike = widths[width] / len(table)
    if not names and alike < _ALIKE:
        return None
    return _Split(separator, quoted, escape, table, width, (names, alike >= _ALIKE, width, alike))


def _dialect(form: Form, strict: bool = True) -> csv.Dialect:
    dialect = csv.excel()
    dialect.delimiter = form.separator
    dialect.quoting = csv.QUOTE_MINIMAL if form.quoted else csv.QUOTE_NONE
    dialect.doublequote = form.escape == '"'
    dialect.escapechar = None if form.escape == '"' else form.escape
    dialect.strict = strict and form.quoted
    dialect.skipinitialspace = True
    return dialect


def _lines(path: Path, form: Form, shown: Path) -> Iterator[tuple[int, str]]:
    with io.TextIOWrapper(_open(path, form.packed), encoding=form.codec, errors="surrogateescape", newline="") as file:
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


def _object(line: str, number: int, shown: Path) -> dict[str, object]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{shown}, line {number}: must be a JSON object ({brief(error)}). Correct that line.") from None
    if not isinstance(record, dict):
        raise UserError(f"{shown}, line {number}: must be a JSON object. Got {line.strip()[:50]!r}. Correct that line.")
    return record


def _keys(lines: Sequence[str], shown: Path) -> tuple[str, ...]:
    keys: dict[str, None] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            keys |= dict.fromkeys(_object(line, number, shown))
    return tuple(keys)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value).strip()


def _unique(names: Sequence[str], shown: Path) -> tuple[str, ...]:
    """Check the names of the columns. One without a name (the row numbers of pandas) may be there; it is "" then."""
    repeated = [name for name, n in Counter(names).items() if n > 1]
    if repeated:
        raise UserError(
            f"{shown}, line 1: column names must be unique. Got {repeated[0]!r} more than once. Rename one of them."
        )
    return tuple(names)
