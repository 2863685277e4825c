import csv
import math
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from widedeep.errors import UserError
from widedeep.sources import SOURCES, myanimelist
from widedeep.sources.myanimelist import SLUG, first_year, minutes
from widedeep.sources.source import RatingsFile

MAL = SOURCES["myanimelist-2023"]
BEBOP = {
    "anime_id": "5",
    "Name": "Cowboy Bebop, the Movie",
    "Score": "8.38",
    "Genres": "Action, Slice of Life",
    "Synopsis": "One.\n\nTwo, three.",
    "Type": "Movie",
    "Episodes": "1.0",
    "Aired": "Sep 1, 2001",
    "Premiered": "UNKNOWN",
    "Status": "Finished Airing",
    "Source": "Original",
    "Duration": "1 hr 55 min",
    "Rating": "R - 17+",
    "Rank": "189.0",
    "Popularity": "602",
    "Favorites": "1448",
    "Scored By": "206248.0",
    "Members": "360978",
}
UNKNOWN = dict.fromkeys(BEBOP, "UNKNOWN") | {"anime_id": "1", "Name": "Kaiba", "Premiered": "spring 2008"}


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_items(tmp_path: Path) -> None:
    write(tmp_path / "anime-dataset-2023.csv", [BEBOP, UNKNOWN])
    items = MAL.items(tmp_path)
    assert items.numeric == (
        "score", "episodes", "rank", "popularity", "favorites", "scored_by", "members", "duration"
    )  # fmt: skip
    assert items.categorical == ("type", "source", "age_rating", "status")
    bebop, unknown = items.table.to_dict("records")
    assert bebop == {
        "item_id": "5",
        "title": "Cowboy Bebop, the Movie",
        "year": 2001,
        "genres": ["Action", "Slice of Life"],
        "score": 8.38,
        "episodes": 1.0,
        "rank": 189.0,
        "popularity": 602.0,
        "favorites": 1448.0,
        "scored_by": 206248.0,
        "members": 360978.0,
        "duration": 115.0,
        "type": "Movie",
        "source": "Original",
        "age_rating": "R - 17+",
        "status": "Finished Airing",
    }
    assert unknown["year"] == 2008
    assert unknown["genres"] == []
    assert all(math.isnan(unknown[name]) for name in items.numeric)
    assert all(unknown[name] is None for name in items.categorical)


@pytest.mark.parametrize(
    ("column", "value"),
    [("Premiered", "sprjng 1998"), ("Aired", "Apr 3, 1#98"), ("Duration", "24 mjn per ep"), ("Rank", "-1")],
)
def test_damage_to_a_field_is_told(tmp_path: Path, column: str, value: str) -> None:
    write(tmp_path / "anime-dataset-2023.csv", [BEBOP | {column: value}])
    with pytest.raises(UserError, match=f"anime-dataset-2023.csv, line 2: {column} must be .* Got '{value}'"):
        MAL.items(tmp_path)


def test_bad_number_names_line_and_value(tmp_path: Path) -> None:
    write(tmp_path / "anime-dataset-2023.csv", [BEBOP, UNKNOWN | {"Score": "good"}])
    with pytest.raises(UserError, match=r"line 5: Score must be a number of at least 0, or UNKNOWN. Got 'good'"):
        MAL.items(tmp_path)


def test_users_are_optional(tmp_path: Path) -> None:
    assert MAL.users(tmp_path) is None


def test_users_without_what_contains_the_ratings(tmp_path: Path) -> None:
    first = {
        "Mal ID": "4",
        "Username": "a",
        "Gender": "Male",
        "Birthday": "1985-03-04T00:00:00+00:00",
        "Location": "Lisbon, Portugal",
        "Joined": "2004-11-05T00:00:00+00:00",
        "Mean Score": "7.4",
        "Completed": "100.0",
    }
    second = dict.fromkeys(first, "") | {"Mal ID": "1", "Location": "California"}
    write(tmp_path / "users-details-2023.csv", [first, second])
    users = MAL.users(tmp_path)
    assert users is not None
    assert users.numeric == ("birth_year", "joined_year")
    assert users.categorical == ("gender", "country")
    assert list(users.table) == ["user_id", "birth_year", "joined_year", "gender", "country"]
    assert users.table.iloc[0].tolist() == ["4", 1985.0, 2004.0, "Male", "Portugal"]
    assert users.table.iloc[1]["gender"] is None
    assert users.table.iloc[1]["country"] == "California"
    assert math.isnan(users.table.iloc[1]["birth_year"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("spring 1998", 1998),
        ("Apr 3, 1998 to Apr 24, 1999", 1998),
        ("Jul 1999 to Aug 5, 2000", 1999),
        ("2001", 2001),
        ("Not available", None),
    ],
)
def test_first_year(text: str, expected: int | None) -> None:
    assert first_year(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("24 min per ep", 24), ("1 hr 55 min", 115), ("2 hr", 120), ("30 sec per ep", 0.5), ("1 hr 2 min per ep", 62)],
)
def test_minutes(text: str, expected: float) -> None:
    assert minutes(text) == expected


def test_minutes_unknown() -> None:
    assert math.isnan(minutes("Unknown"))
    assert math.isnan(minutes(""))


def fake_kaggle(monkeypatch: pytest.MonkeyPatch, has_token: bool) -> None:
    """Stands for the client, which cannot be used without a token."""

    class KaggleApi:
        def authenticate(self) -> None:
            if not has_token:
                sys.exit(1)

        def dataset_download_files(self, dataset: str, path: str) -> None:
            assert dataset == SLUG
            Path(path).mkdir(exist_ok=True)
            with zipfile.ZipFile(Path(path) / "myanimelist-dataset.zip", "w") as zipped:
                for name in (*MAL.files, "final_animedataset.csv"):
                    zipped.writestr(name, "x")

    module = ModuleType("kaggle.api.kaggle_api_extended")
    module.__dict__["KaggleApi"] = KaggleApi
    for name in ("kaggle", "kaggle.api"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_kaggle_archive_gives_the_needed_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_kaggle(monkeypatch, has_token=True)
    monkeypatch.setattr(myanimelist, "CACHE", tmp_path / "cache")
    MAL.fetch(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted(MAL.files)


def test_without_client_or_token_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand = r"put users-score-2023\.csv, anime-dataset-2023\.csv .* in a folder and set download\.source"
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "kaggle", None)
        with pytest.raises(UserError, match=rf"pip install 'widedeep\[kaggle\]'.*{by_hand}"):
            MAL.fetch(tmp_path)
    fake_kaggle(monkeypatch, has_token=False)
    with pytest.raises(UserError, match=rf"asks for a token.*set KAGGLE_API_TOKEN.*{by_hand}"):
        MAL.fetch(tmp_path)


def test_real_sample(shared_data: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(shared_data / "myanimelist-2023-sample.zip") as zipped:
        zipped.extractall(tmp_path)
    raw = tmp_path / "myanimelist-2023-sample"
    items = MAL.items(raw).table
    assert len(items) == 24_901
    assert items["genres"].explode().nunique() == 21
    assert items["score"].notna().sum() == 15_688

    (layout,) = MAL.ratings(raw)
    assert isinstance(layout, RatingsFile)
    lines = (raw / layout.name).read_text(encoding="utf-8").splitlines()
    assert lines[0] == layout.header
    rated = pd.Series([line.split(",")[layout.fields["item_id"]] for line in lines[1:]])
    assert (~rated.isin(items["item_id"])).sum() == 74
    assert not MAL.items_complete
    assert {line.split(",")[layout.fields["rating"]] for line in lines[1:]} <= {str(score) for score in range(1, 11)}
