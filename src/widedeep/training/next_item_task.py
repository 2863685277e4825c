"""The task of the part that recommends: the next item of a user, and what users like in a whole period."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from widedeep.columns import TRAIN
from widedeep.features.questions import ask_for_lists
from widedeep.features.ragged import Ragged
from widedeep.features.rows import Rows
from widedeep.features.tensors import FeatureSet
from widedeep.models.model import Model
from widedeep.params import liked_from
from widedeep.training.list_task import UNLIKELY, ListTask
from widedeep.training.tasks import VALIDATION_NDCG, Log, first_second, measure_lists, users_of

NEXT, WHOLE = "next", "period"  # what the lists in validation are for
WINDOWS = 80  # of the training rows, for questions
FIRST = 4  # window of the first questions: the windows before have too little past to learn from
PERIOD, MOST = 0.25, 100_000  # rows that a list for a whole period is for: share of the training rows, and limit
VALIDATED = 200  # questions for the next item in validation


class NextItemTask(ListTask):
    """Recommend: order the catalogue for questions (see `widedeep.features.questions`).

    The training rows are cut into `WINDOWS` windows of time. A batch draws some windows, and questions of three kinds:

    - for the next item: the user and the second of a training row, whose item is the target
    - for a whole period: a user at the start of a window. The targets are the items that they like within `PERIOD` of
      all rows after it.
    - for a whole period, by a user of whom nothing is known. The targets are those of all users.

    The loss of a kind is the cross-entropy over the catalogue, without the items that the user had before. Popularity
    is counted at the start of the window.

    Validation measures NDCG at 10 of lists for the next item, of lists for the whole period of the validation rows, and
    the mean of both.
    """

    kinds = (NEXT, WHOLE)
    data = " and data in order of time, which learn lists from questions"

    def batches(self, features: FeatureSet) -> tuple[Rows | Tensor, int]:
        # As many batches as the other task has, so that neither is repeated within an epoch.
        device, drawn = self.learnt(features).user.device, self.params.ranking.windows
        count = self.steps(features) * drawn
        return torch.linspace(FIRST, WINDOWS - 1, count, device=device).round().long(), drawn

    def setup(self, features: FeatureSet) -> None:
        super().setup(features)
        rows = features.splits[TRAIN]
        order = rows.timestamp.argsort(stable=True)
        self.user, self.item, self.second = rows.user[order], rows.item[order], rows.timestamp[order]
        self.ends = torch.linspace(0, len(rows), WINDOWS + 1, dtype=torch.float64).long().to(order.device)
        self.liked = (rows.rating[order] >= liked_from(features.spec.rating_scale)).nonzero()[:, 0]
        items = len(features.items)
        self.likers: list[Tensor] = []
        share: list[Tensor] = []
        for first in self.ends[FIRST:-1].tolist():
            liked = self._liked_after(first)
            users, owner, count = torch.unique(self.user[liked], return_inverse=True, return_counts=True)
            weight = 1 / count.float() / max(1, len(users))
            share.append(weight.new_zeros(items).index_add(0, self.item[liked], weight[owner]))
            self.likers.append(users)
        self.share = torch.stack(share)

    def loss(self, features: FeatureSet, members: Sequence[Model], batch: Tensor) -> Tensor:
        if self.rests():
            return self.nothing(members)
        start, end = self.ends[batch], self.ends[batch + 1]
        moment = self.second[start]
        each = max(1, self.params.ranking.questions // len(batch))
        drawn = torch.rand(len(batch), each, device=batch.device)
        row = (start[:, None] + drawn * (end - start)[:, None]).long().flatten()
        users = self.likers[int(batch[0]) - FIRST]
        some = users[torch.randperm(len(users), device=batch.device)[: max(1, self.params.ranking.questions // 8)]]
        # All three kinds at once, because popularity at a moment is the same for each.
        sizes = [len(row), len(some), len(batch)]
        asked = ask_for_lists(
            features,
            torch.cat([self.user[row], some, torch.zeros_like(batch)]),
            # Before the first second, nobody has a history.
            torch.cat([self.second[row], moment[:1].expand(len(some)), self.second[:1].expand(len(batch))]),
            members[0].half_lives,
            online=True,
            period=torch.arange(sum(sizes), device=batch.device) >= len(row),
            popular_at=torch.cat([moment.repeat_interleave(each), moment[:1].expand(len(some)), moment]),
        )
        liked = self._liked_after(int(start[0]))
        entry, place = (self.user[liked][:, None] == some).nonzero(as_tuple=True)
        item, weight = self.item[liked[entry]], 1 / torch.bincount(place, minlength=len(some)).float()[place]
        losses = []
        for member in members:
            # Push the items that the users had before to the end of every list.
            score = member.answer(asked)
            score = score.index_put((asked.seen.owner, asked.seen.other), score.new_tensor(UNLIKELY))
            following, period, unknown = score.log_softmax(1).split(sizes)
            loss = nn.functional.nll_loss(following, self.item[row])
            if len(some):
                loss = loss - (period[place, item] * weight).sum() / len(some)
            losses.append(loss - (unknown * self.share[batch - FIRST]).sum() / len(batch))
        self.train_loss.update(torch.stack(losses).detach().mean(), len(row))
        return torch.stack(losses).sum()

    def _liked_after(self, first: int) -> Tensor:
        """Return the rows in the period from row `first` on whose user likes the item."""
        last = first + min(int(PERIOD * len(self.user)), MOST)
        return self.liked[torch.searchsorted(self.liked, first) : torch.searchsorted(self.liked, last)]

    def validation(self, features: FeatureSet) -> Mapping[str, Rows | Tensor]:
        rows = self.relevant(features)
        if not len(rows):
            return {}
        step = -(-len(rows) // VALIDATED)
        return {NEXT: rows[::step], WHOLE: users_of(rows)}

    def validate(self, features: FeatureSet, model: Model, name: str, batch: Rows | Tensor) -> None:
        if not self.learning:
            return
        if isinstance(batch, Rows):
            user, timestamp = batch.user, batch.timestamp
            each = torch.arange(len(batch), device=user.device)
            relevant = Ragged.of(each, batch.item, batch.rating, timestamp, len(batch))
        else:
            relevant = self.relevant_of(features, batch)
            user, timestamp = batch, first_second(relevant)
        measure_lists(self.ndcg[name], features, model, relevant, user, timestamp, online=name == NEXT)

    def validated(self, log: Log) -> Tensor | float:
        if not all(metric.update_called for metric in self.ndcg.values()):
            return 0.0
        for name, metric in self.ndcg.items():
            log(f"validation_{name}_ndcg_at_10", metric)
        gain = torch.stack([metric.compute() for metric in self.ndcg.values() if isinstance(metric, MeanMetric)]).mean()
        log(VALIDATION_NDCG, gain, prog_bar=True)
        return self.chosen_by(gain)
