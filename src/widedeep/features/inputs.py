"""What a model sees: users and items of a batch, each once, and the pairs of them to score. And what it answers.

Shapes: U users and I items of the batch, P pairs. Pairs are a list, of shape (P,), or the grid of every user with every
item, of shape (U, I). Both broadcast: `Pairs.of_users` and `Pairs.of_items` bring what belongs to a user or an item to
its pairs, and whatever is written with them works for a list of ratings as for the ranking of a whole catalogue.
"""

from typing import NamedTuple

from torch import Tensor

from widedeep.features.ragged import Ragged


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


class Side(NamedTuple):
    """n users or items: `categories` (n, F) int64 indices, 0 unseen; `bag` (n, G) int64 genre indices padded with 0;
    `numbers` (n, N) float32; `id` (n,) int64, the index of the id even where `categories` hides it, for what belongs
    to the interactions of the other side; `interactions`, of the other side, where the model reads them."""

    categories: Tensor
    bag: Tensor
    numbers: Tensor
    id: Tensor
    interactions: Ragged | None = None


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


class Output(NamedTuple):
    """What a model says of P pairs, or of a grid.

    rating : (P,) in rating points, unbounded (`widedeep.scoring` clips every model to the scale)
    ranking : (P,), higher is better
    penalty : scalar, what the loss adds for large weights
    """

    rating: Tensor
    ranking: Tensor
    penalty: Tensor
