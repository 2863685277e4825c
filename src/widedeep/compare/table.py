"""Render a comparison as text for a terminal, as Markdown for a merge request, or as plain values for JSON."""

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from widedeep.commits import WORKSPACE
from widedeep.compare.compare import PAIRED, STORED, Comparison, Row
from widedeep.compare.gates import Outcome
from widedeep.evaluation.metrics import headline_length, of_model, place_of
from widedeep.report.text import Markdown, bounds, code, escape, fenced, markdown_table, number, signed
from widedeep.revisions import Revision

WIDTH = 105  # columns of the terminal
DECIMALS = 4
WORDS = ("by", "verdict")  # columns without numbers
LEGEND = {
    PAIRED: "paired: both versions are judged on the same resamples of the test users",
    STORED: "stored: computed from the stored intervals of both versions, so it is wider than necessary",
    "least": "least: a true difference of this size is found in 80 of 100 test sets with this number of users",
    "noise": "noise: trainings that differ only in the seed differ by less than this (95 %)",
}


def headline(comparison: Comparison, gates: Iterable[str]) -> tuple[Row, ...]:
    """Choose the rows that are shown by default: headline metrics of the model at one cut-off, and metrics with a gate.

    `gates` are the flat names of the metrics that have a gate.
    """
    k = headline_length([row.metric for row in comparison.rows])
    gated = set(gates)

    def shown(name: str) -> bool:
        metric = of_model(name)
        return name in gated or (metric is not None and metric.headline and place_of(name) in (None, k))

    return tuple(row for row in comparison.rows if shown(row.metric))


def render_text(comparison: Comparison, rows: Sequence[Row], outcomes: Sequence[Outcome], brief: bool = False) -> str:
    """Render text for a terminal. It is at most `WIDTH` columns wide, unless a value of params is long.

    brief : say it in one line if both versions are the same
    """
    if brief and comparison.same:
        return _same(comparison)
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


def _same(comparison: Comparison) -> str:
    return f"{called(comparison.old)} and {called(comparison.new)} are the same: parameters, data and metrics.\n"


def render_markdown(
    comparison: Comparison, rows: Sequence[Row], outcomes: Sequence[Outcome], brief: bool = False
) -> str:
    """Render Markdown for a merge request: the verdicts, the gates, and the changes, which are folded.

    brief : say it in one line if both versions are the same
    """
    if brief and comparison.same:
        return _same(comparison)
    parts = [f"### {escape(called(comparison.old))} → {escape(called(comparison.new))}"]
    head = ["metric", *_heads(rows)]
    numeric = [place for place, name in enumerate(head) if name not in ("metric", *WORDS)]
    cells = [[code(row.metric), *_cells(row, rows)] for row in rows]
    parts.append(markdown_table(head, cells, numeric).rstrip("\n"))
    notes = [f"**{escape(note)}**" for note in comparison.notes]
    parts.append("\n".join(f"- {line}" for line in (*legend(rows), *notes)))
    if outcomes:
        lines = [[Markdown("**BROKEN**") if one.broken else "ok", code(one.metric), one.why] for one in outcomes]
        parts.append(markdown_table(["gate", "metric", "why"], lines).rstrip("\n"))
    for title, changed in (("params", comparison.params), ("data", comparison.data)):
        if changed:
            block = "\n".join(line.removeprefix("  ") for line in _change_lines(changed))
            summary = f"<summary>Changed {title}: {len(changed)}</summary>"
            parts.append(f"<details>{summary}\n\n{fenced(block)}\n\n</details>")
        else:
            parts.append(f"The {title} are the same.")
    return "\n\n".join(filter(None, parts)) + "\n"


def as_values(comparison: Comparison, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the whole comparison as plain values, for JSON. An unknown number is None."""
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
    """Name a revision as the user did. The commit follows in brackets, unless the name already is that commit."""
    if revision.commit is None:
        return f"the {WORKSPACE}"
    return revision.name if revision.commit.startswith(revision.name) else f"{revision.name} ({revision.commit[:7]})"


def _state(outcome: Outcome) -> str:
    return "BROKEN" if outcome.broken else "ok"


def _change_lines(changed: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """Make a line for each changed value, one line for all new values, and one for all removed values."""
    other = {name: pair for name, pair in changed.items() if None not in pair}
    width = max((len(name) for name in other), default=0)
    lines = [f"  {name:<{width}}  {_value(old)} -> {_value(new)}" for name, (old, new) in other.items()]
    for side, word in ((1, "new"), (0, "removed")):
        named = [f"{name}={_value(pair[side])}" for name, pair in changed.items() if pair[1 - side] is None]
        if named:
            lines += textwrap.wrap(f"{word}: {', '.join(named)}", WIDTH, initial_indent="  ", subsequent_indent="    ")
    return lines


def _value(value: Any) -> str:
    """Format a value. A hash is cut to its first 8 characters."""
    text = str(value)
    return f"{text[:8]}..." if re.fullmatch(r"[0-9a-f]{32,64}(\.dir)?", text) else text


def legend(rows: Sequence[Row]) -> list[str]:
    """Explain the words in the columns of these rows."""
    used = {row.interval for row in rows} | set(_measured(rows))
    return [text for name, text in LEGEND.items() if name in used]


def _heads(rows: Sequence[Row]) -> list[str]:
    return ["old", "new", "diff", "95 % interval", "by", *_measured(rows), "verdict"]


def _measured(rows: Sequence[Row]) -> list[str]:
    """Return which of the columns `least` and `noise` have a number in these rows."""
    return [name for name in ("least", "noise") if any(getattr(row, name) is not None for row in rows)]


def _cells(row: Row, rows: Sequence[Row]) -> list[str]:
    """Make the cells of a row. Without an interval, its cell gives the reason."""
    cells = {
        "old": _number(row.old),
        "new": _number(row.new),
        "diff": "" if row.difference is None else signed(row.difference, DECIMALS),
        "95 % interval": row.reason if row.low is None or row.high is None else bounds(row.low, row.high, DECIMALS),
        "by": row.interval or "",
        "least": _number(row.least),
        "noise": _number(row.noise),
        "verdict": row.verdict,
    }
    return [cells[name] for name in _heads(rows)]


def _number(value: float | None) -> str:
    return "" if value is None else number(value, DECIMALS)


def _text_table(rows: Sequence[Row]) -> str:
    """Align the rows under headings such as `rating.online`. Within a group the names of the metrics stay short."""
    heads = ["", *_heads(rows)]
    lines = [[row.metric.rpartition(".")[2], *_cells(row, rows)] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    left = [name in ("", *WORDS) for name in heads]

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
