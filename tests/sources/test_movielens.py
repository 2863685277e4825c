import re
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from widedeep.errors import UserError
from widedeep.sources import SOURCES, movielens
from widedeep.sources.source import RatingsFile

GENRES = ("unknown", "Action", "Drama")


def row(table: pd.DataFrame, key: str, value: str) -> dict[str, object]:
    found: dict[str, object] = table[table[key] == value].iloc[0].to_dict()
    return found


@pytest.fixture
def ml_100k(tmp_path: Path) -> Path:
    (tmp_path / "u.genre").write_text("".join(f"{name}|{i}\n" for i, name in enumerate(GENRES)) + "\n")
    (tmp_path / "u.item").write_bytes(
        b"2|unknown||||1|0|0\n1|Caf\xe9 au lait, Le (1994) |01-Jan-1995||http://x|0|1|1\n"
    )
    (tmp_path / "u.user").write_text("2|53|F|other|94043\n1|24|M|technician|85711\n")
    return tmp_path


def test_ml_100k_items_and_users(ml_100k: Path) -> None:
    source = SOURCES["ml-100k"]
    items = source.items(ml_100k).table
    assert items["item_id"].tolist() == ["2", "1"]
    assert items["title"].tolist() == [None, "Café au lait, Le"]
    assert items["year"].tolist() == [pd.NA, 1994]
    assert items["genres"].tolist() == [[], ["Action", "Drama"]]
    users = source.users(ml_100k)
    assert users is not None
    assert users.numeric == ("age",)
    assert users.categorical == ("gender", "occupation")
    assert row(users.table, "user_id", "2") == {"user_id": "2", "age": 53.0, "gender": "F", "occupation": "other"}


def test_ml_100k_genre_flag_must_be_0_or_1(ml_100k: Path) -> None:
    (ml_100k / "u.item").write_text("1|A (1994)||||0|2|0\n")
    with pytest.raises(UserError, match=r"u\.item, line 1: Action must be 0 or 1. Got '2'"):
        SOURCES["ml-100k"].items(ml_100k)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("u.genre", "unknown|0\nActipn|1\nDrama|2\n", "u.genre, line 2: genre must be unknown or a genre of MovieLens"),
        ("u.genre", "unknown|0\nDrama|2\nAction|1\n", "u.genre, line 2: position must be the number of the line"),
        ("u.genre", "unknown|0\nDrama|1\nDrama|2\n", "u.genre must list unknown, then each genre once"),
        ("u.genre", "unknown|0\nDrama|1\nAction|2\n", "in alphabetical order. Got unknown, Drama, Action instead"),
        ("u.item", b"1|A\x9d (1994)||||0|1|0\n", "u.item, line 1: the text must have no control character"),
        ("u.user", "1|-4|M|technician|1\n", "u.user, line 1: age must be a number of years up to 150. Got '-4'"),
        ("u.user", "1|nan|M|technician|1\n", "line 1: age must be"),
        ("u.user", "1|24|N|technician|1\n", "u.user, line 1: gender must be one of F, M. Got 'N'"),
        ("u.user", "1|24|M|technicjan|1\n", "u.user, line 1: occupation must be one of administrator,"),
    ],
)
def test_ml_100k_damage_to_a_file_is_told(ml_100k: Path, name: str, text: str | bytes, told: str) -> None:
    (ml_100k / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=re.escape(told)):
        (SOURCES["ml-100k"].users if name == "u.user" else SOURCES["ml-100k"].items)(ml_100k)


@pytest.mark.parametrize("genres", ["Dramb", "Drama||War", "Drama|Drama", "", " Drama", "(no genres listed"])
def test_genres_must_be_those_of_movielens(tmp_path: Path, genres: str) -> None:
    (tmp_path / "movies.csv").write_text(f"movieId,title,genres\n1,A (1994),{genres}\n")
    with pytest.raises(UserError, match=r"movies\.csv, line 2: genres must be genres of MovieLens"):
        SOURCES["ml-latest"].items(tmp_path)


def test_ml_100k_folds() -> None:
    folds = SOURCES["ml-100k"].folds()
    assert list(folds) == ["u1", "u2", "u3", "u4", "u5", "ua", "ub"]
    fields = {"user_id": 0, "item_id": 1, "rating": 2, "timestamp": 3}
    assert folds["ua"] == (RatingsFile("ua.base", "\t", 4, fields), RatingsFile("ua.test", "\t", 4, fields))


def test_ml_1m_codes_become_labels(tmp_path: Path) -> None:
    (tmp_path / "users.dat").write_text("1::F::1::10::48067\n2::M::56::0::70072\n")
    users = SOURCES["ml-1m"].users(tmp_path)
    assert users is not None
    assert users.table.to_dict("list") == {
        "user_id": ["1", "2"],
        "gender": ["F", "M"],
        "age": ["Under 18", "56+"],
        "occupation": ["K-12 student", "other"],
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1::F::2::10::48067", "line 1: age must be one of 1, 18, 25, 35, 45, 50, 56. Got '2'"),
        ("1::X::1::10::48067", "line 1: gender must be F or M. Got 'X'"),
        ("1::F::1::21::48067", "line 1: occupation must be a code from 0 to 20. Got '21'"),
        ("1::F::1::10", "line 1: a row must have 5 fields"),
    ],
)
def test_ml_1m_bad_user(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "users.dat").write_text(line + "\n")
    with pytest.raises(UserError, match=message):
        SOURCES["ml-1m"].users(tmp_path)


