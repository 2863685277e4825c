"""Sections train and models of params.yaml, and the recipe: what a model is trained with."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Le
from pydantic import AfterValidator, SerializeAsAny, create_model, model_validator
from pydantic_core import PydanticCustomError

from widedeep.models.knobs import EaseConfig, ModelConfig
from widedeep.models.registry import ENTRIES, Architecture, Task
from widedeep.sections import (
    AutoOrCount,
    Count,
    Float,
    NonNegative,
    Positive,
    Section,
    Seed,
    Share,
    Size,
    Text,
)


def _registered(name: str) -> str:
    if name not in ENTRIES:
        *names, last = (f"'{known}'" for known in ENTRIES)
        expected = f"{', '.join(names)} or {last}"
        raise PydanticCustomError("literal_error", "must be {expected}", {"expected": expected})
    return name


def _complete(config: type[ModelConfig]) -> type[ModelConfig]:
    """Make a class with the same knobs but without defaults.

    The defaults are for stored models that are older than a knob. In params.yaml each knob must be given.
    """
    knobs: Any = {
        name: (Annotated[knob.annotation, *knob.metadata] if knob.metadata else knob.annotation, ...)
        for name, knob in config.model_fields.items()
    }
    return create_model(config.__name__, __base__=config, **knobs)


_SECTIONS: Any = {name: (_complete(entry.config), ...) for name, entry in ENTRIES.items()}
_MODELS = create_model("Models", __base__=Section, **_SECTIONS)


def check_configs(value: Any) -> dict[str, ModelConfig]:
    """Check section `models`: each registered model must have all of its knobs, and no other model may be there."""
    if isinstance(value, Mapping):
        value = {name: dict(knobs) if isinstance(knobs, ModelConfig) else knobs for name, knobs in value.items()}
    found = _MODELS.model_validate(value)
    return {name: entry.config(**dict(getattr(found, name))) for name, entry in ENTRIES.items()}


class RatingParams(Section):
    unseen_rate: Share
    new_user_rate: Share


class RankingParams(Section):
    negatives: Annotated[Size, Le(1000)]
    positive_rating: Float | None
    user_batch_size: Annotated[Count, Le(10_000)]
    epochs: Annotated[Count, Le(100_000)]
    questions: Annotated[Count, Le(10_000)]
    windows: Annotated[Count, Le(100)]
    learning_rate: Positive
    weight: Positive
    rating_weight: NonNegative


class TrainParams(Section):
    model: Annotated[str, AfterValidator(_registered)]
    objective: Task
    rating: RatingParams
    ranking: RankingParams
    epochs: Annotated[Count, Le(10_000)]
    batch_size: Annotated[Count, Le(10**6)]
    optimizer: Literal["adamw", "adagrad"]
    learning_rate: Positive
    weight_decay: NonNegative
    row_learning_rate: Positive | None
    patience: Annotated[Count, Le(10_000)]
    gradient_clip: NonNegative
    accelerator: Literal["auto", "cpu", "gpu", "mps"]
    devices: AutoOrCount
    nodes: Annotated[Count, Le(1000)]
    precision: Literal["32-true", "16-mixed", "bf16-mixed"]
    warm_start_from: Text | None
    replay: Share
    seed: Seed

    @model_validator(mode="after")
    def _check(self) -> "TrainParams":
        tasks = ENTRIES[self.model].tasks
        if self.objective not in tasks:
            others = ", ".join(name for name, entry in ENTRIES.items() if self.objective in entry.tasks)
            raise ValueError(
                f"objective must be {' or '.join(tasks)} for model: {self.model}. Got {self.objective} instead. "
                f"Models with the objective {self.objective}: {others}."
            )
        if self.replay and self.warm_start_from is None:
            raise ValueError(
                f"replay must be 0 unless warm_start_from names an earlier model. Got {self.replay} instead. Set "
                "replay to 0, or name the model to go on from."
            )
        return self


class Recipe(Section):
    """Everything that, with the features, determines a trained model.

    train : section train
    config : the knobs of the model named in it
    """

    train: TrainParams
    config: SerializeAsAny[ModelConfig]

    @property
    def architecture(self) -> Architecture:
        """The part of the recipe that an untrained model is built from."""
        ranking = self.train.ranking
        positive = self.config.positive_rating if isinstance(self.config, EaseConfig) else ranking.positive_rating
        return Architecture(
            model=self.train.model,
            objective=self.train.objective,
            config=self.config,
            positive_rating=positive,
            rating_weight=ranking.rating_weight if self.train.objective == "joint" else 0.0,
        )

    def with_train(self, **values: Any) -> "Recipe":
        """Return a copy with other values in section train. The values are not checked."""
        return self.model_copy(update={"train": self.train.model_copy(update=values)})

    def flat(self) -> dict[str, Any]:
        """Return every value by its key. Keys of train.rating and train.ranking have that section as a prefix."""
        train = self.train.model_dump()
        tasks = {f"{task}.{key}": value for task in ("rating", "ranking") for key, value in train.pop(task).items()}
        return train | tasks | self.config.model_dump()
