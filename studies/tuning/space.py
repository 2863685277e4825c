"""The values among which a search looks: a file such as `space.yaml`, read and checked."""

import difflib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import optuna
import yaml
from pydantic import TypeAdapter, ValidationError

from widedeep.errors import UserError
from widedeep.params import TrainParams

COMMON = "common"
POSITIVE = "positive_rating"
# With other values a trial would measure something else, or need processes of its own.
FIXED = ("model", "objective", POSITIVE, "devices", "nodes")


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included: whole ones where both are `int`."""

    low: float
    high: float
    log: bool

    def holds(self, value: Any) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def start(self, value: Any) -> Any:
        return value

    def draw(self, trial: optuna.Trial, key: str) -> Any:
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(key, self.low, self.high, log=self.log)
        drawn = trial.suggest_float(key, self.low, self.high, log=self.log)
        # Presets are read by people, and no model feels a fifth digit.
        return min(max(float(f"{drawn:.4g}"), self.low), self.high)


@dataclass(frozen=True)
class Choices:
    """Any values. Optuna can only keep plain ones, not lists, so it has them as JSON."""

    choices: tuple[str, ...]

    def holds(self, value: Any) -> bool:
        return self.start(value) in self.choices

    def start(self, value: Any) -> Any:
        return json.dumps(value)

    def draw(self, trial: optuna.Trial, key: str) -> Any:
        return json.loads(trial.suggest_categorical(key, self.choices))


Space = dict[str, Range | Choices]


def load_space(path: Path, params: TrainParams) -> Space:
    """What to search for objective and model of `params`, by key of train.

    Raises
    ------
    UserError
        The file is missing, not readable YAML or not laid out as space.yaml; a key is unknown or must stay as it is; a
        value is not one of its key; the values of a key do not include that of `params`, where a search starts.
    """
    try:
        sections = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist. --space must name a file such as studies/tuning/space.yaml.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    objectives, models = (get_args(TrainParams.model_fields[key].annotation) for key in ("objective", "model"))
    names = (COMMON, *objectives, *models)
    if not isinstance(sections, dict) or not set(sections) <= set(names):
        raise UserError(f"{path} must hold sections among {', '.join(names)}. Got {_keys(sections)} instead.")
    space: Space = {}
    for section in (COMMON, params.objective, params.model):
        entries = sections.get(section) or {}
        if not isinstance(entries, dict):
            raise UserError(f"{path}: {section} must hold keys of train. Got {entries!r} instead.")
        for key, entry in entries.items():
            where = f"{path}: {section}.{key}"
            if key in FIXED and not (key == POSITIVE and params.model == "ease" and params.objective != "joint"):
                raise UserError(
                    f"{where} must stay the same in all trials of a search. Remove it, and set it in params.yaml."
                )
            space[key] = _entry(where, key, entry)
            if not space[key].holds(getattr(params, key)):
                raise UserError(
                    f"{where} must include {getattr(params, key)!r}, its value in params.yaml (or models.yaml), where "
                    f"the search starts. Got {entry!r} instead. Widen it, or change that value."
                )
    if not space:
        raise UserError(
            f"{path} has no key in {COMMON}, {params.objective} or {params.model}, so there is nothing to search."
        )
    return space


def _entry(where: str, key: str, entry: Any) -> Range | Choices:
    if key not in TrainParams.model_fields:
        near = difflib.get_close_matches(str(key), TrainParams.model_fields, n=1)
        raise UserError(f"{where} is not a key of train. {f'Did you mean {near[0]!r}?' if near else 'Remove it.'}")
    match entry:
        case {"choices": [_, *_] as choices, **other} if not other:
            return Choices(tuple(json.dumps(_value(where, key, choice)) for choice in choices))
        case {"low": low, "high": high, **other} if other in ({}, {"log": True}, {"log": False}):
            low, high, log = _value(where, key, low), _value(where, key, high), bool(other.get("log"))
            if type(low) not in (int, float):
                raise UserError(f"{where} must have choices, since it is no number. Got {entry!r} instead.")
            if low > high or (log and low <= 0):
                above = " and above 0, as log is true" if log else ""
                raise UserError(f"{where}: low must not be above high{above}. Got {entry!r} instead.")
            return Range(low, high, log)
    raise UserError(
        f"{where} must be {{low: , high: }}, with log: true if you like, or {{choices: [ , ]}}. Got {entry!r} instead."
    )


def _value(where: str, key: str, value: Any) -> Any:
    """The value as TrainParams would have it. What values must go together is known when a trial has drawn them."""
    field = TrainParams.model_fields[key]
    annotation: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    check: Callable[[Any], Any] = TypeAdapter(annotation).validate_python
    try:
        return check(value)
    except ValidationError as error:
        rule = error.errors()[0]["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        raise UserError(f"{where}: {rule}. Got {value!r} instead. params.yaml explains its values.") from None


def _keys(sections: Any) -> str:
    return ", ".join(map(str, sections)) if isinstance(sections, dict) else repr(sections)
