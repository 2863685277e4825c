"""A comparison as text for a terminal, as Markdown for a merge request, and as plain values for JSON."""

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from widedeep.compare.compare import PAIRED, STORED, Comparison, Row
from widedeep.compare.gates import Outcome
from widedeep.evaluation.metrics import headline_length, of_model, place_of
from widedeep.revisions import WORKSPACE, Revision

WIDTH = 100  # columns of the terminal
LEGEND = {
    PAIRED: "paired: both revisions on the same resamples of the test users",
    STORED: "stored: from the two metrics' own intervals as if independent, which is wider than need be",
    "noise": "noise: what two trainings that differ only in the seed stay within (95 %); less is no evidence",
}


def headline(comparison: Comparison, gates: Iterable[str]) -> tuple[Row, ...]:
    """The rows that are worth a look at every commit: the headline metrics of the model at one length of the lists, and
    the metrics that have a gate."""
    k = headline_length([row.metric for row in comparison.rows])
    gated = set(gates)

    def shown(name: str) -> bool:
        metric = of_model(name)
        return name in gated or (metric is not None and metric.headline and place_of(name) in (None, k))

    return tuple(row for row in comparison.rows if shown(row.metric))


def render_text(comparison: Comparison, rows: Sequence[Row], outcomes: Sequence[Outcome], brief: bool = False) -> str:
    """Text for a terminal, at most `WIDTH` columns wide but for long values of params.

    `brief`: two versions that are the same make one line.
    """
    if brief and comparison.same:
        return f"{called(comparison.old)} and {called(comparison.new)} are the same: parameters, data and metrics.\n"
    parts = [f"{called(comparison.old)} -> {called(comparison.new)}"]
    for title, changed in (("params", comparison.params), ("data", comparison.data)):
        parts.append("\n".join([f"{title}: {'' if changed else 'the same'}".rstrip(), *_change_lines(changed)]))
    parts.append(_text_table(rows) if rows else "")
    rest = len(comparison.rows) - len(rows)
    about = [*([f"{rest} more metrics: --all"] if rest else []), *legend(rows)]
    parts.append("\n".join(about))
    notes = [textwrap.fill(note, WIDTH, initial_indent="! ", subsequent_indent="  ") for note in comparison.notes]
    if notes:
        parts.append("\n".join(notes))
    if outcomes:
        width = max(len(outcome.metric) for outcome in outcomes)
        lines = [f"  {_state(outcome):<6}  {outcome.metric:<{width}}  {outcome.why}" for outcome in outcomes]
        parts.append("\n".join(["gates:", *lines]))
    return "\n\n".join(filter(None, parts)) + "\n"


def render_markdown(comparison: Comparison, rows: Sequence[Row], outcomes: Sequence[Outcome]) -> str:
    """For a merge request: the table in front, what changed below it, folded where it is long."""
    parts = [f"### {called(comparison.old)} → {called(comparison.new)}"]
    head = ["metric", *_heads(rows)]
    ruler = ["---", *("---:" if name not in ("by", "verdict") else "---" for name in head[1:])]
    cells = [[f"`{row.metric}`", *_cells(row, rows)] for row in rows]
    parts.append("\n".join(f"| {' | '.join(line)} |" for line in (head, ruler, *cells)))
    parts.append("\n".join(f"- {line}" for line in (*legend(rows), *(f"**{note}**" for note in comparison.notes))))
    if outcomes:
        lines = [f"| {'**BROKEN**' if one.broken else 'ok'} | `{one.metric}` | {one.why} |" for one in outcomes]
        parts.append("\n".join(["| gate | metric | |", "| --- | --- | --- |", *lines]))
    for title, changed in (("params", comparison.params), ("data", comparison.data)):
        if changed:
            block = "\n".join(line.removeprefix("  ") for line in _change_lines(changed))
            parts.append(
                f"<details><summary>Changed {title}: {len(changed)}</summary>\n\n```\n{block}\n```\n\n</details>"
            )
        else:
            parts.append(f"The {title} are the same.")
    return "\n\n".join(filter(None, parts)) + "\n"


