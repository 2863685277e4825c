"""Metrics of top-N lists: accuracy by list, coverage, novelty and diversity.

The lists rank the full catalogue and not a sample of it, as Krichene and Rendle advise ("On sampled metrics for item
recommendation", KDD 2020). Notation: L lists, L' of them with a relevant item to show, I items of the catalogue, G
genres, K places in a list, k a cut-off. Lists and items are positions from 0.

A metric by list is a pandas Series whose index is the position of the list. It has no row for a list for which the
metric is not defined. So there is no NaN, and the mean of the Series is the mean over the lists with a value.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PAD = -1

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Lists:
    """The lists of one model, and the facts that judge them.

    items : (L, K) int64, positions of items, best first. A place without an item has `PAD`.
    hits : (L, K) bool, whether the item is relevant
    relevant : (L,) int64, number of relevant items that the list should show
    item_counts : (I,) int64, number of users who rated the item in training
    n_users : number of users in training
    item_genres : (I, G) bool, whether the item has the genre
    """

    items: Ints
    hits: NDArray[np.bool_]
    relevant: Ints
    item_counts: Ints
    n_users: int
    item_genres: NDArray[np.bool_]

    @classmethod
    def of(
        cls, items: Ints, list_: Ints, item: Ints, item_counts: Ints, n_users: int, item_genres: NDArray[np.bool_]
    ) -> Self:
        """Find the hits of lists.

        Parameters
        ----------
        items : (L, K) int64, the lists
        list_, item : (P,) int64, which list should show which item, in any order. A pair given twice counts once.
        item_counts, n_users, item_genres : as in the class

        Raises
        ------
        ValueError
            A list has an item beyond the catalogue.
        """
        n_items = len(item_counts)
        if items.max(initial=PAD) >= n_items:
            raise ValueError(f"Items must be positions in the range [0, {n_items}). Got {items.max()} instead.")
        pairs = np.unique(list_ * n_items + item)
        listed = np.arange(len(items))[:, None] * n_items + items
        hits = np.isin(listed, pairs) & (items != PAD)  # the code of a padded place is that of another list's item
        relevant = np.bincount(pairs // n_items, minlength=len(items))
        return cls(items, hits, relevant, item_counts, n_users, item_genres)

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def defined(self) -> Ints:
        """(L',) int64: positions of the lists with a relevant item to show. Accuracy is defined for them only."""
        return np.flatnonzero(self.relevant)

    @cached_property
    def found(self) -> Ints:
        """(L', K) int64: number of hits up to each place."""
        return self.hits[self.defined].cumsum(1)

    @cached_property
    def gain(self) -> Floats:
        """(L', K) float64: DCG of the places up to each place."""
        return (self.hits[self.defined] * discount(self.items.shape[1])).cumsum(1)

    @cached_property
    def precision_sum(self) -> Floats:
        """(L', K) float64: sum of the precisions at the hits up to each place."""
        return (self.hits[self.defined] * self.found / _ranks(self.items.shape[1])).cumsum(1)

    @cached_property
    def reciprocal(self) -> Floats:
        """(L', K) float64: 1 / rank of the first hit up to each place, or 0 without a hit."""
        best: Floats = np.maximum.accumulate(self.hits[self.defined] / _ranks(self.items.shape[1]), axis=1)
        return best


def discount(k: int) -> Floats:
    """Return what a hit at each rank adds to the DCG, 1 / log2(rank + 1): (k,) float64."""
    return 1 / np.log2(_ranks(k) + 1)


def accuracy(metric: Callable[[Lists, int, Ints], Floats]) -> Callable[[Lists, int], pd.Series]:
    """Turn a function (lists, k, m) -> (L',) float64 into a metric (lists, k) -> values by list.

    m : (L',) int64 is the number of relevant items of each list that has any. The metric raises `ValueError` if k is
    not in [1, K].
    """

    def by_list(lists: Lists, k: int) -> pd.Series:
        if not 1 <= k <= lists.items.shape[1]:
            raise ValueError(f"k must be an int in the range [1, {lists.items.shape[1]}], the places. Got {k} instead.")
        defined = lists.defined
        return pd.Series(metric(lists, k, lists.relevant[defined]), index=defined, dtype=np.float64)

    return by_list


@accuracy
def precision(lists: Lists, k: int, m: Ints) -> Floats:
    """Compute H_k / k, where H_k is the number of hits among the first k places. A shorter list is divided by k too."""
    return lists.found[:, k - 1] / k


@accuracy
def recall(lists: Lists, k: int, m: Ints) -> Floats:
    """Compute H_k / m, the share of the m relevant items that is among the first k places."""
    return lists.found[:, k - 1] / m


@accuracy
def f1(lists: Lists, k: int, m: Ints) -> Floats:
    """Compute the harmonic mean of precision and recall, which is 2 H_k / (k + m)."""
    return 2 * lists.found[:, k - 1] / (k + m)


@accuracy
def ndcg(lists: Lists, k: int, m: Ints) -> Floats:
    """Compute DCG / ideal DCG, with binary gains.

    Let h_i be 1 if the item at rank i (from 1) is relevant, and 0 otherwise. The DCG is sum_{i<=k} h_i / log2(i + 1).
    The ideal list begins with min(k, m) hits. See Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR
    techniques", TOIS 2002.
    """
    ideal: Floats = discount(k).cumsum()[np.minimum(k, m) - 1]
    return lists.gain[:, k - 1] / ideal


@accuracy
def average_precision(lists: Lists, k: int, m: Ints) -> Floats:
    """Compute sum_{i<=k} h_i (H_i / i) / min(k, m). Its mean over lists is MAP."""
    return lists.precision_sum[:, k - 1] / np.minimum(k, m)


@accuracy
def reciprocal_rank(lists: Lists, k: int, m: Ints) -> Floats:
    """Compute 1 / rank of the first hit within k places, or 0 without a hit. Its mean over lists is MRR."""
    return lists.reciprocal[:, k - 1]


@accuracy
def hit_rate(lists: Lists, k: int, m: Ints) -> Floats:
    """Give 1 if there is a hit within k places, and 0 otherwise."""
    return (lists.found[:, k - 1] > 0).astype(np.float64)


def coverage(lists: Lists, k: int) -> float:
    """Compute the share of the catalogue that is in any list, in [0, 1] (Ge et al., "Beyond accuracy", RecSys 2010).

    It grows with the number of lists and with k. Compare it only between equal numbers of lists and places.
    """
    items = lists.items[:, :k]
    return len(np.unique(items[items != PAD])) / len(lists.item_counts)


def novelty(lists: Lists, k: int) -> pd.Series:
    """Compute the mean self-information of each list, in bits.

    The self-information of an item is -log2(users who rated it in training / all users in training). The range is from
    0 (everyone rated the item) to log2(users). An item that nobody rated counts as rated by one user, so that its
    self-information is finite. An empty list has no row. See Vargas and Castells, "Rank and relevance in
    novelty and diversity metrics", RecSys 2011.
    """
    top = lists.items[:, :k]
    information = np.log2(lists.n_users / lists.item_counts.clip(min=1))
    listed = top != PAD
    filled = np.flatnonzero(listed.any(1))
    total = (information[top[filled]] * listed[filled]).sum(1)
    return pd.Series(total / listed[filled].sum(1), index=filled)


def diversity(lists: Lists, k: int) -> pd.Series:
    """Compute the intra-list diversity: 1 - mean cosine similarity of the genres over all pairs of items in a list.

    The similarity of the genre sets A and B is |A and B| / sqrt(|A| |B|). Diversity is in [0, 1]: 0 if all items have
    the same genres, 1 if no two items share a genre. Items without genres are left out. Lists with fewer than two
    remaining items have no row. See Ziegler et al., "Improving recommendation lists through topic diversification",
    WWW 2005.
    """
    sizes = lists.item_genres.sum(1)
    unit = lists.item_genres / np.sqrt(sizes.clip(min=1))[:, None]  # (I, G)
    unit = np.vstack([unit, np.zeros((1, unit.shape[1]))])  # PAD = -1 selects this last row
    top = lists.items[:, :k]
    n = (np.append(sizes, 0) > 0)[top].sum(1)  # (L,) number of items with genres
    enough = np.flatnonzero(n >= 2)
    # The squared length of the sum of unit vectors is n plus twice the sum of the cosines of all pairs.
    total = np.zeros((len(enough), unit.shape[1]))
    for place in range(top.shape[1]):  # an array of (L, k, G) could exceed the memory
        total += unit[top[enough, place]]
    n = n[enough]
    similarity = ((total**2).sum(1) - n) / (n * (n - 1))
    return pd.Series((1 - similarity).clip(0, 1), index=enough)


def _ranks(k: int) -> Floats:
    return np.arange(1, k + 1, dtype=np.float64)
