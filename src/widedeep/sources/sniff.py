"""Find out how a file of rows is laid out. Only its first `SAMPLE` bytes are looked at.

What is found is said (`Form.sentence`), and each guess can be overruled.
"""

import csv
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from widedeep.errors import UserError
from widedeep.reading import read_file
from widedeep.sources.form import PACKED, SEPARATORS, Form, codec_of, dialect_of, json_object, open_bytes

SAMPLE = 2**20
_ALIKE = 0.9  # share of the rows that must have the same number of fields
_DAMAGED = 0.01  # share of the characters of a text that may be 0; such rows are bad
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]*)?([eE][+-]?[0-9]+)?")


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


def _head(path: Path, packed: str | None) -> bytes:
    parts, size = [], 0
    with open_bytes(path, packed) as file:
        while size < SAMPLE and (part := file.read(SAMPLE - size)):
            parts.append(bytes(part))
            size += len(part)
    return b"".join(parts)


def _decode(head: bytes, encoding: str | None, shown: Path) -> tuple[str, str]:
    """Decode the first bytes of a file. Where no encoding is given, it is UTF-8, UTF-16 or Windows-1252."""
    if encoding is None:
        encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else _eight_bit(head)
    try:
        text = head.decode(codec_of(encoding), errors="replace")
    except LookupError:
        raise UserError(f"preprocess.encoding: there is no encoding {encoding!r}.") from None
    if text.count("\0") > len(text) * _DAMAGED:
        raise UserError(
            f"{shown} is not text: it has the byte 0 near {text[: text.index(chr(0))][-20:]!r}. A data set is a text "
            "file (such as .csv), JSON lines or Parquet; .gz, .zst and .bz2 may be around it."
        )
    return text, encoding


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
            table = [row for row in csv.reader(lines, dialect_of(form, strict=False)) if row]
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


def _keys(lines: Sequence[str], shown: Path) -> tuple[str, ...]:
    keys: dict[str, None] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            keys |= dict.fromkeys(json_object(line, number, shown))
    return tuple(keys)


def _unique(names: Sequence[str], shown: Path) -> tuple[str, ...]:
    """Check the names of the columns. One without a name (the row numbers of pandas) may be there; it is "" then."""
    repeated = [name for name, n in Counter(names).items() if n > 1]
    if repeated:
        raise UserError(
            f"{shown}, line 1: column names must be unique. Got {repeated[0]!r} more than once. Rename one of them."
        )
    return tuple(names)
