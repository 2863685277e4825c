"""Factors of users and items: an inner product, which an MLP hardly learns (Rendle et al. 2020, arXiv 2005.09683)."""

import torch
from torch import Tensor, nn

from widedeep.columns import ITEM_ID, USER_ID
from widedeep.features.inputs import Inputs
from widedeep.features.ragged import Ragged
from widedeep.features.spec import Spec
from widedeep.models.deep import Embeddings, vectors
from widedeep.models.knobs import WideDeepConfig
from widedeep.models.table import Table

# A softmax over a catalogue needs larger scores than a rating does. Without this factor the ranking head would still
# be learning when the rating head overfits.
RANKING_SCALE = 2.0


class Factors(nn.Module):
    """The inner product of a user's and an item's vector of size `factors`, for each head.

    The vector of a user or an item is the sum of the vectors of its fields (id, demographics, genres), as in a
    factorization machine (Rendle 2010). If the model reads a user's interactions, it adds the implicit feedback of
    SVD++ (Koren 2008, eq. 15) to the user's vector:

        |N(u)|^-1/2 sum_{j in N(u)} y_j,  N(u): the user's other training items

    An item's vector gets the same from its other users ("SVD++ flipped", Rendle et al. 2019, arXiv 1905.01395). The
    pair itself is left out of both sums, because in a test it would not be known.

    With two heads, rating and ranking, each has its own weights w of the factors: sum_k w_k p_k q_k. At the start the
    rating uses the first half of the factors and the ranking the second half. They learn what to share.
    """

    def __init__(self, spec: Spec, config: WideDeepConfig, heads: int) -> None:
        super().__init__()
        size, deviation, uncertain = config.factors, config.embedding_deviation, config.noise_variance > 0
        self.user, self.item = (Embeddings(spec, entity, size, deviation, uncertain) for entity in ("user", "item"))
        self.rated = vectors(spec, ITEM_ID, size, deviation, uncertain) if config.user_items else None
        self.raters = vectors(spec, USER_ID, size, deviation, uncertain) if config.item_users else None
        halves = torch.arange(size) < size // 2
        start = torch.stack([halves.float(), RANKING_SCALE * ~halves])
        self.heads = nn.Parameter(start) if heads > 1 else None

    def forward(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return the scores, (P, heads), and the mean over pairs of the sum of squares of both vectors."""
        pairs = inputs.pairs
        user, item = self.user(inputs.users).sum(1), self.item(inputs.items).sum(1)  # (U, K), (I, K)
        rated, y = _interactions(self.rated, inputs.users.interactions, inputs.items.id)
        raters, z = _interactions(self.raters, inputs.items.interactions, inputs.users.id)
        penalty = pairs.of_users(_square(user, rated, inputs.users.interactions)).mean()
        penalty = penalty + pairs.of_items(_square(item, raters, inputs.items.interactions)).mean()
        weights = [None] if self.heads is None else list(self.heads)
        scores = [self._score(inputs, user, item, rated, raters, y, z, weight) for weight in weights]
        return torch.stack(scores, -1), penalty

    def _score(
        self,
        inputs: Inputs,
        user: Tensor,
        item: Tensor,
        rated: Tensor | None,
        raters: Tensor | None,
        y: Tensor | None,
        z: Tensor | None,
        weight: Tensor | None,
    ) -> Tensor:
        """Compute (user + (rated - own y) / sqrt(n)) . (item + (raters - own z) / sqrt(m)) of each pair: (P,).

        The product is multiplied out. So no vector per pair is needed, and a grid remains a product of matrices.
        """
        pairs = inputs.pairs

        def dot(of_user: Tensor, of_item: Tensor) -> Tensor:
            return pairs.dot(of_user if weight is None else of_user * weight, of_item)

        score = dot(user, item)
        if rated is not None and y is not None and inputs.user_own is not None:
            own = inputs.user_own  # (P,)
            user_scale = _scale(pairs.of_users(_size(inputs.users.interactions)) - own)
            score = score + user_scale * (dot(rated, item) - own * pairs.of_items(_inner(y, item, weight)))
        if raters is not None and z is not None and inputs.item_own is not None:
            own = inputs.item_own
            item_scale = _scale(pairs.of_items(_size(inputs.items.interactions)) - own)
            score = score + item_scale * (dot(user, raters) - own * pairs.of_users(_inner(user, z, weight)))
            if rated is not None and y is not None and inputs.user_own is not None:
                both = dot(rated, raters) - own * pairs.of_users(_inner(rated, z, weight))
                both = both - inputs.user_own * pairs.of_items(_inner(y, raters, weight))
                score = score + user_scale * item_scale * (both + inputs.user_own * own * dot(z, y))
        return score


def _interactions(
    table: Table | None, interactions: Ragged | None, other: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """Return, for each user (or item), the sum of the vectors of its interactions, and the vectors of `other`."""
    if table is None or interactions is None:
        return None, None
    weights = table.draw()
    return interactions.sum(weights), nn.functional.embedding(other, weights, padding_idx=0)


def _size(interactions: Ragged | None) -> Tensor:
    assert interactions is not None
    return interactions.count.float()


def _scale(size: Tensor) -> Tensor:
    return size.clamp(min=1).rsqrt()


def _square(vector: Tensor, total: Tensor | None, interactions: Ragged | None) -> Tensor:
    if total is not None:
        vector = vector + total * _scale(_size(interactions))[:, None]
    return vector.square().sum(1)


def _inner(a: Tensor, b: Tensor, weight: Tensor | None) -> Tensor:
    return (a * b if weight is None else a * b * weight).sum(1)
