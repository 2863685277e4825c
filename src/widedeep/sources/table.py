"""The data set `csv`: your own data, as UTF-8 text with a header line in each file. An id may be any text.

ratings.csv        user_id,item_id,rating or user_id,item_id,rating,timestamp (seconds since 1970, UTC)
items.csv          optional: item_id,title, then year, genres (joined by "|") and any other columns
users.csv          optional: user_id and any other columns

Instead of ratings.csv there may be train.csv and test.csv, both with its header (see `given_fold`).

Another column is numeric if each of its values is a number or empty, else categorical. An empty value is missing. A
column without any value is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from widedeep.columns import GENRES, ITEM, ITEM_ID, RATING, SPLIT, TIMESTAMP, TITLE, USER, USER_ID, YEAR
from widedeep.errors import UserError
from widedeep.sources.entities import (
    TextTable,
    integer,
    item_entities,
    number,
    read_csv,
    split_genres,
    user_entities,
)
from widedeep.sources.source import GIVEN, GIVEN_FILES, MAX_GIB, Entities, RatingsFile, Source

_FIELDS = (USER_ID, ITEM_ID, RATING, TIMESTAMP)
_RESERVED = (*_FIELDS, USER, ITEM, SPLIT, TITLE, YEAR, GENRES)


@dataclass(frozen=True, kw_only=True)
class CsvTables(Source):
    def fetch(self, folder: Path, max_gib: float = MAX_GIB) -> None:
        raise UserError(
            f"the dataset {self.name} is your own, so download.source must say where it is: a folder, a zip or a URL "
            f"of a zip with {', '.join(self.files)} (or {' and '.join(GIVEN_FILES)}) and optionally "
            f"{', '.join(self.optional_files)}. Got 'auto' instead."
        )

    def ratings(self, raw: Path) -> RatingsFile:
        return _layout(raw / "ratings.csv")

    def items(self, raw: Path) -> Entities:
        path = raw / "items.csv"
        if not path.exists():
            return item_entities([], [], [], [])
        table = read_csv(path, (ITEM_ID, TITLE))
        numeric, categorical = _further(table, known=(ITEM_ID, TITLE, YEAR, GENRES))
        ids = table.ids(ITEM_ID)
        nothing = [""] * len(ids)
        years = table.parse(YEAR, _year, "a whole number or empty") if YEAR in table.columns else [None] * len(ids)
        return item_entities(
            ids,
            [title.strip() or None for title in table.columns[TITLE]],
            years,
            [split_genres(text) for text in table.columns.get(GENRES, nothing)],
            numeric,
            categorical,
        )

    def users(self, raw: Path) -> Entities | None:
        path = raw / "users.csv"
        if not path.exists():
            return None
        table = read_csv(path, (USER_ID,))
        return user_entities(table.ids(USER_ID), *_further(table, known=(USER_ID,)))


def given_fold(raw: Path) -> tuple[RatingsFile, RatingsFile]:
    """Return the layouts of train.csv and test.csv in a raw folder: a split that the user gives.

    Both are expected to have the header of train.csv.

    Raises
    ------
    UserError
        One of them is missing, or train.csv has another header than ratings.csv may have.
    """
    for name in GIVEN_FILES:
        if not (raw / name).exists():
            raise UserError(
                f"{raw / name} is missing: preprocess.fold: {GIVEN} takes {' and '.join(GIVEN_FILES)}. Put both beside "
                "the other files of the data set in the folder or zip that download.source names."
            )
    train, test = GIVEN_FILES
    layout = _layout(raw / train)
    return layout, replace(layout, name=test)


def _layout(path: Path) -> RatingsFile:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        header = file.readline().rstrip("\r\n")
    layouts = [_FIELDS[:3], _FIELDS]
    for names in layouts:
        if header == ",".join(names):
            return RatingsFile(path.name, ",", len(names), {n: i for i, n in enumerate(names)}, header)
    rule = " or ".join(",".join(names) for names in layouts)
    raise UserError(f"{path}, line 1: the header must be {rule}. Got {header[:200]!r} instead.")


def _further(table: TextTable, known: Sequence[str]) -> tuple[dict[str, list[float]], dict[str, list[str | None]]]:
    """Read the columns other than `known`: the numeric and the categorical ones."""
    numeric, categorical = {}, {}
    for name, texts in table.columns.items():
        if name in known:
            continue
        if name in _RESERVED:
            raise UserError(f"{table.path}, line 1: the column name {name} has another meaning here. Rename it.")
        if not any(texts):
            continue
        try:
            numeric[name] = [number(text) for text in texts]
        except ValueError:
            categorical[name] = [text or None for text in texts]
    return numeric, categorical


def _year(text: str) -> int | None:
    # Spreadsheets and pandas write 1995.0 if another row has no year.
    return integer(text.removesuffix(".0")) if text else None


CSV = CsvTables(
    name="csv",
    files=("ratings.csv",),
    optional_files=("items.csv", "users.csv"),
    rating_scale=None,
    terms="Data of the user's own. Whoever ran the pipeline knows their terms.",
    items_complete=True,
    integer_ids=False,
)
