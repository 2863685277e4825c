"""MyAnimeList 2023: the Kaggle data set dbdmobile/myanimelist-dataset, 24 million ratings of anime from 1 to 10.

Warning: score, rank, popularity and counts of an anime are totals over all of MyAnimeList up to 2023. So they contain
information about the ratings in a test set.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import requests

from widedeep.columns import ITEM_ID, RATING, USER_ID
from widedeep.errors import UserError
from widedeep.sources.archives import unpack_zip
from widedeep.sources.entities import (
    integer,
    item_entities,
    matching,
    number,
    one_of,
    read_csv,
    split_genres,
    user_entities,
)
from widedeep.sources.fetch import CACHE
from widedeep.sources.source import MAX_GIB, Entities, Layout, RatingsFile, Source

SLUG = "dbdmobile/myanimelist-dataset"

_MISSING = ("", "UNKNOWN", "Unknown")
_NUMERIC = ("Score", "Episodes", "Rank", "Popularity", "Favorites", "Scored By", "Members")
_CATEGORICAL = {"type": "Type", "source": "Source", "age_rating": "Rating", "status": "Status"}
_PREMIERED = re.compile(r"(?:spring|summer|fall|winter) [0-9]{4}", re.IGNORECASE)
_DAY = r"(?:[A-Z][a-z]{2} )?(?:[0-9]{1,2}, )?[0-9]{4}"
_AIRED = re.compile(rf"{_DAY}(?: to (?:{_DAY}|\?))?")
_DATE = re.compile(r"[0-9]{4}(?:-[0-9]{2}-[0-9]{2}.*)?")
_DURATION = re.compile(r"(?:(\d+) hr\.?)? ?(?:(\d+) min\.?)? ?(?:(\d+) sec\.?)?(?: per ep\.?)?")


@dataclass(frozen=True, kw_only=True)
class MyAnimeList(Source):
    def fetch(self, folder: Path, max_gib: float = MAX_GIB) -> None:
        unpack_zip(_from_kaggle(self), self, folder, max_gib)

    def ratings(self, raw: Path) -> list[Layout]:
        # The title, which is the fourth field, may hold commas.
        layout = RatingsFile(
            "users-score-2023.csv",
            ",",
            5,
            {USER_ID: 0, ITEM_ID: 2, RATING: -1},
            header="user_id,Username,anime_id,Anime Title,rating",
            at_least=True,
        )
        return [layout]

    def items(self, raw: Path) -> Entities:
        required = ("anime_id", "Name", "Genres", "Premiered", "Aired", "Duration", *_NUMERIC, *_CATEGORICAL.values())
        table = read_csv(raw / "anime-dataset-2023.csv", required)
        text = table.columns
        for column, pattern, rule in (
            ("Premiered", _PREMIERED, 'a season and a year, such as "spring 1998"'),
            ("Aired", _AIRED, 'dates such as "Apr 3, 1998 to Apr 24, 1999"'),
            ("Duration", _DURATION, 'a length such as "24 min per ep"'),
        ):
            table.parse(column, matching(pattern, (*_MISSING, "Not available")), f"{rule}, or UNKNOWN")
        numeric = {_snake(name): table.parse(name, _amount, "a number of at least 0, or UNKNOWN") for name in _NUMERIC}
        numeric["duration"] = [minutes(value) for value in text["Duration"]]
        categorical = {name: [_or_none(value) for value in text[column]] for name, column in _CATEGORICAL.items()}
        dates = zip(text["Premiered"], text["Aired"], strict=True)
        return item_entities(
            table.integer_ids("anime_id"),
            [name.strip() or None for name in text["Name"]],
            [first_year(premiered) or first_year(aired) for premiered, aired in dates],
            [split_genres("" if value in _MISSING else value, ", ") for value in text["Genres"]],
            numeric,
            categorical,
            imputed_from={"rank": "popularity"},
        )

    def users(self, raw: Path) -> Entities | None:
        path = raw / "users-details-2023.csv"
        if not path.exists():
            return None
        table = read_csv(path, ("Mal ID", "Gender", "Birthday", "Location", "Joined"))
        # Mean Score and the counts of watched anime are left out: they are computed from test ratings, too.
        for column in ("Birthday", "Joined"):
            table.parse(column, matching(_DATE, _MISSING), "a date such as 1985-03-04, or empty")
        table.parse("Gender", one_of("Male", "Female", "Non-Binary", *_MISSING), "Male, Female, Non-Binary or empty")
        numeric = {
            "birth_year": [_year_or_nan(value) for value in table.columns["Birthday"]],
            "joined_year": [_year_or_nan(value) for value in table.columns["Joined"]],
        }
        categorical = {
            "gender": [_or_none(value) for value in table.columns["Gender"]],
            "country": [_or_none(value.rpartition(",")[2].strip()) for value in table.columns["Location"]],
        }
        return user_entities(table.integer_ids("Mal ID"), numeric, categorical)


def first_year(text: str) -> int | None:
    """Find the first number of four digits: 1998 in "spring 1998" and in "Apr 3, 1998 to Apr 24, 1999"."""
    match = re.search(r"\b[0-9]{4}\b", text)
    return integer(match[0]) if match else None


def minutes(text: str) -> float:
    """Convert a length to minutes: "1 hr 55 min" is 115, "24 min per ep" is 24, an unknown length is NaN."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        return math.nan
    hours, whole, seconds = (int(part or 0) for part in match.groups())
    return hours * 60 + whole + seconds / 60


