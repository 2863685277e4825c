"""Readers for the values of options. Their errors state the rule and the value."""

from collections.abc import Callable

import typer


def whole(low: int) -> Callable[[int | str], int]:
    """Make a reader for whole numbers of at least `low`."""

    def number(text: int | str) -> int:
        if len(str(text)) > 9:
            raise typer.BadParameter(f"must have at most 9 digits. Got '{str(text)[:20]}...' instead")
        if not str(text).isdecimal() or int(text) < low:
            raise typer.BadParameter(f"must be a whole number of at least {low}. Got '{text}' instead")
        return int(text)

    return number
