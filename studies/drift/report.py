"""The results in words, Markdown tables and a picture."""

from collections.abc import Sequence
from html import escape

import pandas as pd

from studies.comparison.compare import heading, height_of, interval
from studies.drift.policies import RETRAIN, STALE, WARM_START
from studies.drift.reference import RIVER
from studies.drift.results import NDCG, PAIRS, POLICIES, RMSE, Pair, Results
from widedeep.evaluation.bootstrap import NO_EVIDENCE, verdict
from widedeep.report.charts import WIDTH, Axis, Line, Point, Row, Series, dot_chart, key, line_chart
from widedeep.report.findings import PERCENT, count, number

LOOKS = {
    STALE: Series("stale", "#D55E00", "square"),
    RETRAIN: Series("retrain", "#0072B2", "circle"),
    WARM_START: Series("warm start", "#009E73", "triangle"),
    RIVER: Series("River BiasedMF", "#6B7280", "diamond"),
}
COST, LOSS = 0.2, 0.01  # the most that warm_start should cost and lose, as shares of retrain's seconds and RMSE


def render(results: Results, matrix: pd.DataFrame) -> str:
    """results.md: what the data say, then the tables."""
    table, whole = results.by_window, results.whole
    later = table[table["window"] > 1]
    rows = count(results.overall[RMSE].values[RETRAIN].n)
    parts = [
        f"Windows 2 to {table['window'].max()} of {table['dataset'][0]}: {rows} ratings from "
        f"{later['start'].min()[:10]} to {later['end'].max()[:10]}, each scored before any model has learnt it.",
        "\n".join(f"- {answer}" for answer in answers(results)),
        _overall(results),
        "Differences on the same rows:",
        _differences(results),
        "By window (in the first, all but River have the model of the initial part):",
        _by_window(table),
        "RMSE of the model that is trained from scratch on all before one window, on this and each later one:",
        _matrix(matrix),
        f"{LOOKS[RIVER].label} over the whole stream of {count(whole.n)} ratings, from the first on: RMSE "
        f"{interval(whole.value, whole.low, whole.high)}.",
    ]
    return "\n\n".join(parts) + "\n"


def answers(results: Results) -> list[str]:
    """Cost and loss of warm_start against what they should be at most, and whether it pays to learn at all."""
    rmse = results.overall[RMSE].values
    loss = rmse[WARM_START].value / rmse[RETRAIN].value - 1
    return [
        f"{cost_finding(results)} ({_met(_cost(results) <= COST)}: at most {_percent(COST)}).",
        f"{_compared(results, RMSE, (WARM_START, RETRAIN))} ({_met(loss <= LOSS)}: at most {_percent(LOSS)} above).",
        *(f"{_compared(results, RMSE, pair)}." for pair in PAIRS if pair != (WARM_START, RETRAIN)),
        *(f"{_compared(results, NDCG, (WARM_START, other))}." for other in (RETRAIN, STALE) if NDCG in results.overall),
    ]


def cost_finding(results: Results) -> str:
    """What an update costs, as the title of a picture."""
    return f"Warm start takes {_percent(_cost(results))} of the training seconds of retrain"


def _cost(results: Results) -> float:
    return results.seconds[WARM_START] / results.seconds[RETRAIN]


def _compared(results: Results, metric: str, pair: Pair) -> str:
    one, other = (LOOKS[policy].label for policy in pair)
    difference = results.overall[metric].differences[pair]
    reference = results.overall[metric].values[pair[1]].value
    said = verdict(difference, lower_is_better=metric != NDCG)
    size = _percent(abs(difference.value) / reference) if reference else number(abs(difference.value))
    start = f"{heading(metric)} of {one} is {size} {'above' if difference.value > 0 else 'below'} that of {other}"
    return f"{start}, {said}" if said == NO_EVIDENCE else start


def _met(met: bool) -> str:
    return "met" if met else "missed"


def _percent(share: float) -> str:
    return f"{number(100 * share, 1)}{PERCENT}"


