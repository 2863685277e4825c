"""Intervals of metrics, from a bootstrap that resamples users, or for few users from Student's t.

The rows of one user are alike. If rows were resampled, the intervals would be too narrow. So whole users are drawn with
replacement (Field and Welsh, "Bootstrapping clustered data", JRSS B 2007). The interval is the percentile interval of
Efron and Tibshirani ("An Introduction to the Bootstrap", 1993, chapter 13).

For few users this interval is too narrow. When two models differ by chance alone, it excludes 0 in half of all cases
with 2 users, and in a sixth with 5, instead of in 5 %. So below `MANY` users each resample is the data without one user
(the jackknife, chapter 11). The interval is value +- t(U - 1) standard errors. It may reach beyond the possible values
of the metric. From one user nothing follows about others, so there is no interval.

Notation: U users, C columns of per-user sums, R resamples, M metrics.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

MANY = 60  # users from which on the bootstrap is used: there it excludes 0 by chance in 5.7 % of cases instead of 5 %
BETTER, WORSE, NO_EVIDENCE = "better", "worse", "no evidence"


@dataclass(frozen=True)
class Estimate:
    """A metric with its interval. All numbers are finite.

    value : the metric on the data itself, in the unit of the metric
    low, high : bounds of the interval, in the same unit. Without an interval, both equal the value.
    n : number of rows, users or lists over which a mean is taken
    """

    value: float
    low: float
    high: float
    n: int

    def as_dict(self) -> dict[str, float | int]:
        """Return value, low, high and n by name, ready for JSON."""
        return asdict(self)


class Terms(NamedTuple):
    """A metric as a ratio of two sums over users: sum of `above` / sum of `below`.

    above, below : (U,) float64, in the same order of users
    root : whether the metric is the square root of the ratio
    """

    above: NDArray[np.float64]
    below: NDArray[np.float64]
    root: bool = False


@dataclass(frozen=True)
class Bootstrap:
    """A bootstrap over users, with percentile intervals. With fewer than `MANY` users, a jackknife with t-intervals.

    The draws depend only on `seed` and the number of users. So statistics of the same users in the same order are
    computed on the same resamples, in one call or in several. They may be compared as pairs.

    Parameters
    ----------
    replicates : number of resamples of `MANY` or more users, at least 1
    seed : of the draws
    confidence : level of the intervals, in (0, 1)

    Raises
    ------
    ValueError
        `replicates` is below 1 or `confidence` is not in (0, 1).

    Example
    -------
    RMSE of three users with 2, 1 and 3 rows:

    >>> bootstrap = Bootstrap(replicates=200)
    >>> rmse, = bootstrap.ratios([Terms(np.array([0.5, 1.0, 0.75]), np.array([2.0, 1.0, 3.0]), root=True)])
    >>> bootstrap.estimate(rmse, n=6, users=3).value
    0.6123724356957945
    """

    replicates: int = 1000
    seed: int = 0
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if self.replicates < 1:
            raise ValueError(f"replicates must be an int in the range [1, inf). Got {self.replicates} instead.")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence must be a float in the range (0, 1). Got {self.confidence} instead.")

    def sums(self, per_user: ArrayLike) -> NDArray[np.float64]:
        """Return the sums over users, of the data (position 0) and of every resample: (C, U) -> (C, 1 + R) float64.

        R is `replicates` for `MANY` or more users, U for fewer, and 0 for one user. Beyond the input and the result
        this needs memory for a few vectors of length U.

        Raises
        ------
        ValueError
            `per_user` is not (C, U), has no users, or holds NaN or infinity.
        """
        columns = np.ascontiguousarray(per_user, dtype=np.float64)
        if columns.ndim != 2 or columns.shape[1] == 0:
            raise ValueError(f"per_user must have shape (columns, users) with at least one user. Got {columns.shape}.")
        if not np.isfinite(columns).all():
            raise ValueError("per_user must hold finite numbers only. Got NaN or infinity.")
        users = columns.shape[1]
        if users < MANY:
            resamples = 1 - np.eye(users)[: users if users > 1 else 0]  # each without one user
            return np.stack([_weighted_sums(columns, weights) for weights in (np.ones(users), *resamples)], axis=1)
        generator = np.random.default_rng(self.seed)
        result = np.empty((len(columns), 1 + self.replicates))
        result[:, 0] = _weighted_sums(columns, np.ones(users))
        for replicate in range(1, 1 + self.replicates):
            # Counting U uniform draws is a multinomial draw, and several times faster than Generator.multinomial.
            weights = np.bincount(generator.integers(users, size=users), minlength=users)
            result[:, replicate] = _weighted_sums(columns, weights.astype(np.float64))
        return result

    def ratios(self, metrics: Sequence[Terms]) -> NDArray[np.float64]:
        """Return each metric, of the data (position 0) and of every resample: M terms of U users -> (M, 1 + R) float64.

        To estimate the difference of two metrics, give the difference of their rows to `estimate`.

        Raises
        ------
        ValueError
            As `sums`.
        """
        # An array that several metrics share, such as the number of rows, is summed once.
        columns = {id(part): part for terms in metrics for part in (terms.above, terms.below)}
        sums = dict(zip(columns, self.sums(np.stack(list(columns.values()))), strict=True))
        ratios = [sums[id(terms.above)] / sums[id(terms.below)] for terms in metrics]
        return np.stack([np.sqrt(ratio) if terms.root else ratio for ratio, terms in zip(ratios, metrics, strict=True)])

    def estimate(self, statistic: NDArray[np.float64], n: int, users: int) -> Estimate:
        """Take the value at position 0, and make its interval from the other positions of a (1 + R,) float64 array.

        Let q = (1 - confidence) / 2. With `MANY` or more users, the bounds are the q and 1 - q quantiles, linearly
        interpolated. This interval is not centred on the value. With fewer users, the bounds are
        value +- t(1 - q; U - 1) sqrt((U - 1) / U sum (resample - mean of resamples)^2).

        Parameters
        ----------
        n : n of the estimate
        users : number U of users from whose sums the statistic was computed

        Raises
        ------
        ValueError
            The statistic is NaN or infinite in the data or in a resample.
        """
        if not np.isfinite(statistic).all():
            raise ValueError("The statistic must be finite in every resample. Got NaN or infinity.")
        value, resamples = float(statistic[0]), statistic[1:]
        tail = (1 - self.confidence) / 2
        if users >= MANY:
            low, high = np.quantile(resamples, [tail, 1 - tail])
        elif users > 1:
            error = np.sqrt((users - 1) * resamples.var())
            low, high = value + stdtrit(users - 1, [tail, 1 - tail]) * error
        else:
            low = high = value
        return Estimate(value, float(low), float(high), n)


def verdict(difference: Estimate, lower_is_better: bool) -> str:
    """Say whether a difference from a reference is better or worse.

    There is no evidence if its interval holds 0, or if it has no interval.
    """
    if difference.low <= 0 <= difference.high or math.isclose(difference.low, difference.high):
        return NO_EVIDENCE
    return BETTER if (difference.high < 0) is lower_is_better else WORSE


def _weighted_sums(columns: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    # einsum instead of BLAS: equal columns get equal sums to the last bit, on any number of threads. So a model minus
    # itself is exactly 0.
    sums: NDArray[np.float64] = np.einsum("cu,u->c", columns, weights)
    return sums
