"""params.yaml as typed, frozen models: one per stage. Meaning, unit and range of each key stand in params.yaml.

Values are coerced to the declared type, because the same text reads differently elsewhere: PyYAML (YAML 1.1) takes
`1e-4` for a string where DVC (YAML 1.2) takes it for a number, and `dvc exp run -S` writes `1e-05`.
"""

import difflib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from widedeep.errors import UserError

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


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be finite")
    return value


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return value
        # PyYAML leaves `1e6` a string.
        return int(number) if number.is_integer() else value
    return value


def _auto_or_count(value: Any) -> Any:
    if value == "auto":
        return value
    try:
        return _COUNT.validate_python(value)
    except ValidationError:
        raise ValueError("must be auto or a whole number of at least 1") from None


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
        raise ValueError("must be increasing numbers, each once")
    return ks


Float = Annotated[float, BeforeValidator(_not_bool), AfterValidator(_finite)]
Int = Annotated[int, BeforeValidator(_whole), BeforeValidator(_not_bool)]
Positive = Annotated[Float, Gt(0)]
NonNegative = Annotated[Float, Ge(0)]
Fraction = Annotated[Float, Ge(0), Lt(1)]
Share = Annotated[Float, Ge(0), Le(1)]
Count = Annotated[Int, Ge(1)]
Size = Annotated[Int, Ge(0)]
Seed = Annotated[Int, Ge(0), Lt(2**32)]
AutoOrCount = Annotated[Literal["auto"] | int, PlainValidator(_auto_or_count)]
Windows = Annotated[Literal["month", "quarter"] | int, PlainValidator(_windows)]

_COUNT: TypeAdapter[int] = TypeAdapter(Count)
_PARTS: TypeAdapter[int] = TypeAdapter(Annotated[Int, Ge(2)])
# Where the words of pydantic are not those of a reader of params.yaml.
_RULES = {
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "finite_number": "must be finite",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text, in quotes if it looks like a number",
    "tuple_type": "must be a list",
    "model_type": "must be a section of keys",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
}


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


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


class ModelParams(Section):
    model: Literal[
        "global_mean",
        "popularity",
        "bias",
        "item_knn",
        "ease",
        "dot",
        "bias_dot",
        "dense",
        "genre_dense",
        "cnn",
        "wide_deep",
    ]
    objective: Literal["rating", "ranking", "joint"]
    positive_rating: Float | None
    rating_weight: NonNegative
    members: Count
    embedding_size: Count
    embedding_deviation: Positive
    hidden: tuple[Count, ...]
    activation: Literal["relu", "gelu", "silu", "tanh"]
    dropout: Fraction
    batch_norm: bool
    bounded_output: bool
    factors: Size
    user_items: Size
    item_users: Size
    history: bool
    time: bool
    wide_l2: NonNegative
    factors_l2: NonNegative
    noise_variance: NonNegative
    channels: Count
    neighbours: Count
    shrinkage: NonNegative
    ease_l2: Positive


class TrainParams(ModelParams):
    epochs: Count
    batch_size: Count
    user_batch_size: Count
    ranking_loss: Literal["softmax", "bpr"]
    negatives: Size
    ranking_weight: Positive
    optimizer: Literal["adamw", "adagrad"]
    learning_rate: Positive
    weight_decay: NonNegative
    wide_optimizer: Literal["adamw", "ftrl"]
    wide_learning_rate: Positive
    wide_weight_decay: NonNegative
    wide_l1: NonNegative
    unseen_rate: Share
    new_user_rate: Share
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
        if self.ranking_loss == "bpr" and not self.negatives:
            raise ValueError("negatives must be at least 1 for ranking_loss: bpr. Got 0 instead.")
        if self.wide_l1 and self.wide_optimizer != "ftrl":
            raise ValueError(f"wide_l1 must be 0 unless wide_optimizer is ftrl. Got {self.wide_l1} instead.")
        return self


class EvaluateParams(Section):
    ks: Annotated[tuple[Count, ...], Len(1), AfterValidator(_increasing)]
    relevant_rating: Float | None
    ranked_users: Count
    bootstrap_replicates: Annotated[Int, Ge(100)]
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
    evaluate: EvaluateParams
    drift: DriftParams
    compare: CompareParams


def load_params(path: str | Path) -> Params:
    """Read and check params.yaml.

    Raises
    ------
    UserError
        The file is not readable YAML; a section or key is unknown (the nearest valid name is given) or missing; a
        value has the wrong type or is out of range. All mistakes are listed, each with its key, rule and value.
    """
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist. Run from the repository root.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path} must hold sections with keys. Got {type(raw).__name__} instead.")
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(problem) for problem in error.errors() if not _follows(problem)]
        raise UserError("\n".join(f"{path}: {line}" for line in lines)) from None


def _explain(problem: Any) -> str:
    location, kind = problem["loc"], problem["type"]
    key = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        known = _fields(location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(known)}."
        return f"unknown key '{key}'. {hint}"
    if kind == "missing" and isinstance(location[-1], int):
        key = ".".join(str(part) for part in location[:-1])
        return f"'{key}': must have at least {location[-1] + 1} entries. Got {problem['input']!r} instead."
    if kind == "missing":
        return f"'{key}' is missing: add it (see the params.yaml of the repository for its meaning and range)."
    rule = problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    if kind in _RULES:
        rule = _RULES[kind].format(**problem.get("ctx", {}))
    if problem.get("ctx", {}).get("error") is not None and isinstance(problem["input"], dict):
        return f"in '{key}': {rule}"
    hint = ""
    if kind == "literal_error":
        options = _literals(problem["ctx"]["expected"])
        near = difflib.get_close_matches(str(problem["input"]), options, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"'{key}': {rule}. Got {problem['input']!r} instead.{hint}"


def _follows(problem: Any) -> bool:
    """Whether a list is called too short only because another mistake took an entry out of it."""
    return bool(problem["type"] == "too_short" and len(problem["input"]) >= problem["ctx"]["min_length"])


def _literals(expected: str) -> list[str]:
    return [part.strip().strip("'") for part in expected.replace(" or ", ", ").split(",")]


def _fields(location: Iterable[str | int]) -> list[str]:
    model: Any = Params
    for part in location:
        # Below a section stand its keys, below a dict (compare.gates) names of the user's.
        model = get_args(model)[1] if get_origin(model) is dict else model.model_fields[str(part)].annotation
    return list(model.model_fields)
