"""The page of a comparison as one static HTML file: verdicts, history, drift of the data, and policies."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from widedeep.compare.compare import CHANGED, NOT_COMPARABLE, Comparison, Row
from widedeep.compare.gates import Outcome
from widedeep.compare.history import Commit, changed_text, headline_metrics
from widedeep.compare.pictures import history_figures
from widedeep.compare.table import called, legend
from widedeep.evaluation.bootstrap import BETTER, NO_EVIDENCE, WORSE
from widedeep.report.labels import axis_label, metric_label
from widedeep.report.page import render_page
from widedeep.report.policies import POLICIES, policy_figures, policy_table
from widedeep.report.text import capitalize, number, signed
from widedeep.report.windows import moves_of

SIGNS = {BETTER: "▲", WORSE: "▼", CHANGED: "◆", NO_EVIDENCE: "○", NOT_COMPARABLE: "–"}


@dataclass(frozen=True)
class OverTime:
    """What the page shows beside the verdicts. A missing part is empty or None.

    commits : the history
    history_notes : what a reader of the history must know
    numbers : reports/drift.json
    windows : reports/plots/drift.csv
    policies : studies/drift/results.csv, of one or more data sets
    """

    commits: Sequence[Commit] = ()
    history_notes: Sequence[str] = ()
    numbers: Mapping[str, Any] | None = None
    windows: pd.DataFrame | None = None
    policies: pd.DataFrame | None = None


def render_compare_page(
    comparison: Comparison, rows: Sequence[Row], outcomes: Sequence[Outcome], over_time: OverTime
) -> str:
    """Render the whole page as text.

    `rows` are the verdicts to show. A section without data names the command that makes the data.
    """
    old, new = called(comparison.old), called(comparison.new)
    commits = over_time.commits
    metrics = headline_metrics(commits) if commits else []
    broken = [f"Broken gate: {one.metric}, {one.why}." for one in outcomes if one.broken]
    return render_page(
        "compare.html.j2",
        dataset=comparison.new.params.get("download", {}).get("dataset", "the data"),
        old=old,
        new=new,
        finding=f"{capitalize(new)} against {old}: {verdicts_finding(rows)}.",
        gates=broken or (["No gate is broken."] if outcomes else []),
        rows=[_cells(row) for row in rows],
        least=any(row.least is not None for row in rows),
        noise=any(row.noise is not None for row in rows),
        notes=[*legend(rows), *comparison.notes],
        changes={"params": comparison.params, "data": comparison.data},
        metrics=[metric_label(metric) for metric in metrics],
        commits=[_commit(commit, metrics) for commit in commits],
        history=history_figures(commits, metrics),
        history_notes=over_time.history_notes,
        moved=None if over_time.windows is None else moves_of(over_time.windows),
        numbers={name: value for name, value in (over_time.numbers or {}).items() if isinstance(value, int | float)},
        policies=[] if over_time.policies is None else _policies(over_time.policies),
    )


def verdicts_finding(rows: Sequence[Row]) -> str:
    """Count the metrics by verdict. Up to three better and three worse ones are named."""
    counts = Counter(row.verdict for row in rows)
    parts = []
    for verdict in SIGNS:
        named = [metric_label(row.metric) for row in rows if row.verdict == verdict]
        names = f" ({', '.join(named)})" if verdict in (BETTER, WORSE) and len(named) <= 3 else ""
        parts += [f"{counts[verdict]} {verdict}{names}"] if named else []
    return ", ".join(parts) or "no metrics"


def _cells(row: Row) -> dict[str, str]:
    bounds = () if row.low is None or row.high is None else (number(row.low, 4), number(row.high, 4))
    return {
        "label": metric_label(row.metric),
        "old": _number(row.old),
        "new": _number(row.new),
        "difference": "–" if row.difference is None else signed(row.difference, 4),
        "interval": "\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}".join(bounds),
        "by": row.interval or "",
        "least": _number(row.least),
        "noise": _number(row.noise),
        "sign": SIGNS[row.verdict],
        "verdict": row.verdict,
        "why": row.reason,
    }


def _number(value: float | None) -> str:
    return "–" if value is None else number(value, 4)


def _commit(commit: Commit, metrics: Sequence[str]) -> dict[str, Any]:
    cells = [commit.estimates.get(metric) for metric in metrics]
    return vars(commit) | {"cells": cells, "changed": changed_text(commit)}


def _policies(results: pd.DataFrame) -> list[dict[str, Any]]:
    """Collect pictures and a table for each data set. The table has a row per policy, over all windows."""
    shown = []
    for dataset, own in results.groupby("dataset", sort=False):
        tables = {str(metric): policy_table(part) for metric, part in own.groupby("metric", sort=False)}
        seconds = next(iter(tables.values()))["seconds"]
        rows = [
            {
                "label": POLICIES[name].label,
                "values": [table["value"].get(name) for table in tables.values()],
                "seconds": seconds[name],
            }
            for name in seconds.index
        ]
        names = [axis_label(metric) for metric in tables]
        shown.append({"dataset": dataset, "figures": policy_figures(own), "metrics": names, "table": rows})
    return shown
