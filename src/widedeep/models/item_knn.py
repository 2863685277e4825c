"""The item-based neighbourhood model: it corrects the biases by the user's ratings of similar items.

Sarwar et al. 2001, "Item-based collaborative filtering recommendation algorithms" (WWW), on residuals of the biases and
with shrunk similarities as in Koren 2010, "Factor in the neighbors" (ACM TKDD 4(1)), section 2.2:

    predicted residual of (u, i) = sum_j s_ij e_uj / sum_j s_ij
    s_ij = n_ij / (n_ij + shrinkage) * sum_u e_ui e_uj / sqrt(sum_u e_ui^2 * sum_u e_uj^2)

Here e_ui = r_ui - mu - b_u - b_i is a training residual. The sums in s_ij run over the n_ij users who rated both items.
j runs over the k items most similar to i among those that u rated, without i itself and without items with s_ij <= 0.
"""

import torch
from torch import Tensor
from torch.nn import functional

from widedeep.columns import TRAIN
from widedeep.features.assemble import history
from widedeep.features.inputs import Inputs, Output, Reads
from widedeep.features.ragged import Ragged
from widedeep.features.spec import UNIT, Spec
from widedeep.features.tensors import FeatureSet
from widedeep.models.ease import ALL, check_catalogue
from widedeep.models.knobs import ItemKnnConfig
from widedeep.models.model import Model

BLOCK = 256  # items per step of the comparison with all others
BATCH = 1024  # pairs predicted per step


class ItemKnn(Model):
    """Rating = mu + b_u + b_i + the predicted residual, with k = `neighbours`.

    b_u and b_i come from the history of the pair. The predicted residual is 0 if the user rated no similar item. The
    buffer `similarity` (I, I) float32 takes 4 bytes for each pair of items.

    Raises
    ------
    UserError
        The catalogue has more than `MAX_ITEMS` items.
    """

    reads = Reads(user_items=ALL)

    def __init__(self, spec: Spec, config: ItemKnnConfig) -> None:
        super().__init__()
        sizes = {field.name: int(field.cardinality or 0) for field in spec.of_kind("category")}
        check_catalogue(sizes["item_id"], "item_knn")
        names = [field.name for field in spec.of_kind("history")]
        self.user, self.item = names.index("user_mean"), names.index("item_mean")
        self.mean, self.damping = spec.mean, spec.damping
        self.k, self.shrinkage = config.neighbours, config.shrinkage
        self.similarity: Tensor
        self.item_bias: Tensor
        self.register_buffer("similarity", torch.zeros(sizes["item_id"], sizes["item_id"]))
        self.register_buffer("item_bias", torch.zeros(sizes["item_id"]))

    def fit(self, features: FeatureSet) -> None:
        rows = features.splits[TRAIN]
        known, sums = features.items.index, features.state.items
        bias = sums.total.float() / UNIT / (sums.count.float() + self.damping.item).clamp(min=1e-9)
        self.item_bias[known] = torch.where(known > 0, bias, 0)
        known_then = history(features, rows.user, rows.item, rows.timestamp)
        residual = rows.rating - self.mean - known_then[:, self.user] - known_then[:, self.item]
        user, item = rows.user, known[rows.item]
        self.similarity.copy_(
            item_similarity(user, item, residual, len(features.users), len(self.similarity), self.shrinkage)
        )

    def forward(self, inputs: Inputs) -> Output:
        rated, known = inputs.users.interactions, inputs.history
        assert rated is not None
        assert known is not None
        difference = rated.rating - self.mean - self.item_bias[rated.other]
        total = rated.rating.new_zeros(len(rated)).index_add(0, rated.owner, difference)
        user_bias = total / (rated.count + self.damping.user).clamp(min=1e-9)
        residual = difference - user_bias[rated.owner]

        users = torch.arange(len(rated), device=residual.device)
        wanted = inputs.items.categories[:, 0]
        pairs = torch.broadcast_tensors(inputs.pairs.of_users(users), inputs.pairs.of_items(wanted))
        batches = zip(*(part.flatten().split(BATCH) for part in pairs), strict=True)
        found = torch.cat([self._residual(rated, residual, *batch) for batch in batches])
        score = self.mean + known[..., self.user] + known[..., self.item] + found.view(pairs[0].shape)
        return self.same(score)

    def _residual(self, rated: Ragged, residual: Tensor, user: Tensor, item: Tensor) -> Tensor:
        """Predict the residuals of pairs `user`, `item` (B,) from those of the interactions, `residual` (M,): (B,)."""
        place, known = rated.padded(user)
        similarity = self.similarity[item[:, None], rated.other[place]] * known
        weight, neighbour = similarity.topk(min(self.k, similarity.shape[1]))  # (B, k)
        total = weight.sum(1)
        return torch.where(total > 0, (weight * residual[place].gather(1, neighbour)).sum(1) / total, 0)


def item_similarity(
    user: Tensor, item: Tensor, residual: Tensor, n_users: int, n_items: int, shrinkage: float
) -> Tensor:  # (I, I)
    """Compute s_ij, with 0 for negative values and on the diagonal.

    user, item : (N,) int64
        Training pairs without repeats.
    residual : (N,) float32
        Their residuals in rating points.
    shrinkage : >= 0
    """
    order = item.argsort(stable=True)
    user, item, residual = user[order], item[order], residual[order]
    count = torch.bincount(item, minlength=n_items)
    start = count.cumsum(0) - count
    ones = torch.ones_like(residual)

    def over_users(weight: Tensor, block: Tensor) -> Tensor:
        """Compute sum_u weight_ui block_uj: (N,) and (U, block) to (I, block)."""
        return functional.embedding_bag(user, block, start, mode="sum", per_sample_weights=weight)

    similarity = torch.empty(n_items, n_items, device=user.device)
    for first in range(0, n_items, BLOCK):
        width = min(BLOCK, n_items - first)
        inside = (item >= first) & (item < first + width)
        cells = user[inside], item[inside] - first
        known, rated = torch.zeros(2, n_users, width, device=user.device)
        known[cells], rated[cells] = 1.0, residual[inside]
        common = over_users(ones, known)
        norm = (over_users(residual**2, known) * over_users(ones, rated**2)).sqrt()
        correlation = over_users(residual, rated) / norm * common / (common + shrinkage)
        similarity[:, first : first + width] = torch.where(norm > 0, correlation, 0).clamp(min=0)
    return similarity.fill_diagonal_(0)
