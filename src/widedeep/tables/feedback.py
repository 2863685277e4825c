"""Explicit or implicit feedback: whether the numbers of a data set are ratings."""

from widedeep.columns import RATING
from widedeep.sources.naming import COUNTS, plain
from widedeep.sources.source import Layout, TableFile


def implicit(said: str, layout: Layout, lowest: float, highest: float) -> str:
    """Decide whether feedback is implicit. Return a sentence that says why, or "" for explicit feedback.

    Parameters
    ----------
    said : preprocess.feedback
    layout : of the files of ratings
    lowest, highest : of the ratings
    """
    why = _reason(said, layout, lowest, highest)
    if not why:
        return ""
    return (
        f"feedback: implicit, {why}. Each row counts as one positive. The model learns and is judged by its lists "
        "only: there are no metrics of ratings."
    )


def _reason(said: str, layout: Layout, lowest: float, highest: float) -> str:
    if RATING not in layout.fields:
        return "as no column has a known name for the rating (preprocess.columns.rating can name one)"
    if said == "implicit":
        return "as preprocess.feedback says"
    if said == "explicit" or not isinstance(layout, TableFile):
        return ""
    name = layout.column(RATING)
    if plain(name) in COUNTS:
        return f"as {name!r} is a count and not a rating (if it is one, set preprocess.feedback to explicit)"
    return f"as all ratings are {lowest:g}" if lowest == highest else ""