def as_values(comparison: Comparison, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Plain values of the whole comparison, for JSON. A number that is not known is None."""
    sides = {side: {"name": one.name, "commit": one.commit} for side, one in _sides(comparison)}
    changed = {
        title: {name: {"old": old, "new": new} for name, (old, new) in pairs.items()}
        for title, pairs in (("params", comparison.params), ("data", comparison.data))
    }
    metrics = {
        row.metric: {name: value for name, value in asdict(row).items() if name != "metric"} for row in comparison.rows
    }
    gates = {one.metric: {name: value for name, value in asdict(one).items() if name != "metric"} for one in outcomes}
    return {**sides, **changed, "notes": list(comparison.notes), "metrics": metrics, "gates": gates}


def _sides(comparison: Comparison) -> tuple[tuple[str, Revision], ...]:
    return (("old", comparison.old), ("new", comparison.new))


def called(revision: Revision) -> str:
    """A revision by the name that the user gave, with its commit where that does not say it."""
    if revision.commit is None:
        return f"the {WORKSPACE}"
    return revision.name if revision.commit.startswith(revision.name) else f"{revision.name} ({revision.commit[:7]})"


def _state(outcome: Outcome) -> str:
    return "BROKEN" if outcome.broken else "ok"


def _change_lines(changed: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """A line for each value that is another; one for all that were set, and one for all that are gone."""
    other = {name: pair for name, pair in changed.items() if None not in pair}
    width = max((len(name) for name in other), default=0)
    lines = [f"  {name:<{width}}  {_value(old)} -> {_value(new)}" for name, (old, new) in other.items()]
    for side, word in ((1, "set"), (0, "unset")):
        named = [f"{name}={_value(pair[side])}" for name, pair in changed.items() if pair[1 - side] is None]
        if named:
            lines += textwrap.wrap(f"{word}: {', '.join(named)}", WIDTH, initial_indent="  ", subsequent_indent="    ")
    return lines


def _value(value: Any) -> str:
    text = str(value)
    return f"{text[:8]}..." if re.fullmatch(r"[0-9a-f]{32,64}(\.dir)?", text) else text


def legend(rows: Sequence[Row]) -> list[str]:
    """What the words in the columns of these rows mean."""
    used = {row.interval for row in rows} | ({"noise"} if any(row.noise is not None for row in rows) else set())
    return [text for name, text in LEGEND.items() if name in used]


def _heads(rows: Sequence[Row]) -> list[str]:
    noise = ["noise"] if any(row.noise is not None for row in rows) else []
    return ["old", "new", "diff", "95 % interval", "by", *noise, "verdict"]


def _cells(row: Row, rows: Sequence[Row]) -> list[str]:
    """Where there is no interval, its cell says why."""
    interval = row.reason if row.low is None else f"[{_number(row.low)}, {_number(row.high)}]"
    cells = {
        "old": _number(row.old),
        "new": _number(row.new),
        "diff": _number(row.difference, "+"),
        "95 % interval": interval,
        "by": row.interval or "",
        "noise": _number(row.noise),
        "verdict": row.verdict,
    }
    return [cells[name] for name in _heads(rows)]


def _number(value: float | None, sign: str = "-") -> str:
    text = "" if value is None else f"{value:{sign}.4f}"
    return text.lstrip("+-") if text and float(text) == 0 else text


def _text_table(rows: Sequence[Row]) -> str:
    """Grouped by all but the last part of the metrics' names, so that names stay short."""
    heads = ["", *_heads(rows)]
    lines = [[row.metric.rpartition(".")[2], *_cells(row, rows)] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    left = [name in ("", "by", "verdict") for name in heads]

    def aligned(cells: Sequence[str]) -> str:
        padded = (
            f"{cell:<{w}}" if is_left else f"{cell:>{w}}" for cell, w, is_left in zip(cells, widths, left, strict=True)
        )
        return "  ".join(padded).rstrip()

    text, group = [aligned(heads)], ""
    for row, line in zip(rows, lines, strict=True):
        if row.metric.rpartition(".")[0] != group:
            group = row.metric.rpartition(".")[0]
            text.append(group)
        text.append(aligned(line))
    return "\n".join(text)
