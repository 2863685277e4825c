"""Distances between the distribution of a feature in a window and that in the training rows.

The distances are effect sizes. P-values are not used: with enough ratings every change is significant, however small it
is. Notation: N rows, B bins, U users. A sample is a window or the training rows, as counts by bin.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.spatial.distance import jensenshannon

BINS = 10  # numbers are cut into deciles of the training rows
EMPTY = 0.5  # an empty bin counts as this many ratings


def population_stability_index(window: ArrayLike, training: ArrayLike) -> float:
    """Compute PSI = sum_b (p_b - q_b) ln(p_b / q_b), the symmetric Kullback-Leibler divergence, in [0, inf).

    p and q are the shares of the bins in the window and in training. A bin that is empty in one sample of size n gets
    the share `EMPTY` / n there, but at most the share in the other sample: if less than half a rating is expected, an
    empty bin is no sign of drift. Equal shares give 0 for any sizes of the samples.

    Parameters
    ----------
    window, training : (B,) counts, each with at least one rating
    """
    p, q = _shares(window), _shares(training)
    filled = np.where(p > 0, p, np.minimum(EMPTY / np.sum(window), q))
    expected = np.where(q > 0, q, np.minimum(EMPTY / np.sum(training), p))
    either = (p > 0) | (q > 0)
    return float(((filled - expected)[either] * np.log(filled[either] / expected[either])).sum())


def psi_by_chance(window: csr_array, training: csr_array) -> float:
    """Estimate the expected PSI without drift, when the two samples differ only by the choice of users.

    If ratings were independent, this would be (B - 1) (1/n + 1/m), where n and m are the sizes of the samples (Yurdakul
    2018, "Statistical properties of population stability index"). But the ratings of a user are alike. In features of
    the user, twenty users with fifty ratings each say little more than twenty ratings. With users as the units of
    sampling, the expected PSI is to second order

        sum_ub d_ub^2 / s_b  -  sum_u (sum_b d_ub)^2,    d_ub = window_ub / n - training_ub / m,

    where s_b is the share of bin b in both samples together (the first-order correction of Rao and Scott 1981, "The
    analysis of categorical data from complex sample surveys"). With one rating per user it equals the first formula. A
    PSI of several times this value is drift. A PSI near it or below may be chance.

    Parameters
    ----------
    window, training : (U, B) counts, with the same users in the same order
    """
    difference = window / window.sum() - training / training.sum()
    shares = _shares(window.sum(axis=0) + training.sum(axis=0))
    squares, known = difference.power(2).sum(axis=0), shares > 0
    expected = (squares[known] / shares[known]).sum() - (difference.sum(axis=1) ** 2).sum()
    return max(float(expected), 0.0)  # rounding may take 0 below 0


def jensen_shannon(window: ArrayLike, training: ArrayLike) -> float:
    """Compute the Jensen-Shannon distance with base 2 (Endres and Schindelin 2003), in [0, 1].

    It is 0 for equal shares, and 1 if the samples have no bin in common.

    Parameters
    ----------
    window, training : (B,) counts, each with at least one rating
    """
    return float(jensenshannon(_shares(window), _shares(training), base=2))


def quantile_codes(values: ArrayLike, training: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Find the bin of each value: (N,) int64 from 0. Bins are deciles of the training rows, open at both ends.

    Equal quantiles merge. The value that they share is a bin of its own, so that values below and above it are in
    different bins, even if a feature is constant in training. Missing values (NaN) are one more bin.

    Parameters
    ----------
    values : (N,) float
    training : (N,) bool, the training rows
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
