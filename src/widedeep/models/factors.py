"""The inner product that an MLP does not learn (Rendle et al. 2020, arXiv 2005.09683): factors of users and items."""

import torch
from torch import Tensor, nn

from widedeep.columns import ITEM_ID, USER_ID
from widedeep.features.inputs import Inputs
from widedeep.features.ragged import Ragged
from widedeep.features.spec import Spec
from widedeep.models.deep import Embeddings, vectors
from widedeep.models.registry import WideDeepConfig
from widedeep.models.table import Table

# A softmax over a catalogue needs larger scores than the residual of a rating: without it the ranking head is
# still learning when the rating head already overfits.
RANKING_SCALE = 2.0


class Factors(nn.Module):
    """Inner product of a user's and an item's vector of size `factors`, for each head.

    Each vector is the sum of those of its fields, id, demographics and genres alike, as in a factorization machine
    (Rendle 2010). Where the model reads interactions, a user's vector also has

        |N(u)|^-1/2 sum_{j in N(u)} y_j,  N(u): the user's other training items,

    the implicit feedback of SVD++ (Koren 2008, eq. 15), and an item's vector likewise that of its other users ("SVD++
    flipped", Rendle et al. 2019, arXiv 1905.01395). The item of the pair itself is left out: it would be there in
    training, and never in a test.

    With two heads, a rating and a ranking, each weighs the factors in its own way, sum_k w_k p_k q_k: at the start one
    has the first half and the other the second, and they learn what to share.
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
        """Scores (P, heads), and the mean over pairs of the sum of squares of both vectors."""
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
        """(user + (rated - own y) / sqrt(n)) . (item + (raters - own z) / sqrt(m)), multiplied out: so the vector of a
        pair is never written down, and a grid stays a product of matrices."""
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
    """Of each user (item) the sum over its interactions, and of each of the `other` ones what it adds to such a sum."""
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
