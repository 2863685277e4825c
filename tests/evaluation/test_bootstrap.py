import json
import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
from numpy.typing import ArrayLike

from widedeep.evaluation.bootstrap import Bootstrap, Estimate, Terms


def user_mean(values: ArrayLike, bootstrap: Bootstrap | None = None) -> Estimate:
    """Make the terms of the mean over users, from one value per user."""
    array = np.asarray(values, dtype=np.float64)
    bootstrap = bootstrap or Bootstrap(replicates=20)
    return bootstrap.estimate(bootstrap.ratios([Terms(array, np.ones(len(array)))])[0], len(array))


@pytest.fixture
def per_user() -> np.ndarray:
    """Draw the sum of squared errors and the number of rows of 200 users."""
    generator = np.random.default_rng(7)
    rows = generator.integers(1, 30, 200)
    return np.stack([generator.gamma(2.0, 0.5, 200) * rows, rows])


def test_position_0_is_the_sum_over_the_data() -> None:
    sums = Bootstrap(replicates=5).sums([[1.0, 2.0, 4.0], [1.0, 1.0, 2.0]])
    assert sums.shape == (2, 6)
    assert sums[:, 0].tolist() == [7.0, 4.0]


def test_every_resample_has_as_many_users_as_the_data() -> None:
    assert set(Bootstrap(replicates=50).sums(np.ones((1, 9)))[0]) == {9.0}


def test_resamples_of_two_users_are_the_four_possible_ones() -> None:
    sums = Bootstrap(replicates=4000).sums([[0.0, 1.0]])[0, 1:]
    values, counts = np.unique(sums, return_counts=True)
    assert values.tolist() == [0.0, 1.0, 2.0]
    np.testing.assert_allclose(counts / 4000, [0.25, 0.5, 0.25], atol=0.03)


def test_same_seed_same_sums(per_user: np.ndarray) -> None:
    np.testing.assert_array_equal(Bootstrap(seed=3).sums(per_user), Bootstrap(seed=3).sums(per_user))


def test_other_seed_other_resamples(per_user: np.ndarray) -> None:
    one, other = Bootstrap(seed=3).sums(per_user), Bootstrap(seed=4).sums(per_user)
    assert not np.array_equal(one[:, 1:], other[:, 1:])
    np.testing.assert_array_equal(one[:, 0], other[:, 0])


def test_more_replicates_go_on_from_fewer(per_user: np.ndarray) -> None:
    few, many = Bootstrap(replicates=10).sums(per_user), Bootstrap(replicates=30).sums(per_user)
    np.testing.assert_array_equal(few, many[:, :11])


@pytest.mark.parametrize("users", [1, 2, 3, 17, 1000])
def test_equal_columns_have_exactly_equal_sums(users: int) -> None:
    column, other = np.random.default_rng(0).random((2, users))
    sums = Bootstrap(replicates=50).sums([column, other, column])
    np.testing.assert_array_equal(sums[0], sums[2])


def test_interval_agrees_with_scipy(per_user: np.ndarray) -> None:
    squared, n = per_user

    def rmse(squared: np.ndarray, n: np.ndarray, axis: int) -> Any:
        return np.sqrt(squared.sum(axis) / n.sum(axis))

    bootstrap = Bootstrap(replicates=5000)
    sums = bootstrap.sums(per_user)
    ours = bootstrap.estimate(np.sqrt(sums[0] / sums[1]), n=int(n.sum()))
    theirs = scipy.stats.bootstrap(
        (squared, n), rmse, n_resamples=5000, paired=True, vectorized=True, method="percentile", rng=1
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.value == pytest.approx(rmse(squared, n, 0))
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * width)


def test_interval_covers_the_truth_about_as_often_as_stated() -> None:
    generator, bootstrap = np.random.default_rng(11), Bootstrap(replicates=200)
    samples = generator.normal(5.0, 1.0, (300, 100))
    estimates = [user_mean(sample, bootstrap) for sample in samples]
    covered = np.mean([estimate.low <= 5.0 <= estimate.high for estimate in estimates])
    assert 0.90 <= covered <= 0.98


def test_interval_is_wider_for_users_than_for_their_rows() -> None:
    errors = np.random.default_rng(2).normal(0, 1, 50).repeat(20) ** 2  # a user's 20 errors are all the same
    bootstrap = Bootstrap(replicates=500)
    by_user = user_mean(errors.reshape(50, 20).mean(1), bootstrap)
    by_row = user_mean(errors, bootstrap)
    assert by_user.value == pytest.approx(by_row.value)
    assert by_user.high - by_user.low > 3 * (by_row.high - by_row.low)


def test_higher_confidence_is_wider(per_user: np.ndarray) -> None:
    wide, narrow = (user_mean(per_user[0], Bootstrap(confidence=c)) for c in (0.99, 0.8))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_estimate_takes_quantiles_of_the_resamples() -> None:
    statistic = np.concatenate([[99.0], np.arange(101.0)])
    estimate = Bootstrap(confidence=0.9).estimate(statistic, n=4)
    assert estimate.as_dict() == pytest.approx({"value": 99, "low": 5, "high": 95, "n": 4})


def test_interval_of_one_user_collapses() -> None:
    assert user_mean([0.3]) == Estimate(0.3, 0.3, 0.3, 1)


def test_a_mean_counts_every_user_once() -> None:
    assert user_mean([0.0, 0.5, 1.0, 0.5]).value == 0.5
    assert user_mean([1, 1, 1, 1]) == Estimate(1.0, 1.0, 1.0, 4)


def test_ratios_are_sums_by_sums_and_of_a_root_its_square_root() -> None:
    above, below = np.array([1.0, 2.0, 6.0]), np.array([1.0, 1.0, 2.0])
    plain, root = Bootstrap(replicates=20).ratios([Terms(above, below), Terms(above, below, root=True)])
    assert plain[0] == 9 / 4
    np.testing.assert_array_equal(root, np.sqrt(plain))


def test_ratios_of_one_call_and_of_several_are_paired() -> None:
    bootstrap = Bootstrap(replicates=20)
    one, other = (Terms(values, np.ones(30)) for values in np.random.default_rng(0).random((2, 30)))
    np.testing.assert_array_equal(bootstrap.ratios([one, other, one]), bootstrap.ratios([one, other])[[0, 1, 0]])
    np.testing.assert_array_equal(bootstrap.ratios([one, other])[1:], bootstrap.ratios([other]))


def test_estimate_as_dict_is_json() -> None:
    text = json.dumps(user_mean([1.0, 2.0]).as_dict(), allow_nan=False)
    assert json.loads(text) == {"value": 1.5, "low": 1.0, "high": 2.0, "n": 2}


def test_no_users_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one user"):
        Bootstrap().sums(np.empty((2, 0)))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_sums_refuses_numbers_that_are_not_finite(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Bootstrap().sums([[1.0, bad]])


def test_estimate_refuses_a_ratio_without_rows() -> None:
    with pytest.raises(ValueError, match="finite"):
        Bootstrap().estimate(np.array([1.0, math.nan]), n=0)


def test_no_replicates_is_an_error() -> None:
    with pytest.raises(ValueError, match="replicates"):
        Bootstrap(replicates=0)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95])
def test_confidence_outside_0_to_1_is_an_error(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        Bootstrap(confidence=confidence)
