"""Read the files that describe items and users. Each field is checked, and an error names the line."""

import csv
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from unicodedata import category

import pandas as pd

from widedeep.columns import GENRES, ITEM_ID, TITLE, USER_ID, YEAR
from widedeep.errors import UserError
from widedeep.sources.source import Entities

T = TypeVar("T")
Columns = Mapping[str, Sequence[T]]  # by name, one value per row

# Of a range, as in "Lost (2004–2010)", the first year is taken. "(V)" is IMDb's mark of a video.
_YEAR_AT_END = re.compile(
    r"(?P<title>.*\S)\s*\((?P<year>(?:18|19|20)\d\d)(?:[-–](?:\d{4})?)?\s*\)(?:\s*\(V\))?", re.DOTALL
)
ID_RULE = "text that is not empty and has no space or control character at its start or end"
# Latin-1 gives every byte a meaning, so a damaged byte shows only as a control character. Correct UTF-8 may hold them.
_DAMAGE = {"latin-1": re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"), "utf-8": re.compile("\0")}
_NO_GENRE = {"", "(no genres listed)", "unknown"}


@dataclass(frozen=True)
class TextTable:
    """The fields of one text file, not yet converted.

    lines : the line on which each row starts, counted from 1
    columns : text of each row, by name of the column
    """

    path: Path
    lines: list[int]
    columns: dict[str, list[str]]

    def parse(self, column: str, convert: Callable[[str], T], rule: str) -> list[T]:
        """Convert each field of a column by `convert`.

        Raises
        ------
        UserError
            `convert` raised ValueError or KeyError. The message names the file, the line, the value and `rule`, which
            completes "must be ...".
        """
        values = []
        for line, text in zip(self.lines, self.columns[column], strict=True):
            try:
                values.append(convert(text))
            except (ValueError, KeyError):
                raise UserError(
                    f"{self.path}, line {line}: {column} must be {rule}. Got {text!r} instead. Correct that line."
                ) from None
        return values

    def integer_ids(self, column: str) -> list[str]:
        """Read a column of integer ids.

        Raises
        ------
        UserError
            An id is not an integer, or occurs twice.
        """
        return self.unique(column, self.parse(column, lambda text: str(integer(text)), "an integer"))

    def ids(self, column: str) -> list[str]:
        """Read a column of ids that may be any text.

        Raises
        ------
        UserError
            An id is empty, starts or ends with a space or a control character, or occurs twice.
        """
        return self.unique(column, self.parse(column, any_id, f"an id: {ID_RULE}"))

    def unique(self, column: str, ids: list[str]) -> list[str]:
        first: dict[str, int] = {}
        for line, value in zip(self.lines, ids, strict=True):
            if first.setdefault(value, line) != line:
                raise UserError(
                    f"{self.path}, line {line}: {column} must be unique. Got {value}, which line {first[value]} has "
                    "already. Remove one of the two."
                )
        return ids


def read_csv(path: Path, required: Sequence[str]) -> TextTable:
    """Read comma-separated UTF-8 text with a header line. Quoted fields may hold commas and line ends.

    Raises
    ------
    UserError
        The file is missing, empty, not UTF-8 or not valid CSV; the header lacks a column of `required` or repeats a
        name; or a row has more or fewer fields than the header.
    """
    rows = _csv_rows(path)
    _, header = next(rows, (1, []))
    if not header:
        raise UserError(f"{path} is empty: it must start with a header line that names {', '.join(required)}.")
    missing = [name for name in required if name not in header]
    if missing:
        raise UserError(
            f"{path}, line 1: the header must name the column {missing[0]}. Got {','.join(header)!r} instead."
        )
    repeated = [name for name in header if header.count(name) > 1 or not name]
    if repeated:
        raise UserError(f"{path}, line 1: column names must be unique and not empty. Got {repeated[0]!r} instead.")
    return collect(path, rows, header)


def read_plain(path: Path, separator: str, columns: Sequence[str], encoding: str) -> TextTable:
    """Read text without header and without quotes, one row per line. Blank lines are skipped.

    Raises
    ------
    UserError
        The file is missing, empty or not in `encoding`, or a line has more or fewer fields than `columns`.
    """
    lines = (line.rstrip("\r\n") for line in _text(path, encoding))
    rows = ((number, line.split(separator)) for number, line in enumerate(lines, start=1) if line)
    return collect(path, rows, columns)


def _text(path: Path, encoding: str) -> Iterator[str]:
    number = 0
    try:
        with path.open("rb") as file:
            for line in file:
                number += 1
                text = line.decode(encoding)
                if damaged := _DAMAGE[encoding].search(text):
                    raise UserError(
                        f"{path}, line {number}: the text must have no control character. Got {damaged[0]!r} at "
                        f"position {damaged.start()}. Correct that line, or get the file again."
                    )
                # Spreadsheets start a UTF-8 file with a byte-order mark.
                yield text.removeprefix("\ufeff") if number == 1 else text
    except FileNotFoundError:
        raise UserError(f"{path} is missing. Run the download stage again: dvc repro -f download.") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}, line {number}: the text must be {encoding}. Got the bytes "
            f"{line[error.start : error.start + 4]!r} at position {error.start}. Save the file as {encoding}."
        ) from None


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(_text(path, "utf-8"), strict=True)
    start = 1
    try:
        for row in reader:
            if row:
                yield start, row
            start = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path}, line {start}: this row is not valid CSV ({error}). Correct its quotes.") from None


