"""Read the search space: the values that a search tries. It comes from the model registry or from a YAML file.

Both have an entry per parameter, by its name as in `dvc exp run -S`:

    train.learning_rate: {low: 0.0001, high: 0.01, log: true}
    train.ranking.weight: {low: 0.01, high: 10, log: true, tasks: [joint]}
    models.wide_deep.factors: {choices: [0, 16, 64]}
    models.wide_deep.user_items: {choices: [0, 100], when: models.wide_deep.factors}

low, high : ends of a range, which belong to it
log : with true, values are drawn evenly on a logarithmic scale
choices : the possible values
tasks : values of train.objective for which the parameter is searched, by default all
when : name of an earlier parameter. If that is drawn as 0 or [], the model ignores this parameter, and it is set to 0.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import optuna
from pydantic import TypeAdapter, ValidationError

from widedeep.errors import UserError, nearest
from widedeep.models.registry import ENTRIES, Task
from widedeep.params import Params, RankingParams, RatingParams, TrainParams, dotted
from widedeep.sections import Section, rule_of
from widedeep.yaml import read_yaml

POSITIVE = "models.ease.positive_rating"
# With other values of these, a trial would measure something else or need several processes.
FIXED = ("train.model", "train.objective", "train.ranking.positive_rating", "train.devices", "train.nodes")


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included. If both are `int`, only whole numbers.

    log : whether to draw evenly on a logarithmic scale
    """

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
        # People read presets, and a fifth digit makes no difference to a model.
        return min(max(float(f"{drawn:.4g}"), self.low), self.high)


@dataclass(frozen=True)
class Choices:
    """Any values, as JSON, because Optuna cannot store lists."""

    choices: tuple[str, ...]

    def holds(self, value: Any) -> bool:
        return self.start(value) in self.choices

    def start(self, value: Any) -> Any:
        return json.dumps(value)

    def draw(self, trial: optuna.Trial, key: str) -> Any:
        return json.loads(trial.suggest_categorical(key, self.choices))


@dataclass(frozen=True)
class Searched:
    """A parameter that is searched.

    values : the values to draw from
    when : name of another parameter. If that is 0 or [], this one is not drawn.
    """

    values: Range | Choices
    when: str | None = None


Space = dict[str, Searched]


def load_space(path: Path | None, params: Params) -> Space:
    """Read the search space for the model and the objective of `params`, from a file or from the registry.

    Raises
    ------
    UserError
        The file is missing, not readable YAML, or does not have the form above; a parameter is unknown, belongs to
        another model, or must not vary; a value breaks its rule; the values do not include the value in `params`, at
        which the search starts; or there is nothing to search.
    """
    name, objective = params.train.model, params.train.objective
    where = f"the search space of {name}" if path is None else str(path)
    entries = ENTRIES[name].search if path is None else read_yaml(path)
    used = values_of(params)
    space: Space = {}
    for key, entry in entries.items():
        here = f"{where}: {key}"
        if key in FIXED:
            raise UserError(
                f"{here} must stay the same in all trials of a search. Remove it here and set it in params.yaml."
            )
        if key not in used:
            raise UserError(f"{here} is not a parameter of {name} or its training. {nearest(key, list(used))}")
        tasks, when, values = _parts(here, entry)
        if objective not in tasks:
            continue
        if when is not None and when not in space:
            raise UserError(f"{here}: when must name an earlier parameter of the search space. Got {when!r} instead.")
        searched = Searched(_values(here, key, values), when)
        if not (searched.values.holds(used[key]) or (when is not None and not used[when] and not used[key])):
            raise UserError(
                f"{here} must include {used[key]!r}, its value in params.yaml (or models.yaml), because the search "
                f"starts there. Got {entry!r} instead. Add this value to the entry, or change it in that file."
            )
        space[key] = searched
    if not space:
        raise UserError(f"{where} has no parameter for the objective {objective}. There is nothing to search.")
    return space


def draw(space: Space, trial: optuna.Trial) -> dict[str, Any]:
    """Draw a value for each parameter, by its name."""
    drawn: dict[str, Any] = {}
    for key, searched in space.items():
        off = searched.when is not None and not drawn[searched.when]
        drawn[key] = 0 if off else searched.values.draw(trial, key)
    return drawn


def starts(space: Space, params: Params) -> dict[str, Any]:
    """Return the values of the first trial, which are those of `params`, in the form that Optuna keeps."""
    used = values_of(params)
    return {
        key: searched.values.start(used[key])
        for key, searched in space.items()
        if searched.when is None or used[searched.when]
    }


def values_of(params: Params) -> dict[str, Any]:
    """Return the values of section train and of its model, by the name of the parameter."""
    knobs = params.recipe.config.model_dump()
    return dotted({"train": params.train.model_dump(), "models": {params.train.model: knobs}})


def _parts(here: str, entry: Any) -> tuple[tuple[str, ...], str | None, Mapping[str, Any]]:
    """Split an entry into tasks, when, and the rest, which describes the values."""
    known = get_args(Task)
    if not isinstance(entry, Mapping):
        raise UserError(f"{here} {_FORM} Got {entry!r} instead.")
    values = dict(entry)
    tasks, when = values.pop("tasks", known), values.pop("when", None)
    if not isinstance(tasks, list | tuple) or not set(tasks) <= set(known):
        raise UserError(f"{here}: tasks must be a list of {', '.join(known)}. Got {tasks!r} instead.")
    return tuple(tasks), when, values


_FORM = "must be {low: , high: }, optionally with log: true, or {choices: [ , ]}."


def _values(here: str, key: str, entry: Mapping[str, Any]) -> Range | Choices:
    match entry:
        case {"choices": [_, *_] as choices, **other} if not other:
            return Choices(tuple(json.dumps(_value(here, key, choice)) for choice in choices))
        case {"low": low, "high": high, **other} if other in ({}, {"log": True}, {"log": False}):
            low, high = (_value(here, key, bound) for bound in (low, high))
            log = bool(other.get("log"))
            if type(low) not in (int, float):
                raise UserError(f"{here} must have choices, because it is not a number. Got {entry!r} instead.")
            if low > high or (log and low <= 0):
                above = ", and above 0 because log is true" if log else ""
                raise UserError(f"{here}: low must not be above high{above}. Got {entry!r} instead.")
            return Range(low, high, log)
    raise UserError(f"{here} {_FORM} Got {entry!r} instead.")


def _value(here: str, key: str, value: Any) -> Any:
    """Convert and check one value as its section does. Rules for several values are checked when a trial draws them."""
    section, _, name = key.rpartition(".")
    sections: dict[str, type[Section]] = {
        "train": TrainParams,
        "train.rating": RatingParams,
        "train.ranking": RankingParams,
    }
    owner = sections.get(section) or ENTRIES[section.removeprefix("models.")].config
    field = owner.model_fields[name]
    annotation: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    check: Callable[[Any], Any] = TypeAdapter(annotation).validate_python
    try:
        return check(value)
    except ValidationError as error:
        rule = rule_of(error.errors()[0])
        raise UserError(f"{here}: {rule}. Got {value!r} instead. params.yaml explains the parameter.") from None
