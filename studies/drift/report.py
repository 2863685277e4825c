"""Show the results as sentences, Markdown tables and a picture."""

from collections.abc import Iterable

import pandas as pd

from studies.comparison.compare import heading
from studies.drift.policies import RETRAIN, STALE, WARM_START
from studies.drift.reference import RIVER
from studies.drift.results import NDCG, PAIRS, POLICIES, RMSE, Pair, Results
from widedeep.evaluation.bootstrap import NO_EVIDENCE, Estimate, verdict
from widedeep.report import policies
from widedeep.report.charts import Axis, Point, Row, dot_chart, line_chart, sheet
from widedeep.report.text import count, interval, markdown_table, number, percent

LOOKS = {policy: policies.POLICIES[policy] for policy in POLICIES}
COST, LOSS = 0.2, 0.01  # limits for the cost and the loss of warm_start, as shares of retrain's seconds and RMSE


def render(results: Results, matrix: pd.DataFrame) -> str:
    """Render results.md: the answers, then the tables."""
    table, whole = results.by_window, results.whole
    later = table[table["window"] > 1]
    rows = count(results.overall[RMSE].values[RETRAIN].n)
    parts = [
        f"Windows 2 to {table['window'].max()} of {table['dataset'][0]}: {rows} ratings from "
        f"{later['start'].min()[:10]} to {later['end'].max()[:10]}. Each rating is scored before any model learns it.",
        "\n".join(f"- {answer}" for answer in answers(results)),
        _overall(results),
        "Differences on the same rows:",
        _differences(results),
        "By window. In window 1, all policies but River have the model of the initial part:",
        _by_window(table),
        "RMSE of models that are trained from scratch on all ratings before a window, on this window and later ones:",
        _matrix(matrix),
        f"{LOOKS[RIVER].label} over the whole stream of {count(whole.n)} ratings, beginning with the first: RMSE "
        f"{interval(whole.value, whole.low, whole.high)}.",
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def answers(results: Results) -> list[str]:
    """Compare cost and loss of warm_start with their limits, and the policies with each other."""
    rmse = results.overall[RMSE].values
    loss = rmse[WARM_START].value / rmse[RETRAIN].value - 1
    return [
        f"{cost_finding(results)} ({_met(_cost(results) <= COST)}: at most {percent(COST)}).",
        f"{_compared(results, RMSE, (WARM_START, RETRAIN))} ({_met(loss <= LOSS)}: at most {percent(LOSS)} above).",
        *(f"{_compared(results, RMSE, pair)}." for pair in PAIRS if pair != (WARM_START, RETRAIN)),
        *(f"{_compared(results, NDCG, (WARM_START, other))}." for other in (RETRAIN, STALE) if NDCG in results.overall),
    ]


def cost_finding(results: Results) -> str:
    """State the cost of an update, as the title of a picture."""
    return f"Warm start takes {percent(_cost(results))} of the training seconds of retrain"


def _cost(results: Results) -> float:
    return results.seconds[WARM_START] / results.seconds[RETRAIN]


def _compared(results: Results, metric: str, pair: Pair) -> str:
    one, other = (LOOKS[policy].label for policy in pair)
    difference = results.overall[metric].differences[pair]
    reference = results.overall[metric].values[pair[1]].value
    said = verdict(difference, lower_is_better=metric != NDCG)
    size = percent(abs(difference.value) / reference) if reference else number(abs(difference.value))
    start = f"{heading(metric)} of {one} is {size} {'above' if difference.value > 0 else 'below'} that of {other}"
    return f"{start}, {said}" if said == NO_EVIDENCE else start


def _met(met: bool) -> str:
    return "met" if met else "missed"


def _overall(results: Results) -> str:
    rows = []
    for policy in POLICIES:
        cells = _cells(estimates.values.get(policy) for estimates in results.overall.values())
        seconds = results.seconds[policy]
        cost = "" if policy == RIVER else percent(seconds / results.seconds[RETRAIN])
        rows.append([LOOKS[policy].label, *cells, number(seconds, 1), cost])
    return markdown_table(["policy", *map(_name, results.overall), "seconds", "of retrain"], rows)


def _differences(results: Results) -> str:
    rows = []
    for pair in PAIRS:
        cells = _cells(estimates.differences.get(pair) for estimates in results.overall.values())
        rows.append([f"{LOOKS[pair[0]].label} minus {LOOKS[pair[1]].label}", *cells])
    return markdown_table(["", *map(_name, results.overall)], rows)


def _cells(found: Iterable[Estimate | None]) -> list[str]:
    return ["" if one is None else interval(one.value, one.low, one.high) for one in found]


def _by_window(table: pd.DataFrame) -> str:
    rows = []
    drawn = table[table["metric"].isin((RMSE, NDCG))]
    for (window, metric), part in drawn.groupby(["window", "metric"], sort=False):
        found = part.set_index("policy")[["value", "low", "high"]]
        cells = [interval(*found.loc[policy]) if policy in found.index else "" for policy in POLICIES]
        rows.append([str(window), part["start"].iloc[0][:10], count(part["n"].iloc[0]), _name(str(metric)), *cells])
    return markdown_table(["window", "from", "n", "metric", *(LOOKS[policy].label for policy in POLICIES)], rows)


def _matrix(matrix: pd.DataFrame) -> str:
    square = matrix.pivot(index="trained_before", columns="window", values="value")
    rows = [
        [f"before {before}", *("" if pd.isna(value) else number(value, 4) for value in row)]
        for before, row in zip(square.index, square.to_numpy(), strict=True)
    ]
    return markdown_table(["trained", *(f"window {window}" for window in square.columns)], rows)


def _name(metric: str) -> str:
    return {"frozen_rmse": "RMSE, frozen"}.get(metric, heading(metric))


def draw(results: Results) -> str:
    """Draw four charts: RMSE by window, RMSE minus that of `retrain`, NDCG by window, and the cost of the updates.

    The title of each chart states its finding.
    """
    table = results.by_window
    span = f"{table['start'].min()[:10]} to {table['end'].max()[:10]}"
    windows = Axis(f"window of the time line, {span}", [(float(at), str(at)) for at in table["window"].unique()])
    minus = table.assign(value=table["minus_retrain"], low=table["minus_low"], high=table["minus_high"])
    minus = minus[minus["window"] > 1].dropna(subset="value")
    charts = []
    for pair, metric, source, label in (
        ((WARM_START, RIVER), RMSE, table, "RMSE (rating points), online"),
        ((STALE, RETRAIN), RMSE, minus, "RMSE minus that of retrain (rating points)"),
        ((WARM_START, RETRAIN), NDCG, table, "NDCG@10 (0 to 1)"),
    ):
        if metric in results.overall:
            title = _compared(results, metric, pair)
            lines = policies.policy_lines(source[source["metric"] == metric])
            charts.append((title, line_chart(lines, windows, Axis(label), title, whiskers=True)))
    rows = [
        Row(LOOKS[policy].label, number(seconds, 1), [Point(LOOKS[policy], seconds, seconds, seconds)])
        for policy in POLICIES
        for seconds in [results.seconds[policy]]
    ]
    axis = Axis("seconds of training, windows after the first")
    charts.append((cost_finding(results), dot_chart(rows, axis, "seconds", cost_finding(results), [0])))
    return sheet(charts, list(LOOKS.values()))
