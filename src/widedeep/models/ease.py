"""EASE (Steck 2019, "Embarrassingly shallow autoencoders for sparse data", arXiv 1905.03375): weights between items.

X is the (U, I) matrix with 1 for each positive training pair, else 0. The scores of user u are X_u B, the sum of the
rows of B for the user's items. B minimizes

    ||X - X B||^2 + l2 ||B||^2   subject to diag(B) = 0.

The solution is B_ij = -P_ij / P_jj off the diagonal, with P = (X^T X + l2)^-1.

If none of a user's items has a weight to another item, X_u B is 0. Such a user gets the popular items first.
"""

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from widedeep.columns import TRAIN
from widedeep.errors import UserError
from widedeep.features.inputs import Inputs, Output, Reads
from widedeep.features.ragged import Ragged
from widedeep.features.spec import Spec
from widedeep.features.tensors import FeatureSet
from widedeep.models.knobs import EaseConfig
from widedeep.models.model import Model

MAX_ITEMS = 20_000
BLOCK = 256  # items per step of the product of X^T and X
BATCH = 1024  # listed pairs scored per step
ALL = 2**31  # more interactions than any user has: read all of them


class Ease(Model):
    """Ranks by X_u B, where training pairs rated at least `positive_rating` are positive.

    If that is 0 for all items, it ranks by the number of training ratings. Ratings are predicted by a line of X_u B,
    fitted by least squares on the training rows. There the rated item itself does not count, because diag(B) = 0.

    Memory: B takes 4 bytes for each pair of items, and 16 while it is computed (in float64). Time grows with I^3.

    weights : (I, I) float32
        The matrix B.
    linked : (I,) float32
        1 if the item has a weight to another one, else 0.
    popularity : (I,) float32
        Number of training ratings.

    Raises
    ------
    UserError
        The catalogue has more than `MAX_ITEMS` items, or no training row is positive.
    """

    reads = Reads(user_items=ALL)
    ranks_with_history = False
    ranks_only = True

    def __init__(self, spec: Spec, config: EaseConfig) -> None:
        super().__init__()
        items = next(int(field.cardinality or 0) for field in spec.fields if field.name == "item_id")
        check_catalogue(items, "EASE")
        self.l2, self.positive = config.l2, config.positive_rating
        self.weights: Tensor
        self.linked: Tensor
        self.popularity: Tensor
        self.line: Tensor
        self.register_buffer("weights", torch.zeros(items, items))
        self.register_buffer("linked", torch.zeros(items))
        self.register_buffer("popularity", torch.zeros(items))
        self.register_buffer("line", torch.tensor([0.0, 1.0]))

    def fit(self, features: FeatureSet) -> None:
        rows = features.splits[TRAIN]
        if self.positive is not None:
            rows = rows[rows.rating >= self.positive]
        if not len(rows):
            raise UserError(
                f"models.ease.positive_rating: no training row is rated at least {self.positive}, so there is nothing "
                "to rank. Lower it, or set it to null."
            )
        item = features.items.index[rows.item]
        self.weights.copy_(ease_weights(rows.user, item, len(features.users), len(self.weights), self.l2))
        self.linked.copy_(self.weights.any(1))
        known = features.items.index
        self.popularity[known] = torch.where(known > 0, features.state.items.count, 0).float()

    def forward(self, inputs: Inputs) -> Output:
        rated, pairs = inputs.users.interactions, inputs.pairs
        assert rated is not None
        score = self._score(inputs)
        linked = rated.rating.new_zeros(len(rated)).index_add(
            0, rated.owner, self._chosen(rated) * self.linked[rated.other]
        )
        popularity = self.popularity[inputs.items.categories[:, 0]]
        ranking = torch.where(pairs.of_users(linked) > 0, score, pairs.of_items(popularity))
        return Output(self.line[0] + self.line[1] * score, ranking, score.new_zeros(()))

    def _chosen(self, rated: Ragged) -> Tensor:
        """Return 1 for each positive interaction, else 0: (M,) float32."""
        return torch.ones_like(rated.rating) if self.positive is None else (rated.rating >= self.positive).float()

    def _score(self, inputs: Inputs) -> Tensor:
        """Compute X_u B of each pair: (P,), or (U, I) for the grid."""
        rated, pairs = inputs.users.interactions, inputs.pairs
        assert rated is not None
        chosen, item = self._chosen(rated), inputs.items.categories[:, 0]
        if pairs.user is None or pairs.item is None:
            return rated.sum(self.weights, chosen)[:, item]
        parts = zip(pairs.user.split(BATCH), item[pairs.item].split(BATCH), strict=True)
        return torch.cat([self._listed(rated, chosen, *part) for part in parts])

    def _listed(self, rated: Ragged, chosen: Tensor, user: Tensor, item: Tensor) -> Tensor:
        place, known = rated.padded(user)
        return (self.weights[rated.other[place], item[:, None]] * chosen[place] * known).sum(1)


