"""The names by which own files, and the columns in them, are known.

Where names leave a doubt, an error lists the choices.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from widedeep.columns import GENRES, ITEM_ID, RATING, TIMESTAMP, TITLE, USER_ID, YEAR
from widedeep.errors import UserError
from widedeep.reading import made_by, read_mapping, refuse
from widedeep.sources.form import PACKED, Form
from widedeep.sources.source import DATASET_FILE, GIVEN_FILES

RATINGS, ITEMS, USERS = "ratings", "items", "users"
ROLES = (RATINGS, ITEMS, USERS)
FORMATS = (".csv", ".tsv", ".txt", ".dat", ".data", ".json", ".jsonl", ".ndjson", ".parquet")

# Names of files, without suffix and in small letters. A name with more around it (BX-Book-Ratings) counts by its end.
_FILES = {
    RATINGS: ("ratings", "rating", "interactions", "events", "reviews", "review", "plays", "clicks", "purchases"),
    ITEMS: ("items", "item", "movies", "movie", "books", "book", "artists", "products", "games", "tracks", "songs"),
    USERS: ("users", "user", "customers", "members"),
}
# Names of columns, without anything but letters and digits, in small letters. The first group that has one counts.
USER_NAMES = (
    ("userid", "user", "uid", "userno", "reviewerid", "customerid", "customer", "memberid", "accountid", "visitorid"),
    ("username", "reviewername", "profilename"),
)
ITEM_ID_NAMES = (
    (
        *("itemid", "item", "iid", "movieid", "movie", "filmid", "film", "bookid", "isbn", "asin", "productid"),
        *("product", "artistid", "artist", "trackid", "track", "songid", "song", "gameid", "animeid", "showid", "sku"),
        *("articleid", "businessid", "videoid", "courseid", "recipeid", "jokeid"),
    ),
    ("parentasin", "title", "name"),
)
_RATING = (("rating", "ratings", "score", "stars", "overall", "bookrating", "userrating", "reviewscore", "grade"),)
COUNTS = (  # names of columns that say how often a user had an item
    *("plays", "playcount", "listencount", "weight", "count", "clicks", "views", "quantity", "purchases"),
    *("totalplays", "nplays", "numplays", "hours", "strength"),
)
_TIMESTAMP = (
    (
        *("timestamp", "time", "unixreviewtime", "datetime", "date", "ts", "ratedat", "createdat", "reviewdate"),
        *("eventtime", "ratingtimestamp", "datadate", "ratingdate"),
    ),
)
NAMES = {USER_ID: USER_NAMES, ITEM_ID: ITEM_ID_NAMES, RATING: _RATING, TIMESTAMP: _TIMESTAMP}
KEYS = {USER_ID: "user", ITEM_ID: "item", RATING: "rating", TIMESTAMP: "timestamp"}  # in preprocess.columns
_TITLES = (("title", "movietitle", "booktitle"), ("name", "originaltitle", "artistname", "productname"))
_YEARS = (("year", "releaseyear", "yearofpublication", "publicationyear"), ("originalpublicationyear",))
_GENRES = (("genres", "genre"), ("categories", "category"))
ITEM_NAMES = {TITLE: _TITLES, YEAR: _YEARS, GENRES: _GENRES}


def find_roles(names: Iterable[str], chosen: Mapping[str, str | None], place: str) -> dict[str, list[str]]:
    """Tell which of some files hold the ratings, the items and the users, by their names.

    Parameters
    ----------
    names : the names of the files in a folder
    chosen : for a role, the name of its file, where the user says it; None: find it
    place : what an error calls the folder

    Returns
    -------
    the names of the files by role. Several files of ratings are parts, whose names differ in digits only

    Raises
    ------
    UserError
        A chosen file does not exist. Or no file, or more than one, may be the ratings, the items or the users.
    """
    files = sorted(filter(is_rows, names))
    found: dict[str, list[str]] = {}
    for role in ROLES:
        name = chosen.get(role)
        if name is not None:
            if name not in files:
                listed = ", ".join(files) or "none"
                raise UserError(f"download.files.{role}: {place} has no file {name!r}. It has: {listed}.")
            found[role] = [name]
    taken = {name for some in found.values() for name in some}
    for role in ROLES:
        if role in found:
            continue
        left = [name for name in files if name not in taken]
        exact = [name for name in left if _stem(name) in _FILES[role]]
        near = exact or [name for name in left if _part_of(name, _FILES[role])]
        if role == RATINGS and not near:
            others = (*_FILES[ITEMS], *_FILES[USERS])
            rest = [name for name in left if _stem(name) not in others]
            if all(name in rest for name in GIVEN_FILES):
                near = list(GIVEN_FILES)
            elif rest and _parts(rest):  # one file of any name, or parts of one
                near = rest
        if len(near) > 1 and not (role == RATINGS and (_parts(near) or near == list(GIVEN_FILES))):
            raise UserError(
                f"{place}: {', '.join(near)} may each be the file of {role}. Set download.files.{role} in "
                "params.yaml to the right one."
            )
        if near:
            found[role] = near
            taken |= set(near)
    if RATINGS not in found:
        raise UserError(
            f"{place}: no file has the name of a file of ratings (such as ratings.csv). "
            f"Found {', '.join(files) or 'no file of rows'}. Set download.files.ratings in params.yaml to the right "
            "one, or check download.source."
        )
    return found


def is_rows(name: str) -> bool:
    """Whether a file of this name may hold rows of ratings, items or users."""
    return _stem(name) is not None and not name.startswith((".", "_")) and name != DATASET_FILE


def roles(raw: Path) -> dict[str, list[str]]:
    """Return the files of ratings, items and users in a raw folder, as the stage download has found them.

    Raises
    ------
    UserError
        dataset.json is damaged.
    """
    path = raw / DATASET_FILE
    found = read_mapping(path, made_by("download")).get("roles") if path.exists() else None
    if found is None:  # the stage download has not written this folder
        return find_roles((path.name for path in raw.iterdir()), {}, str(raw))
    wrong = not isinstance(found, dict) or RATINGS not in found
    if wrong or not all(role in ROLES and names and _are_texts(names) for role, names in found.items()):
        fact = f"must name the files of {', '.join(ROLES)}. Got {str(found)[:100]!r} instead"
        refuse(path, fact, made_by("download"))
    return {role: list(names) for role, names in found.items()}


def _are_texts(names: object) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)


def _stem(name: str) -> str | None:
    """Return the name of a file without suffixes, in small letters; None if it is no file of rows."""
    path = PurePosixPath(name.lower())
    if path.suffix in PACKED:
        path = path.with_suffix("")
    if path.stem.startswith(("readme", "license", "dataset_info")):
        return None
    return path.stem if path.suffix in FORMATS else None


def _part_of(name: str, words: Sequence[str]) -> bool:
    stem = re.sub(r"[-_. ]*[0-9]+$", "", _stem(name) or "")
    return re.split(r"[-_. ]", stem)[-1] in words or stem in words


def _parts(names: Sequence[str]) -> bool:
    """Whether the names differ in digits only."""
    return len({re.sub(r"[0-9]+", "0", name) for name in names}) == 1


def known_name(name: str) -> bool:
    return any(plain(name) in group for groups in NAMES.values() for group in groups[:1])


def plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def named_columns(columns: Sequence[str], names: Mapping[str, Sequence[Sequence[str]]]) -> dict[str, int]:
    """Find the column of each role: the first that has a name of the first group that occurs."""
    found: dict[str, int] = {}
    for role, groups in names.items():
        exact = [i for i, column in enumerate(columns) if column == role]
        hits = exact or next((hits for group in groups if (hits := _hits(columns, group, found))), [])
        if hits:
            found[role] = hits[0]
    return found


def rating_columns(form: Form, chosen: Mapping[str, str | None], path: Path, explicit: bool) -> dict[str, int]:
    """Find the columns of user, item, rating and timestamp.

    explicit : whether there must be ratings. If not, a count may stand in for them, or there may be neither.
    """
    columns = form.columns
    for role, name in chosen.items():
        if name is not None and name not in columns:
            raise UserError(
                f"preprocess.columns.{KEYS[role]}: {path} has no column {name!r}. It has: "
                f"{', '.join(column or '(no name)' for column in columns)}."
            )
    found: dict[str, int] = {role: columns.index(name) for role, name in chosen.items() if name is not None}
    if not form.header and not found:
        if len(columns) in (3, 4) or (len(columns) == 2 and not explicit):
            return {role: i for i, role in enumerate(list(NAMES)[: len(columns)])}
        raise UserError(
            f"{path}, line 1: no line names the columns, and there are {len(columns)} of them. Write the names into "
            "the first line (user_id, item_id, rating, timestamp), or set preprocess.columns to their numbers "
            "({user: '1', item: '2', rating: '3', timestamp: '4'})."
        )
    for role, groups in (NAMES if explicit else NAMES | {RATING: (*_RATING, COUNTS)}).items():
        if role in found:
            continue
        exact = [i for i, column in enumerate(columns) if column == role]
        hits = exact or next((hits for group in groups if (hits := _hits(columns, group, found))), [])
        if len(hits) > 1:
            either = " or ".join(repr(columns[i]) for i in hits)
            raise UserError(
                f"{path}, line 1: the {KEYS[role]} may stand in {either}. Set preprocess.columns.{KEYS[role]} in "
                "params.yaml to the right one."
            )
        if hits:
            found[role] = hits[0]
    for role in (USER_ID, ITEM_ID, *([RATING] if explicit else [])):
        if role not in found:
            known = ", ".join(name for group in NAMES[role][:1] for name in group[:6])
            raise UserError(
                f"{path}, line 1: no column has a known name for the {KEYS[role]} ({known}, ...). Got the columns "
                f"{', '.join(column or '(no name)' for column in columns)} instead. Set preprocess.columns."
                f"{KEYS[role]} in params.yaml to the right one."
            )
    return found


def _hits(columns: Sequence[str], group: Sequence[str], found: Mapping[str, int]) -> list[int]:
    return [i for i, column in enumerate(columns) if plain(column) in group and i not in found.values()]
