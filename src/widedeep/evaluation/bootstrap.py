"""How sure a metric is: percentile bootstrap intervals that resample users.

Rows of one user are alike, so resampling rows would state intervals that are too narrow. Users are the clusters that
are drawn with replacement (Field and Welsh, "Bootstrapping clustered data", JRSS B 2007; the percentile interval is
Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13).

Notation: U users, C columns of per-user sums, R replicates.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

BETTER, WORSE, NO_EVIDENCE = "better", "worse", "no evidence"


@dataclass(frozen=True)
class Estimate:
    """A metric with its interval. All numbers are finite.

    `value` is the metric on the data itself, `low` and `high` bound its interval, both in the metric's own unit. `n`
    is how many rows (for a mean over rows) or users (for a mean over users) it rests on.
    """

    value: float
    low: float
    high: float
    n: int

    def as_dict(self) -> dict[str, float | int]:
        """{"value", "low", "high", "n"}, ready for JSON."""
        return asdict(self)


class Terms(NamedTuple):
    """A metric as a ratio of two sums over users: sum of `above` / sum of `below`, with `root` its square root. Both
    are (U,), in the order of the users."""

    above: NDArray[np.float64]
    below: NDArray[np.float64]
    root: bool = False


@dataclass(frozen=True)
class Bootstrap:
    """Draws users with replacement, `replicates` times, and takes percentile intervals of level `confidence`.

    The draws depend on `seed` and the number of users alone. Statistics of the same users in the same order are
    therefore computed on the same resamples, whether in one call or several, and may be compared as pairs.

    Raises
    ------
    ValueError
        `replicates` is below 1 or `confidence` is not in (0, 1).

    Example
    -------
    RMSE with its interval, of three users with 2, 1 and 3 rows:

    >>> bootstrap = Bootstrap(replicates=200)
    >>> rmse, = bootstrap.ratios([Terms(np.array([0.5, 1.0, 0.75]), np.array([2.0, 1.0, 3.0]), root=True)])
    >>> bootstrap.estimate(rmse, n=6).value
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
        """Sums over users, of the data (position 0) and of every resample: (C, U) -> (C, 1 + R) float64.

        Needs memory for a few vectors of length U beyond the input, however many the replicates.

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
        generator = np.random.default_rng(self.seed)
        result = np.empty((len(columns), 1 + self.replicates))
        result[:, 0] = _weighted_sums(columns, np.ones(users))
        for replicate in range(1, 1 + self.replicates):
            # Counting U uniform draws is a multinomial draw, and several times faster than Generator.multinomial.
            weights = np.bincount(generator.integers(users, size=users), minlength=users)
            result[:, replicate] = _weighted_sums(columns, weights.astype(np.float64))
        return result

    def ratios(self, metrics: Sequence[Terms]) -> NDArray[np.float64]:
        """Each metric of the data (position 0) and of every resample of the same U users: M terms -> (M, 1 + R).

        A difference of two metrics is the difference of their rows, and goes to `estimate`.

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

    def estimate(self, statistic: NDArray[np.float64], n: int) -> Estimate:
        """The value at position 0 and the percentile interval of the others: (1 + R,) float64 -> Estimate.

        With q = (1 - confidence) / 2 the bounds are the q and 1 - q quantiles, linearly interpolated. One user gives
        low = value = high. `value` may lie outside the interval of a few very different users: a percentile interval
        is not centred on it.

        Raises
        ------
        ValueError
            The statistic is NaN or infinite in the data or a resample.
        """
        if not np.isfinite(statistic).all():
            raise ValueError("The statistic must be finite in every resample. Got NaN or infinity.")
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(statistic[1:], [tail, 1 - tail])
        return Estimate(float(statistic[0]), float(low), float(high), n)


def verdict(difference: Estimate, lower_is_better: bool) -> str:
    """Say whether a difference from a reference is better or worse; there is no evidence if its interval holds 0."""
    if difference.low <= 0 <= difference.high:
        return NO_EVIDENCE
    return BETTER if (difference.high < 0) is lower_is_better else WORSE


def _weighted_sums(columns: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    # einsum and not BLAS: equal columns get bitwise equal sums (a model minus itself is 0), on any number of threads.
    sums: NDArray[np.float64] = np.einsum("cu,u->c", columns, weights)
    return sums
