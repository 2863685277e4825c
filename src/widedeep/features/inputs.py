"""What a model sees: users and items of a batch, each once, and which pairs of them are to be scored.

Shapes: U users and I items of the batch, P pairs. Pairs are a list, of shape (P,), or the grid of every user with every
item, of shape (U, I). Both broadcast: `Pairs.of_users` and `Pairs.of_items` bring what belongs to a user or an item to
its pairs, and whatever is written with them works for a list of ratings as for the ranking of a whole catalogue.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Pairs(NamedTuple):
    """`user` (P,) and `item` (P,) int64: places in the batch's users and items. None: the grid."""

    user: Tensor | None = None
    item: Tensor | None = None

    def of_users(self, values: Tensor) -> Tensor:
        """(U, ...) to (P, ...), or to (U, 1, ...) for the grid."""
        return values[:, None] if self.user is None else values[self.user]

    def of_items(self, values: Tensor) -> Tensor:
        """(I, ...) to (P, ...), or to (1, I, ...) for the grid."""
        return values[None] if self.item is None else values[self.item]

    def dot(self, users: Tensor, items: Tensor) -> Tensor:
        """Inner product of each pair's vectors: (U, K), (I, K) to (P,) or (U, I)."""
        if self.user is None:
            return users @ items.T
        return (users[self.user] * items[self.item]).sum(-1)


class Interactions(NamedTuple):
    """Ratings of n users (or items), as far as they are visible, in order of time: `owner` (M,) place of the user,
    `other` (M,) vocabulary index of the item, `rating` (M,) float32, `size` (n,) float32 how many each has."""

    owner: Tensor
    other: Tensor
    rating: Tensor
    size: Tensor

    def sum(self, table: Tensor, weight: Tensor | None = None) -> Tensor:
        """Sum of the rows of `table` (cardinality, K) that each owner rated, times `weight` (M,): (n, K).

        A product with a sparse matrix: on long lists several times faster than an embedding bag and its gradient.
        """
        values = torch.ones_like(self.rating) if weight is None else weight
        matrix = torch.sparse_coo_tensor(
            torch.stack([self.owner, self.other]), values, (len(self.size), len(table)), check_invariants=False
        )
        with torch.autocast(table.device.type, enabled=False):  # its gradient fails in mixed precision
            total: Tensor = torch.sparse.mm(matrix, table)
        return total

    def of(self, owner: Tensor) -> tuple[Tensor, Tensor]:
        """Places among the interactions of those of each owner (B,), side by side with padding: (B, n) int64, and which
        are no padding, (B, n) bool."""
        size = self.size.long()
        start = size.cumsum(0) - size
        within = torch.arange(int(size[owner].max()) if len(owner) else 0, device=owner.device)
        known = within < size[owner][:, None]
        return torch.where(known, start[owner][:, None] + within, 0), known


class Side(NamedTuple):
    """n users or items: `categories` (n, F) int64 indices, 0 unseen; `bag` (n, G) int64 genre indices padded with 0;
    `numbers` (n, N) float32; `id` (n,) int64, the index of the id even where `categories` hides it, for what belongs
    to the interactions of the other side; `interactions`, of the other side, where the model reads them."""

    categories: Tensor
    bag: Tensor
    numbers: Tensor
    id: Tensor
    interactions: Interactions | None = None


class Inputs(NamedTuple):
    """All that a model sees of P pairs (or a grid).

    history: (P, H) float32, as of the rating, else None: a model that ranks must not learn from it which of the items
    was rated. time: (P, 2) float32, days since the first training rating of the data set, and of the user, else None.
    user_own, item_own: float32 1 where the pair's own rating is one of the user's (the item's) interactions, which the
    model must then leave out; None where the model reads none.
    """

    users: Side
    items: Side
    pairs: Pairs
    history: Tensor | None = None
    time: Tensor | None = None
    user_own: Tensor | None = None
    item_own: Tensor | None = None


class Reads(NamedTuple):
    """What a model wants among its inputs that costs time: the most interactions of a user and of an item, the latest,
    0 for none; and the time of a pair."""

    user_items: int = 0
    item_users: int = 0
    time: bool = False
