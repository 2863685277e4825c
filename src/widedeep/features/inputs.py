"""Inputs and output of a model. A batch holds each of its users and items once, and the pairs of them to score.

Shapes: U users and I items of the batch, P pairs. The pairs are either a list, of shape (P,), or a grid of every user
with every item, of shape (U, I). `Pairs.of_users` and `Pairs.of_items` bring values of users and items to the shape of
the pairs. A model that uses them needs no other code to predict ratings (a list) than to rank a catalogue (a grid).
In other modules a shape (P,) means either form.
"""

from typing import NamedTuple

from torch import Tensor

from widedeep.features.ragged import Ragged


class Pairs(NamedTuple):
    """The pairs to score.

    user, item : (P,) int64, or None
        Positions among the users and items of the batch. None: the grid of all users with all items.
    """

    user: Tensor | None = None
    item: Tensor | None = None

    # The gradient of `index_select` takes half as long as that of indexing.
    def of_users(self, values: Tensor) -> Tensor:
        """Bring values of users to their pairs: (U, ...) to (P, ...), or to (U, 1, ...) for the grid."""
        return values[:, None] if self.user is None else values.index_select(0, self.user)

    def of_items(self, values: Tensor) -> Tensor:
        """Bring values of items to their pairs: (I, ...) to (P, ...), or to (1, I, ...) for the grid."""
        return values[None] if self.item is None else values.index_select(0, self.item)

    def dot(self, users: Tensor, items: Tensor) -> Tensor:
        """Compute the inner product of the two vectors of each pair: (U, K), (I, K) to (P,) or (U, I)."""
        if self.user is None:
            return users @ items.T
        return (self.of_users(users) * self.of_items(items)).sum(-1)


class Side(NamedTuple):
    """The n users, or the n items, of a batch.

    categories : (n, F) int64
        Index of each category; 0 is unseen or missing. The index of the id comes first.
    bag : (n, G) int64
        Indices of the genres, padded with 0.
    numbers : (n, N) float32
    id : (n,) int64
        Index of the id, also if training hides it in `categories`. It identifies the entity in interactions.
    interactions : lists of n
        The interactions of each entity; `other` holds indices. None if the model does not read them.
    """

    categories: Tensor
    bag: Tensor
    numbers: Tensor
    id: Tensor
    interactions: Ragged | None = None


class Inputs(NamedTuple):
    """Everything that a model sees of P pairs, or of a grid.

    users, items : the users and items of the batch
    pairs : which of them to score together
    history : (P, H) float32, or None
        The history columns of each pair. None for a ranking head, which could learn from it which item was rated.
    lately : (P, L) float32, or None
        Number of visible ratings of each pair's item at the time of the question, where a rating counts half for every
        half-life that has passed since. One column per half-life of `Reads.half_lives`. None if the model reads none.
    time : (P, 2) float32, or None
        Days since the first rating of the data set, and since the first rating of the user. None if the model does not
        read it.
    user_own : (P,) float32, or None
        1 if the pair's own rating is among the interactions of its user, else 0. The model must leave that rating out.
        None if the model does not read a user's interactions.
    item_own : (P,) float32, or None
        The same for the interactions of the item.
    """

    users: Side
    items: Side
    pairs: Pairs
    history: Tensor | None = None
    lately: Tensor | None = None
    time: Tensor | None = None
    user_own: Tensor | None = None
    item_own: Tensor | None = None


class Reads(NamedTuple):
    """The inputs that take time to assemble, and that not every model reads.

    user_items : largest number of interactions per user, the latest ones; 0 for none
    item_users : largest number of interactions per item, the latest ones; 0 for none
    time : whether the model reads `Inputs.time`
    half_lives : half-lives of `Inputs.lately`, in days; infinity for a plain count
    """

    user_items: int = 0
    item_users: int = 0
    time: bool = False
    half_lives: tuple[float, ...] = ()


class Output(NamedTuple):
    """The output of a model for P pairs, or for a grid.

    rating : (P,) float
        Predicted rating in rating points. It may lie outside the scale; `widedeep.scoring` clips it.
    ranking : (P,) float
        Score to rank by; higher is better.
    penalty : () float
        Regularization term that the loss adds.
    """

    rating: Tensor
    ranking: Tensor
    penalty: Tensor
