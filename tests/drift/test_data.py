"""Data drift of the small data set: compared with pandas, with planted shifts, and with little data."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from widedeep.drift.data import COLUMNS, DataDrift, data_drift, describe
from widedeep.drift.distribution import population_stability_index
from widedeep.features.files import FeatureTables

Featurize = Callable[..., FeatureTables]


@pytest.fixture
def tables(featurize: Featurize, rated: pd.DataFrame, users: pd.DataFrame, items: pd.DataFrame) -> FeatureTables:
    """Make features in which user 4 and item 5 are not in training. Users have an age, items a length."""
    return featurize(
        ratings=rated, users=users.assign(age=np.arange(10.0)), items=items.assign(length=1.0 * items.index)
    )


def drift_of(tables: FeatureTables, rows: pa.Table | None = None, windows: Any = 5) -> DataDrift:
    return data_drift(tables if rows is None else replace(tables, rows=rows), windows)


def with_column(rows: pa.Table, name: str, values: Any) -> pa.Table:
    place = rows.schema.get_field_index(name)
    return rows.set_column(place, rows.schema.field(place), pa.array(values, rows.schema.field(place).type))


def psi_of(train: pd.Series, others: pd.Series) -> float:
    values = sorted(set(train) | set(others))
    counts = [series.value_counts().reindex(values, fill_value=0) for series in (others, train)]
    return population_stability_index(*counts)


def untimed(featurize: Featurize, ratings: pd.DataFrame) -> FeatureTables:
    return featurize("random", ratings=ratings.assign(timestamp=pd.array([None] * len(ratings), "Int64")))


def test_every_feature_but_the_ids_is_compared_in_every_window(tables: FeatureTables) -> None:
    drift = drift_of(tables)
    names = [field.name for field in tables.spec.fields if field.name not in ("user_id", "item_id")]
    assert {"gender", "age", "length", "genres", "year", "user_count", "item_recency"} <= set(names)
    assert drift.features.columns.tolist() == COLUMNS
    assert drift.features["feature"].drop_duplicates().tolist() == ["rating", *names]
    assert len(drift.features) == (len(names) + 1) * 5
    assert set(drift.metrics["feature_psi"]) == set(names)
    assert drift.features.notna().all(axis=None)


def test_distribution_is_over_ratings(tables: FeatureTables, rated: pd.DataFrame, users: pd.DataFrame) -> None:
    merged = rated.merge(users, on="user_id")
    training = merged["split"] == "train"
    expected = psi_of(merged.loc[training, "gender"], merged.loc[~training, "gender"])
    drift = drift_of(tables)
    assert drift.metrics["feature_psi"]["gender"] == pytest.approx(expected, abs=1e-6)
    label = psi_of(merged.loc[training, "rating"], merged.loc[~training, "rating"])
    assert drift.metrics["rating_psi"] == pytest.approx(label, abs=1e-6)


def test_genres_count_by_occurrence_and_none_is_a_value_too(
    tables: FeatureTables, rated: pd.DataFrame, items: pd.DataFrame
) -> None:
    genres = rated.merge(items, on="item_id").explode("genres").fillna({"genres": "none"})
    assert (genres["genres"] == "none").any()
    training = genres["split"] == "train"
    expected = psi_of(genres.loc[training, "genres"], genres.loc[~training, "genres"])
    assert drift_of(tables).metrics["feature_psi"]["genres"] == pytest.approx(expected, abs=1e-6)


def test_rates_and_means_are_those_of_the_ratings_of_the_window(tables: FeatureTables, rated: pd.DataFrame) -> None:
    windows = drift_of(tables).windows
    known = rated[rated["split"] == "train"]
    starts = windows["start"].to_numpy().astype("datetime64[s]").astype(np.int64)
    new = rated.assign(
        user=~rated["user_id"].isin(known["user_id"]),
        item=~rated["item_id"].isin(known["item_id"]),
        part=np.searchsorted(starts, rated["timestamp"], "right"),
    ).groupby("part")
    assert windows["n"].tolist() == new.size().tolist()
    assert windows["users"].tolist() == new["user_id"].nunique().tolist()
    assert np.allclose(windows["mean_rating"], new["rating"].mean(), atol=1e-6)
    assert np.allclose(windows["new_user_rate"], new["user"].mean(), atol=1e-6)
    assert np.allclose(windows["new_item_rate"], new["item"].mean(), atol=1e-6)
    assert windows["new_user_rate"].gt(0).any()
    assert windows["train_share"].tolist() == sorted(windows["train_share"], reverse=True)


def test_user_is_new_without_training_rows_even_if_an_earlier_vocabulary_has_the_id(tables: FeatureTables) -> None:
    known = with_column(tables.users, "user_index", np.arange(1, len(tables.users) + 1))
    assert drift_of(replace(tables, users=known)).metrics["new_user_rate"] > 0


def test_metrics_are_of_all_rows_outside_training(tables: FeatureTables, rated: pd.DataFrame) -> None:
    metrics = drift_of(tables).metrics
    training = rated["split"] == "train"
    others, known = rated[~training], rated[training]
    assert metrics["ratings"] == len(others)
    assert metrics["users"] == others["user_id"].nunique()
    assert metrics["new_user_rate"] == pytest.approx((~others["user_id"].isin(known["user_id"])).mean(), abs=1e-6)
    assert metrics["new_item_rate"] == pytest.approx((~others["item_id"].isin(known["item_id"])).mean(), abs=1e-6)
    shift = others["rating"].mean() - known["rating"].mean()
    assert metrics["mean_rating_shift"] == pytest.approx(shift, abs=1e-6)
    assert metrics["feature_psi_max"] == max(metrics["feature_psi"].values())
    assert metrics["feature_psi_mean"] == pytest.approx(np.mean(list(metrics["feature_psi"].values())), abs=1e-6)


@pytest.mark.parametrize("feature", ["item_mean", "user_genre_mean", "rating"])
def test_planted_shift_is_named_first(tables: FeatureTables, feature: str) -> None:
    rows, rng = tables.rows, np.random.default_rng(7)
    later = pc.not_equal(rows["split"], "train").to_numpy()
    calm = rows
    for name in rows.column_names[rows.column_names.index("user_count") :]:  # so that only the planted drift remains
        calm = with_column(calm, name, rng.choice(rows[name].to_numpy(), len(rows)))
    assert drift_of(tables, calm).held_out["feature"].iloc[0] != feature
    drift = drift_of(tables, with_column(calm, feature, np.where(later, 5, calm[feature].to_numpy())))
    assert drift.held_out["feature"].iloc[0] == feature
    assert describe(drift).splitlines()[3].split()[0] == feature


def test_recency_beyond_what_the_model_sees_is_no_drift(tables: FeatureTables) -> None:
    rows, cap = tables.rows, tables.spec.recency_cap
    later = pc.not_equal(rows["split"], "train").to_numpy()
    at_cap = with_column(rows, "user_recency", np.full(len(rows), cap))
    beyond = with_column(rows, "user_recency", np.where(later, 1000 * cap, cap))
    assert drift_of(tables, beyond).metrics == drift_of(tables, at_cap).metrics
    assert drift_of(tables, beyond).metrics["feature_psi"]["user_recency"] == 0


def test_feature_that_is_constant_in_training_moves_when_it_changes(tables: FeatureTables) -> None:
    rows = tables.rows
    later = pc.not_equal(rows["split"], "train").to_numpy()
    drift = drift_of(tables, with_column(rows, "item_mean", np.where(later, -0.5, 0.0)))
    assert drift.held_out["feature"].iloc[0] == "item_mean"
    assert drift.held_out["js"].iloc[0] == 1


def test_order_of_the_rows_does_not_matter(tables: FeatureTables) -> None:
    shuffled = tables.rows.take(np.random.default_rng(8).permutation(len(tables.rows)))
    drift, again = drift_of(tables), drift_of(tables, shuffled)
    pd.testing.assert_frame_equal(drift.features, again.features)
    pd.testing.assert_frame_equal(drift.windows, again.windows)
    assert drift.metrics == again.metrics


def test_scale_with_many_values_is_cut_into_deciles(featurize: Featurize, ratings: pd.DataFrame) -> None:
    fine = ratings.assign(rating=np.random.default_rng(9).uniform(0.5, 5, len(ratings)))
    label = drift_of(featurize(ratings=fine)).held_out.set_index("feature").loc["rating"]
    assert label["js"] < 0.5  # with a bin per value it would be 1, because no value is in both
    assert label["psi"] < 3 * label["psi_by_chance"]


@pytest.mark.parametrize("split", ["random", "leave_last_out"])
def test_histories_are_left_out_where_rows_outside_training_have_none(
    featurize: Featurize, ratings: pd.DataFrame, split: str
) -> None:
    drift = drift_of(featurize(split))
    assert drift.features["feature"].drop_duplicates().tolist() == ["rating", "gender", "year", "genres"]
    assert drift.features.notna().all(axis=None)


def test_without_timestamps_validation_and_test_are_the_windows(featurize: Featurize, ratings: pd.DataFrame) -> None:
    drift = drift_of(untimed(featurize, ratings), windows="month")
    assert drift.windows["window"].tolist() == ["validation", "test"]
    assert drift.windows["n"].tolist() == [(ratings["split"] == name).sum() for name in ("validation", "test")]
    assert "-" in describe(drift).splitlines()[-1]  # there is no training window, so there is no usual PSI


def test_windows_of_one_rating_have_finite_numbers(tables: FeatureTables) -> None:
    rows = tables.rows.take(np.arange(0, len(tables.rows), 6))
    lone = with_column(rows, "timestamp", np.arange(len(rows)))
    drift = drift_of(tables, lone, windows=10**6)
    assert set(drift.windows["n"]) == {1}
    assert np.isfinite(drift.features[["psi", "psi_by_chance", "js"]]).all(axis=None)
    assert f"{len(lone)} with fewer than 100 ratings" in describe(drift)


@pytest.mark.parametrize("timed", [True, False])
def test_without_rows_outside_training_there_is_nothing_to_follow(
    featurize: Featurize, ratings: pd.DataFrame, timed: bool
) -> None:
    tables = featurize() if timed else untimed(featurize, ratings)
    drift = drift_of(tables, tables.rows.filter(pc.equal(tables.rows["split"], "train")))
    assert drift.metrics == {"ratings": 0}
    assert len(drift.windows) == (5 if timed else 0)
    assert "nothing to compare" in describe(drift)
