import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from widedeep.evaluation.bootstrap import Bootstrap
from widedeep.evaluation.rating import calibration, per_user_errors, rating_metrics, rmse_difference

BOOTSTRAP = Bootstrap(replicates=100)

# Columns: user, rating, predicted. User 10 has the errors 1, -1 and 0, user 20 has 2, user 30 has -0.5 and 0.5.
USER = np.array([20, 10, 10, 30, 10, 30], dtype=np.int64)
RATING = np.array([3.0, 4.0, 4.0, 2.0, 5.0, 1.0], dtype=np.float32)
PREDICTED = np.array([5.0, 5.0, 3.0, 1.5, 5.0, 1.5], dtype=np.float32)


def random_rows(n: int = 500) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(5)
    rating = generator.integers(1, 11, n) / 2
    return generator.integers(0, 40, n), rating, rating + generator.normal(0, 0.9, n)


def test_per_user_errors_by_hand() -> None:
    expected = pd.DataFrame(
        {
            "user_id": [10, 20, 30],
            "squared_error": [2.0, 4.0, 0.5],
            "absolute_error": [2.0, 2.0, 1.0],
            "n": [3, 1, 2],
        }
    )
    pd.testing.assert_frame_equal(per_user_errors(USER, RATING, PREDICTED), expected)


def test_per_user_errors_does_not_depend_on_row_order() -> None:
    order = np.random.default_rng(0).permutation(len(USER))
    shuffled = per_user_errors(USER[order], RATING[order], PREDICTED[order])
    pd.testing.assert_frame_equal(shuffled, per_user_errors(USER, RATING, PREDICTED))


def test_errors_of_float32_are_taken_in_float64() -> None:
    table = per_user_errors([1], np.array([0.1], np.float32), np.array([4.7], np.float32))
    assert table.absolute_error[0] == float(np.float32(4.7)) - float(np.float32(0.1))


def test_rating_metrics_by_hand() -> None:
    metrics = rating_metrics(per_user_errors(USER, RATING, PREDICTED), BOOTSTRAP)
    assert {name: estimate.value for name, estimate in metrics.items()} == pytest.approx(
        {
            "rmse": math.sqrt(6.5 / 6),
            "mae": 5 / 6,
            "user_mean_rmse": (math.sqrt(2 / 3) + 2 + 0.5) / 3,
            "user_mean_mae": (2 / 3 + 2 + 0.5) / 3,
        }
    )


def test_n_is_rows_for_global_metrics_and_users_for_means_over_users() -> None:
    metrics = rating_metrics(per_user_errors(USER, RATING, PREDICTED), BOOTSTRAP)
    assert {name: estimate.n for name, estimate in metrics.items()} == {
        "rmse": 6,
        "mae": 6,
        "user_mean_rmse": 3,
        "user_mean_mae": 3,
    }


def test_global_metrics_agree_with_sklearn() -> None:
    user, rating, predicted = random_rows()
    metrics = rating_metrics(per_user_errors(user, rating, predicted), BOOTSTRAP)
    assert metrics["rmse"].value == pytest.approx(root_mean_squared_error(rating, predicted))
    assert metrics["mae"].value == pytest.approx(mean_absolute_error(rating, predicted))


def test_means_over_users_agree_with_sklearn() -> None:
    user, rating, predicted = random_rows()
    metrics = rating_metrics(per_user_errors(user, rating, predicted), BOOTSTRAP)
    by_user = [(rating[user == one], predicted[user == one]) for one in np.unique(user)]
    assert metrics["user_mean_rmse"].value == pytest.approx(
        np.mean([root_mean_squared_error(*rows) for rows in by_user])
    )
    assert metrics["user_mean_mae"].value == pytest.approx(np.mean([mean_absolute_error(*rows) for rows in by_user]))


def test_intervals_enclose_the_values_of_many_users() -> None:
    for estimate in rating_metrics(per_user_errors(*random_rows()), BOOTSTRAP).values():
        assert estimate.low < estimate.value < estimate.high


def test_perfect_predictions_have_no_error() -> None:
    for estimate in rating_metrics(per_user_errors(USER, RATING, RATING), BOOTSTRAP).values():
        assert (estimate.value, estimate.low, estimate.high) == (0, 0, 0)


def test_interval_of_one_user_collapses() -> None:
    for estimate in rating_metrics(per_user_errors([1, 1], [3, 4], [3.5, 5]), BOOTSTRAP).values():
        assert estimate.low == estimate.value == estimate.high


