"""Building blocks of typed YAML sections: values with a range, and error messages that name key, rule and value.

A value must have the type that DVC reads. So a number in quotes is text, and `yes` is not true (see `widedeep.yaml`).
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    StrictBool,
    TypeAdapter,
    ValidationError,
)

from widedeep.errors import nearest
from widedeep.reading import refuse

SHOWN = 100  # characters of a wrong value, or of an unknown key, that a message shows


class Section(BaseModel):
    """A section of typed keys. It is immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    if isinstance(value, str):
        raise ValueError("must be a number")
    return value


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be finite")
    return value


def _text(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    # No path and no name of a revision may have these characters. A lone surrogate cannot be written as UTF-8.
    if re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", value) or len(value) > 4096:
        raise ValueError("must be at most 4096 characters on one line, without control characters")
    return value


def _auto_or_count(value: Any) -> Any:
    if value == "auto":
        return value
    try:
        return _DEVICES.validate_python(value)
    except ValidationError:
        raise ValueError("must be auto or a whole number from 1 to 1000") from None


def increasing(ks: tuple[int, ...]) -> tuple[int, ...]:
    """Check that numbers increase, as a validator of a field."""
    if list(ks) != sorted(set(ks)):
        raise ValueError("must be increasing numbers without repeats")
    return ks


Float = Annotated[float, BeforeValidator(_number), AfterValidator(_finite)]
Int = Annotated[int, BeforeValidator(_number)]
Positive = Annotated[Float, Gt(0)]
NonNegative = Annotated[Float, Ge(0)]
Fraction = Annotated[Float, Ge(0), Lt(1)]
Share = Annotated[Float, Ge(0), Le(1)]
# A field adds the upper bound, as in Annotated[Count, Le(100)]. No value below it may exhaust the memory by itself.
Count = Annotated[Int, Ge(1)]
Size = Annotated[Int, Ge(0)]
Seed = Annotated[Int, Ge(0), Lt(2**32)]
AutoOrCount = Annotated[Literal["auto"] | int, PlainValidator(_auto_or_count)]
Switch = StrictBool
Text = Annotated[str, AfterValidator(_text)]

_DEVICES: TypeAdapter[int] = TypeAdapter(Annotated[Count, Le(1000)])
# Replacements for messages of pydantic, in the words of a person who edits YAML.
_RULES = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "finite_number": "must be finite",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be text, in quotes if it looks like a number or a date",
    "string_unicode": "must be text of Unicode characters",
    "invalid_key": "a key must be text, in quotes if it looks like a number",
    "dict_type": "must be a section of keys",
    "tuple_type": "must be a list",
    "model_type": "must be a section of keys",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
}


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
    key = _name(location[:-1] if kind == "invalid_key" else location)  # pydantic adds "[key]" to a wrong key
    if kind == "extra_forbidden":
        otherwise = f"Known: {', '.join(known)}." if known else "This section has no keys: remove this one."
        return f"unknown key {key}. {nearest(str(location[-1])[:SHOWN], known, otherwise)}"
    if kind == "missing" and isinstance(location[-1], int):
        key, got = _name(location[:-1]), _shown(problem["input"])
        return f"{key}: must have at least {location[-1] + 1} entries. Got {got} instead."
    if kind == "missing":
        return f"{key} is missing: add it (params.yaml of the repository explains its meaning and range)."
    rule = rule_of(problem)
    if problem.get("ctx", {}).get("error") is not None and isinstance(problem["input"], dict):
        return f"in {key}: {rule}" if location else rule
    hint = ""
    if kind == "literal_error" and isinstance(problem["input"], str):
        options = [part.strip().strip("'") for part in problem["ctx"]["expected"].replace(" or ", ", ").split(",")]
        hint = f" {nearest(problem['input'][:SHOWN], options)}".rstrip()
    return f"{key}: {rule}. Got {_shown(problem['input'])} instead.{hint}"


def _name(location: Sequence[str | int]) -> str:
    """Write a dotted name in quotes, on one line of at most `SHOWN` characters."""
    return f"'{_shown('.'.join(map(str, location)))[1:-1]}'"


def _shown(value: Any) -> str:
    """Write a value on one line of at most `SHOWN` characters."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


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
