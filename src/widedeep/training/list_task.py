"""What the two tasks have in common that teach `wide_deep` lists apart from ratings."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from widedeep.columns import TRAIN, VALIDATION
from widedeep.errors import UserError
from widedeep.features.ragged import Ragged
from widedeep.features.rows import Rows
from widedeep.features.tensors import FeatureSet
from widedeep.models.model import Model
from widedeep.params import TrainParams, liked_from
from widedeep.training.tasks import RANKING, TRAIN_RANKING_LOSS, Log, Task

UNLIKELY = -30.0  # score of an item that a user had before
MOST_STEPS = 400  # in which lists are learnt, per epoch


class ListTask(Task):
    """Learn lists in the first `train.ranking.epochs` epochs, by parameters that no rating depends on.

    A step for lists costs more than one for ratings, and lists need fewer of them. So in an epoch of more than
    `MOST_STEPS` steps, the task learns only in every n-th step.

    alone : whether there is no task of ratings, as with implicit feedback. Then validation chooses the epoch.
    kinds : names of the lists that validation makes
    data : what it is for, as the end of a sentence in errors
    """

    name = RANKING
    kinds: tuple[str, ...]
    data: str

    def __init__(self, params: TrainParams, alone: bool = False) -> None:
        super().__init__()
        for name, neutral in (("negatives", 0), ("positive_rating", None), ("rating_weight", 0)):
            if getattr(params.ranking, name) != neutral:
                raise UserError(
                    f"train.ranking.{name} must be {'null' if neutral is None else neutral} for train.objective: joint"
                    f"{self.data}. Got {getattr(params.ranking, name)} instead."
                )
        self.params, self.alone = params, alone
        self.train_loss = MeanMetric(nan_strategy="disable")
        self.ndcg = nn.ModuleDict({name: MeanMetric(nan_strategy="disable") for name in self.kinds})
        self.learning, self.resting = True, False
        self.step = 0

    @property
    def epochs(self) -> int:
        return self.params.ranking.epochs

    def learnt(self, features: FeatureSet) -> Rows:
        return features.splits[TRAIN]

    def steps(self, features: FeatureSet) -> int:
        """Return the number of steps that ratings need in an epoch."""
        return -(-len(self.learnt(features)) // self.params.batch_size)

    def setup(self, features: FeatureSet) -> None:
        self.every = -(-self.steps(features) // MOST_STEPS)

    def start(self, epoch: int) -> None:
        self.learning, self.step = epoch < self.epochs, 0

    def rests(self) -> bool:
        """Begin a step, and return whether nothing is learnt in it."""
        self.resting = not self.learning or self.step % self.every > 0
        self.step += 1
        return self.resting

    @staticmethod
    def nothing(members: Sequence[Model]) -> Tensor:
        """Return a loss of 0 that gives every weight a gradient of 0, because other processes wait for gradients."""
        weights = [weight for member in members for weight in member.list_parameters()]
        return torch.stack([0 * weight.sum() for weight in weights]).sum()

    def trained(self, log: Log) -> None:
        if self.learning:
            log(TRAIN_RANKING_LOSS, self.train_loss, on_step=False, on_epoch=True)

    def chosen_by(self, gain: Tensor) -> Tensor | float:
        """Return the loss that chooses the epoch. Beside ratings it is 0, because lists share no weights with them."""
        return -gain if self.alone else 0.0

    def relevant(self, features: FeatureSet) -> Rows:
        """Return the validation rows whose items lists should show."""
        rows = features.splits[VALIDATION]
        return rows[rows.rating >= liked_from(features.spec.rating_scale)]

    def relevant_of(self, features: FeatureSet, users: Tensor) -> Ragged:
        """Return these items by user (U,)."""
        rows = self.relevant(features)
        return Ragged.of(rows.user, rows.item, rows.rating, rows.timestamp, len(features.users)).lists(users)
