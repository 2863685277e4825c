"""The task of the part that recommends by the other items of a user, for data without an order in time."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchmetrics import MeanMetric

from widedeep.columns import TRAIN
from widedeep.features.questions import ask_with_histories, popularity_now
from widedeep.features.ragged import Ragged
from widedeep.features.rows import Rows
from widedeep.features.tensors import FeatureSet
from widedeep.models.model import Model
from widedeep.params import liked_from
from widedeep.training.list_task import UNLIKELY, ListTask
from widedeep.training.tasks import VALIDATION_NDCG, Log, first_second, measure_lists, users_of

LISTS = "lists"
HIDDEN = 0.1, 0.9  # smallest and largest share of a user's items that a step hides
L2 = 0.4  # of the vectors of users and items


class OtherItemsTask(ListTask):
    """Recommend: find the hidden items that a user liked, given the others.

    A batch holds users. A random share of the training items of each is hidden, drawn anew in every step. The targets
    are the hidden ones that the user liked. The loss is their cross-entropy over the catalogue, without the items that
    are not hidden. It grows by `L2` times the squares of the vectors of the user and the item of each target, divided
    by the root of the number of targets of the user, or of likes of the item. So vectors with much evidence are shrunk
    less.

    Validation measures NDCG at 10.
    """

    kinds = (LISTS,)
    data = (
        ", models.wide_deep.factors: 0 and data without an order in time, which learn lists from a user's other items"
    )

    def batches(self, features: FeatureSet) -> tuple[Rows | Tensor, int]:
        rows = features.splits[TRAIN]
        return rows.user[
            rows.rating >= liked_from(features.spec.rating_scale)
        ].unique(), self.params.ranking.user_batch_size

    def setup(self, features: FeatureSet) -> None:
        super().setup(features)
        rows = features.splits[TRAIN]
        liked = rows.item[rows.rating >= liked_from(features.spec.rating_scale)]
        self.likes = 1 + torch.bincount(liked, minlength=len(features.items)).float()
        self.had = Ragged.of(rows.user, rows.item, rows.rating, rows.timestamp, len(features.users))

    def loss(self, features: FeatureSet, members: Sequence[Model], batch: Tensor) -> Tensor:
        if self.rests():
            return self.nothing(members)
        had = self.had.lists(batch)
        low, high = HIDDEN
        share = low + (high - low) * torch.rand(len(batch), device=batch.device)
        hidden = torch.rand(len(had.other), device=batch.device) < share[had.owner]
        shown = ~hidden
        kept = Ragged.of(had.owner[shown], had.other[shown], had.rating[shown], had.timestamp[shown], len(batch))
        popularity = popularity_now(features, members[0].half_lives)
        asked = ask_with_histories(features, batch, kept, torch.zeros_like(batch), popularity, True)
        target = hidden & (had.rating >= liked_from(features.spec.rating_scale))
        question, item = had.owner[target], had.other[target]
        losses, penalties = [], []
        for member in members:
            score = member.answer(asked)
            score = score.index_put((kept.owner, kept.other), score.new_tensor(UNLIKELY))
            losses.append(-score.log_softmax(1)[question, item].sum() / max(1, len(item)))
            of_user, of_item = member.squares(asked, question, item)
            targets = torch.bincount(question, minlength=len(batch)).float()
            shrunk = of_user * targets[question].rsqrt() + of_item * self.likes[item].rsqrt()
            penalties.append(shrunk.sum() / max(1, len(item)))
        self.train_loss.update(torch.stack(losses).detach().mean(), len(item))
        return torch.stack(losses).sum() + L2 * torch.stack(penalties).sum()

    def validation(self, features: FeatureSet) -> Mapping[str, Rows | Tensor]:
        users = users_of(self.relevant(features))
        return {LISTS: users} if len(users) else {}

    def validate(self, features: FeatureSet, model: Model, name: str, users: Tensor) -> None:
        if not self.learning:
            return
        relevant = self.relevant_of(features, users)
        measure_lists(self.ndcg[name], features, model, relevant, users, first_second(relevant))

    def validated(self, log: Log) -> Tensor | float:
        metric = self.ndcg[LISTS]
        if not (metric.update_called and isinstance(metric, MeanMetric)):
            return 0.0
        log(VALIDATION_NDCG, metric, prog_bar=True)
        return self.chosen_by(metric.compute())
