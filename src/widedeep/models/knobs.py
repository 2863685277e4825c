"""The knobs of the models, each with its type, range and default. Imports no torch, like the registry."""

from typing import Annotated, Literal

from annotated_types import Le, Len
from pydantic import AfterValidator, model_validator

from widedeep.sections import Count, Float, Fraction, NonNegative, Positive, Section, Size, Switch

Layers = Annotated[tuple[Annotated[Count, Le(4096)], ...], Len(0, 10)]


class ModelConfig(Section):
    """The knobs of one model, in section `models.<name>` of params.yaml, which explains them.

    The defaults are those of params.yaml. They are used for stored models that are older than a knob.
    """


class NetworkConfig(ModelConfig):
    members: Annotated[Count, Le(100)] = 1
    embedding_size: Annotated[Count, Le(1024)] = 32
    embedding_deviation: Positive = 0.05


class DotConfig(NetworkConfig):
    factors_l2: NonNegative = 0.0


class BiasDotConfig(DotConfig):
    wide_l2: NonNegative = 0.0


class CnnConfig(BiasDotConfig):
    # The convolutions see the outer product of two embeddings, for each row of a batch.
    embedding_size: Annotated[Count, Le(128)] = 32
    channels: Annotated[Count, Le(256)] = 32
    dropout: Fraction = 0.2


class LayersConfig(NetworkConfig):
    hidden: Layers = (128, 64)
    activation: Literal["relu", "gelu", "silu", "tanh"] = "relu"
    dropout: Fraction = 0.2

    @model_validator(mode="after")
    def _check_layers(self) -> "LayersConfig":
        if self.dropout and not self.hidden:
            raise ValueError(
                f"dropout must be 0 if hidden is [], because it acts on hidden layers. Got {self.dropout} instead. "
                "Set dropout to 0, or give hidden a layer."
            )
        return self


def _some(hidden: tuple[int, ...]) -> tuple[int, ...]:
    if not hidden:
        raise ValueError("this model needs at least one hidden layer")
    return hidden


class DenseConfig(LayersConfig):
    hidden: Annotated[Layers, AfterValidator(_some)] = (128, 64)


class WideDeepConfig(LayersConfig):
    bounded_output: Switch = False
    factors: Annotated[Size, Le(1024)] = 0
    user_items: Annotated[Size, Le(100_000)] = 0
    item_users: Annotated[Size, Le(100_000)] = 0
    factors_l2: NonNegative = 0.0
    history: Switch = True
    time: Switch = False
    wide_l2: NonNegative = 0.0
    noise_variance: NonNegative = 0.0
    wide_optimizer: Literal["adamw", "ftrl"] = "adamw"
    wide_learning_rate: Positive = 0.0003
    wide_weight_decay: NonNegative = 0.01
    wide_l1: NonNegative = 0.0

    @model_validator(mode="after")
    def _check(self) -> "WideDeepConfig":
        for name in ("user_items", "item_users", "factors_l2"):
            if getattr(self, name) and not self.factors:
                raise ValueError(
                    f"{name} must be 0 if factors is 0, because it acts on the factors. Got {getattr(self, name)} "
                    f"instead. Set {name} to 0, or factors to at least 1."
                )
        if self.wide_l1 and self.wide_optimizer != "ftrl":
            raise ValueError(
                f"wide_l1 must be 0 unless wide_optimizer is ftrl. Got {self.wide_l1} instead. Set wide_l1 to 0, or "
                "wide_optimizer to ftrl."
            )
        return self


class RecentPopularityConfig(ModelConfig):
    half_life_days: Positive | None = None


class ItemKnnConfig(ModelConfig):
    neighbours: Annotated[Count, Le(10_000)] = 60
    shrinkage: NonNegative = 400.0


class EaseConfig(ModelConfig):
    l2: Positive = 300.0
    positive_rating: Float | None = None
