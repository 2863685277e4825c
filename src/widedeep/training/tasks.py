"""The tasks that a model can be trained for: to predict ratings, to rank a catalogue, or both.

A task defines its batches, its loss, its validation metric and the inputs that its head may read. Shapes: B rows or
users of a batch, I items of the catalogue, P positives.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric, MeanSquaredError

from widedeep.columns import FROZEN, ONLINE, TRAIN, VALIDATION
from widedeep.errors import UserError
from widedeep.features.assemble import ask, by_new_users, grid, listed
from widedeep.features.ragged import Ragged
from widedeep.features.rows import Rows
from widedeep.features.tensors import FeatureSet
from widedeep.models.model import Model
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
MOST_USERS = 2000  # who get a list in validation

RATING, RANKING = "rating", "ranking"

Log = Callable[..., None]  # of the LightningModule


class Task(nn.Module):
    """A task. It is a module, so that Lightning collects its metrics over batches and processes."""

    name: str
    resting = False  # whether the latest loss taught nothing

    @property
    def epochs(self) -> int | float:
        """The number of epochs in which this task learns. By default there is no limit."""
        return float("inf")

    def batches(self, features: FeatureSet) -> tuple[Rows | Tensor, int]:
        """Return what batches are made of (rows, or codes of users), and the size of a batch."""
        raise NotImplementedError

    def learnt(self, features: FeatureSet) -> Rows:
        """Return the rows that the model learns from."""
        raise NotImplementedError

    def setup(self, features: FeatureSet) -> None:
        """Prepare for training, when the features are on the device. By default there is nothing to do."""

    def start(self, epoch: int) -> None:
        """Prepare for an epoch, from 0. By default there is nothing to do."""

    def loss(self, features: FeatureSet, members: Sequence[Model], batch: Any) -> Tensor:
        """Return the sum of the losses of all members for a batch, (), and add it to the training metric."""
        raise NotImplementedError

    def trained(self, log: Log) -> None:
        """Log the training metric of an epoch, in its last step."""
        raise NotImplementedError

    def validation(self, features: FeatureSet) -> Mapping[str, Rows | Tensor]:
        """Return what to validate with (rows, or codes of users), by name. Empty without validation rows."""
        raise NotImplementedError

    def validate(self, features: FeatureSet, model: Model, name: str, batch: Any) -> None:
        """Add a batch of `validation` with this name to the validation metrics."""
        raise NotImplementedError

    def validated(self, log: Log) -> Tensor | float:
        """Log the validation metrics, and return the loss that early stopping watches."""
        raise NotImplementedError


class RatingTask(Task):
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


class RankingTask(Task):
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
        users = users_of(self.positive(features.splits[VALIDATION]))
        return {RANKING: users} if len(users) else {}

    def validate(self, features: FeatureSet, model: Model, name: str, users: Tensor) -> None:
        relevant = self.relevant.lists(users)
        measure_lists(self.validation_ndcg, features, model, relevant, users, first_second(relevant))

    def validated(self, log: Log) -> Tensor | float:
        if not self.validation_ndcg.update_called:
            return 0.0
        log(VALIDATION_NDCG, self.validation_ndcg, prog_bar=True)
        gain: Tensor = self.validation_ndcg.compute()
        return -gain


def users_of(rows: Rows) -> Tensor:
    """Return the codes of the users of the rows: all, or every n-th, so that at most `MOST_USERS` get a list."""
    users: Tensor = rows.user.unique()
    return users[:: max(1, -(-len(users) // MOST_USERS))]


def measure_lists(
    metric: nn.Module,
    features: FeatureSet,
    model: Model,
    relevant: Ragged,
    user: Tensor,
    timestamp: Tensor,
    online: bool = False,
) -> None:
    """Add the NDCG at 10 of a model's lists to a metric.

    relevant : the items that each list should show, at least one
    user, timestamp, online : who asks and when, and what is known then (see `rank`)
    """
    try:
        lists = rank({RANKING: model}, features, user, timestamp, PLACES, online=online)[RANKING].items
    except ValueError:  # a score is NaN: the training diverged, and `fit` reports it
        metric(user.new_full((1,), torch.nan, dtype=torch.float32))
    else:
        metric(ndcg(lists, relevant))


def first_second(relevant: Ragged) -> Tensor:
    """Return the second of the first entry of each list, none of which is empty."""
    return relevant.timestamp[relevant.start[:-1]]


def _drawn(rows: Tensor, rate: float) -> Tensor | None:
    """Draw the rows whose user (or item) is hidden, each with the probability `rate`: (B,) bool, or None for rate 0.

    As in DropoutNet (Volkovs et al. 2017). Else a model would rely on ids and histories, which new users and items do
    not have.
    """
    return torch.rand(len(rows), device=rows.device) < rate if rate else None
