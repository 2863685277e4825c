"""The layout of a file of rows: text with any separator and quotes, JSON lines or Parquet; packed or not."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import pyarrow as pa

from widedeep.errors import UserError
from widedeep.reading import brief

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
        """The encoding as Python names it."""
        return codec_of(self.encoding)

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


def open_bytes(path: Path, packed: str | None) -> IO[bytes]:
    """Open a file for reading, and unpack it if it is packed."""
    return pa.input_stream(str(path), compression=packed) if packed else path.open("rb")


def codec_of(encoding: str) -> str:
    """Return an encoding as Python names it. UTF-8 may start with a byte-order mark, which is no text."""
    return "utf-8-sig" if encoding == "utf-8" else encoding


def dialect_of(form: Form, strict: bool = True) -> csv.Dialect:
    """Return how Python's csv module reads a text file. If strict, quotes in the wrong place are an error."""
    dialect = csv.excel()
    dialect.delimiter = form.separator
    dialect.quoting = csv.QUOTE_MINIMAL if form.quoted else csv.QUOTE_NONE
    dialect.doublequote = form.escape == '"'
    dialect.escapechar = None if form.escape == '"' else form.escape
    dialect.strict = strict and form.quoted
    dialect.skipinitialspace = True
    return dialect


def json_object(line: str, number: int, shown: Path) -> dict[str, object]:
    """Read a line of JSON.

    Raises
    ------
    UserError
        It is no object. The message names file and line.
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{shown}, line {number}: must be a JSON object ({brief(error)}). Correct that line.") from None
    if not isinstance(record, dict):
        raise UserError(f"{shown}, line {number}: must be a JSON object. Got {line.strip()[:50]!r}. Correct that line.")
    return record
