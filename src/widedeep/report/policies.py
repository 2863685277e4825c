"""The costs of a fresh model: charts and a table of the policies of studies/drift, over the windows of time."""

import math

import pandas as pd
from markupsafe import Markup

from widedeep.report.charts import Axis, Line, Point, Series, line_chart
from widedeep.report.charts.canvas import BLUE, CIRCLE, DIAMOND, GREEN, GREY, SQUARE, TRIANGLE, VERMILION
from widedeep.report.labels import axis_label
from widedeep.report.results import Figure
from widedeep.report.text import number, percent

POLICIES = {
    "retrain": Series("retrain", BLUE, CIRCLE),
    "warm_start": Series("warm start", GREEN, TRIANGLE),
    "stale": Series("stale", VERMILION, SQUARE),
    "river": Series("River BiasedMF", GREY, DIAMOND),
}
# The columns of studies/drift/results.csv that are read.
# The columns of a table of policies: text, and numbers.
POLICY_COLUMNS = (("dataset", "start", "policy", "metric"), ("window", "value", "low", "high", "n", "seconds"))
DRAWN = ("rmse", "ndcg_at_10")  # the other metrics are in the table only


def policy_figures(results: pd.DataFrame) -> list[Figure]:
    """Draw a chart per metric of `DRAWN`, with a curve per policy, for one data set.

    Parameters
    ----------
    results : `POLICY_COLUMNS`, a row per window, policy and metric. `window` is a number, `start` is UTC.
    """
    figures = []
    for metric in DRAWN:
        own = results[results["metric"] == metric]
        if own.empty:
            continue
        starts = own.drop_duplicates("window").sort_values("window")[["window", "start"]]
        ticks = [(float(window), str(start)[:7]) for window, start in starts.itertuples(index=False)]
        looks = [look for policy, look in POLICIES.items() if policy in set(own["policy"])]
        lines = policy_lines(own.sort_values(["policy", "window"]))
        title = policy_finding(own)
        axes = Axis("start of the window (UTC)", ticks[:: math.ceil(len(ticks) / 5)]), Axis(axis_label(metric))
        svg = Markup(line_chart(lines, *axes, title, whiskers=True))
        figures.append(Figure(title, svg, f"{_name(metric)} by window", looks=looks))
    return figures


def policy_lines(results: pd.DataFrame) -> list[Line]:
    """Make a curve per policy from the rows of one metric, in the order of these rows."""
    lines = []
    for policy, part in results.groupby("policy", sort=False):
        points = [Point(POLICIES[str(policy)], *row) for row in part[["value", "low", "high"]].to_numpy()]
        lines.append(Line(part["window"].astype(float).tolist(), points))
    return lines


def policy_finding(own: pd.DataFrame) -> str:
    """State what a warm start saves and loses against retraining, from the numbers of `policy_table`."""
    overall, name = policy_table(own), _name(str(own["metric"].iloc[0]))
    if not {"warm_start", "retrain"} <= set(overall.index):
        values = (f"{POLICIES[policy].label} {number(value)}" for policy, value in overall["value"].items())
        return f"{name}: {', '.join(values)}"
    warm, again = overall.loc["warm_start"], overall.loc["retrain"]
    loss = warm["value"] / again["value"] - 1
    side = f"{percent(abs(loss))} {'higher' if loss > 0 else 'lower'}"
    share = percent(warm["seconds"] / again["seconds"], 0)
    return f"Warm start takes {share} of retrain's seconds, with an {name} that is {side}"


def policy_table(own: pd.DataFrame) -> pd.DataFrame:
    """Compute the `value` of one metric and the `seconds` of training by policy, over the windows after the first.

    In the first window all policies have the same model. The value is a mean over rows or users.
    """
    later = own[own["window"] > own["window"].min()]
    later = own if later.empty else later
    squared = str(own["metric"].iloc[0]).endswith("rmse")
    rows = {}
    for policy in POLICIES:
        part = later[later["policy"] == policy]
        if len(part):
            mean = (part["value"] ** (2 if squared else 1) * part["n"]).sum() / part["n"].sum()
            rows[policy] = {"value": math.sqrt(mean) if squared else mean, "seconds": part["seconds"].sum()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "seconds"])


def _name(metric: str) -> str:
    return axis_label(metric).partition(" (")[0]
