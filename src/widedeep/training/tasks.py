"""The tasks that a model can be trained for: to predict ratings, to rank a catalogue, or both.

A task defines its batches, its loss, its validation metric and the inputs that its head may read. Shapes: B rows or
users of a batch, I items of the catalogue, P positives.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric, MeanSquaredError

from widedeep.columns import FROZEN, ONLINE, TRAIN, VALIDATION
from widedeep.errors import UserError
from widedeep.features.assemble import ask, by_new_users, grid, listed
from widedeep.features.questions import ask_for_lists, liked_from
from widedeep.features.ragged import Ragged
from widedeep.features.rows import Rows
from widedeep.features.tensors import FeatureSet
from widedeep.models.model import Model
from widedeep.models.registry import ENTRIES
from widedeep.params import TrainParams
from widedeep.scoring import knowledges, predict, rank
from widedeep.training.losses import full_softmax, ndcg, sampled_softmax
from widedeep.training.negatives import Negatives

TRAIN_RMSE = "train_rmse"
TRAIN_RANKING_LOSS = "train_ranking_loss"
VALIDATION_RMSE = "validation_rmse"  # over all validation rows, under each knowledge
VALIDATION_NDCG = "validation_ndcg_at_10"
VALIDATION_METRICS = (VALIDATION_RMSE, VALIDATION_NDCG)
PLACES = 10  # length of the lists in validation

RATING, RANKING = "rating", "ranking"
NEXT, WHOLE = "next", "period"  # what the lists in validation are for
WINDOWS = 80  # of the training rows, for questions
FIRST = 4  # window of the first questions: the windows before have too little past to learn from
PERIOD, MOST = 0.25, 100_000  # rows that a list for a whole period is for: share of the training rows, and limit
VALIDATED = 200  # questions for the next item in validation
UNLIKELY = -30.0

Log = Callable[..., None]  # of the LightningModule


class Task(Protocol):
    """A task. Its metrics are modules, so that Lightning collects them over batches and processes."""

    name: str

    def batches(self, features: FeatureSet) -> tuple[Rows | Tensor, int]:
        """Return what batches are made of (rows, or codes of users), and the size of a batch."""

    def learnt(self, features: FeatureSet) -> Rows:
        """Return the rows that the model learns from."""

    def setup(self, features: FeatureSet) -> None:
        """Prepare for training, when the features are on the device."""

    def start(self, epoch: int) -> None:
        """Prepare for an epoch, from 0."""

    def loss(self, features: FeatureSet, members: Sequence[Model], batch: Any) -> Tensor:
        """Return the sum of the losses of all members for a batch, (), and add it to the training metric."""

    def trained(self, log: Log) -> None:
        """Log the training metric of an epoch, in its last step."""

    def validation(self, features: FeatureSet) -> Mapping[str, Rows | Tensor]:
        """Return what to validate with (rows, or codes of users), by name. Empty without validation rows."""

    def validate(self, features: FeatureSet, model: Model, name: str, batch: Any) -> None:
        """Add a batch of `validation` with this name to the validation metrics."""

    def validated(self, log: Log) -> Tensor | float:
        """Log the validation metrics, and return the loss that early stopping watches."""


class RatingTask(nn.Module):
    """Predict ratings, with squared error as the loss.

    Validation measures the RMSE with frozen knowledge and, in a temporal split, also with online knowledge.
    """

    name = RATING

    def __init__(self, params: TrainParams, features: FeatureSet) -> None:
        super().__init__()
        self.params = params
        self.train_rmse = MeanSquaredError(squared=False)
        self.validation_rmse = MeanSquaredError(squared=False)
        validated = knowledges(features) if len(features.splits[VALIDATION]) else ()
        self.by_knowledge = nn.ModuleDict({name: MeanSquaredError(squared=False) for name in validated})

    def learnt(self, features: FeatureSet) -> Rows:
        return features.splits[TRAIN]

    def batches(self, features: FeatureSet) -> tuple[Rows | Tensor, int]:
        return self.learnt(features), self.params.batch_size

    def setup(self, features: FeatureSet) -> None:
        pass

    def start(self, epoch: int) -> None:
        pass

    def loss(self, features: FeatureSet, members: Sequence[Model], rows: Rows) -> Tensor:
        hidden_user, hidden_item = (_drawn(rows.rating, self.params.rating.unseen_rate) for _ in range(2))
        new = _drawn(rows.rating, self.params.rating.new_user_rate)
        seen = rows if new is None else by_new_users(features.spec, rows, new)
        hidden_user = new if hidden_user is None else hidden_user if new is None else hidden_user | new
        inputs = listed(features, seen, members[0].reads, hidden_user, hidden_item)
        outputs = [member(inputs) for member in members]
        mean = torch.stack([output.rating.detach() for output in outputs]).mean(0)
        self.train_rmse.update(mean, rows.rating)
        losses = [nn.functional.mse_loss(output.rating, rows.rating) + output.penalty for output in outputs]
        return torch.stack(losses).sum()

    def trained(self, log: Log) -> None:
        log(TRAIN_RMSE, self.train_rmse, on_step=False, on_epoch=True)

    def validation(self, features: FeatureSet) -> Mapping[str, Rows | Tensor]:
        rows = features.splits[VALIDATION]
        if not len(rows):
            return {}
        return {FROZEN: features.frozen(rows)} | ({ONLINE: rows} if features.spec.online else {})

    def validate(self, features: FeatureSet, model: Model, name: str, rows: Rows) -> None:
        predicted = predict({name: model}, features, rows, clip=False)[name]
        for metric in (self.validation_rmse, self.by_knowledge[name]):
            metric(predicted, rows.rating)

    def validated(self, log: Log) -> Tensor | float:
        if not self.validation_rmse.update_called:
            return 0.0
        log(VALIDATION_RMSE, self.validation_rmse, prog_bar=True)
        for name, metric in self.by_knowledge.items():
            log(f"validation_{name}_rmse", metric)
        error: Tensor = self.validation_rmse.compute()
        return error


class RankingTask(nn.Module):
    """Rank a catalogue by the ranking score of pairs.

    The loss compares each positive with negatives of the same user, or with the whole catalogue. Its inputs have no
    history, because that would reveal which items were rated. Validation measures NDCG at 10 for the users who have a
    positive among the validation rows.
    """

    name = RANKING

    def __init__(self, params: TrainParams) -> None:
        super().__init__()
        self.params = params
        self.train_loss = MeanMetric(nan_strategy="disable")  # a NaN must be visible
        self.validation_ndcg = MeanMetric(nan_strategy="disable")
        self.negatives: Negatives | None = None

    def positive(self, rows: Rows) -> Rows:
        """Return the positive rows: those whose items the ranking should put first."""
        least = self.params.ranking.positive_rating
        return rows if least is None else rows[rows.rating >= least]

    def learnt(self, features: FeatureSet) -> Rows:
        return self.positive(features.splits[TRAIN])

    def batches(self, features: FeatureSet) -> tuple[Rows | Tensor, int]:
        positives = self.learnt(features)
        if self.params.ranking.negatives:
            return positives, self.params.batch_size
        return positives.user.unique(), self.params.ranking.user_batch_size

    def setup(self, features: FeatureSet) -> None:
        rows, users, items = features.known(), len(features.users), len(features.items)
        self.liked, self.relevant = (
            Ragged.of(some.user, some.item, some.rating, some.timestamp, users)
            for some in (self.positive(rows), self.positive(features.splits[VALIDATION]))
        )
        self.catalogue = torch.arange(items, device=rows.user.device)
        if not self.params.ranking.negatives:
            return
        self.negatives = Negatives(rows.user, rows.item, users, items)
        if not self.negatives.has_negative[self.positive(features.splits[TRAIN]).user].any():
            raise UserError(
                "train.ranking.negatives must be 0 if every user with a positive has rated all items of the "
                f"catalogue ({items:,}): there is no negative to draw. Got {self.params.ranking.negatives} instead. "
                "Set it to 0 with train.ranking.loss: softmax, or train.objective to rating."
            )

    def start(self, epoch: int) -> None:
        pass

    def loss(self, features: FeatureSet, members: Sequence[Model], batch: Rows | Tensor) -> Tensor:
        reads = members[0].reads
        if isinstance(batch, Rows):
            assert self.negatives is not None
            batch = batch[self.negatives.has_negative[batch.user]]
            if not len(batch):
                # Give every weight a gradient of 0, because other processes wait for gradients.
                weights = [weight for member in members for weight in member.parameters()]
                return torch.stack([0 * weight.sum() for weight in weights]).sum()
            items = torch.cat(
                [batch.item[:, None], self.negatives.sample(batch.user, self.params.ranking.negatives)], 1
            )
            asked = ask(features, batch.user[:, None], items, batch.timestamp[:, None], with_history=False)
            inputs = listed(features, asked, reads)
            outputs = [member(inputs) for member in members]
            scores = [output.ranking.view(items.shape) for output in outputs]
            losses = [sampled_softmax(score[:, 0], score[:, 1:]) for score in scores]
        else:
            liked = self.liked.lists(batch)
            first = liked.timestamp[liked.start[:-1]]
            inputs = grid(features, batch, self.catalogue, first, reads)
            outputs = [member(inputs) for member in members]
            losses = [full_softmax(output.ranking, liked.owner, liked.other) for output in outputs]
        total = torch.stack([loss + output.penalty for loss, output in zip(losses, outputs, strict=True)]).sum()
        self.train_loss.update(torch.stack(losses).detach().mean(), len(batch))
        return total

    def trained(self, log: Log) -> None:
        log(TRAIN_RANKING_LOSS, self.train_loss, on_step=False, on_epoch=True)

    def validation(self, features: FeatureSet) -> Mapping[str, Rows | Tensor]:
        users = self.positive(features.splits[VALIDATION]).user.unique()
        return {RANKING: users} if len(users) else {}

    def validate(self, features: FeatureSet, model: Model, name: str, users: Tensor) -> None:
        relevant = self.relevant.lists(users)
        first = relevant.timestamp[relevant.start[:-1]]
        try:
            lists = rank({name: model}, features, users, first, PLACES)[name].items
        except ValueError:  # a score is NaN: the training diverged, and `fit` reports it
            self.validation_ndcg(users.new_full((1,), torch.nan, dtype=torch.float32))
            return
        self.validation_ndcg(ndcg(lists, relevant))

    def validated(self, log: Log) -> Tensor | float:
        if not self.validation_ndcg.update_called:
            return 0.0
        log(VALIDATION_NDCG, self.validation_ndcg, prog_bar=True)
        gain: Tensor = self.validation_ndcg.compute()
        return -gain


class NextItemTask(nn.Module):
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

    name = RANKING

    def __init__(self, params: TrainParams) -> None:
        super().__init__()
        for name, neutral in (("negatives", 0), ("positive_rating", None), ("rating_weight", 0)):
            if getattr(params.ranking, name) != neutral:
                raise UserError(
                    f"train.ranking.{name} must be {'null' if neutral is None else neutral} for train.objective: joint "
                    f"and data in order of time, which learn lists from questions. Got {getattr(params.ranking, name)} "
                    "instead."
                )
        self.params = params
        self.train_loss = MeanMetric(nan_strategy="disable")
        self.ndcg = nn.ModuleDict({name: MeanMetric(nan_strategy="disable") for name in (NEXT, WHOLE)})
        self.learning = True

    def learnt(self, features: FeatureSet) -> Rows:
        return features.splits[TRAIN]

    def batches(self, features: FeatureSet) -> tuple[Rows | Tensor, int]:
        # As many batches as the other task has, so that neither is repeated within an epoch.
        rows, drawn = features.splits[TRAIN], self.params.ranking.windows
        steps = -(-len(rows) // self.params.batch_size)
        return torch.linspace(FIRST, WINDOWS - 1, steps * drawn, device=rows.user.device).round().long(), drawn

    def setup(self, features: FeatureSet) -> None:
        rows = features.splits[TRAIN]
        order = rows.timestamp.argsort(stable=True)
        self.user, self.item, self.second = rows.user[order], rows.item[order], rows.timestamp[order]
        self.ends = torch.linspace(0, len(rows), WINDOWS + 1, dtype=torch.float64).long().to(order.device)
        self.liked = (rows.rating[order] >= liked_from(features.spec)).nonzero()[:, 0]
        items = len(features.items)
        self.share = torch.stack([self._share(int(first), items) for first in self.ends[:-1]])

    def start(self, epoch: int) -> None:
        self.learning = epoch < self.params.ranking.epochs

    def loss(self, features: FeatureSet, members: Sequence[Model], batch: Tensor) -> Tensor:
        if not self.learning:
            # Give every weight a gradient of 0, because other processes wait for gradients.
            weights = [weight for member in members for weight in member.list_parameters()]
            return torch.stack([0 * weight.sum() for weight in weights]).sum()
        start, end = self.ends[batch], self.ends[batch + 1]
        moment = self.second[start]
        each = max(1, self.params.ranking.questions // len(batch))
        drawn = torch.rand(len(batch), each, device=batch.device)
        row = (start[:, None] + drawn * (end - start)[:, None]).long().flatten()
        users, owner, item, weight = self._liked_after(int(start[0]))
        some = torch.randperm(len(users), device=batch.device)[: max(1, self.params.ranking.questions // 8)]
        # All three kinds at once, because popularity at a moment is the same for each.
        sizes = [len(row), len(some), len(batch)]
        asked = ask_for_lists(
            features,
            torch.cat([self.user[row], users[some], torch.zeros_like(batch)]),
            # Before the first second, nobody has a history.
            torch.cat([self.second[row], moment[:1].expand(len(some)), self.second[:1].expand(len(batch))]),
            members[0].half_lives,
            online=True,
            period=torch.arange(sum(sizes), device=batch.device) >= len(row),
            popular_at=torch.cat([moment.repeat_interleave(each), moment[:1].expand(len(some)), moment]),
        )
        place = torch.full_like(users, -1).index_copy(0, some, torch.arange(len(some), device=batch.device))[owner]
        kept = place >= 0
        losses = []
        for member in members:
            # Push the items that the users had before to the end of every list.
            score = member.answer(asked)
            score = score.index_put((asked.seen.owner, asked.seen.other), score.new_tensor(UNLIKELY))
            following, period, unknown = score.log_softmax(1).split(sizes)
            loss = nn.functional.nll_loss(following, self.item[row])
            if len(some):
                loss = loss - (period[place[kept], item[kept]] * weight[kept]).sum() / len(some)
            losses.append(loss - (unknown * self.share[batch]).sum() / len(batch))
        self.train_loss.update(torch.stack(losses).detach().mean(), len(row))
        return torch.stack(losses).sum()

    def _liked_after(self, first: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the users who like something in the period from row `first` on: users, and who, what, and its weight.

        The weights of a user sum up to 1.
        """
        last = first + min(int(PERIOD * len(self.user)), MOST)
        rows = self.liked[torch.searchsorted(self.liked, first) : torch.searchsorted(self.liked, last)]
        users, owner, count = torch.unique(self.user[rows], return_inverse=True, return_counts=True)
        return users, owner, self.item[rows], 1 / count[owner].float()

    def _share(self, first: int, items: int) -> Tensor:
        """Return how the targets of all these users are spread over the catalogue, (I,)."""
        users, _, item, weight = self._liked_after(first)
        return weight.new_zeros(items).index_add(0, item, weight / max(1, len(users)))

    def trained(self, log: Log) -> None:
        if self.learning:
            log(TRAIN_RANKING_LOSS, self.train_loss, on_step=False, on_epoch=True)

    def relevant(self, features: FeatureSet) -> Rows:
        """Return the validation rows whose items lists should show."""
        rows = features.splits[VALIDATION]
        return rows[rows.rating >= liked_from(features.spec)]

    def validation(self, features: FeatureSet) -> Mapping[str, Rows | Tensor]:
        rows = self.relevant(features)
        if not len(rows):
            return {}
        step = -(-len(rows) // VALIDATED)
        return {NEXT: rows[::step], WHOLE: rows.user.unique()}

    def validate(self, features: FeatureSet, model: Model, name: str, batch: Rows | Tensor) -> None:
        if not self.learning:
            return
        rows = self.relevant(features)
        if isinstance(batch, Rows):
            user, timestamp = batch.user, batch.timestamp
            each = torch.arange(len(batch), device=user.device)
            relevant = Ragged.of(each, batch.item, batch.rating, timestamp, len(batch))
        else:
            relevant = Ragged.of(rows.user, rows.item, rows.rating, rows.timestamp, len(features.users)).lists(batch)
            user, timestamp = batch, relevant.timestamp[relevant.start[:-1]]
        try:
            lists = rank({RANKING: model}, features, user, timestamp, PLACES, online=name == NEXT)[RANKING].items
        except ValueError:  # a score is NaN: the training diverged, and `fit` reports it
            self.ndcg[name](user.new_full((1,), torch.nan, dtype=torch.float32))
            return
        self.ndcg[name](ndcg(lists, relevant))

    def validated(self, log: Log) -> Tensor | float:
        """Log the metrics. They do not choose the epoch, because lists share no weights with ratings."""
        if all(metric.update_called for metric in self.ndcg.values()):
            for name, metric in self.ndcg.items():
                log(f"validation_{name}_ndcg_at_10", metric)
            both = [metric.compute() for metric in self.ndcg.values() if isinstance(metric, MeanMetric)]
            log(VALIDATION_NDCG, torch.stack(both).mean(), prog_bar=True)
        return 0.0


def tasks_of(params: TrainParams, features: FeatureSet) -> list[RatingTask | RankingTask | NextItemTask]:
    """Return the tasks of `train.objective`, the rating first."""
    tasks: list[RatingTask | RankingTask | NextItemTask] = []
    if params.objective != "ranking":
        tasks.append(RatingTask(params, features))
    if params.objective == "joint" and features.spec.online and ENTRIES[params.model].trained:
        tasks.append(NextItemTask(params))
    elif params.objective != "rating":
        tasks.append(RankingTask(params))
    return tasks


def _drawn(rows: Tensor, rate: float) -> Tensor | None:
    """Draw the rows whose user (or item) is hidden, each with the probability `rate`: (B,) bool, or None for rate 0.

    As in DropoutNet (Volkovs et al. 2017). Else a model would rely on ids and histories, which new users and items do
    not have.
    """
    return torch.rand(len(rows), device=rows.device) < rate if rate else None
