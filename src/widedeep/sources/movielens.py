"""MovieLens by GroupLens (https://grouplens.org/datasets/movielens/), in its three file layouts.

Each download is checked against an md5. The fixed releases have theirs in this file. `ml-latest` and `ml-latest-small`
change, so their md5 is read from the publisher's `<zip>.md5`.

Reference: F. M. Harper and J. A. Konstan, The MovieLens Datasets: History and Context, ACM TiiS 5(4), 2015.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from widedeep.columns import ITEM_ID, RATING, TIMESTAMP, USER_ID
from widedeep.errors import UserError
from widedeep.sources.archives import unpack_zip
from widedeep.sources.entities import (
    TextTable,
    integer,
    item_entities,
    one_of,
    read_csv,
    read_plain,
    split_genres,
    split_title,
    user_entities,
)
from widedeep.sources.fetch import download
from widedeep.sources.source import MAX_GIB, Entities, Layout, RatingsFile, Source

WHOLE_STARS = (1.0, 5.0)
HALF_STARS = (0.5, 5.0)
TERMS = (
    "MovieLens ratings of GroupLens, University of Minnesota. They are for research; the README of each release says "
    "whether they may be redistributed. Cite Harper and Konstan, *The MovieLens Datasets: History and Context*, ACM "
    "TiiS 5(4), 2015 ([doi:10.1145/2827872](https://doi.org/10.1145/2827872))."
)

_FIELDS = {USER_ID: 0, ITEM_ID: 1, RATING: 2, TIMESTAMP: 3}
_FOLDS = ("u1", "u2", "u3", "u4", "u5", "ua", "ub")

# The values in u.user of ml-100k, and the genres of all releases.
_JOBS = (
    "administrator", "artist", "doctor", "educator", "engineer", "entertainment", "executive", "healthcare",
    "homemaker", "lawyer", "librarian", "marketing", "none", "other", "programmer", "retired", "salesman",
    "scientist", "student", "technician", "writer",
)  # fmt: skip
_GENRES = (
    "Action", "Adventure", "Animation", "Children", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "IMAX", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_NO_GENRE = "(no genres listed)"
_GENDERS = ("F", "M")
_AGE = range(151)
# The codes of users.dat, from the README of ml-1m.
_AGES = {"1": "Under 18", "18": "18-24", "25": "25-34", "35": "35-44", "45": "45-49", "50": "50-55", "56": "56+"}
_OCCUPATIONS = (
    "other", "academic/educator", "artist", "clerical/admin", "college/grad student", "customer service",
    "doctor/health care", "executive/managerial", "farmer", "homemaker", "K-12 student", "lawyer", "programmer",
    "retired", "sales/marketing", "scientist", "self-employed", "technician/engineer", "tradesman/craftsman",
    "unemployed", "writer",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MovieLens(Source):
    """A release of MovieLens. `md5` is None if the publisher changes the zip from time to time."""

    md5: str | None = None
    terms: str = TERMS
    items_complete: bool = True

    def fetch(self, folder: Path, max_gib: float = MAX_GIB) -> None:
        url = f"https://files.grouplens.org/datasets/movielens/{self.name}.zip"
        unpack_zip(download(url, f"md5:{self.md5 or published_md5(url)}"), self, folder, max_gib)


def published_md5(url: str) -> str:
    """Read the md5 of a zip from `<url>.md5`.

    Raises
    ------
    UserError
        That file cannot be downloaded or holds no md5.
    """
    text = download(f"{url}.md5", None).read_text(encoding="ascii", errors="replace")
    match = re.search(r"\b[0-9a-fA-F]{32}\b", text)
    if match is None:
        raise UserError(f"{url}.md5 must hold an md5 checksum. Got {text[:80]!r} instead. Try again later.")
    return match[0].lower()


class MovieLens100K(MovieLens):
    """The layout of ml-100k: u.data, u.item, u.user and u.genre, and the publisher's folds u1..u5, ua and ub."""

    def ratings(self, raw: Path) -> list[Layout]:
        return [_tab_separated("u.data")]

    def folds(self) -> Mapping[str, tuple[RatingsFile, RatingsFile]]:
        return {fold: (_tab_separated(f"{fold}.base"), _tab_separated(f"{fold}.test")) for fold in _FOLDS}

    def items(self, raw: Path) -> Entities:
        genres = _listed_genres(raw / "u.genre")
        columns = (ITEM_ID, "title", "release_date", "video_release_date", "url", *genres)
        table = read_plain(raw / "u.item", "|", columns, "latin-1")
        flags = zip(
            *(table.parse(genre, {"0": False, "1": True}.__getitem__, "0 or 1") for genre in genres), strict=True
        )
        # Movie 267 has no title; the file calls it "unknown".
        titles = ["" if title == "unknown" else title for title in table.columns["title"]]
        names = [[g for g, flag in zip(genres, row, strict=True) if flag and g != "unknown"] for row in flags]
        return _items(table, ITEM_ID, titles, names)

    def users(self, raw: Path) -> Entities:
        table = read_plain(raw / "u.user", "|", (USER_ID, "age", "gender", "occupation", "zip"), "latin-1")
        age = table.parse("age", lambda text: float(_AGE[_AGE.index(integer(text))]), "a number of years up to 150")
        categorical = {
            name: table.parse(name, one_of(*known), f"one of {', '.join(known)}")
            for name, known in (("gender", _GENDERS), ("occupation", _JOBS))
        }
        return user_entities(table.integer_ids(USER_ID), {"age": age}, categorical)


