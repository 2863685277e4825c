"""Make ratings of any number that look like those of MovieLens, in the layout of ml-latest."""

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

GENRES = (
    "Action", "Adventure", "Animation", "Children", "Comedy", "Crime", "Documentary", "Drama", "Fantasy", "Horror",
    "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
FIRST, LAST = 852_076_800, 1_735_689_600  # 1997 to 2025
SESSION = 20  # seconds between two ratings of a session
FACTORS = 8


def sizes(rows: int) -> tuple[int, int]:
    """Return the numbers of users and items that MovieLens would have: 140 thousand and 27 thousand at 20 million."""
    return max(rows // 143, 20), max(round(27_000 * (rows / 20e6) ** 0.5), 50)


def write_ratings(folder: Path, rows: int, users: int, items: int, seed: int = 0) -> None:
    """Write ratings.csv and movies.csv.

    Users and items have long tails, ratings are half stars that depend on user, item and the match of both, and half
    of a user's ratings fall into the first session. No pair occurs twice.

    Parameters
    ----------
    folder : an existing folder
    rows : number of ratings; at most half of users * items
    users, items : their numbers

    Raises
    ------
    ValueError
        There are more rows than the pairs allow.
    """
    if rows > users * items // 2:
        raise ValueError(f"{rows} ratings are more than half of the pairs of {users} users and {items} items")
    rng = np.random.default_rng(seed)
    user, item = _pairs(rng, rows, users, items)
    rating, time = _ratings(rng, user, item, users, items), _times(rng, user, users)
    ratings = pa.table({"userId": user + 1, "movieId": item + 1, "rating": rating, "timestamp": time})
    kinds = [rng.choice(GENRES, size=rng.integers(1, 4), replace=False) for _ in range(items)]
    movies = pa.table(
        {
            "movieId": np.arange(1, items + 1),
            "title": [f"Film {number} ({1930 + number * 37 % 95})" for number in range(1, items + 1)],
            "genres": ["|".join(sorted(names)) for names in kinds],
        }
    )
    with duckdb.connect() as con:
        for name, table in (("ratings", ratings), ("movies", movies)):
            con.register(name, table)
            con.execute(f"COPY {name} TO '{folder / name}.csv' (HEADER)")


def _pairs(rng: np.random.Generator, rows: int, users: int, items: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw pairs of user and item, each once, sorted by user."""
    activity = rng.lognormal(0, 1.2, users).cumsum()
    popularity = ((np.arange(items) + items / 90) ** -2.0).cumsum()
    keys = np.empty(0, dtype=np.int64)
    while len(keys) < rows:
        more = int(1.3 * (rows - len(keys))) + 100
        user = np.searchsorted(activity, rng.random(more) * activity[-1])
        item = np.searchsorted(popularity, rng.random(more) * popularity[-1])
        keys = np.unique(np.append(keys, user * items + item))
    keys = np.sort(rng.choice(keys, rows, replace=False))
    return keys // items, keys % items


def _ratings(
    rng: np.random.Generator, user: NDArray[np.int64], item: NDArray[np.int64], users: int, items: int
) -> NDArray[np.float32]:
    of_user, of_item = (rng.normal(0, FACTORS**-0.25 * 0.7, (n, FACTORS)).astype(np.float32) for n in (users, items))
    rating = np.empty(len(user), dtype=np.float32)
    bias_of_user, bias_of_item = rng.normal(0, 0.4, users), rng.normal(0, 0.5, items)
    for start in range(0, len(user), 2**20):
        part = slice(start, start + 2**20)
        match = (of_user[user[part]] * of_item[item[part]]).sum(1)
        rating[part] = 3.5 + bias_of_user[user[part]] + bias_of_item[item[part]] + match
        rating[part] += rng.normal(0, 0.7, len(match))
    return (np.round(2 * rating).clip(1, 10) / 2).astype(np.float32)


def _times(rng: np.random.Generator, user: NDArray[np.int64], users: int) -> NDArray[np.int64]:
    start = rng.integers(FIRST, LAST, users)
    first_session = rng.random(len(user)) < 0.5
    place = np.arange(len(user)) - np.searchsorted(user, user)
    later = rng.exponential(200 * 24 * 3600, len(user)).astype(np.int64)
    return np.minimum(start[user] + np.where(first_session, place * SESSION, later), LAST)