def test_difference_of_a_model_with_itself_is_exactly_0() -> None:
    table = per_user_errors(*random_rows())
    difference = rmse_difference(table, table.copy(), BOOTSTRAP)
    assert (difference.value, difference.low, difference.high, difference.n) == (0, 0, 0, 500)


def test_difference_is_a_minus_b() -> None:
    user, rating, predicted = random_rows()
    a, b = per_user_errors(user, rating, predicted), per_user_errors(user, rating, rating + 2)
    rmse_a = rating_metrics(a, BOOTSTRAP)["rmse"].value
    assert rmse_difference(a, b, BOOTSTRAP).value == pytest.approx(rmse_a - 2)


def test_difference_changes_sign_with_the_order() -> None:
    user, rating, predicted = random_rows()
    a, b = per_user_errors(user, rating, predicted), per_user_errors(user, rating, predicted * 0.9)
    forth, back = rmse_difference(a, b, BOOTSTRAP), rmse_difference(b, a, BOOTSTRAP)
    assert (forth.value, forth.low, forth.high) == pytest.approx((-back.value, -back.high, -back.low))


def test_pairing_makes_the_difference_surer_than_either_model() -> None:
    user, rating, predicted = random_rows()
    a, b = per_user_errors(user, rating, predicted), per_user_errors(user, rating, rating + (predicted - rating) * 1.05)
    paired, alone = rmse_difference(a, b, BOOTSTRAP), rating_metrics(a, BOOTSTRAP)["rmse"]
    assert paired.high < 0
    assert paired.high - paired.low < 0.2 * (alone.high - alone.low)


def test_difference_refuses_other_rows() -> None:
    a, b = per_user_errors([1, 2], [3, 3], [3, 4]), per_user_errors([1, 3], [3, 3], [3, 4])
    with pytest.raises(ValueError, match="same rows"):
        rmse_difference(a, b, BOOTSTRAP)


def test_calibration_by_hand() -> None:
    table = calibration([1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 5.0, 3.0], bins=2)
    expected = pd.DataFrame({"mean_predicted": [1.5, 3.5], "mean_rating": [2.0, 4.0], "n": [2, 2]})
    pd.testing.assert_frame_equal(table, expected)


def test_calibration_keeps_equal_predictions_together() -> None:
    table = calibration([1.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 5.0], np.arange(8.0), bins=4)
    assert table.n.tolist() == [7, 1]
    assert calibration([1.0, 3.0, 3.0, 3.0, 3.0, 3.0, 5.0, 5.0], np.arange(8.0), bins=8).n.tolist() == [1, 5, 2]


def test_calibration_of_a_constant_is_one_bin() -> None:
    table = calibration(np.full(50, 3.5), np.arange(50.0))
    assert table.to_dict("records") == [{"mean_predicted": 3.5, "mean_rating": 24.5, "n": 50}]


def test_calibration_bins_of_distinct_predictions_are_equally_large() -> None:
    predicted = np.random.default_rng(0).permutation(1000) / 7
    assert calibration(predicted, predicted, bins=10).n.tolist() == [100] * 10


@pytest.mark.parametrize("distinct", [2, 5, 9, 50])
def test_calibration_has_no_empty_bins_and_loses_no_rows(distinct: int) -> None:
    predicted = np.random.default_rng(distinct).integers(0, distinct, 97) / 2
    table = calibration(predicted, predicted, bins=10)
    assert (table.n > 0).all()
    assert table.n.sum() == 97
    assert table.mean_predicted.is_monotonic_increasing


def test_more_bins_than_rows_is_a_bin_per_prediction() -> None:
    assert calibration([3.0, 1.0, 2.0], [1, 1, 1], bins=10).mean_predicted.tolist() == [1.0, 2.0, 3.0]


def test_calibration_without_bins_is_an_error() -> None:
    with pytest.raises(ValueError, match="bins"):
        calibration([1.0], [1.0], bins=0)


def test_no_rows_is_an_error() -> None:
    with pytest.raises(ValueError, match="no rows"):
        per_user_errors([], [], [])


def test_nan_prediction_is_an_error() -> None:
    with pytest.raises(ValueError, match="finite"):
        per_user_errors([1], [3.0], [math.nan])


def test_predictions_of_another_length_are_an_error() -> None:
    with pytest.raises(ValueError, match="one length"):
        per_user_errors([1, 2], [3.0, 4.0], [3.0])


def test_users_of_another_length_are_an_error() -> None:
    with pytest.raises(ValueError, match="same length"):
        per_user_errors([1], [3.0, 4.0], [3.0, 4.0])