def test_encodings_differ_between_releases(tmp_path: Path) -> None:
    (tmp_path / "movies.dat").write_bytes("1::Misérables, Les (1995)::Drama\n".encode("latin-1"))
    assert SOURCES["ml-1m"].items(tmp_path).table["title"].tolist() == ["Misérables, Les"]
    with pytest.raises(UserError, match=r"movies\.dat, line 1: the text must be utf-8"):
        SOURCES["ml-10m"].items(tmp_path)


def test_csv_release(tmp_path: Path) -> None:
    (tmp_path / "movies.csv").write_text(
        'movieId,title,genres\r\n11,"American President, The (1995)",Comedy|Drama\r\n9,Moonlight,(no genres listed)\r\n'
    )
    items = SOURCES["ml-32m"].items(tmp_path).table
    assert items["item_id"].tolist() == ["11", "9"]
    assert items["title"].tolist() == ["American President, The", "Moonlight"]
    assert items["genres"].tolist() == [["Comedy", "Drama"], []]
    assert SOURCES["ml-32m"].users(tmp_path) is None


def test_rating_scales() -> None:
    half = ("movielens-small", "ml-10m", "ml-20m", "ml-25m", "ml-32m", "ml-latest", "ml-latest-small")
    assert {SOURCES[name].rating_scale for name in half} == {(0.5, 5.0)}
    assert {SOURCES[name].rating_scale for name in ("ml-100k", "ml-1m")} == {(1.0, 5.0)}


@pytest.mark.parametrize("text", ["MD5 (x.zip) = {}\n", "{}  x.zip\n"])
def test_published_md5_in_both_styles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    md5 = "0e33842e24a9c977be4e0107933c0723"
    (tmp_path / "x").write_text(text.format(md5))
    asked: list[str] = []

    def download(url: str, checksum: str | None) -> Path:
        asked.append(url)
        return tmp_path / "x"

    monkeypatch.setattr(movielens, "download", download)
    assert movielens.published_md5("https://host/x.zip") == md5
    assert asked == ["https://host/x.zip.md5"]


def test_published_md5_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_text("<html>moved</html>")
    monkeypatch.setattr(movielens, "download", lambda *_: tmp_path / "x")
    with pytest.raises(UserError, match=r"x\.zip\.md5 must hold an md5 checksum. Got '<html>moved</html>'"):
        movielens.published_md5("https://host/x.zip")


def test_auto_asks_for_the_published_zip_and_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive, out = tmp_path / "a.zip", tmp_path / "out"
    out.mkdir()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("ml-25m/ratings.csv", "x")
        zipped.writestr("ml-25m/movies.csv", "y")
    asked: list[tuple[str, str | None]] = []

    def download(url: str, checksum: str | None) -> Path:
        asked.append((url, checksum))
        return archive

    monkeypatch.setattr(movielens, "download", download)
    SOURCES["ml-25m"].fetch(out)
    url = "https://files.grouplens.org/datasets/movielens/ml-25m.zip"
    assert asked == [(url, "md5:6b51fb2759a8657d3bfcbfc42b592ada")]
    assert (out / "movies.csv").read_text() == "y"


@pytest.fixture(scope="session")
def unpacked(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("movielens")
    for name in ("ml-100k", "ml-1m", "ml-latest-small"):
        with zipfile.ZipFile(shared_data / f"{name}.zip") as zipped:
            members = [member for member in zipped.namelist() if not member.endswith(("ratings.dat", "ratings.csv"))]
            zipped.extractall(folder, members)
    return folder


@pytest.mark.parametrize(
    ("name", "n_items", "n_users", "n_genres", "without_year"),
    [("ml-100k", 1682, 943, 18, 1), ("ml-1m", 3883, 6040, 18, 0), ("ml-latest-small", 9742, 0, 19, 12)],
)
def test_real_files(unpacked: Path, name: str, n_items: int, n_users: int, n_genres: int, without_year: int) -> None:
    items = SOURCES[name].items(unpacked / name).table
    users = SOURCES[name].users(unpacked / name)
    assert len(items) == n_items
    assert (0 if users is None else len(users.table)) == n_users
    assert items["genres"].explode().nunique() == n_genres
    assert items["year"].isna().sum() == without_year
    assert row(items, "item_id", "1")["title"] == "Toy Story"


def test_real_titles_without_a_plain_year(unpacked: Path) -> None:
    old = SOURCES["ml-100k"].items(unpacked / "ml-100k").table
    assert row(old, "item_id", "267")["title"] is None
    assert row(old, "item_id", "1412")["title"] == "Land Before Time III: The Time of the Great Giving"
    new = SOURCES["ml-latest-small"].items(unpacked / "ml-latest-small").table.set_index("title")["year"]
    assert new["Death Note: Desu nôto"] == 2006
    assert pd.isna(new["Babylon 5"])
