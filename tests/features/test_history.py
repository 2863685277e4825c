"""History, compared with loops over the rows. No label reaches the features of its own row."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from widedeep.features.files import FeatureTables
from widedeep.features.history import Lists, Ratings, history, nearby
from widedeep.features.spec import Damping, Kind, history_columns

Featurize = Callable[..., FeatureTables]

DAMPING = Damping(3, 5, 2)
MEAN = 3.0
RECENT = (2, 5)
KINDS: list[Kind] = ["point_in_time", "out_of_fold"]


@pytest.fixture
def rows(ratings: pd.DataFrame) -> pd.DataFrame:
    fold = np.random.default_rng(1).permutation(len(ratings)) % 4
    ratings = ratings.rename(columns={"user_id": "user", "item_id": "item"})
    return ratings.assign(row=np.arange(len(ratings)), fold=fold, split="train")


@pytest.fixture
def genres_of(items: pd.DataFrame) -> dict[int, list[str]]:
    return dict(zip(items["item_id"], items["genres"], strict=True))


def computed(rows: pd.DataFrame, genres_of: dict[int, list[str]], kind: Kind) -> pd.DataFrame:
    """Compute `history` and `nearby` for each of `rows`, by their column row. Rows outside training are not seen."""
    rows = rows.sort_values(["timestamp", "user", "item"])
    code = {genre: place for place, genre in enumerate(sorted({g for names in genres_of.values() for g in names}))}
    names = [genres_of.get(item, []) for item in range(max(genres_of) + 1)]
    genres = Lists(np.cumsum([0, *map(len, names)]), np.array([code[g] for of_item in names for g in of_item], int))
    columns = Ratings(*(rows[name].to_numpy() for name in Ratings._fields))
    training = (rows["split"] == "train").to_numpy()
    seen = training if kind == "out_of_fold" else np.ones_like(training)
    before, residuals = history(columns.part(seen), genres, MEAN, DAMPING, kind, RECENT)
    table = pd.DataFrame(before, index=rows["row"][seen]).reindex(rows["row"])
    if kind == "out_of_fold":
        table = table.assign(**nearby(columns, training, residuals.user, RECENT, DAMPING))
    return table.sort_index().reset_index(drop=True)[list(history_columns(kind, RECENT))]


def moment(row: dict[str, Any]) -> tuple[int, int]:
    return row["timestamp"], row["item"]


def by_hand(rows: pd.DataFrame, genres_of: dict[int, list[str]], kind: Kind) -> pd.DataFrame:
    """The definition in the docstring of `widedeep.features.history`, as loops over Python numbers."""
    table = rows.to_dict("records")

    def visible(row: dict[str, Any], key: str) -> list[dict[str, Any]]:
        others = [other for other in table if other[key] == row[key]]
        if kind == "point_in_time":
            return [other for other in others if other["timestamp"] < row["timestamp"]]
        return [other for other in others if other["fold"] != row["fold"]]

    def recency(row: dict[str, Any], key: str) -> int:
        seconds = [row["timestamp"] - other["timestamp"] for other in visible(row, key)]
        return min(seconds) if seconds and kind == "point_in_time" else -1

    def user_mean(row: dict[str, Any], other: dict[str, Any]) -> float:
        return float(other["user_mean"] if kind == "point_in_time" else row["user_mean"])

    for row in table:
        past = visible(row, "item")
        row["item_count"] = len(past)
        row["item_mean"] = sum(other["rating"] - MEAN for other in past) / (len(past) + 5)
        row["item_recency"] = recency(row, "item")
    for row in table:
        past = visible(row, "user")
        row["user_count"] = len(past)
        row["user_mean"] = sum(other["rating"] - MEAN - other["item_mean"] for other in past) / (len(past) + 3)
        row["user_recency"] = recency(row, "user")
    for row in table:
        past = visible(row, "user")
        counts, means = [], []
        for genre in genres_of[row["item"]]:
            alike = [other for other in past if genre in genres_of[other["item"]]]
            residuals = [other["rating"] - MEAN - other["item_mean"] - user_mean(row, other) for other in alike]
            counts.append(len(alike))
            means.append(sum(residuals) / (len(alike) + 2))
        row["user_genre_count"] = float(np.mean(counts or [0]))
        row["user_genre_mean"] = float(np.mean(means or [0]))
    for row in table if kind == "out_of_fold" else []:
        others = [other for other in table if other["user"] == row["user"] and other is not row]
        before: list[dict[str, Any]] = []
        after: list[dict[str, Any]] = []
        for other in sorted(others, key=moment):
            (before if moment(other) < moment(row) else after).append(other)
        for size in RECENT:
            near = [*before[-size:], *after[:size]]
            residuals = [other["rating"] - MEAN - other["item_mean"] for other in near]
            row[f"user_nearby_{size}_mean"] = sum(residuals) / (len(near) + 3)
    for row in table if kind == "point_in_time" else []:
        past = visible(row, "user")
        seconds = sorted({other["timestamp"] for other in past})
        for size in RECENT:
            last = [other for other in past if other["timestamp"] in seconds[-size:]]
            residuals = [other["rating"] - MEAN - other["item_mean"] for other in last]
            row[f"user_recent_{size}_mean"] = sum(residuals) / (len(last) + 3)
    return pd.DataFrame(table)[list(history_columns(kind, RECENT))]


@pytest.mark.parametrize("kind", KINDS)
def test_history_equals_the_definition(rows: pd.DataFrame, genres_of: dict[int, list[str]], kind: Kind) -> None:
    expected = by_hand(rows, genres_of, kind)
    pd.testing.assert_frame_equal(computed(rows, genres_of, kind), expected, check_dtype=False, rtol=0, atol=1e-4)
    assert (expected["user_genre_count"] > 0).sum() > 100


def test_nearby_ratings_by_hand() -> None:
    # mu = 3 and no other user: all item means are 0, residuals 2, 1, -1, -2 of training rows 0, 1, 3, 4 in time. Row 2,
    # outside training, lies between 1 and 3; rows 3 and 4 are of one second, in the order of the item.
    rows = pd.DataFrame(
        {
            "row": range(5), "user": 1, "item": [1, 2, 3, 4, 5], "rating": [5.0, 4.0, 3.0, 2.0, 1.0],
            "timestamp": [10, 20, 25, 30, 30], "split": ["train", "train", "test", "train", "train"], "fold": range(5),
        }
    )  # fmt: skip
    found = computed(rows, {item: ["A"] for item in range(1, 6)}, "out_of_fold")
    within_2 = [(1 - 1) / 5, (2 - 1 - 2) / 6, (2 + 1 - 1 - 2) / 7, (2 + 1 - 2) / 6, (1 - 1) / 5]
    assert found["user_nearby_2_mean"].tolist() == pytest.approx(within_2, abs=1e-4)
    within_5 = [(1 - 1 - 2) / 6, (2 - 1 - 2) / 6, (2 + 1 - 1 - 2) / 7, (2 + 1 - 2) / 6, (2 + 1 - 1) / 6]
    assert found["user_nearby_5_mean"].tolist() == pytest.approx(within_5, abs=1e-4)
    assert found.loc[2, "user_mean"] != found.loc[2, "user_mean"]  # a row outside training has no other history


def test_where_test_ratings_lie_does_not_matter_to_training_rows(
    rows: pd.DataFrame, genres_of: dict[int, list[str]]
) -> None:
    rows["split"] = np.where(np.arange(len(rows)) % 3, "train", "test")
    training = rows[rows["split"] == "train"]
    with_test = computed(rows, genres_of, "out_of_fold")[(rows["split"] == "train").to_numpy()]
    alone = computed(training, genres_of, "out_of_fold")
    pd.testing.assert_frame_equal(with_test.reset_index(drop=True), alone, check_dtype=False)


def test_history_of_three_ratings_by_hand() -> None:
    # mu = 3. Row 0: nothing before. Row 1, same second: nothing either. Row 2 of user 1, item 2 sees row 0 as the
    # user's (residual 2, item mean 0 then: 2 / (1 + 3)) and row 1 as the item's (residual -2: -2 / (1 + 5)).
    rows = pd.DataFrame(
        {
            "row": [0, 1, 2], "user": [1, 2, 1], "item": [1, 2, 2], "rating": [5.0, 1.0, 4.0],
            "timestamp": [10, 10, 40], "split": "train", "fold": 0,
        }
    )  # fmt: skip
    table = computed(rows, {1: ["A"], 2: ["A", "B"]}, "point_in_time").to_dict("records")
    assert (
        table[0]
        == table[1]
        == dict.fromkeys(history_columns("point_in_time", RECENT), 0) | {"user_recency": -1, "item_recency": -1}
    )
    assert table[2] == pytest.approx(
        {
            "user_count": 1, "user_mean": 0.5, "user_recent_2_mean": 0.5, "user_recent_5_mean": 0.5,
            "user_recency": 30,
            # Genre A: 2 / (1 + 2), for the user mean was 0 at row 0; genre B: none; mean over the two.
            "user_genre_count": 0.5, "user_genre_mean": 1 / 3,
            "item_count": 1, "item_mean": -1 / 3, "item_recency": 30,
        },
        abs=1e-4,
    )  # fmt: skip


@pytest.mark.parametrize("row", range(0, 240, 30))
def test_label_reaches_only_later_seconds(rows: pd.DataFrame, genres_of: dict[int, list[str]], row: int) -> None:
    other = rows.copy()
    other.loc[row, "rating"] = 0.5 if rows["rating"][row] > 2 else 5
    before, after = (computed(table, genres_of, "point_in_time") for table in (rows, other))
    unseen = rows["timestamp"] <= rows["timestamp"][row]
    assert before[unseen].equals(after[unseen])


@pytest.mark.parametrize("row", range(0, 240, 30))
def test_label_never_reaches_its_own_row_out_of_fold(
    rows: pd.DataFrame, genres_of: dict[int, list[str]], row: int
) -> None:
    other = rows.copy()
    other.loc[row, "rating"] = 0.5 if rows["rating"][row] > 2 else 5
    before, after = (computed(table, genres_of, "out_of_fold") for table in (rows, other))
    assert before.loc[row].equals(after.loc[row])
    assert not before.equals(after)


@pytest.mark.parametrize("kind", KINDS)
def test_order_of_the_rows_does_not_matter(rows: pd.DataFrame, genres_of: dict[int, list[str]], kind: Kind) -> None:
    shuffled = rows.sample(frac=1, random_state=0)
    assert computed(rows, genres_of, kind).equals(computed(shuffled, genres_of, kind))


def test_labels_of_test_rows_do_not_reach_any_feature_of_a_random_split(
    featurize: Featurize, ratings: pd.DataFrame
) -> None:
    other = ratings.assign(rating=ratings["rating"].where(ratings["split"] == "train", 0.5))
    first, second = featurize("random"), featurize("random", ratings=other)
    assert first.rows.drop("rating").equals(second.rows.drop("rating"))
    assert first.users.equals(second.users)
    assert first.items.equals(second.items)
    assert first.spec == second.spec


def test_without_damping_nothing_seen_is_still_0(featurize: Featurize) -> None:
    rows = featurize(user_damping=0, item_damping=0, genre_damping=0).rows.to_pandas()
    assert rows.loc[0, ["user_mean", "item_mean", "user_genre_mean"]].tolist() == [0, 0, 0]
    assert rows.filter(regex="count|mean|recency").notna().all(axis=None)
