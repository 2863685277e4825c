"""Values of options, read with an error that says the rule and the value found."""

from collections.abc import Callable

import typer


def whole(low: int) -> Callable[[int | str], int]:
    """Make a reader of whole numbers that are not below `low`."""

    def number(text: int | str) -> int:
        if not str(text).isdecimal() or int(text) < low:
            raise typer.BadParameter(f"must be a whole number of at least {low}. Got '{text}' instead")
        return int(text)

    return number
