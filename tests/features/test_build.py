"""Vocabularies, encodings, crosses and the choice of history."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from widedeep.errors import UserError
from widedeep.features.files import FeatureTables

Featurize = Callable[..., FeatureTables]


def index_of(tables: FeatureTables, entity: str, column: str) -> dict[int, Any]:
    table = getattr(tables, f"{entity}s").to_pandas()
    return dict(zip(table[f"{entity}_id"].astype(int), table[column], strict=True))


def test_id_without_training_rows_has_index_0(featurize: Featurize, ratings: pd.DataFrame) -> None:
    table = ratings.assign(split=ratings["split"].where(ratings["user_id"] != 4, "test"))
    index = index_of(featurize(ratings=table), "user", "user_index")
    assert index == {1: 1, 2: 2, 3: 3, 4: 0, 5: 4, 6: 5, 7: 6, 8: 7, 9: 8, 10: 9}


def test_value_that_no_training_row_shows_has_index_0(
    featurize: Featurize, ratings: pd.DataFrame, users: pd.DataFrame
) -> None:
    table = ratings.assign(split=ratings["split"].where(ratings["user_id"] != 4, "test"))
    gender = users["gender"].where(users["user_id"] != 4, "X").where(users["user_id"] != 5, None)
    tables = featurize(ratings=table, users=users.assign(gender=gender))
    field = next(field for field in tables.spec.fields if field.name == "gender")
    assert (field.cardinality, field.values) == (3, ("F", "M"))
    assert [index_of(tables, "user", "gender")[user] for user in (1, 2, 4, 5)] == [1, 2, 0, 0]


def test_genre_that_no_training_row_shows_is_left_out(featurize: Featurize, items: pd.DataFrame) -> None:
    # Item 31 is never rated.
    genres = [*items["genres"][:-1], ["Western", "Drama"]]
    tables = featurize(items=items.assign(genres=genres))
    bag = tables.spec.of_kind("bag")[0]
    assert bag.values == ("Action", "Comedy", "Drama", "War")
    assert list(index_of(tables, "item", "genres")[31]) == [3]


def test_year_is_cut_at_quantiles_of_training_items(
    featurize: Featurize, ratings: pd.DataFrame, items: pd.DataFrame
) -> None:
    tables = featurize(buckets=2)
    trained = items["item_id"].isin(ratings.loc[ratings["split"] == "train", "item_id"])
    median = np.nanquantile(items["year"][trained], 0.5, method="higher")
    expected = np.where(items["year"].isna(), 0, np.where(items["year"] < median, 1, 2))
    assert list(index_of(tables, "item", "year").values()) == expected.tolist()
    assert "year" in [field.name for field in tables.spec.of_kind("category")]


def test_year_that_nobody_knows_is_no_field(featurize: Featurize, items: pd.DataFrame) -> None:
    assert "year" not in [field.name for field in featurize(items=items.assign(year=np.nan)).spec.fields]


def test_number_in_a_cross_is_cut_into_buckets(featurize: Featurize, items: pd.DataFrame, users: pd.DataFrame) -> None:
    tables = featurize(users=users.assign(age=[0.1 * i for i in range(10)]), crosses=(("age", "genres"),))
    assert tables.spec.crosses[0].fields == ("age_bucket", "genres")
    assert list(index_of(tables, "user", "age_bucket").values()) == list(range(1, 11))
    assert featurize(crosses=()).spec.crosses == ()


def test_missing_year_is_in_no_bucket(featurize: Featurize) -> None:
    assert index_of(featurize(), "item", "year")[1] == 0


def test_cross_is_exact_up_to_the_buckets_and_hashed_above(featurize: Featurize) -> None:
    # (10 users + unseen) * (4 genres + unseen) = 55 combinations.
    exact, hashed = (featurize(hash_buckets=buckets).spec.crosses[0] for buckets in (55, 54))
    assert (exact.cardinality, exact.hashed) == (56, False)
    assert (hashed.cardinality, hashed.hashed) == (55, True)


def test_cross_on_a_field_that_other_data_sets_have_is_left_out(featurize: Featurize) -> None:
    spec = featurize(crosses=(("country", "genres"), ("gender", "genres"))).spec
    assert spec.crosses_left_out == (("country", "genres"),)
    assert [cross.fields for cross in spec.crosses] == [("gender", "genres")]


def test_cross_on_an_unknown_field_names_the_nearest(featurize: Featurize) -> None:
    with pytest.raises(UserError, match=r"\['gendre', 'item_id'\] names the unknown field 'gendre'. Did you mean"):
        featurize(crosses=(("gendre", "item_id"),))


def test_cross_on_a_misspelt_number_names_it(featurize: Featurize, users: pd.DataFrame) -> None:
    with pytest.raises(UserError, match=r"unknown field 'incme'\. Did you mean 'income'\?"):
        featurize(users=users.assign(income=range(10)), crosses=(("incme", "genres"),))


def test_cross_on_a_field_like_no_other_lists_the_known(featurize: Featurize) -> None:
    with pytest.raises(UserError, match="Known: user_id, gender, item_id, year, genres, age, occupation"):
        featurize(crosses=(("zzzz", "genres"),))


@pytest.mark.parametrize("name", ["age", "user_count", "item_index", "history_last"])
def test_two_features_of_one_name_are_refused(
    featurize: Featurize, users: pd.DataFrame, items: pd.DataFrame, name: str
) -> None:
    with pytest.raises(UserError, match=f"column name '{name}' must not be that of another feature.* Rename"):
        featurize(users=users.assign(**{name: 1.0}), items=items.assign(**{name: 1.0}))


@pytest.mark.parametrize(
    ("split", "kind", "online"),
    [
        ("temporal", "point_in_time", True),
        ("leave_last_out", "point_in_time", False),
        ("random", "out_of_fold", False),
        ("predefined", "out_of_fold", False),
    ],
)
def test_history_fits_the_split(featurize: Featurize, split: str, kind: str, online: bool) -> None:
    tables = featurize(split)
    assert (tables.spec.history, tables.spec.online) == (kind, online)
    names = [field.name for field in tables.spec.of_kind("history")]
    assert ("user_recency" in names) == (kind == "point_in_time")
    rows = tables.rows.to_pandas()
    assert rows.loc[rows["split"] == "train", "user_count"].notna().all()
    assert rows.loc[rows["split"] == "test", "user_count"].notna().all() == online


def test_without_timestamps_there_is_no_recency(featurize: Featurize, ratings: pd.DataFrame) -> None:
    table = ratings.assign(timestamp=pd.Series([None] * len(ratings), dtype="Int64"))
    tables = featurize("random", ratings=table)
    assert [field.name for field in tables.spec.of_kind("history") if "recency" in field.name] == []
    assert set(index_of(tables, "item", "history_last").values()) == {-1}


def test_mean_is_that_of_the_training_ratings(featurize: Featurize, ratings: pd.DataFrame) -> None:
    assert featurize().spec.mean == pytest.approx(ratings.loc[ratings["split"] == "train", "rating"].mean())


def test_rows_point_to_their_user_and_item(featurize: Featurize, ratings: pd.DataFrame) -> None:
    tables = featurize()
    assert tables.users["user_id"].take(tables.rows["user"]).to_pylist() == ratings["user_id"].map(str).tolist()
    assert tables.items["item_id"].take(tables.rows["item"]).to_pylist() == ratings["item_id"].map(str).tolist()
