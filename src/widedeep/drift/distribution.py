"""How far the distribution of a feature in a window is from that of the training rows.

Effect sizes, in units of their own. No p-value: with enough ratings each of them says that something changed, and none
says how much. Notation: B bins, U users; a sample (a window, or the training rows) is counts by bin.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.spatial.distance import jensenshannon

BINS = 10  # of numbers: deciles of the training rows
EMPTY = 0.5  # ratings that an empty bin counts as


def population_stability_index(window: ArrayLike, training: ArrayLike) -> float:
    """PSI = sum_b (p_b - q_b) ln(p_b / q_b), the symmetric Kullback-Leibler divergence. In [0, inf).

    p and q are the shares of the bins in the window and in training. A bin that is empty in one of the samples has a
    share of `EMPTY` / n there, but never more than in the other: where less than half a rating is expected, none is no
    sign of drift. Shares that are the same give 0, whatever the sizes of the samples.

    Parameters
    ----------
    window, training : (B,) counts, of which each has a rating
    """
    p, q = _shares(window), _shares(training)
    filled = np.where(p > 0, p, np.minimum(EMPTY / np.sum(window), q))
    expected = np.where(q > 0, q, np.minimum(EMPTY / np.sum(training), p))
    either = (p > 0) | (q > 0)
    return float(((filled - expected)[either] * np.log(filled[either] / expected[either])).sum())


def psi_by_chance(window: csr_array, training: csr_array) -> float:
    """About what the PSI would be, in the mean, if nothing had drifted and the samples were only other users.

    Were ratings independent, it would be (B - 1) (1/n + 1/m), n and m the sizes of the samples (Yurdakul 2018,
    "Statistical properties of population stability index"). But the ratings of a user go together, most of all in what
    belongs to the user, so that twenty users of fifty ratings each say little more than twenty ratings. With users as
    the units of sampling, and to second order, it is

        sum_ub d_ub^2 / s_b  -  sum_u (sum_b d_ub)^2,    d_ub = window_ub / n - training_ub / m,

    s the shares in both samples together (the first-order correction of Rao and Scott 1981, "The analysis of
    categorical data from complex sample surveys"). It is the formula above where each user has one rating. A PSI of
    several times this is drift; one of about this, or less, may be none.

    Parameters
    ----------
    window, training : (U, B) counts by user, of the same users in the same order
    """
    difference = window / window.sum() - training / training.sum()
    shares = _shares(window.sum(axis=0) + training.sum(axis=0))
    squares, known = difference.power(2).sum(axis=0), shares > 0
    expected = (squares[known] / shares[known]).sum() - (difference.sum(axis=1) ** 2).sum()
    return max(float(expected), 0.0)  # where it is 0, rounding may leave less


def jensen_shannon(window: ArrayLike, training: ArrayLike) -> float:
    """Jensen-Shannon distance, base 2 (Endres and Schindelin 2003): 0 for the same shares, 1 for no bin in common.

    Parameters
    ----------
    window, training : (B,) counts, of which each has a rating
    """
    return float(jensenshannon(_shares(window), _shares(training), base=2))


def quantile_codes(values: ArrayLike, training: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Which bin each value is in, (N,) int64 from 0: deciles of the training rows, open at both ends.

    Equal quantiles merge; the value that they share is a bin of its own, so that values below and above it are told
    apart (those of a feature that is constant in training, for one). Missing values (NaN) are a bin of their own.

    Parameters
    ----------
    values : (N,) float
    training : (N,) bool, the rows whose quantiles count
    """
    values = np.asarray(values, dtype=np.float64)
    missing = np.isnan(values)
    known = values[training & ~missing]
    quantiles = np.quantile(known, np.linspace(0, 1, BINS + 1), method="higher") if known.size else known
    shared = np.unique(quantiles[1:][quantiles[1:] == quantiles[:-1]])
    edges = np.unique(quantiles[1:-1])
    code = np.searchsorted(edges, values, side="right") + np.searchsorted(shared, values, side="left")
    return np.where(missing, edges.size + shared.size + 1, code)


def _shares(counts: ArrayLike) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = np.asarray(counts, dtype=np.float64) / np.sum(counts)
    return shares
