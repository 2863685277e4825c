"""Numbers, intervals and tables as text: the one place that decides how they look to a reader."""

import re
from collections.abc import Collection, Iterable, Sequence

PERCENT = "\N{NO-BREAK SPACE}%"


def number(value: float, decimals: int = 3) -> str:
    """Fixed decimals with a typographic minus, and no minus before zero."""
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def count(value: float) -> str:
    """A whole number with commas between the thousands."""
    return f"{int(value):,}"


def percent(share: float, decimals: int = 1) -> str:
    """A share of 1 in percent."""
    return f"{number(100 * share, decimals)}{PERCENT}"


def interval(value: float, low: float | None = None, high: float | None = None, decimals: int = 3) -> str:
    """A value with its interval, as `0.832 [0.773, 0.887]`. The value alone where there is no interval."""
    text = number(value, decimals)
    if low is None or high is None or low == high:
        return text
    return f"{text} [{number(low, decimals)}, {number(high, decimals)}]"


def capitalize(text: str) -> str:
    """The text with a capital first letter; the other letters stay."""
    return text[:1].upper() + text[1:]


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[int] = ()) -> str:
    """A table in Markdown. Any text may stand in a cell.

    `right` holds the numbers of the columns that are aligned at the right, from 0.
    """
    ruler = ["---:" if place in right else "---" for place in range(len(header))]
    lines = [ruler if row is None else [_cell(text) for text in row] for row in (header, None, *rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    """Escape what would end the cell, the line, or begin a tag."""
    return re.sub(r"([\\|])", r"\\\1", " ".join(text.split("\n"))).replace("<", "&lt;")
