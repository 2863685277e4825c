"""params.yaml as typed, immutable classes, one per section. That file explains meaning, unit and range of each key."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from annotated_types import Ge, Gt, Len, Lt
from pydantic import (
    AfterValidator,
    BaseModel,
    PlainValidator,
    SerializeAsAny,
    TypeAdapter,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError

from widedeep.errors import UserError
from widedeep.models.registry import ENTRIES, Architecture, EaseConfig, ModelConfig, Task
from widedeep.sections import (
    AutoOrCount,
    Count,
    Float,
    Fraction,
    Int,
    NonNegative,
    Positive,
    Section,
    Seed,
    Share,
    Size,
    explain,
    is_consequence,
    read_yaml,
)

Dataset = Literal[
    "movielens-small",
    "ml-100k",
    "ml-1m",
    "ml-10m",
    "ml-20m",
    "ml-25m",
    "ml-32m",
    "ml-latest",
    "ml-latest-small",
    "myanimelist-2023",
    "csv",
]


def _windows(value: Any) -> Any:
    if value in ("month", "quarter"):
        return value
    try:
        return _PARTS.validate_python(value)
    except ValidationError:
        raise ValueError("must be month, quarter or a whole number of at least 2") from None


def _distinct(crosses: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    as_sets = [frozenset(names) for names in crosses]
    if any(len(names) != len(group) for names, group in zip(crosses, as_sets, strict=True)):
        raise ValueError("a cross must not name a field twice")
    if len(set(as_sets)) != len(as_sets):
        raise ValueError("the same cross must not be listed twice")
    return crosses


def _increasing(ks: tuple[int, ...]) -> tuple[int, ...]:
    if list(ks) != sorted(set(ks)):
        raise ValueError("must be increasing numbers without repeats")
    return ks


def _registered(name: str) -> str:
    if name not in ENTRIES:
        *names, last = (f"'{known}'" for known in ENTRIES)
        expected = f"{', '.join(names)} or {last}"
        raise PydanticCustomError("literal_error", "must be {expected}", {"expected": expected})
    return name


def _configs(value: Any) -> dict[str, ModelConfig]:
    """Check section `models`: each registered model must have all of its knobs, and no other model may be there."""
    if isinstance(value, Mapping):
        value = {name: dict(knobs) if isinstance(knobs, ModelConfig) else knobs for name, knobs in value.items()}
    sections: Any = {name: (_complete(entry.config), ...) for name, entry in ENTRIES.items()}
    found = create_model("Models", __base__=Section, **sections).model_validate(value)
    return {name: entry.config(**dict(getattr(found, name))) for name, entry in ENTRIES.items()}


def _complete(config: type[ModelConfig]) -> type[ModelConfig]:
    """Make a class with the same knobs but without defaults.

    The defaults are for stored models that are older than a knob. In params.yaml each knob must be given.
    """
    knobs: Any = {
        name: (Annotated[knob.annotation, *knob.metadata] if knob.metadata else knob.annotation, ...)
        for name, knob in config.model_fields.items()
    }
    return create_model(config.__name__, __base__=config, **knobs)


Windows = Annotated[Literal["month", "quarter"] | int, PlainValidator(_windows)]

_PARTS: TypeAdapter[int] = TypeAdapter(Annotated[Int, Ge(2)])


class DownloadParams(Section):
    dataset: Dataset
    source: str


class PreprocessParams(Section):
    on_bad_rows: Literal["error", "drop"]
    rating_scale: tuple[Float, Float] | None
    min_ratings_per_user: Count
    min_ratings_per_item: Count
    split: Literal["auto", "temporal", "random", "leave_last_out", "predefined"]
    fold: str
    validation_fraction: Fraction
    test_fraction: Annotated[Float, Gt(0), Lt(1)]
    seed: Seed

    @model_validator(mode="after")
    def _check(self) -> "PreprocessParams":
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError(
                "validation_fraction and test_fraction must leave rows to train on: their sum must be below 1. "
                f"Got {self.validation_fraction} + {self.test_fraction} instead."
            )
        if self.rating_scale is not None and self.rating_scale[0] >= self.rating_scale[1]:
            raise ValueError(f"rating_scale must be [lowest, highest]. Got {list(self.rating_scale)} instead.")
        return self


class FeaturizeParams(Section):
    crosses: Annotated[tuple[Annotated[tuple[str, ...], Len(2, 4)], ...], AfterValidator(_distinct)]
    hash_buckets: Count
    user_damping: NonNegative
    item_damping: NonNegative
    genre_damping: NonNegative
    recent: Annotated[tuple[Count, ...], AfterValidator(_increasing)]
    recency_cap: Count
    buckets: Annotated[Int, Ge(2)]
    folds: Annotated[Int, Ge(2)]
    seed: Seed


class RatingParams(Section):
    unseen_rate: Share
    new_user_rate: Share


class RankingParams(Section):
    negatives: Size
    positive_rating: Float | None
    user_batch_size: Count
    questions: Count
    windows: Count
    learning_rate: Positive
    weight: Positive
    rating_weight: NonNegative


class TrainParams(Section):
    model: Annotated[str, AfterValidator(_registered)]
    objective: Task
    rating: RatingParams
    ranking: RankingParams
    epochs: Count
    batch_size: Count
    optimizer: Literal["adamw", "adagrad"]
    learning_rate: Positive
    weight_decay: NonNegative
    patience: Count
    gradient_clip: NonNegative
    accelerator: Literal["auto", "cpu", "gpu", "mps"]
    devices: AutoOrCount
    nodes: Count
    precision: Literal["32-true", "16-mixed", "bf16-mixed"]
    warm_start_from: str | None
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


class EvaluateParams(Section):
    ks: Annotated[tuple[Count, ...], Len(1), AfterValidator(_increasing)]
    relevant_rating: Float | None
    ranked_users: Count
    ranked_questions: Count
    bootstrap_replicates: Annotated[Int, Ge(100)]
    seed: Seed

    def relevant_from(self, rating_scale: tuple[float, float]) -> float:
        """Return the rating from which a test item is relevant.

        This is `relevant_rating`. If that is None, it is three quarters up the rating scale (lowest, highest).
        """
        low, high = rating_scale
        return low + 0.75 * (high - low) if self.relevant_rating is None else self.relevant_rating


class ReportParams(Section):
    examples: Annotated[Int, Ge(0)]
    seed: Seed


class Gate(Section):
    relative: NonNegative | None
    absolute: NonNegative | None
    significant: bool

    @model_validator(mode="after")
    def _check(self) -> "Gate":
        if self.relative is None and self.absolute is None:
            raise ValueError("a gate needs a limit: relative and absolute must not both be null")
        return self


class DriftParams(Section):
    windows: Windows


class CompareParams(Section):
    gates: dict[str, Gate]


class Params(Section):
    download: DownloadParams
    preprocess: PreprocessParams
    featurize: FeaturizeParams
    train: TrainParams
    models: Annotated[dict[str, SerializeAsAny[ModelConfig]], PlainValidator(_configs)]
    evaluate: EvaluateParams
    report: ReportParams
    drift: DriftParams
    compare: CompareParams

    @property
    def recipe(self) -> Recipe:
        """Section train and the knobs of the model that it names."""
        return Recipe(train=self.train, config=self.models[self.train.model])


Sections = Mapping[str, Any]  # params.yaml, or a part of it, as read from the file
Checked = TypeVar("Checked", bound=BaseModel)


def load_params(path: str | Path) -> Params:
    """Read and check params.yaml.

    Raises
    ------
    UserError
        The file is not valid YAML. Or a section or key is unknown or missing, a value has the wrong type or is out of
        range, or the model would ignore a value. The message lists all mistakes, each with its key, rule and value.
    """
    return checked(Params, read_yaml(Path(path)), str(path))


def changed(params: Params, changes: Sections, where: str) -> Params:
    """Return a copy of the parameters with the values of `changes`.

    Raises
    ------
    UserError
        As in `load_params`. The message starts with `where`, the source of the changes.
    """
    return checked(Params, merged(params.model_dump(), changes), where)


def merged(params: Sections, changes: Sections) -> dict[str, Any]:
    """Return a copy of `params` with the values of `changes`. Sections are merged, other values replaced."""
    result = dict(deepcopy(params))
    for name, value in changes.items():
        below = result.get(name)
        if isinstance(value, Mapping) and value and isinstance(below, Mapping):
            result[name] = merged(below, value)
        else:
            result[name] = deepcopy(value)
    return result


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn values by dotted name, such as `train.ranking.loss`, into sections."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        section = result
        *path, key = name.split(".")
        for part in path:
            section = section.setdefault(part, {})
        section[key] = value
    return result


def dotted(sections: Sections) -> dict[str, Any]:
    """Turn sections into values by dotted name, such as `train.ranking.loss`."""
    result: dict[str, Any] = {}
    for name, value in sections.items():
        if isinstance(value, Mapping) and value:
            result |= {f"{name}.{key}": below for key, below in dotted(value).items()}
        else:
            result[name] = value
    return result


def checked(model: type[Checked], raw: Any, where: str) -> Checked:
    """Convert `raw` to the class `model` and check its rules.

    Raises
    ------
    UserError
        `raw` breaks a rule. The message lists all mistakes, each with `where`, its key, rule and value.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        problems = [problem for problem in error.errors() if not is_consequence(problem)]
        lines = [explain(problem, _keys(model, problem["loc"][:-1])) for problem in problems]
        raise UserError("\n".join(f"{where}: {line}" for line in lines)) from None


def _keys(model: Any, location: Iterable[str | int]) -> list[str]:
    """Return the keys of the section at `location`."""
    for part in location:
        if isinstance(model, type) and issubclass(model, Params) and part == "models":
            model = {name: entry.config for name, entry in ENTRIES.items()}
        elif isinstance(model, dict):
            model = model[str(part)]
        elif get_origin(model) is dict:  # the user chooses the names, as in compare.gates
            model = get_args(model)[1]
        else:
            model = getattr(model, "model_fields", {}).get(str(part), None)
            model = getattr(model, "annotation", model)
    return list(model if isinstance(model, dict) else getattr(model, "model_fields", ()))
