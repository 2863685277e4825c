"""The charts of a history: each metric from commit to commit."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from widedeep.compare.history import Commit, changed_text
from widedeep.report.charts import Axis, Occasion, Point, Series, run_chart
from widedeep.report.charts.canvas import BLUE, CIRCLE
from widedeep.report.labels import axis_label, metric_label
from widedeep.report.results import Figure, overlap
from widedeep.report.text import PERCENT, capitalize, number

MEASURED = Series("metric", BLUE, CIRCLE)
LONGEST = 22  # letters of a note below a commit


def history_figures(commits: Sequence[Commit], metrics: Sequence[str]) -> list[Figure]:
    """Draw a run chart per metric."""
    figures = []
    for metric in metrics:
        title = history_finding(commits, metric)
        occasions = [_occasion(commit, metric) for commit in commits]
        svg = Markup(run_chart(occasions, Axis(f"{axis_label(metric)}, 95{PERCENT} interval"), "value", title))
        figures.append(Figure(title, svg, f"{metric}, by commit"))
    return figures


def history_finding(commits: Sequence[Commit], metric: str) -> str:
    """State the first and the last value on the current test rows, and whether their intervals overlap."""
    run: list[Mapping[str, Any]] = []
    for commit in commits:
        run = run if commit.comparable else []
        run += [commit.estimates[metric]] if metric in commit.estimates else []
    label = capitalize(metric_label(metric))
    if not run:
        return f"{label}: not measured on the current test rows"
    first, last = run[0], run[-1]
    if len(run) == 1:
        return f"{label}: {number(last['value'])}, measured by one commit only"
    start = f"{label}: {number(first['value'])} to {number(last['value'])} in {len(run)} commits"
    if not all({"low", "high"} <= one.keys() for one in (first, last)):
        return start
    overlapping = overlap(first, last)
    if overlapping is None:
        return start
    if overlapping:
        return f"{start}; the intervals overlap"
    return f"{start}; the intervals do not overlap"


def _occasion(commit: Commit, metric: str) -> Occasion:
    estimate = commit.estimates.get(metric)
    label = f"{commit.date} {commit.sha[:7]}"
    if estimate is None:
        return Occasion(label, _notes(commit), "–", None, commit.comparable)
    value = estimate["value"]
    point = Point(MEASURED, value, estimate.get("low", value), estimate.get("high", value))
    return Occasion(label, _notes(commit), number(value), point, commit.comparable)


def _notes(commit: Commit) -> list[str]:
    """Name the first parameter that changed, and count the others."""
    notes = [] if commit.comparable else ["different test rows"]
    changed = [text for text in changed_text(commit) if " → " in text]
    if changed:
        name, _, values = changed[0].partition(" ")
        notes += [_short(name.rpartition(".")[2]), _short(values)]
    if len(changed) > 1:
        notes.append(f"and {len(changed) - 1} more")
    return notes


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
