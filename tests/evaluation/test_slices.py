import math

import numpy as np
import pandas as pd
import pytest

from widedeep.evaluation.bootstrap import Bootstrap
from widedeep.evaluation.rating import per_user_errors, rating_metrics
from widedeep.evaluation.slices import Slice, by_genre, by_item_popularity, by_month, by_user_activity, slice_metrics

BOOTSTRAP = Bootstrap(replicates=50)


def labels(one: Slice) -> list[tuple[int, str]]:
    return [(row, one.groups[code]) for row, code in zip(one.rows.tolist(), one.codes.tolist(), strict=True)]


def seconds(*dates: str) -> np.ndarray:
    return np.array(dates, dtype="datetime64[s]").astype(np.int64)


def test_user_activity_ranges() -> None:
    one = by_user_activity([0, 1, 9, 10, 49, 50, 199, 200, 5000])
    assert [group for _, group in labels(one)] == [
        "new", "1-9", "1-9", "10-49", "10-49", "50-199", "50-199", "200+", "200+",
    ]  # fmt: skip


def test_item_popularity_ranges() -> None:
    one = by_item_popularity([0, 1, 4, 5, 19, 20, 99, 100])
    assert [group for _, group in labels(one)] == ["new", "1-4", "1-4", "5-19", "5-19", "20-99", "20-99", "100+"]


def test_row_belongs_to_each_genre_of_its_item() -> None:
    one = by_genre([1, 0, 2], [[True, False], [True, True], [False, False]], ["Drama", "Comedy"])
    assert labels(one) == [(0, "Drama"), (0, "Comedy"), (1, "Drama")]


def test_month_is_in_utc() -> None:
    one = by_month(seconds("1999-12-31T23:59:59", "2000-01-01T00:00:00", "2000-01-31T12:00:00"))
    assert labels(one) == [(0, "1999-12"), (1, "2000-01"), (2, "2000-01")]


def test_months_are_in_order_of_time() -> None:
    assert by_month(seconds("2001-02-01", "1969-05-01", "2000-11-01")).groups == ("1969-05", "2000-11", "2001-02")


def test_slice_metrics_by_hand() -> None:
    table = slice_metrics(
        [by_user_activity([0, 0, 12, 0])],
        user=[7, 7, 3, 8],
        rating=np.array([4, 4, 3, 2], np.float32),
        predictions={"model": [5.0, 4.0, 3.5, 4.0]},
        bootstrap=BOOTSTRAP,
    )
    assert table.drop(columns=["low", "high"]).to_dict("records") == [
        {
            "slice": "user_activity", "group": "new", "model": "model",
            "n": 3, "users": 2, "rmse": pytest.approx(math.sqrt(5 / 3)),
        },
        {"slice": "user_activity", "group": "10-49", "model": "model", "n": 1, "users": 1, "rmse": 0.5},
    ]  # fmt: skip


def test_empty_groups_are_omitted_and_the_others_in_natural_order() -> None:
    table = slice_metrics([by_user_activity([300, 0, 12])], [1, 2, 3], [3, 3, 3], {"m": [3, 4, 5]}, BOOTSTRAP)
    assert table.group.tolist() == ["new", "10-49", "200+"]


def test_interval_of_a_group_of_one_user_collapses() -> None:
    table = slice_metrics([by_month([0, 1])], [1, 1], [3, 3], {"m": [3, 4]}, BOOTSTRAP)
    assert table.low[0] == table.rmse[0] == table.high[0]


def test_group_of_all_rows_has_the_global_rmse_and_interval() -> None:
    generator = np.random.default_rng(0)
    user, rating = generator.integers(0, 30, 200), generator.integers(1, 6, 200)
    predicted = rating + generator.normal(size=200)
    row = slice_metrics([by_month(np.zeros(200))], user, rating, {"m": predicted}, BOOTSTRAP).iloc[0]
    whole = rating_metrics(per_user_errors(user, rating, predicted), BOOTSTRAP)["rmse"]
    assert (row.rmse, row.low, row.high, row.n) == pytest.approx((whole.value, whole.low, whole.high, whole.n))


def test_models_are_rows_of_one_tidy_table() -> None:
    one = by_item_popularity([0, 3])
    table = slice_metrics([one], [1, 2], [3, 3], {"b": [3, 4], "a": [5, 3]}, BOOTSTRAP)
    assert table[["group", "model", "rmse"]].to_numpy().tolist() == [
        ["new", "b", 0.0], ["new", "a", 2.0], ["1-4", "b", 1.0], ["1-4", "a", 0.0],
    ]  # fmt: skip


def test_slices_keep_their_order() -> None:
    slices = [by_month([0]), by_user_activity([5]), by_genre([0], [[True]], ["Drama"])]
    table = slice_metrics(slices, [1], [3], {"m": [4]}, BOOTSTRAP)
    assert table[["slice", "group"]].to_numpy().tolist() == [
        ["month", "1970-01"], ["user_activity", "1-9"], ["genre", "Drama"],
    ]  # fmt: skip


def test_row_order_does_not_matter() -> None:
    generator = np.random.default_rng(1)
    user, rating, counts = generator.integers(0, 9, 60), generator.integers(1, 6, 60), generator.integers(0, 300, 60)
    predicted = rating + generator.integers(-2, 3, 60) / 2
    order = generator.permutation(60)
    one = slice_metrics([by_user_activity(counts)], user, rating, {"m": predicted}, BOOTSTRAP)
    other = slice_metrics(
        [by_user_activity(counts[order])], user[order], rating[order], {"m": predicted[order]}, BOOTSTRAP
    )
    pd.testing.assert_frame_equal(one, other)


def test_no_rows_give_an_empty_table_with_its_columns() -> None:
    table = slice_metrics([by_user_activity([])], [], [], {"m": []}, BOOTSTRAP)
    assert table.empty
    assert list(table) == ["slice", "group", "model", "n", "users", "rmse", "low", "high"]


def test_nan_prediction_is_an_error() -> None:
    with pytest.raises(ValueError, match="finite"):
        slice_metrics([by_user_activity([1])], [1], [3], {"m": [math.nan]}, BOOTSTRAP)


def test_predictions_of_another_length_are_an_error() -> None:
    with pytest.raises(ValueError, match="one length"):
        slice_metrics([by_user_activity([1, 1])], [1, 2], [3, 3], {"m": [4]}, BOOTSTRAP)
