"""Checks of what callers give: ids, whole numbers, ratings and lists. Each names the argument and what it got."""

from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any

from widedeep.errors import UserError


def own_id(value: Any, name: str) -> str:
    """Return an id as text. 15.0 is "15", because pandas writes ids so where one is missing.

    Raises
    ------
    UserError
        The value is no id: empty, missing, true or false, a fraction, or neither text nor a number.
    """
    if isinstance(value, str):
        text = value.strip()
    elif (isinstance(value, Integral) and not isinstance(value, bool)) or (
        isinstance(value, float) and value.is_integer()
    ):
        text = str(int(value))
    else:
        text = ""
    if not text:
        rule = "text that is not empty, or a whole number"
        raise UserError(f"{name} must be an id: {rule}. Got {value!r} instead.")
    return text


def several(values: Any, name: str) -> list[Any]:
    """Return the values of an argument as a list. A text or a number is one value, not its letters.

    Raises
    ------
    UserError
        The argument is neither.
    """
    if isinstance(values, str | int | float):
        return [values]
    if isinstance(values, Mapping) or not isinstance(values, Iterable):
        raise UserError(f"{name} must be a list. Got {brief(values)} instead.")
    return list(values)


def brief(value: Any) -> str:
    """Return how a value is written, cut to 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def whole_number(name: str, value: Any, low: int) -> int:
    """Return an argument as an int. 5.0 is 5.

    Raises
    ------
    UserError
        It is not a whole number of at least `low`.
    """
    try:
        number = int(value)
        if isinstance(value, bool) or number != value:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        number = low - 1
    if not low <= number < 2**62:
        raise UserError(f"{name} must be a whole number of at least {low}. Got {value!r} instead.")
    return number


def year_range(years: Any) -> tuple[int, int]:
    """Return the first and the last year of (1990, 1999), of "1990-1999", or of 1995, which is one year.

    Raises
    ------
    UserError
        It is no such range, or the last year is before the first.
    """
    parts = years.split("-") if isinstance(years, str) else several(years, "years")
    try:
        ends = [whole_number("years", int(part) if isinstance(part, str) else part, 0) for part in parts]
        first, last = ends * 2 if len(ends) == 1 else ends
        if first > last:
            raise ValueError
    except (UserError, ValueError):
        rule = "a first and a last year, such as (1990, 1999) or '1990-1999'"
        raise UserError(f"years must be {rule}. Got {brief(years)} instead.") from None
    return first, last


def number_in(name: str, value: Any, low: float, high: float, below: bool = False) -> float:
    """Return an argument as a float.

    below : whether `high` itself is not allowed

    Raises
    ------
    UserError
        It is not a number in [low, high], or with `below` in [low, high).
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not low <= number <= high or (below and number == high) or isinstance(value, bool):
        end = ")" if below else "]"
        raise UserError(f"{name} must be a number in [{low:g}, {high:g}{end}. Got {value!r} instead.")
    return number
