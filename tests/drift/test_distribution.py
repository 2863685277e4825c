"""Distances between distributions: values worked out by hand, properties, and values by chance."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from widedeep.drift.distribution import jensen_shannon, population_stability_index, psi_by_chance, quantile_codes

Distance = Callable[[ArrayLike, ArrayLike], float]

each_distance = pytest.mark.parametrize("distance", [population_stability_index, jensen_shannon])


def samples() -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Draw counts of two samples. Some bins are empty in one or both."""
    rng = np.random.default_rng(0)
    pairs = [rng.integers(0, 30, (2, bins)) * rng.integers(0, 2, (2, bins)) for bins in range(2, 30)]
    return [(window, training) for window, training in pairs if window.any() and training.any()]


def test_psi_by_hand() -> None:
    # (0.5 - 0.9) ln(0.5 / 0.9) + (0.5 - 0.1) ln(0.5 / 0.1) = 0.4 ln 9
    assert population_stability_index([5, 5], [90, 10]) == pytest.approx(0.4 * math.log(9))


def test_psi_takes_an_empty_bin_for_half_a_rating() -> None:
    # (1 - 0.5) ln(1 / 0.5) + (0.05 - 0.5) ln(0.05 / 0.5)
    by_hand = 0.5 * math.log(2) + 0.45 * math.log(10)
    assert population_stability_index([10, 0], [50, 50]) == pytest.approx(by_hand)
    assert population_stability_index([50, 50], [10, 0]) == pytest.approx(by_hand)


def test_psi_takes_no_rating_where_less_than_half_is_expected_for_no_drift() -> None:
    assert population_stability_index([4, 0], [999, 1]) == pytest.approx(0.001 * math.log(1 / 0.999))


def test_jensen_shannon_by_hand() -> None:
    # For (1, 0) and (1/2, 1/2), the mean is (3/4, 1/4). The square is half the sum of the divergences from it.
    divergence = (math.log2(4 / 3) + (math.log2(2 / 3) + math.log2(2)) / 2) / 2
    assert jensen_shannon([8, 0], [3, 3]) == pytest.approx(math.sqrt(divergence))
    assert jensen_shannon([8, 0], [0, 3]) == pytest.approx(1)


@each_distance
def test_same_shares_are_no_distance_whatever_the_size(distance: Distance) -> None:
    for window, _ in samples():
        assert distance(window, window * 7) == pytest.approx(0, abs=1e-7)


@each_distance
def test_distance_is_symmetric_and_does_not_depend_on_the_order_of_bins(distance: Distance) -> None:
    rng = np.random.default_rng(1)
    for window, training in samples():
        order = rng.permutation(len(window))
        expected = distance(window, training)
        assert distance(training, window) == pytest.approx(expected)
        assert distance(window[order], training[order]) == pytest.approx(expected)


@each_distance
def test_distance_is_finite_and_positive_and_bins_without_ratings_do_not_count(distance: Distance) -> None:
    for window, training in samples():
        value = distance(window, training)
        assert 0 <= value < math.inf
        assert distance(np.append(window, 0), np.append(training, 0)) == pytest.approx(value)


def by_user(*users: Sequence[int]) -> csr_array:
    """Make (U, B) counts from the counts of each user."""
    return csr_array(np.array(users))


def test_chance_of_independent_ratings_is_that_of_yurdakul() -> None:
    one_each = np.repeat(np.eye(4, dtype=int), 5, axis=0)  # 20 users with a rating each, all bins alike
    window, training = np.vstack([one_each, 0 * one_each]), np.vstack([0 * one_each, one_each])
    assert psi_by_chance(by_user(*window), by_user(*training)) == pytest.approx(3 * (1 / 20 + 1 / 20))


def test_ratings_of_a_user_that_are_all_alike_count_once() -> None:
    one_each = np.repeat(np.eye(4, dtype=int), 5, axis=0)
    window, training = np.vstack([50 * one_each, 0 * one_each]), np.vstack([0 * one_each, one_each])
    assert psi_by_chance(by_user(*window), by_user(*training)) == pytest.approx(3 * (1 / 20 + 1 / 20))


def test_users_who_rate_alike_in_both_samples_leave_nothing_to_chance() -> None:
    counts = by_user([3, 1], [0, 2])
    assert psi_by_chance(counts, counts) == pytest.approx(0)


def test_chance_of_a_window_with_one_rating_is_finite() -> None:
    assert 0 < psi_by_chance(by_user([1, 0, 0], [0, 0, 0]), by_user([0, 0, 0], [5, 3, 0])) < math.inf


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_chance_is_the_mean_psi_of_samples_that_differ_in_their_users_only(alike: float) -> None:
    """Draw 20 ratings for each user. The share `alike` of them is in a bin that belongs to the user."""
    rng = np.random.default_rng(4)
    shares = np.array([0.4, 0.3, 0.2, 0.1])

    def sample(n: int) -> NDArray[np.int64]:
        own = rng.multinomial(1, shares, n) * round(20 * alike)
        return own + rng.multinomial(20 - round(20 * alike), shares, n)

    found = []
    for _ in range(200):
        window, training = sample(60), sample(600)
        psi = population_stability_index(window.sum(axis=0), training.sum(axis=0))
        apart = by_user(*window, *0 * training), by_user(*0 * window, *training)
        found.append((psi, psi_by_chance(*apart)))
    mean_psi, mean_by_chance = np.mean(found, axis=0)
    assert mean_by_chance == pytest.approx(mean_psi, rel=0.2)


def test_deciles_hold_a_tenth_of_the_training_rows_each_and_are_open_at_both_ends() -> None:
    values = np.concatenate([np.random.default_rng(2).permutation(1000), np.full(500, -1e6), np.full(800, 1e6)])
    training = np.arange(2300) < 1000
    codes = quantile_codes(values, training)
    assert np.bincount(codes[training]).tolist() == [100] * 10
    assert np.bincount(codes[~training]).tolist() == [500, *[0] * 8, 800]


def test_values_below_at_and_above_a_constant_are_told_apart() -> None:
    values = np.array([2.0, 2.0, 2.0, 1.0, 3.0])
    codes = quantile_codes(values, np.array([True, True, True, False, False]))
    assert len(set(codes[:3])) == 1
    assert len(set(codes[2:])) == 3


def test_value_of_most_rows_is_a_bin_of_its_own() -> None:
    values = np.concatenate([np.ones(95), np.zeros(5), [2.0, 0.5]])
    codes = quantile_codes(values, np.arange(102) < 100)
    ones, zeros, above, between = codes[0], codes[95], codes[100], codes[101]
    assert np.array_equal(codes == ones, values == 1)
    assert len({ones, zeros, above}) == 3
    assert between == zeros


@pytest.mark.parametrize("known", [0, 3, 50])
def test_missing_values_are_a_bin_of_their_own(known: int) -> None:
    values = np.concatenate([np.arange(known), np.full(4, np.nan)])
    codes = quantile_codes(values, np.ones(known + 4, dtype=bool))
    assert set(codes[known:]).isdisjoint(codes[:known])
    assert len(set(codes[known:])) == 1