def _overall(results: Results) -> str:
    rows = []
    for policy in POLICIES:
        found = [estimates.values.get(policy) for estimates in results.overall.values()]
        cells = ["" if one is None else interval(one.value, one.low, one.high) for one in found]
        seconds = results.seconds[policy]
        cost = "" if policy == RIVER else _percent(seconds / results.seconds[RETRAIN])
        rows.append([LOOKS[policy].label, *cells, number(seconds, 1), cost])
    return _table(["policy", *map(_name, results.overall), "seconds", "of retrain"], rows)


def _differences(results: Results) -> str:
    rows = []
    for pair in PAIRS:
        found = [estimates.differences.get(pair) for estimates in results.overall.values()]
        cells = ["" if one is None else interval(one.value, one.low, one.high) for one in found]
        rows.append([f"{LOOKS[pair[0]].label} minus {LOOKS[pair[1]].label}", *cells])
    return _table(["", *map(_name, results.overall)], rows)


def _by_window(table: pd.DataFrame) -> str:
    rows = []
    drawn = table[table["metric"].isin((RMSE, NDCG))]
    for (window, metric), part in drawn.groupby(["window", "metric"], sort=False):
        found = part.set_index("policy")[["value", "low", "high"]]
        cells = [interval(*found.loc[policy]) if policy in found.index else "" for policy in POLICIES]
        rows.append([str(window), part["start"].iloc[0][:10], count(part["n"].iloc[0]), _name(str(metric)), *cells])
    return _table(["window", "from", "n", "metric", *(LOOKS[policy].label for policy in POLICIES)], rows)


def _matrix(matrix: pd.DataFrame) -> str:
    square = matrix.pivot(index="trained_before", columns="window", values="value")
    rows = [
        [f"before {before}", *("" if pd.isna(value) else number(value, 4) for value in row)]
        for before, row in zip(square.index, square.to_numpy(), strict=True)
    ]
    return _table(["trained", *(f"window {window}" for window in square.columns)], rows)


def _name(metric: str) -> str:
    return {"frozen_rmse": "RMSE, frozen"}.get(metric, heading(metric))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def draw(results: Results) -> str:
    """RMSE by window, how far it is from that of `retrain`, the NDCG by window, and what the updates cost, each under a
    title that says what it shows."""
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
            lines = _lines(source[source["metric"] == metric])
            charts.append((title, line_chart(lines, windows, Axis(label), title, whiskers=True)))
    rows = [
        Row(LOOKS[policy].label, number(seconds, 1), [Point(LOOKS[policy], seconds, seconds, seconds)])
        for policy in POLICIES
        for seconds in [results.seconds[policy]]
    ]
    axis = Axis("seconds of training, windows after the first")
    charts.append((cost_finding(results), dot_chart(rows, axis, "seconds", cost_finding(results), [0])))
    return _page(charts)


def _page(charts: Sequence[tuple[str, str]]) -> str:
    """The charts one below the other with their titles, and the legend."""
    parts: list[str] = []
    y = 8.0
    for title, chart in charts:
        height = height_of(chart)
        parts.append(f'<text x="2" y="{y + 12:.0f}" font-weight="bold">{escape(title)}</text>')
        parts.append(f'<svg y="{y + 20:.0f}" width="{WIDTH}" height="{height}">{chart}</svg>')
        y += height + 36
    x = 2.0
    for look in LOOKS.values():
        parts.append(f'<svg x="{x:.0f}" y="{y:.0f}" width="20" height="14">{key(look)}</svg>')
        parts.append(f'<text x="{x + 24:.0f}" y="{y + 11:.0f}">{escape(look.label)}</text>')
        x += 38 + 6 * len(look.label)
    box = f'viewBox="0 0 {WIDTH} {y + 22:.0f}" width="{2 * WIDTH}"'
    style = 'font-family="sans-serif" font-size="11.5"'
    white = '<rect width="100%" height="100%" fill="#fff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} {style}>{white}{"".join(parts)}</svg>\n'


def _lines(table: pd.DataFrame) -> list[Line]:
    lines = []
    for policy, part in table.groupby("policy", sort=False):
        points = [Point(LOOKS[str(policy)], *row) for row in part[["value", "low", "high"]].to_numpy()]
        lines.append(Line(part["window"].astype(float).tolist(), points))
    return lines
