"""The registry of models: for each its class, knobs, label, needs and search space.

To add a model, write a file with its class and add an entry here. If it has knobs of its own, define them in
`widedeep.models.knobs` and add them to params.yaml. This module imports no torch, so that programs that only read
params.yaml or need a label start fast.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import SerializeAsAny

from widedeep.models.knobs import (
    BiasDotConfig,
    CnnConfig,
    DenseConfig,
    DotConfig,
    EaseConfig,
    ItemKnnConfig,
    ModelConfig,
    RecentPopularityConfig,
    WideDeepConfig,
)
from widedeep.sections import Section

Task = Literal["rating", "ranking", "joint"]
ALL_TASKS: tuple[Task, ...] = ("rating", "ranking", "joint")


@dataclass(frozen=True)
class Entry:
    """A registered model.

    Attributes
    ----------
    label : its name in reports, written as inside a sentence
    about : one line for docs/model.md
    target : "module:class"; the module is imported when the model is built
    config : the class of its knobs
    tasks : the values of train.objective that it allows. A model without a training loop allows all; for it the
        objective only says what the validation measures.
    trained : True: trained by gradient, in the loop of section train. False: by counting or in closed form.
    needs : what the data must have
    search : the values that `widedeep tune` tries, by the name of the parameter (see `studies.tuning.space`)
    """

    label: str
    about: str
    target: str
    config: type[ModelConfig] = ModelConfig
    tasks: tuple[Task, ...] = ("rating", "ranking")
    trained: bool = True
    needs: tuple[Literal["genres", "ratings"], ...] = ()
    search: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


_L2 = {"low": 0.0001, "high": 0.3, "log": True}
_DROPOUT = {"low": 0, "high": 0.6}
_LOOP: dict[str, Mapping[str, Any]] = {
    "train.learning_rate": {"low": 0.001, "high": 0.03, "log": True},
    "train.weight_decay": {"low": 0.001, "high": 1, "log": True},
    "train.rating.unseen_rate": {"low": 0, "high": 0.9, "tasks": ["rating"]},
    "train.batch_size": {"choices": [256, 1024]},
}
_EMBEDDINGS = {"low": 8, "high": 64, "log": True}


def _dense(name: str) -> dict[str, Mapping[str, Any]]:
    return {
        **_LOOP,
        f"models.{name}.embedding_size": _EMBEDDINGS,
        f"models.{name}.hidden": {"choices": [[64], [128, 64], [256, 128]]},
        f"models.{name}.dropout": _DROPOUT,
    }


# The default model comes last, so that charts draw its results over those of the others.
ENTRIES: dict[str, Entry] = {
    "global_mean": Entry(
        label="global mean",
        about="the mean of all training ratings",
        target="widedeep.models.global_mean:GlobalMean",
        tasks=ALL_TASKS,
        needs=("ratings",),
        trained=False,
    ),
    "popularity": Entry(
        label="popularity",
        about="how often an item was rated so far",
        target="widedeep.models.popularity:Popularity",
        tasks=ALL_TASKS,
        trained=False,
    ),
    "recent_popularity": Entry(
        label="recent popularity",
        about="how often an item was rated so far, where older ratings count less",
        target="widedeep.models.popularity:RecentPopularity",
        config=RecentPopularityConfig,
        tasks=ALL_TASKS,
        trained=False,
        search={"models.recent_popularity.half_life_days": {"choices": [None, 7, 30, 90, 180, 365, 730, 1460, 2920]}},
    ),
    "bias": Entry(
        label="bias",
        about="damped means of user and item",
        target="widedeep.models.bias:Bias",
        tasks=ALL_TASKS,
        needs=("ratings",),
        trained=False,
    ),
    "item_knn": Entry(
        label="item kNN",
        about="the user's ratings of similar items, by shrunk correlation",
        target="widedeep.models.item_knn:ItemKnn",
        config=ItemKnnConfig,
        tasks=ALL_TASKS,
        needs=("ratings",),
        trained=False,
        search={
            "models.item_knn.neighbours": {"low": 10, "high": 400, "log": True},
            "models.item_knn.shrinkage": {"low": 10, "high": 5000, "log": True},
        },
    ),
    "ease": Entry(
        label="EASE",
        about="weights between items in closed form (arXiv 1905.03375)",
        target="widedeep.models.ease:Ease",
        config=EaseConfig,
        tasks=ALL_TASKS,
        trained=False,
        search={
            "models.ease.l2": {"low": 1, "high": 3000, "log": True},
            "models.ease.positive_rating": {"choices": [None, 3, 3.5, 4]},
        },
    ),
    "dot": Entry(
        label="embedding dot",
        about="inner product of the embeddings of user and item",
        target="widedeep.models.dot:Dot",
        config=DotConfig,
        search={**_LOOP, "models.dot.embedding_size": _EMBEDDINGS, "models.dot.factors_l2": _L2},
    ),
    "bias_dot": Entry(
        label="dot with biases",
        about="inner product and biases, squeezed into the rating scale",
        target="widedeep.models.bias_dot:BiasDot",
        config=BiasDotConfig,
        search={
            **_LOOP,
            "models.bias_dot.embedding_size": _EMBEDDINGS,
            "models.bias_dot.factors_l2": _L2,
            "models.bias_dot.wide_l2": _L2,
        },
    ),
    "dense": Entry(
        label="dense",
        about="embeddings of user and item into dense layers",
        target="widedeep.models.dense:Dense",
        config=DenseConfig,
        search=_dense("dense"),
    ),
    "genre_dense": Entry(
        label="dense with genres",
        about="embeddings of user, item and genres into dense layers",
        target="widedeep.models.genre_dense:GenreDense",
        config=DenseConfig,
        needs=("genres",),
        search=_dense("genre_dense"),
    ),
    "cnn": Entry(
        label="CNN",
        about="convolutions over the outer product of two embeddings (ConvNCF, arXiv 1808.03912)",
        target="widedeep.models.cnn:Cnn",
        config=CnnConfig,
        search={
            **_LOOP,
            "models.cnn.embedding_size": {"choices": [8, 16]},
            "models.cnn.factors_l2": _L2,
            "models.cnn.wide_l2": _L2,
            "models.cnn.dropout": _DROPOUT,
        },
    ),
    "wide_deep": Entry(
        label="Wide & Deep",
        about="see below",
        target="widedeep.models.wide_deep:WideDeep",
        config=WideDeepConfig,
        tasks=ALL_TASKS,
        search={
            "train.learning_rate": {"low": 0.0001, "high": 0.01, "log": True},
            "train.weight_decay": {"low": 0.0001, "high": 1, "log": True},
            "train.batch_size": {"choices": [256, 1024, 4096], "tasks": ["rating"]},
            "train.rating.unseen_rate": {"low": 0, "high": 1, "tasks": ["rating", "joint"]},
            "train.ranking.user_batch_size": {"choices": [16, 64, 256], "tasks": ["ranking", "joint"]},
            "train.ranking.weight": {"low": 0.01, "high": 10, "log": True, "tasks": ["joint"]},
            "models.wide_deep.wide_learning_rate": {"low": 0.0001, "high": 0.01, "log": True},
            "models.wide_deep.embedding_size": {"low": 8, "high": 128, "log": True},
            "models.wide_deep.hidden": {"choices": [[], [64], [128, 64], [256, 128], [256, 128, 64]]},
            "models.wide_deep.dropout": {"low": 0, "high": 0.6, "when": "models.wide_deep.hidden"},
            "models.wide_deep.factors": {"choices": [0, 16, 32, 64, 128]},
            "models.wide_deep.factors_l2": {"choices": [0, 0.0001, 0.001, 0.01], "when": "models.wide_deep.factors"},
            "models.wide_deep.user_items": {"choices": [0, 20, 100], "when": "models.wide_deep.factors"},
            "models.wide_deep.time": {"choices": [False, True], "tasks": ["rating"]},
        },
    ),
}


class Architecture(Section):
    """Everything that, with the features, determines an untrained model.

    model : its name in the registry
    objective : the task that it is trained for
    config : its knobs
    positive_rating : an item is positive for a user who rated it at least this; None: every rated item is positive
    rating_weight : weight of the predicted rating in the ranking score, for the objective `joint`; else 0
    """

    model: str
    objective: Task
    config: SerializeAsAny[ModelConfig]
    positive_rating: float | None = None
    rating_weight: float = 0.0

    @classmethod
    def load(cls, stored: Mapping[str, Any]) -> "Architecture":
        """Make an architecture from the result of `model_dump`. A missing knob gets its default."""
        return cls(**{**stored, "config": ENTRIES[stored["model"]].config(**stored["config"])})

    @property
    def entry(self) -> Entry:
        """The registered model."""
        return ENTRIES[self.model]
