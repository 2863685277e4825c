"""Show how far a long loop is: a bar on a terminal, else a line now and then. Short loops show nothing."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from tqdm import tqdm

BAR_AFTER, LINE_EVERY = 3, 20  # seconds


class Part(Protocol):
    def __len__(self) -> int: ...


P = TypeVar("P", bound=Part)


def progress(parts: Iterable[P], total: int, what: str, unit: str) -> Iterator[P]:
    """Yield the parts, and show on stderr how many of their elements are done, and how many per second.

    Parameters
    ----------
    parts : parts of `total` elements
    what, unit : words for the user: "predicted", "ratings"
    """
    done, start = 0, time.monotonic()
    shown, bar = start, None
    for part in parts:
        yield part
        done += len(part)
        now = time.monotonic()
        if bar is not None:
            bar.update(len(part))
        elif sys.stderr.isatty() and now - start >= BAR_AFTER:
            bar = tqdm(total=total, initial=done, desc=what, unit=f" {unit}", unit_scale=True, leave=False)
        elif now - shown >= LINE_EVERY:
            rate = done / (now - start)
            print(f"{what} {done:,} of {total:,} {unit}, {rate:,.0f} per second", file=sys.stderr, flush=True)
            shown = now
    if bar is not None:
        bar.close()