def ease_weights(user: Tensor, item: Tensor, n_users: int, n_items: int, l2: float) -> Tensor:
    """Compute B: (n_items, n_items) float32 with a diagonal of 0.

    Parameters
    ----------
    user, item : (N,) int64
        Training pairs, in [0, n_users) and [0, n_items). Repeated pairs count once.
    n_users, n_items : numbers of users and items, including those without a training pair
    l2 : > 0; a larger value makes the weights smaller
    """
    pairs = torch.unique(user * n_items + item)
    user, item = pairs // n_items, pairs % n_items
    raters, user = user.unique(return_inverse=True)
    if len(raters) < n_items:
        inverse = _inverse_by_users(user, item, len(raters), n_items, l2)
    else:
        gram = _common_users(user, item, len(raters), n_items)
        gram.diagonal().add_(l2)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram, out=gram), out=gram)
    inverse.div_(-inverse.diagonal().clone())
    return inverse.float().fill_diagonal_(0)


def _inverse_by_users(user: Tensor, item: Tensor, n_users: int, n_items: int, l2: float) -> Tensor:
    """Compute (X^T X + l2)^-1 = (1 - X^T (X X^T + l2)^-1 X) / l2, which is faster with fewer users than items."""
    x = torch.zeros(n_users, n_items, dtype=torch.float64, device=user.device)
    x[user, item] = 1
    gram = x @ x.T
    gram.diagonal().add_(l2)
    half = torch.linalg.solve_triangular(torch.linalg.cholesky(gram), x, upper=False)
    inverse: Tensor = (half.T @ half).div_(-l2)
    inverse.diagonal().add_(1 / l2)
    return inverse


def check_catalogue(items: int, model: str) -> None:
    """Check that a weight for each pair of items would fit into memory.

    Raises
    ------
    UserError
        The catalogue has more than `MAX_ITEMS` items.
    """
    if items > MAX_ITEMS:
        raise UserError(
            f"{model} keeps a weight for each pair of items, and allows at most {MAX_ITEMS:,} items: "
            f"{items:,} items would take {16 * items**2 / 1e9:,.0f} GB of memory. Choose the "
            "model wide_deep, or leave out rare items with preprocess.min_ratings_per_item."
        )


def _common_users(user: Tensor, item: Tensor, n_users: int, n_items: int) -> Tensor:
    """Compute X^T X of distinct pairs: the number of users that any two items share, (I, I) float64."""
    ones = np.ones(len(user), np.float32)  # sums of ones are exact up to 2^24
    x = csr_array((ones, (user.cpu().numpy(), item.cpu().numpy())), shape=(n_users, n_items))
    transposed, common = x.T.tocsr(), np.empty((n_items, n_items))
    for first in range(0, n_items, BLOCK):
        common[first : first + BLOCK] = (transposed[first : first + BLOCK] @ x).toarray()
    return torch.from_numpy(common).to(user.device)
