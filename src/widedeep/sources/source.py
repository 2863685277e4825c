"""The description of a data set: where its files come from, and what their layout is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from widedeep.sources.form import Form

MAX_GIB = 8.0  # what a zip may unpack to, where no parameter says it

DATASET_FILE = "dataset.json"  # in the raw folder, beside the files

# A user may give a split of their own for any data set: the name of this fold, and its two files in the raw folder.
GIVEN = "given"
GIVEN_FILES = ("train.csv", "test.csv")


@dataclass(frozen=True)
class RatingsFile:
    """The layout of one text file of ratings, with one rating per line. Lines end with LF or CR LF.

    name : name of the file
    separator : text between two fields
    width : number of fields in a line
    fields : position of user_id, item_id, rating and, if there is one, timestamp; a negative position counts from the
        end of the line
    header : the exact first line without its line end; None if the file has no header
    at_least : whether a line may have more than `width` fields, because a field in the middle may hold the separator
    """

    name: str
    separator: str
    width: int
    fields: Mapping[str, int]
    header: str | None = None
    at_least: bool = False


@dataclass(frozen=True)
class TableFile:
    """The layout of one file of ratings of the user's own, with one rating per row.

    name : name of the file
    form : how its rows are laid out
    fields : position of user_id, item_id, rating and, if there is one, timestamp, among the columns of `form`
    """

    name: str
    form: Form
    fields: Mapping[str, int]

    def column(self, role: str) -> str:
        """Return the name of the column of user_id, item_id, rating or timestamp; "" without such a column."""
        return self.form.columns[self.fields[role]] if role in self.fields else ""


Layout = RatingsFile | TableFile


@dataclass(frozen=True)
class Entities:
    """Descriptions of items or users, one row per id, in the order of the file.

    table : the id column (str); for items also title (str or None), year (Int64, nullable) and genres (list of str);
        then the columns named in `numeric` and `categorical`
    numeric : names of columns of float64, NaN if missing
    categorical : names of columns of str, None if missing
    imputed_from : numeric columns whose missing values are estimated from another column, and the name of that column;
        applied in this order
    understood : sentences on how the file was understood, where that had to be found out
    """

    table: pd.DataFrame
    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    imputed_from: Mapping[str, str] = field(default_factory=dict)
    understood: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Source(ABC):
    """One data set. `widedeep.sources.SOURCES` lists all of them.

    name : the value of `download.dataset`
    files : names of the files that the publisher has; the first holds the ratings, and `GIVEN_FILES` may replace it
    items_files, users_files : those of `files` that describe items and users. A user may leave them out.
    optional_files : names of the files that the raw folder may have
    rating_scale : lowest and highest rating; None if the user must give it
    items_complete : whether each rated item must be listed in `items`
    integer_ids : whether each id must be an integer
    terms : whose data these are and what may be done with them, in one or two sentences of Markdown
    """

    name: str
    files: tuple[str, ...]
    items_files: tuple[str, ...] = ()
    users_files: tuple[str, ...] = ()
    optional_files: tuple[str, ...] = ()
    rating_scale: tuple[float, float] | None
    items_complete: bool
    integer_ids: bool = True
    terms: str

    @abstractmethod
    def fetch(self, folder: Path, max_gib: float = MAX_GIB) -> None:
        """Get the files from the publisher and put them into `folder` (for `download.source: auto`).

        A zip may unpack to at most `max_gib` GiB.
        """

    @abstractmethod
    def ratings(self, raw: Path) -> list[Layout]:
        """Return the layout of each file of ratings in the raw folder."""

    @abstractmethod
    def items(self, raw: Path) -> Entities:
        """Read the items in the raw folder. Without a file of items the result has no row."""

    def users(self, raw: Path) -> Entities | None:
        """Read the users in the raw folder. Without a file of users the result is None."""
        return None

    def folds(self) -> Mapping[str, tuple[RatingsFile, RatingsFile]]:
        """Return the publisher's own splits by name, as (training file, test file). There may be none."""
        return {}
