"""What a data set must tell the pipeline: where it comes from and how its files are laid out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

# A split of the user's own, for any data set: the name of the fold, and its base and test file beside the other files.
GIVEN = "given"
GIVEN_FILES = ("train.csv", "test.csv")


@dataclass(frozen=True)
class RatingsFile:
    """Text layout of one ratings file: a rating per line, fields between separators.

    `fields` maps user_id, item_id, rating and (where there is one) timestamp to a position in the line, counted from
    the end if negative. `header` is the exact first line without its line end (files end lines with LF or CR LF), or
    None where there is none. `at_least` is for lines whose middle fields may hold the separator themselves: they then
    have `width` fields or more, else exactly `width`.
    """

    name: str
    separator: str
    width: int
    fields: Mapping[str, int]
    header: str | None = None
    at_least: bool = False


@dataclass(frozen=True)
class Entities:
    """Rows that describe items or users, one per id, in the order of their file.

    `table` has the id column (str), for items title (str or None), year (Int64, nullable) and genres (list of str),
    and the columns named by `numeric` (float64, NaN where missing) and `categorical` (str or None where missing).
    `imputed_from` names, for numeric columns whose missing values another one foretells, that other column; the
    entries are applied in their order.
    """

    table: pd.DataFrame
    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    imputed_from: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Source(ABC):
    """One data set. The modules of `widedeep.sources` make them; `widedeep.sources.SOURCES` lists them.

    name: the value of `download.dataset`. files: what must lie in the raw folder, the ratings first, which
    `GIVEN_FILES` may replace; optional_files: what may. rating_scale: lowest and highest rating, None where the user
    must give it. items_complete: whether an item that is rated but not listed by `items` is an error. integer_ids:
    whether ids are integers by the publisher's rules, so that another one is an error.
    """

    name: str
    files: tuple[str, ...]
    optional_files: tuple[str, ...] = ()
    rating_scale: tuple[float, float] | None
    items_complete: bool
    integer_ids: bool = True

    @abstractmethod
    def fetch(self, folder: Path) -> None:
        """Bring the files into `folder` for `download.source: auto`."""

    @abstractmethod
    def ratings(self, raw: Path) -> RatingsFile: ...

    @abstractmethod
    def items(self, raw: Path) -> Entities:
        """The items of the raw folder; no row where no file describes them."""

    def users(self, raw: Path) -> Entities | None:
        """The users of the raw folder; None where no file describes them."""
        return None

    def folds(self) -> Mapping[str, tuple[RatingsFile, RatingsFile]]:
        """The publisher's own splits by name: (base file, test file). Empty where there are none."""
        return {}
