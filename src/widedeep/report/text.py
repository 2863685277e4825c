"""Format numbers, intervals and tables as text. Only this module decides how they look to a reader."""

import re
from collections.abc import Collection, Iterable, Sequence

PERCENT = "\N{NO-BREAK SPACE}%"


def number(value: float, decimals: int = 3) -> str:
    """Format a number with fixed decimals, a typographic minus, and no minus before zero."""
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def signed(value: float, decimals: int = 3) -> str:
    """Format a number as `number` does, with a plus if it is above zero."""
    text = number(value, decimals)
    return f"+{text}" if float(text.replace("−", "-")) > 0 else text


def count(value: float) -> str:
    """Format a whole number with commas between the thousands."""
    return f"{int(value):,}"


def percent(share: float, decimals: int = 1) -> str:
    """Format a share of 1 in percent."""
    return f"{number(100 * share, decimals)}{PERCENT}"


def bounds(low: float, high: float, decimals: int = 3) -> str:
    """Format an interval as `[0.773, 0.887]`."""
    return f"[{number(low, decimals)}, {number(high, decimals)}]"


def interval(value: float, low: float | None = None, high: float | None = None, decimals: int = 3) -> str:
    """Format a value with its interval, as `0.832 [0.773, 0.887]`. Without an interval, format the value alone."""
    text = number(value, decimals)
    if low is None or high is None or low == high:
        return text
    return f"{text} {bounds(low, high, decimals)}"


def capitalize(text: str) -> str:
    """Make the first letter a capital. The other letters stay as they are."""
    return text[:1].upper() + text[1:]


class Markdown(str):
    """Text that is Markdown already, so `escape` leaves it as it is."""


def escape(text: str) -> Markdown:
    """Make Markdown of one line that shows `text` as it is: without links, tags, code, emphasis or cells."""
    if isinstance(text, Markdown):
        return text
    line = " ".join(text.splitlines())
    # Inside a word `_` means nothing, and a bracket makes a link only before another one.
    line = re.sub(r"[\\`|*~]|(?<!\w)_|_(?!\w)|(?<=\])[(\[]|(?<=:)//|(?<=www)\.", r"\\\g<0>", line)
    return Markdown(re.sub(r"&(?=#?\w+;)", "&amp;", line).replace("<", "&lt;"))


def code(name: str) -> Markdown:
    """Make Markdown that shows a name as code. A name with others than letters, digits, `_`, `.` and `-` stays text."""
    return Markdown(f"`{name}`") if re.fullmatch(r"[\w.-]+", name) else escape(name)


def fenced(text: str) -> str:
    """Make a block of code. Its fence is longer than any row of backticks in `text`."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}\n{text}\n{fence}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[int] = ()) -> str:
    """Make a table in Markdown. A cell may hold any text; `escape` is applied to it.

    right : positions, from 0, of the columns that are aligned to the right
    """
    ruler = ["---:" if place in right else "---" for place in range(len(header))]
    lines = [ruler if row is None else [escape(text) for text in row] for row in (header, None, *rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
