"""How good top-N lists are, ranked over the full catalogue: accuracy by user, and coverage, novelty, diversity.

Ranking all items and not a sample of them follows Krichene and Rendle, "On sampled metrics for item recommendation",
KDD 2020. Notation: U judged users, I items of the catalogue, K places in a list, k a cut-off. Users and items are
positions from 0.

A metric by user is a pandas Series indexed by the position of the user. A user for whom the metric is not defined has
no row in it. So nothing is NaN, and a mean over the rows is the mean over the users for whom the metric is defined.
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
    """The lists of one model, and what they are judged by.

    items : (U, K) int64 positions, best first, `PAD` where a list has fewer items than places
    hits : (U, K) bool, whether the item is relevant to the user
    relevant : (U,) int64, number of relevant items of the user
    item_counts : (I,) int64, users who rated the item in training
    n_users : users in training
    item_genres : (I, G) bool
    """

    items: Ints
    hits: NDArray[np.bool_]
    relevant: Ints
    item_counts: Ints
    n_users: int
    item_genres: NDArray[np.bool_]

    @classmethod
    def of(
        cls, items: Ints, user: Ints, item: Ints, item_counts: Ints, n_users: int, item_genres: NDArray[np.bool_]
    ) -> Self:
        """From lists and the pairs (user, item) (P,) that are relevant, in any order; a pair given twice counts once.

        Raises
        ------
        ValueError
            A list names an item beyond the catalogue.
        """
        n_items = len(item_counts)
        if items.max(initial=PAD) >= n_items:
            raise ValueError(f"Items must be positions in the range [0, {n_items}). Got {items.max()} instead.")
        pairs = np.unique(user * n_items + item)
        listed = np.arange(len(items))[:, None] * n_items + items
        hits = np.isin(listed, pairs) & (items != PAD)  # coded so, the padding would be an item of another user
        relevant = np.bincount(pairs // n_items, minlength=len(items))
        return cls(items, hits, relevant, item_counts, n_users, item_genres)

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def defined(self) -> Ints:
        """The users (U',) who have a relevant item: those for whom accuracy is defined."""
        return np.flatnonzero(self.relevant)

    @cached_property
    def found(self) -> Ints:
        """(U', K): number of hits among the first places."""
        return self.hits[self.defined].cumsum(1)

    @cached_property
    def gain(self) -> Floats:
        """(U', K): DCG of the first places."""
        return (self.hits[self.defined] * discount(self.items.shape[1])).cumsum(1)

    @cached_property
    def precision_sum(self) -> Floats:
        """(U', K): sum of the precisions at the hits among the first places."""
        return (self.hits[self.defined] * self.found / _ranks(self.items.shape[1])).cumsum(1)

    @cached_property
    def reciprocal(self) -> Floats:
        """(U', K): 1 / rank of the first hit among the first places, 0 without one."""
        best: Floats = np.maximum.accumulate(self.hits[self.defined] / _ranks(self.items.shape[1]), axis=1)
        return best


def discount(k: int) -> Floats:
    """(k,): 1 / log2(rank + 1), what a hit at each rank adds to the DCG."""
    return 1 / np.log2(_ranks(k) + 1)


def accuracy(metric: Callable[[Lists, int, Ints], Floats]) -> Callable[[Lists, int], pd.Series]:
    """Make a metric of lists and k out of a function that also gets m, the number of relevant items of the users who
    have any: (lists, k, (U',)) -> (U',) float64. Others have no row.

    Raises
    ------
    ValueError
        `k` is not in [1, K].
    """

    def by_user(lists: Lists, k: int) -> pd.Series:
        if not 1 <= k <= lists.items.shape[1]:
            raise ValueError(f"k must be an int in the range [1, {lists.items.shape[1]}], the places. Got {k} instead.")
        users = lists.defined
        return pd.Series(metric(lists, k, lists.relevant[users]), index=users, dtype=np.float64)

    return by_user


@accuracy
def precision(lists: Lists, k: int, m: Ints) -> Floats:
    """H_k / k, also when the list is shorter than k. H_k is the number of hits among the first k places."""
    return lists.found[:, k - 1] / k


@accuracy
def recall(lists: Lists, k: int, m: Ints) -> Floats:
    """H_k / m, with m relevant items."""
    return lists.found[:, k - 1] / m


@accuracy
def f1(lists: Lists, k: int, m: Ints) -> Floats:
    """Harmonic mean of precision and recall, which is 2 H_k / (k + m)."""
    return 2 * lists.found[:, k - 1] / (k + m)


@accuracy
def ndcg(lists: Lists, k: int, m: Ints) -> Floats:
    """DCG / ideal DCG. With h_i = 1 if the item at rank i (from 1) is relevant, else 0, the DCG is
    sum_{i<=k} h_i / log2(i + 1). The ideal list has min(k, m) hits first. See Järvelin and Kekäläinen, "Cumulated
    gain-based evaluation of IR techniques", TOIS 2002; gains are binary here."""
    ideal: Floats = discount(k).cumsum()[np.minimum(k, m) - 1]
    return lists.gain[:, k - 1] / ideal


@accuracy
def average_precision(lists: Lists, k: int, m: Ints) -> Floats:
    """sum_{i<=k} h_i (H_i / i) / min(k, m), whose mean over users is MAP."""
    return lists.precision_sum[:, k - 1] / np.minimum(k, m)


@accuracy
def reciprocal_rank(lists: Lists, k: int, m: Ints) -> Floats:
    """1 / rank of the first hit within k, else 0. The mean over users is MRR."""
    return lists.reciprocal[:, k - 1]


@accuracy
def hit_rate(lists: Lists, k: int, m: Ints) -> Floats:
    """1 if H_k > 0, else 0."""
    return (lists.found[:, k - 1] > 0).astype(np.float64)


def coverage(lists: Lists, k: int) -> float:
    """Share of the catalogue that is recommended to anyone, in [0, 1] (Ge et al., "Beyond accuracy", RecSys 2010).

    It grows with the number of users and of places, so compare like with like.
    """
    items = lists.items[:, :k]
    return len(np.unique(items[items != PAD])) / len(lists.item_counts)


def novelty(lists: Lists, k: int) -> pd.Series:
    """Mean self-information of each user's list, in bits: mean over its items of -log2(users of the item / users).

    Follows Vargas and Castells, "Rank and relevance in novelty and diversity metrics", RecSys 2011. The range is from 0
    (everyone rated the items) to log2(users). An item that nobody rated in training counts as rated by one user,
    because the training data cannot tell it from that. Users with an empty list have no row.
    """
    top = lists.items[:, :k]
    information = np.log2(lists.n_users / lists.item_counts.clip(min=1))
    listed = top != PAD
    users = np.flatnonzero(listed.any(1))
    total = (information[top[users]] * listed[users]).sum(1)
    return pd.Series(total / listed[users].sum(1), index=users)


def diversity(lists: Lists, k: int) -> pd.Series:
    """Intra-list diversity: 1 - mean cosine similarity of the genre sets over the pairs of items in a list.

    cosine(A, B) = |A and B| / sqrt(|A| |B|). In [0, 1]: 0 when all items have the same genres, 1 when no two share
    one. Follows Ziegler et al., "Improving recommendation lists through topic diversification", WWW 2005. Items without
    genres are left out; users with fewer than two items left have no row.
    """
    sizes = lists.item_genres.sum(1)
    unit = lists.item_genres / np.sqrt(sizes.clip(min=1))[:, None]  # (I, G)
    unit = np.vstack([unit, np.zeros((1, unit.shape[1]))])  # a last row of zeros, which PAD = -1 finds
    top = lists.items[:, :k]
    n = (np.append(sizes, 0) > 0)[top].sum(1)  # (U,) items with genres
    users = np.flatnonzero(n >= 2)
    # The squared length of the sum of unit vectors is n plus twice the sum of the cosines of all pairs.
    total = np.zeros((len(users), unit.shape[1]))
    for place in range(top.shape[1]):  # place by place, so that no (U, k, G) is made
        total += unit[top[users, place]]
    n = n[users]
    similarity = ((total**2).sum(1) - n) / (n * (n - 1))
    return pd.Series((1 - similarity).clip(0, 1), index=users)


def _ranks(k: int) -> Floats:
    return np.arange(1, k + 1, dtype=np.float64)
