import json
import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
from numpy.typing import ArrayLike

from widedeep.evaluation.bootstrap import MANY, NO_EVIDENCE, Bootstrap, Estimate, Terms, verdict


def user_mean(values: ArrayLike, bootstrap: Bootstrap | None = None) -> Estimate:
    """Estimate the mean over users, from one value per user."""
    array = np.asarray(values, dtype=np.float64)
    bootstrap = bootstrap or Bootstrap(replicates=20)
    return bootstrap.estimate(bootstrap.ratios([Terms(array, np.ones(len(array)))])[0], len(array), len(array))


@pytest.fixture
def per_user() -> np.ndarray:
    """Draw the sum of squared errors and the number of rows of 200 users."""
    generator = np.random.default_rng(7)
    rows = generator.integers(1, 30, 200)
    return np.stack([generator.gamma(2.0, 0.5, 200) * rows, rows])


def test_position_0_is_the_sum_over_the_data() -> None:
    sums = Bootstrap(replicates=5).sums([[1.0] * 70, [0.0] * 69 + [7.0]])
    assert sums.shape == (2, 6)
    assert sums[:, 0].tolist() == [70.0, 7.0]


def test_every_resample_has_as_many_users_as_the_data() -> None:
    assert set(Bootstrap(replicates=50).sums(np.ones((1, 90)))[0]) == {90.0}


def test_resamples_draw_users_with_replacement() -> None:
    """The number of draws of one of 100 users has a binomial distribution."""
    drawn = Bootstrap(replicates=4000).sums([np.arange(100) == 7])[0, 1:]
    expected = scipy.stats.binom.pmf([0, 1, 2, 3], 100, 0.01)
    np.testing.assert_allclose([(drawn == times).mean() for times in range(4)], expected, atol=0.03)


def test_resamples_of_few_users_leave_out_one_each() -> None:
    sums = Bootstrap(replicates=5).sums([[1.0, 2.0, 4.0], [1.0, 1.0, 2.0]])
    assert sums.tolist() == [[7, 6, 5, 3], [4, 3, 3, 2]]


def test_interval_of_the_mean_of_few_users_is_that_of_student() -> None:
    values = np.random.default_rng(5).gamma(2.0, 1.0, 12)
    found = user_mean(values)
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_interval_of_few_users_of_a_root_of_a_ratio_is_that_of_the_delta_method() -> None:
    """To first order, the RMSE sqrt(sum S / sum n) of user sums S_u has the error (S_u / n_u - MSE) n_u of each user,
    over 2 RMSE sum n. The jackknife agrees where the users are alike."""
    rng = np.random.default_rng(6)
    n = rng.integers(9, 12, 40).astype(float)
    squared = n * rng.normal(1.0, 0.05, 40)
    bootstrap = Bootstrap()
    found = bootstrap.estimate(bootstrap.ratios([Terms(squared, n, root=True)])[0], int(n.sum()), 40)
    rmse = math.sqrt(squared.sum() / n.sum())
    error = math.sqrt(40 / 39 * ((squared - rmse**2 * n) ** 2).sum()) / (2 * rmse * n.sum())
    half_width = scipy.stats.t.ppf(0.975, 39) * error
    assert (found.low, found.high) == pytest.approx((rmse - half_width, rmse + half_width), abs=half_width / 50)


@pytest.mark.slow
@pytest.mark.parametrize("users", [2, 3, 5, 8, 20, 59, 60, 80])
def test_chance_alone_gives_a_verdict_in_5_of_100_cases(users: int) -> None:
    """Two models have the same true errors, and differ by chance. A percentile bootstrap gives a verdict in half of
    these cases with 2 users, and in a sixth with 5."""
    rng, cases = np.random.default_rng(users), 1000 if users < MANY else 400
    rows = np.full(users, 10.0)
    true = rng.uniform(0.5, 1.5, (cases, users))
    verdicts = 0
    for case in range(cases):
        bootstrap = Bootstrap(replicates=200, seed=case)
        one, other = bootstrap.ratios(
            [Terms(rows * (true[case] + rng.normal(0, 0.1, users)), rows, root=True) for _ in range(2)]
        )
        verdicts += verdict(bootstrap.estimate(one - other, users, users), lower_is_better=True) != NO_EVIDENCE
    deviation = math.sqrt(0.05 * 0.95 / cases)
    bias = 0.015 if users >= MANY else 0  # of percentiles, and of only 200 resamples
    assert abs(verdicts / cases - 0.05) < 3 * deviation + bias


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
    ours = bootstrap.estimate(np.sqrt(sums[0] / sums[1]), n=int(n.sum()), users=200)
    theirs = scipy.stats.bootstrap(
        (squared, n), rmse, n_resamples=5000, paired=True, vectorized=True, method="percentile", rng=1
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.value == pytest.approx(rmse(squared, n, 0))
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * width)


@pytest.mark.slow
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
    estimate = Bootstrap(confidence=0.9).estimate(statistic, n=4, users=100)
    assert estimate.as_dict() == pytest.approx({"value": 99, "low": 5, "high": 95, "n": 4})


def test_one_user_has_no_interval_and_no_verdict() -> None:
    found = user_mean([0.3])
    assert found == Estimate(0.3, 0.3, 0.3, 1)
    assert verdict(found, lower_is_better=False) == NO_EVIDENCE


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
    text = json.dumps(user_mean([1.5, 1.5]).as_dict(), allow_nan=False)
    assert json.loads(text) == {"value": 1.5, "low": 1.5, "high": 1.5, "n": 2}


def test_no_users_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one user"):
        Bootstrap().sums(np.empty((2, 0)))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_sums_refuses_numbers_that_are_not_finite(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Bootstrap().sums([[1.0, bad]])


def test_estimate_refuses_a_ratio_without_rows() -> None:
    with pytest.raises(ValueError, match="finite"):
        Bootstrap().estimate(np.array([1.0, math.nan]), n=0, users=2)


def test_no_replicates_is_an_error() -> None:
    with pytest.raises(ValueError, match="replicates"):
        Bootstrap(replicates=0)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95])
def test_confidence_outside_0_to_1_is_an_error(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        Bootstrap(confidence=confidence)
