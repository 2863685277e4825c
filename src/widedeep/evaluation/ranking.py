"""How good top-N lists are, ranked over the full catalogue: accuracy by user, and coverage, novelty, diversity.

Ranking all items and not a sample of them follows Krichene and Rendle, "On sampled metrics for item recommendation",
KDD 2020. Notation: U users of a batch, I items of the catalogue, k places in a list. Users and items are positions
from 0. A list is a row of `top`, (U, k) int64, best item first, with `PAD` where it has fewer items than places.

Metrics by user come as a pandas object whose index is the user's position in the batch. Users for whom a metric is
not defined have no row in it: nothing is NaN, and a mean over the rows is the mean over the users it is defined for.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

PAD = -1


class UserItems(NamedTuple):
    """The set of items of each user, compressed by row: user u has `items[indptr[u]:indptr[u + 1]]`, in rising order.

    indptr : (U + 1,) int64, items : (nnz,) int64
    """

    indptr: Tensor
    items: Tensor

    @classmethod
    def from_pairs(cls, user: Tensor, item: Tensor, n_users: int) -> "UserItems":
        """From (nnz,) int64 pairs in any order; a pair given twice counts once."""
        width = _width(item)
        pairs = torch.unique(user * width + item)
        counts = torch.bincount(pairs // width, minlength=n_users)
        return cls(functional.pad(counts.cumsum(0), (1, 0)), pairs % width)

    def batch(self, start: int, stop: int) -> "UserItems":
        """The users [start, stop), renumbered from 0."""
        indptr = self.indptr[start : stop + 1]
        return UserItems(indptr - indptr[0], self.items[indptr[0] : indptr[-1]])

    def counts(self) -> Tensor:
        """Number of items by user, (U,) int64."""
        return self.indptr.diff()

    def users(self) -> Tensor:
        """The user of each entry of `items`, (nnz,) int64."""
        counts = self.counts()
        return torch.arange(len(counts), device=counts.device).repeat_interleave(counts)


def top_items(scores: Tensor, exclude: UserItems, k: int) -> Tensor:
    """The k best items of each user, without the excluded ones (those of the training split).

    Equal scores are ordered by item position, lower first, so that the list does not depend on the device.

    Parameters
    ----------
    scores : (U, I) float, higher is better; an item with score -inf is no candidate
    exclude : items that are no candidates, by user

    Returns
    -------
    (U, k) int64, best first, `PAD` at the end where a user has fewer than k candidates.

    Raises
    ------
    ValueError
        `k` is below 1, or a score of a candidate is NaN.
    """
    if k < 1:
        raise ValueError(f"k must be an int in the range [1, inf). Got {k} instead.")
    n_items = scores.shape[1]
    kept = min(k, n_items)
    scores = scores.clone()
    scores[exclude.users(), exclude.items] = -torch.inf
    best, items = scores.topk(min(k + 1, n_items))  # one more than asked for shows a tie at the border; NaN sorts first
    if best.isnan().any():
        raise ValueError("scores must not hold NaN.")
    if n_items > k:
        items, border = items[:, :k], best[:, k - 1]
        tied = (border == best[:, k]).nonzero().squeeze(1)
        if len(tied):
            items[tied] = _resolve_border(scores[tied], border[tied, None], k)
    items = items.sort(dim=1).values
    best, order = scores.gather(1, items).sort(dim=1, descending=True, stable=True)
    top = items.gather(1, order).masked_fill(best == -torch.inf, PAD)
    return functional.pad(top, (0, k - kept), value=PAD)


def ranking_metrics(top: Tensor, relevant: UserItems, ks: Sequence[int]) -> pd.DataFrame:
    """Accuracy of each user's list at several cut-offs: columns `precision_at_10`, `ndcg_at_10`, ...

    With h_i = 1 if the item at rank i (from 1) is relevant, else 0, H_k = sum_{i<=k} h_i and m relevant items:

    - precision = H_k / k, also when the list is shorter than k
    - recall = H_k / m
    - f1 = harmonic mean of both, which is 2 H_k / (k + m)
    - ndcg = DCG / ideal DCG, DCG = sum_{i<=k} h_i / log2(i + 1), ideal: min(k, m) hits first (Järvelin and
      Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002, with binary gains)
    - map = average precision, sum_{i<=k} h_i (H_i / i) / min(k, m), whose mean over users is MAP
    - mrr = 1 / rank of the first hit within k, else 0
    - hit_rate = 1 if H_k > 0, else 0

    All are float64 in [0, 1], higher is better. Users without relevant items have no row.

    Parameters
    ----------
    top : (U, K) int64, K at least the largest of `ks`
    relevant : items of the holdout, by user

    Raises
    ------
    ValueError
        A cut-off is not in [1, K].
    """
    if not all(1 <= k <= top.shape[1] for k in ks):
        raise ValueError(f"ks must be ints in the range [1, {top.shape[1]}], the length of the lists. Got {list(ks)}.")
    defined = relevant.counts() > 0
    hits = _hits(top, relevant)[defined].double()  # (U', K)
    m = relevant.counts()[defined]
    rank = torch.arange(1, top.shape[1] + 1, device=top.device, dtype=torch.float64)
    discount = 1 / torch.log2(rank + 1)
    found = hits.cumsum(1)
    gain, ideal_gain = (hits * discount).cumsum(1), discount.cumsum(0)
    precision_sum = (hits * found / rank).cumsum(1)
    reciprocal = (hits / rank).cummax(1).values
    columns = {}
    for k in ks:
        at, reachable = k - 1, m.clamp(max=k)
        columns[f"precision_at_{k}"] = found[:, at] / k
        columns[f"recall_at_{k}"] = found[:, at] / m
        columns[f"f1_at_{k}"] = 2 * found[:, at] / (k + m)
        columns[f"ndcg_at_{k}"] = gain[:, at] / ideal_gain[reachable - 1]
        columns[f"map_at_{k}"] = precision_sum[:, at] / reachable
        columns[f"mrr_at_{k}"] = reciprocal[:, at]
        columns[f"hit_rate_at_{k}"] = (found[:, at] > 0).double()
    return pd.DataFrame({name: _numpy(column) for name, column in columns.items()}, index=_index(defined))


def coverage(top: Tensor, n_items: int) -> float:
    """Share of the catalogue that is recommended to anyone, in [0, 1] (Ge et al., "Beyond accuracy", RecSys 2010).

    It grows with the number of users and of places, so compare like with like. `top` holds the lists of all users.
    """
    listed = torch.zeros(n_items, dtype=torch.bool, device=top.device)
    listed[top[top != PAD]] = True
    return int(listed.sum()) / n_items


def novelty(top: Tensor, item_users: Tensor, n_users: int) -> pd.Series:
    """Mean self-information of each user's list, in bits: mean over its items of -log2(users of the item / users).

    Follows Vargas and Castells, "Rank and relevance in novelty and diversity metrics", RecSys 2011. Ranges from 0
    (everyone rated the items) to log2(n_users). An item that nobody rated in training counts as rated by one user: the
    most that the training data can tell apart. Users with an empty list have no row.

    Parameters
    ----------
    top : (U, k) int64
    item_users : (I,) int64, users who rated the item in training
    n_users : users in training
    """
    information = torch.log2(n_users / item_users.clamp(min=1).double())
    listed = top != PAD
    defined = listed.any(1)
    total = (information[top.clamp(min=0)] * listed).sum(1)[defined]
    return pd.Series(_numpy(total / listed.sum(1)[defined]), index=_index(defined), name="novelty")


def diversity(top: Tensor, item_genres: Tensor) -> pd.Series:
    """Intra-list diversity: 1 - mean cosine similarity of the genre sets over the pairs of items in a list.

    cosine(A, B) = |A and B| / sqrt(|A| |B|). In [0, 1]; 0 when all items have the same genres, 1 when no two share
    one. Follows Ziegler et al., "Improving recommendation lists through topic diversification", WWW 2005. Items without
    genres are left out; users with fewer than two items left have no row.

    Parameters
    ----------
    top : (U, k) int64
    item_genres : (I, G) bool
    """
    unit = functional.normalize(item_genres.double(), dim=1)  # (I, G)
    unit = functional.pad(unit, (0, 0, 0, 1))  # a last row of zeros for PAD
    position = torch.where(top == PAD, len(unit) - 1, top)
    n = unit.any(1)[position].sum(1)  # (U,) items with genres
    defined = n >= 2
    # The squared length of the sum of unit vectors is n plus twice the sum of the cosines of all pairs.
    total = functional.embedding_bag(position[defined], unit, mode="sum")  # (U', G)
    n = n[defined]
    similarity = ((total**2).sum(1) - n) / (n * (n - 1))
    return pd.Series(_numpy((1 - similarity).clamp(0, 1)), index=_index(defined), name="diversity")


def _resolve_border(scores: Tensor, border: Tensor, k: int) -> Tensor:
    """The items above the border score and the first of those at it, k in all: (T, I), (T, 1) -> (T, k) int64."""
    n_items = scores.shape[1]
    first = torch.arange(n_items, 0, -1, dtype=torch.int32, device=scores.device)
    key = torch.where(scores > border, n_items + 1, torch.where(scores == border, first, 0))
    return key.topk(k).indices


def _hits(top: Tensor, relevant: UserItems) -> Tensor:
    """Whether each listed item is relevant to the user: (U, K) bool."""
    width = _width(torch.cat([top.flatten(), relevant.items]))
    pairs = torch.arange(len(top), device=top.device)[:, None] * width + top
    return torch.isin(pairs, relevant.users() * width + relevant.items) & (top != PAD)


def _width(items: Tensor) -> int:
    """A factor that makes user * width + item unique for these items."""
    return int(items.max()) + 1 if len(items) else 1


def _index(defined: Tensor) -> pd.Index:
    return pd.Index(_numpy(defined.nonzero().squeeze(1)), name="user")


def _numpy(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.cpu().numpy()
    return array
