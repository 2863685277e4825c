"""Building blocks of typed YAML sections: numbers with a range, and error messages that name key, rule and value.

Values are converted to the declared type, because YAML parsers disagree. PyYAML (YAML 1.1) reads `1e-4` as a string,
DVC (YAML 1.2) as a number, and `dvc exp run -S` writes `1e-05`.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    TypeAdapter,
    ValidationError,
)

from widedeep.errors import UserError, nearest
from widedeep.reading import refuse


class Section(BaseModel):
    """A section of typed keys. It is immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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
        # PyYAML reads `1e6` as a string.
        return int(number) if number.is_integer() else value
    return value


def _auto_or_count(value: Any) -> Any:
    if value == "auto":
        return value
    try:
        return _COUNT.validate_python(value)
    except ValidationError:
        raise ValueError("must be auto or a whole number of at least 1") from None


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

_COUNT: TypeAdapter[int] = TypeAdapter(Count)
# Replacements for messages of pydantic, in the words of a person who edits YAML.
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


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of sections with keys.

    Raises
    ------
    UserError
        The file does not exist, is not valid YAML, or does not hold a mapping.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist. Run from the repository root.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path} must hold sections with keys. Got {type(raw).__name__} instead.")
    return raw


def is_consequence(problem: Any) -> bool:
    """Return whether pydantic calls a list too short only because it has dropped an invalid entry."""
    return bool(problem["type"] == "too_short" and len(problem["input"]) >= problem["ctx"]["min_length"])


def explain(problem: Any, known: Sequence[str]) -> str:
    """Describe a mistake in one line: key, rule, value and, for a wrong name, the most similar valid name.

    Parameters
    ----------
    problem : one of `ValidationError.errors()`
    known : the valid keys of the section, for an unknown key
    """
    location, kind = problem["loc"], problem["type"]
    key = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        otherwise = f"Known: {', '.join(known)}." if known else "This section has no keys: remove this one."
        return f"unknown key '{key}'. {nearest(str(location[-1]), known, otherwise)}"
    if kind == "missing" and isinstance(location[-1], int):
        key = ".".join(str(part) for part in location[:-1])
        return f"'{key}': must have at least {location[-1] + 1} entries. Got {problem['input']!r} instead."
    if kind == "missing":
        return f"'{key}' is missing: add it (params.yaml of the repository explains its meaning and range)."
    rule = rule_of(problem)
    if problem.get("ctx", {}).get("error") is not None and isinstance(problem["input"], dict):
        return f"in '{key}': {rule}"
    hint = ""
    if kind == "literal_error":
        options = [part.strip().strip("'") for part in problem["ctx"]["expected"].replace(" or ", ", ").split(",")]
        hint = f" {nearest(str(problem['input']), options)}".rstrip()
    return f"'{key}': {rule}. Got {problem['input']!r} instead.{hint}"


def rule_of(problem: Any) -> str:
    """Return the rule that a value breaks, as "must be ..."."""
    if problem["type"] in _RULES:
        return _RULES[problem["type"]].format(**problem.get("ctx", {}))
    rule: str = problem["msg"]
    return rule.removeprefix("Value error, ").replace("Input should be", "must be")


def typed(kind: Any, value: Any, path: Path | str, mend: str) -> Any:
    """Convert what a file holds to a dataclass or another type, and check it.

    Raises
    ------
    UserError
        A key is missing, or a value has another type. The message names the first such key and ends with `mend`.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"]) or "the content"
        if problem["type"] == "missing":
            refuse(path, f"lacks the key '{key}'", mend)
        refuse(path, f"has a wrong '{key}': {rule_of(problem)}. Got {repr(problem['input'])[:80]} instead", mend)