def _amount(text: str) -> float:
    value = number(text, _MISSING)
    if value < 0:
        raise ValueError(text)
    return value


def _year_or_nan(text: str) -> float:
    year = first_year(text[:4])
    return math.nan if year is None else float(year)


def _or_none(text: str) -> str | None:
    return None if text in _MISSING else text


def _snake(name: str) -> str:
    return name.lower().replace(" ", "_")


def _from_kaggle(source: Source) -> Path:
    """Download the zip with Kaggle's client into the user's cache, and return its path."""
    what_to_do = (
        "Make a token at https://www.kaggle.com/settings/api and set KAGGLE_API_TOKEN, or KAGGLE_USERNAME and "
        f"KAGGLE_KEY, or keep kaggle.json in ~/.kaggle. Or download https://www.kaggle.com/datasets/{SLUG} by hand, "
        f"put {', '.join(source.files)} (and optionally {', '.join(source.optional_files)}) in a folder and set "
        "download.source in params.yaml to that folder."
    )
    try:
        from kaggle.api.kaggle_api_extended import KaggleApi
    except ImportError:
        raise UserError(
            f"{source.name} is on Kaggle, and Kaggle's client is not installed: pip install 'widedeep[kaggle]'. "
            f"{what_to_do}"
        ) from None
    client = KaggleApi()
    try:
        client.authenticate()
        client.dataset_download_files(SLUG, path=str(CACHE))
    except SystemExit:  # the client exits if it finds no token
        raise UserError(f"{source.name} is on Kaggle, which asks for a token. {what_to_do}") from None
    except (requests.RequestException, ValueError) as error:
        raise UserError(f"cannot download {SLUG} from Kaggle: {error}. {what_to_do}") from None
    return Path(CACHE) / f"{SLUG.partition('/')[2]}.zip"


MYANIMELIST_2023 = MyAnimeList(
    name="myanimelist-2023",
    files=("users-score-2023.csv", "anime-dataset-2023.csv"),
    items_files=("anime-dataset-2023.csv",),
    optional_files=("users-details-2023.csv",),
    rating_scale=(1.0, 10.0),
    terms="Ratings and descriptions from MyAnimeList, published on "
    "[Kaggle](https://www.kaggle.com/datasets/dbdmobile/myanimelist-dataset) under the terms given there.",
    items_complete=False,  # some rated anime have been removed from MyAnimeList
)