def _listed_genres(path: Path) -> list[str]:
    """Read u.genre, which names the columns of u.item. A wrong order would give every item wrong genres."""
    table = read_plain(path, "|", ("genre", "position"), "latin-1")
    genres = table.parse("genre", one_of("unknown", *_GENRES), "unknown or a genre of MovieLens")
    positions = iter(range(len(genres)))
    table.parse("position", lambda text: one_of(str(next(positions)))(text), "the number of the line, counted from 0")
    if genres != ["unknown", *sorted(set(genres) - {"unknown"})]:
        raise UserError(
            f"{path} must list unknown, then each genre once in alphabetical order. Got {', '.join(genres)} instead. "
            "Get the file again."
        )
    return genres


@dataclass(frozen=True, kw_only=True)
class MovieLensDat(MovieLens):
    """The layout of ml-1m and ml-10m: ratings.dat and movies.dat with `::` between fields. ml-1m also has users.dat."""

    encoding: str

    def ratings(self, raw: Path) -> list[Layout]:
        return [RatingsFile("ratings.dat", "::", 4, _FIELDS)]

    def items(self, raw: Path) -> Entities:
        table = read_plain(raw / "movies.dat", "::", (ITEM_ID, "title", "genres"), self.encoding)
        return _items(table, ITEM_ID, table.columns["title"], _genres(table))

    def users(self, raw: Path) -> Entities | None:
        if "users.dat" not in self.files:
            return None
        table = read_plain(raw / "users.dat", "::", (USER_ID, "gender", "age", "occupation", "zip"), self.encoding)
        gender = table.parse("gender", one_of(*_GENDERS), "F or M")
        age = table.parse("age", _AGES.__getitem__, f"one of {', '.join(_AGES)}")
        occupations = dict(enumerate(_OCCUPATIONS))
        occupation = table.parse("occupation", lambda code: occupations[integer(code)], "a code from 0 to 20")
        return user_entities(table.integer_ids(USER_ID), {}, {"gender": gender, "age": age, "occupation": occupation})


class MovieLensCsv(MovieLens):
    """The layout of all releases since ml-20m: ratings.csv and movies.csv with header lines."""

    def ratings(self, raw: Path) -> list[Layout]:
        return [RatingsFile("ratings.csv", ",", 4, _FIELDS, header="userId,movieId,rating,timestamp")]

    def items(self, raw: Path) -> Entities:
        table = read_csv(raw / "movies.csv", ("movieId", "title", "genres"))
        return _items(table, "movieId", table.columns["title"], _genres(table))


def _tab_separated(name: str) -> RatingsFile:
    return RatingsFile(name, "\t", 4, _FIELDS)


def _genres(table: TextTable) -> list[list[str]]:
    def convert(text: str) -> list[str]:
        names = split_genres(text)
        if text != _NO_GENRE and not (names and text == "|".join(names) and set(names) <= set(_GENRES)):
            raise ValueError(text)
        return names

    return table.parse("genres", convert, f"genres of MovieLens, each once, between |, or {_NO_GENRE}")


def _items(table: TextTable, id_column: str, titles: list[str], genres: list[list[str]]) -> Entities:
    split = [split_title(title) for title in titles]
    return item_entities(
        table.integer_ids(id_column), [title for title, _ in split], [year for _, year in split], genres
    )


def _csv_release(name: str, md5: str | None) -> MovieLensCsv:
    files = ("ratings.csv", "movies.csv")
    return MovieLensCsv(name=name, files=files, items_files=files[1:], rating_scale=HALF_STARS, md5=md5)


RELEASES: tuple[Source, ...] = (
    MovieLens100K(
        name="ml-100k",
        files=("u.data", "u.item", "u.user", "u.genre"),
        items_files=("u.item", "u.genre"),
        users_files=("u.user",),
        optional_files=tuple(f"{fold}.{part}" for fold in _FOLDS for part in ("base", "test")),
        rating_scale=WHOLE_STARS,
        md5="0e33842e24a9c977be4e0107933c0723",
    ),
    MovieLensDat(
        name="ml-1m",
        files=("ratings.dat", "movies.dat", "users.dat"),
        items_files=("movies.dat",),
        users_files=("users.dat",),
        rating_scale=WHOLE_STARS,
        md5="c4d9eecfca2ab87c1945afe126590906",
        encoding="latin-1",
    ),
    MovieLensDat(
        name="ml-10m",
        files=("ratings.dat", "movies.dat"),
        items_files=("movies.dat",),
        rating_scale=HALF_STARS,
        md5="ce571fd55effeba0271552578f2648bd",
        encoding="utf-8",
    ),
    _csv_release("ml-20m", "cd245b17a1ae2cc31bb14903e1204af3"),
    _csv_release("ml-25m", "6b51fb2759a8657d3bfcbfc42b592ada"),
    _csv_release("ml-32m", "d472be332d4daa821edc399621853b57"),
    _csv_release("ml-latest", None),
    _csv_release("ml-latest-small", None),
)