def collect(path: Path, rows: Iterable[tuple[int, list[str]]], columns: Sequence[str]) -> TextTable:
    lines: list[int] = []
    table: list[list[str]] = []
    for line, fields in rows:
        if len(fields) != len(columns):
            raise UserError(
                f"{path}, line {line}: a row must have {len(columns)} fields ({', '.join(columns)}). Got {len(fields)} "
                "instead. Correct that line."
            )
        lines.append(line)
        table.append(fields)
    if not table:
        raise UserError(f"{path} is empty: it must have at least one row of {', '.join(columns)}.")
    return TextTable(
        path, lines, {name: list(column) for name, column in zip(columns, zip(*table, strict=True), strict=True)}
    )


def integer(text: str) -> int:
    """Convert text to an integer that fits into int64. Unlike `int`, refuse "1_000" and " 7" (ValueError)."""
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise ValueError(text)
    return int(text)


def one_of(*known: str) -> Callable[[str], str]:
    """Make a function that returns a text if it is one of `known`, and else raises ValueError."""

    def convert(text: str) -> str:
        if text not in known:
            raise ValueError(text)
        return text

    return convert


def matching(pattern: re.Pattern[str], missing: Iterable[str]) -> Callable[[str], str]:
    """Make a function that returns a text if it is one of `missing` or matches, and else raises ValueError."""

    def convert(text: str) -> str:
        if text not in missing and not pattern.fullmatch(text.strip()):
            raise ValueError(text)
        return text

    return convert


def any_id(text: str) -> str:
    """Return the text if it follows `ID_RULE`, else raise ValueError."""
    if not text or any(character.isspace() or category(character) == "Cc" for character in (text[0], text[-1])):
        raise ValueError(text)
    return text


def number(text: str, missing: Iterable[str] = ("",)) -> float:
    """Convert text to a finite number, or to NaN if it is "nan" or one of `missing`. Else raise ValueError."""
    value = math.nan if text in missing else float(text)
    if math.isinf(value) or "_" in text:
        raise ValueError(text)
    return value


def split_title(text: str) -> tuple[str | None, int | None]:
    """Split a text into title and year: "Toy Story (1995) " gives ("Toy Story", 1995), "Babylon 5" has no year."""
    match = _YEAR_AT_END.fullmatch(text.strip())
    if match:
        return match["title"], int(match["year"])
    return text.strip() or None, None


def split_genres(text: str, separator: str = "|") -> list[str]:
    """Return the names of genres in the order of the text, each once. "(no genres listed)" and "unknown" are none."""
    names = [name.strip() for name in text.split(separator)]
    return [name for name in dict.fromkeys(names) if name not in _NO_GENRE]


def item_entities(
    ids: Sequence[str],
    titles: Sequence[str | None],
    years: Sequence[int | None],
    genres: Sequence[list[str]],
    numeric: Columns[float] | None = None,
    categorical: Columns[str | None] | None = None,
    imputed_from: Mapping[str, str] | None = None,
) -> Entities:
    """Build the table of items. Each argument has one value per item."""
    columns = {
        ITEM_ID: pd.Series(ids, dtype=object),
        TITLE: pd.Series(titles, dtype=object),
        YEAR: pd.Series(years, dtype="Int64"),
        GENRES: pd.Series(genres, dtype=object),
    }
    return _entities(columns, numeric or {}, categorical or {}, imputed_from or {})


def user_entities(ids: Sequence[str], numeric: Columns[float], categorical: Columns[str | None]) -> Entities:
    """Build the table of users. Each argument has one value per user."""
    return _entities({USER_ID: pd.Series(ids, dtype=object)}, numeric, categorical, {})


def _entities(
    columns: Mapping[str, pd.Series],
    numeric: Columns[float],
    categorical: Columns[str | None],
    imputed_from: Mapping[str, str],
) -> Entities:
    more = {name: pd.Series(values, dtype="float64") for name, values in numeric.items()}
    more |= {name: pd.Series(values, dtype=object) for name, values in categorical.items()}
    return Entities(pd.DataFrame({**columns, **more}), tuple(numeric), tuple(categorical), imputed_from)
