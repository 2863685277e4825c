"""The part that recommends if the data have no order in time: by the other items of a user, and by popularity.

It reads which items a user had and which of them the user liked. See `widedeep.training.other_items_task` for the
training.
"""

import math

import torch
from torch import Tensor, nn

from widedeep.columns import ITEM_ID
from widedeep.features.questions import ANCHORS, Questions
from widedeep.features.ragged import Ragged
from widedeep.features.spec import Spec
from widedeep.features.tensors import FeatureSet
from widedeep.models.table import Table
from widedeep.params import liked_from

SIZE = 64  # numbers per item
DAMPING = 0.75  # a user's vector is divided by (1 + n)^DAMPING, where n is the number of items
START = 0.2  # root mean square of the numbers at the start
RARE = 5  # added to the number of ratings of an item, so that items with few do not rule the start


class OtherItems(nn.Module):
    """Score of item i for a question: b_i + v_i . sum_j w_j q_j / (1 + n)^`DAMPING`.

    j runs over the n items that the user had. w_j is 1 if the user liked j, else a learnt weight. At the start, b_i is
    log(1 + number of users who liked i), and q = v are the right singular vectors of the matrix of users and items,
    each times the root of its singular value. Each entry of this matrix is divided by the roots of the numbers of
    ratings of its user and of its item. So the training begins with a good list.

    An item without training ratings has the score 0 and adds nothing.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        rows, parts = spec.cardinality(ITEM_ID), [(ITEM_ID, 0)]
        self.liked_from = liked_from(spec.rating_scale)
        self.had, self.wanted = (Table(rows, SIZE, parts, padding_idx=0) for _ in range(2))
        self.bias = Table(rows, 1, parts, padding_idx=0)
        self.disliked = nn.Parameter(torch.tensor(0.5))
        for table in (self.had, self.wanted, self.bias):
            nn.init.zeros_(table.weight)

    @property
    def half_lives(self) -> tuple[float, ...]:
        return (math.inf,)

    @torch.no_grad()
    def fit(self, features: FeatureSet) -> None:
        rows, item = features.known(), features.items.index[features.known().item]
        liked = torch.bincount(item[rows.rating >= self.liked_from], minlength=len(self.bias.weight))
        self.bias.weight.copy_(torch.log1p(liked.float())[:, None])
        by_user, by_item = (torch.bincount(code)[code].float() for code in (rows.user, item))
        matrix = torch.sparse_coo_tensor(
            torch.stack([rows.user, item]),
            ((1 + by_user) * (RARE + by_item)).rsqrt(),
            (len(features.users), len(self.bias.weight)),
            check_invariants=False,
        )
        size = min(SIZE, *matrix.shape)
        _, values, vectors = torch.svd_lowrank(matrix, size, niter=4)
        vectors = vectors * values.sqrt()
        vectors *= START / vectors.square().mean().sqrt()
        for table in (self.had, self.wanted):
            table.weight[1:, :size] = vectors[1:]

    def forward(self, questions: Questions) -> Tensor:
        """Score the whole catalogue: (B, I). Items that the user had before are not masked."""
        index = questions.item_index
        score: Tensor = self.users(questions) @ self.wanted(index).T + self.bias(index)[:, 0]
        return score

    def users(self, questions: Questions) -> Tensor:
        """Return the vector of each user, (B, `SIZE`)."""
        seen = questions.seen
        return seen.sum(self.had(questions.item_index), self._weight(seen)) / self._damping(seen)

    def squares(self, questions: Questions, question: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum of squares of the vectors of the user and the item of P pairs: (P,), (P,) to (P,), (P,)."""
        of_user = self.users(questions).square().sum(1)[question]
        of_item: Tensor = self.wanted(questions.item_index[item]).square().sum(1)
        return of_user, of_item

    def explain(self, questions: Questions, item: int) -> tuple[Tensor, Tensor]:
        """Take the score of an item apart, for a single question.

        Returns
        -------
        the bias of the item and what older items of the history add, (), and what each of the latest items adds,
        (ANCHORS,), the latest first
        """
        seen = questions.seen
        latest = seen.latest(torch.zeros(1, dtype=torch.int64), seen.count, ANCHORS)
        wanted = self.wanted(questions.item_index[item])
        each = self.had(questions.item_index[latest.other]) @ wanted * self._weight(latest) / self._damping(seen)[0]
        added = nn.functional.pad(each.flip(0), (0, ANCHORS - len(each)))
        return self(questions)[0, item] - added.sum(), added

    def _weight(self, seen: Ragged) -> Tensor:
        return torch.where(seen.rating >= self.liked_from, 1.0, self.disliked)

    def _damping(self, seen: Ragged) -> Tensor:
        return (1 + seen.count.float())[:, None] ** DAMPING
