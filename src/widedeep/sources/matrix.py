"""Recognise a matrix of ratings: a row for each user and a column for each item, or the other way round."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from widedeep.columns import ITEM_ID, RATING, TIMESTAMP, USER_ID
from widedeep.sources.form import MISSING, Form
from widedeep.sources.naming import ITEM_ID_NAMES, NAMES, USER_NAMES, plain
from widedeep.sources.source import TableFile

LEAST, UNNAMED = 5, 10  # fewest columns of ratings, with and without a line that names them
ROWS = 300  # looked at
STEPS = 21  # columns with at most this many different ratings together are on one scale,
WIDE, MOST = 0.25, 0.75  # and so are columns of which this share (MOST) spans this share of the scale (WIDE)
WRONG = 0.01  # share of cells that may hold something else than a number. They are bad rows.
NONE = 99.0  # stands for no rating in the matrices of Jester
_WORDS = {USER_ID: "a user", ITEM_ID: "an item"}

Row = list[float | None]


@dataclass(frozen=True)
class MatrixFile(TableFile):
    """The layout of a matrix.

    fields : positions in the rows that it is turned into: user_id, item_id, rating
    key : position of the column that says whose row it is; None: the number of the row, from 1
    rows_are : user_id or item_id; the columns are the other
    cells : position of each column of ratings, by the id of its item (or user)
    none : the number that stands for no rating, beside missing cells; None: there is none
    """

    fields: Mapping[str, int] = field(default_factory=lambda: {USER_ID: 0, ITEM_ID: 1, RATING: 2})
    key: int | None = None
    rows_are: str = USER_ID
    cells: Mapping[str, int] = field(default_factory=dict)
    none: float | None = None

    @property
    def columns_are(self) -> str:
        return ITEM_ID if self.rows_are == USER_ID else USER_ID

    def column(self, role: str) -> str:
        return self.form.columns[self.key] if self.key is not None and role == self.rows_are else ""

    def sentences(self) -> list[str]:
        """Say how the matrix is read."""
        row, column = _WORDS[self.rows_are], _WORDS[self.columns_are]
        named = "named by its number"
        if self.key is not None:
            name = self.column(self.rows_are) if self.form.header else ""
            named = f"named in {repr(name) if name else f'column {self.key + 1}'}"
        unused = len(self.form.columns) - len(self.cells) - (self.key is not None)
        lines = [
            f"a matrix: each row is {row} ({named}), each of {len(self.cells):,} columns is {column}",
            f"no rating is a missing cell{'' if self.none is None else f' or {self.none:g}'}",
        ]
        return [*lines, "column 1 is not used: it counts the ratings of the row"] if unused else lines


def find_matrix(
    name: str, form: Form, chosen: Mapping[str, str | None], rows: Iterable[list[str]]
) -> MatrixFile | None:
    """Return the layout of a matrix, or None if the file is none.

    A matrix has no column for the item, the rating or the time, and all of its other columns hold numbers on one scale.

    Parameters
    ----------
    chosen : the names of the columns that the user says, by role
    rows : the rows of the file, as text. Only the first are looked at.
    """
    columns = form.columns
    if form.kind == "json" or len(columns) < LEAST or any(chosen[role] for role in (ITEM_ID, RATING, TIMESTAMP)):
        return None
    known = {plain(column): i for i, column in reversed([*enumerate(columns)])}
    if form.header and any(name in known for role in (RATING, TIMESTAMP) for name in NAMES[role][0]):
        return None
    users, items = ([known[name] for name in group if name in known] for group in (USER_NAMES[0], ITEM_ID_NAMES[0]))
    if (said := chosen[USER_ID]) is not None and said in columns:
        users = [columns.index(said)]
    if users and items:
        return None
    table = [row for row in islice(rows, ROWS) if len(row) == len(columns)]
    counted = None
    if users or items:
        key: int | None = (users or items)[0]
    elif columns[0] == "":
        key = 0
    else:
        counted = 0 if _counts_the_rest(table) else None
        key = 0 if counted is None and _is_key([row[0] for row in table]) else None
    places = [i for i in range(len(columns)) if i not in (key, counted)]
    numbers = _numbers([[row[i] for i in places] for row in table])
    if len(places) < (LEAST if form.header else UNNAMED) or not numbers:
        return None
    none = _none(numbers)
    if not _one_scale([[None if value == none else value for value in row] for row in numbers]):
        return None
    ids = [columns[i] for i in places] if form.header else [str(n) for n in range(1, len(places) + 1)]
    rows_are = ITEM_ID if items else USER_ID
    return MatrixFile(name, form, key=key, rows_are=rows_are, cells=dict(zip(ids, places, strict=True)), none=none)


def _numbers(table: Sequence[Sequence[str]]) -> list[Row]:
    """Read the cells as numbers; None if one is missing or wrong. Without numbers, or with many wrong, return []."""
    found, numbers, wrong = [], 0, 0
    for row in table:
        read: Row = []
        for cell in row:
            number = re.fullmatch(r"[+-]?([0-9]+[.,]?[0-9]*|[.,][0-9]+)", cell)
            read.append(float(cell.replace(",", ".")) if number else None)
            numbers, wrong = numbers + (number is not None), wrong + (number is None and cell not in MISSING)
        found.append(read)
    return found if numbers > 0 and wrong <= WRONG * numbers else []


def _none(table: Sequence[Row]) -> float | None:
    """Return the number that stands for no rating: 99 far above all others, or 0 beside a single other number."""
    values = sorted({value for row in table for value in row if value is not None})
    if values[-1] == NONE and len(values) > 1 and values[-2] < NONE / 2:
        return NONE
    return 0.0 if len(values) == 2 and values[0] == 0 else None


def _one_scale(table: Sequence[Row]) -> bool:
    """Whether all columns are on one scale. Columns of a table of other facts, such as age and income, are not."""
    values = {value for row in table for value in row if value is not None}
    if len(values) <= STEPS:
        return True
    scale = max(values) - min(values)
    columns = [[value for value in column if value is not None] for column in zip(*table, strict=True)]
    spans: list[bool] = [max(column) - min(column) >= WIDE * scale for column in columns if len(column) > 1]
    return sum(spans) >= MOST * len(spans)


def _counts_the_rest(table: Sequence[Sequence[str]]) -> bool:
    """Whether the first column counts the ratings of its row, as in the matrices of Jester."""
    rest = _numbers([row[1:] for row in table])
    none = _none(rest) if rest else None
    counts = [sum(value not in (None, none) for value in row) for row in rest]
    return bool(rest) and [row[0].removesuffix(".0") for row in table] == [str(count) for count in counts]


def _is_key(texts: Sequence[str]) -> bool:
    """Whether the values of a column are ids: all different, and whole numbers or text."""
    numbers = _numbers([[text] for text in texts])
    whole = all(value is not None and value.is_integer() for row in numbers for value in row)
    return len(texts) > 1 and len(set(texts)) == len(texts) and whole
