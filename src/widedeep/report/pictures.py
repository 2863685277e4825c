"""The pictures of drift: metrics by commit, features by window, policies by window. Each has its finding as title."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from widedeep.compare.history import Commit, changed_text
from widedeep.report.change_charts import Occasion, heat_map, run_chart
from widedeep.report.charts import Axis, Line, Point, Series, line_chart
from widedeep.report.findings import METRIC_LABELS, PERCENT, number

MEASURED = Series("metric", "#0072B2", "circle")
LONGEST = 22  # letters of what changed, below a commit
PSI_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0)
POLICIES = {  # as in the picture of studies/drift
    "retrain": Series("retrain", "#0072B2", "circle"),
    "warm_start": Series("warm start", "#009E73", "triangle"),
    "stale": Series("stale", "#D55E00", "square"),
    "river": Series("River BiasedMF", "#6B7280", "diamond"),
}
# Of reports/plots/drift.csv.
WINDOW_COLUMNS = ("feature", "window", "start", "split", "n", "psi", "psi_by_chance", "js")
# Of studies/drift/results.csv.
POLICY_COLUMNS = ("dataset", "window", "start", "policy", "metric", "value", "low", "high", "n", "seconds")
DRAWN = ("rmse", "ndcg_at_10")  # of the metrics of the policies; the others are in the table
RATING_LABELS = {
    "rmse": "RMSE",
    "mae": "MAE",
    "frozen_rmse": "frozen RMSE",
    "user_mean_rmse": "mean RMSE of users",
    "user_mean_mae": "mean MAE of users",
}


@dataclass(frozen=True)
class Picture:
    """A chart under the title that says what it shows, with a word for what is drawn, and its legend."""

    what: str
    title: str
    svg: str
    looks: Sequence[Series] = ()


def metric_label(metric: str) -> str:
    """`rating.online.rmse` as `online RMSE`, and names that are not known as they are."""
    *place, name = metric.split(".")
    stem, _, k = name.partition("_at_")
    label = (RATING_LABELS.get(stem) or METRIC_LABELS.get(stem, "")).partition(" (")[0]
    if not label or not place:
        return metric
    label = label if label.isupper() else label[0].lower() + label[1:]
    of = f"{place[1].replace('_', ' ')}, " if place[0] == "baselines" else ""
    return f"{of}{place[-1]} {label}{f' at {k}' if k else ''}"


def unit(metric: str) -> str:
    name = metric.rpartition(".")[2]
    if name in RATING_LABELS:
        return f"{RATING_LABELS[name]} (rating points)"
    stem, _, k = name.partition("_at_")
    return f"{METRIC_LABELS[stem]} at {k}" if stem in METRIC_LABELS else name


def history_pictures(commits: Sequence[Commit], metrics: Sequence[str]) -> list[Picture]:
    """A line per metric, commits downwards."""
    pictures = []
    for metric in metrics:
        title = history_finding(commits, metric)
        occasions = [_occasion(commit, metric) for commit in commits]
        svg = run_chart(occasions, Axis(f"{unit(metric)}, 95{PERCENT} interval"), "value", title)
        pictures.append(Picture(f"{metric}, by commit", title, svg))
    return pictures


def history_finding(commits: Sequence[Commit], metric: str) -> str:
    """From which value to which it went since the test rows are the same; whether that is beyond its intervals."""
    run: list[Mapping[str, Any]] = []
    for commit in commits:
        run = run if commit.comparable else []
        run += [commit.estimates[metric]] if metric in commit.estimates else []
    label = metric_label(metric)[0].upper() + metric_label(metric)[1:]
    if not run:
        return f"{label}: not measured on the present test rows"
    first, last = run[0], run[-1]
    if len(run) == 1:
        return f"{label}: {number(last['value'])}, measured by one commit only"
    start = f"{label}: {number(first['value'])} to {number(last['value'])} in {len(run)} commits"
    if not all({"low", "high"} <= one.keys() for one in (first, last)):
        return start
    if first["low"] <= last["high"] and last["low"] <= first["high"]:
        return f"{start}; the intervals overlap"
    return f"{start}; the intervals do not overlap"


def heat_map_picture(windows: pd.DataFrame) -> Picture:
    """PSI of each feature and window, the features that moved most first.

    Parameters
    ----------
    windows : `WINDOW_COLUMNS`, a row per feature and window; start is UTC, split is train for a window of training
        rows, psi is empty where it is not defined
    """
    known = windows.dropna(subset="psi")
    first = moved(windows)["feature"].tolist()
    order = first + sorted(set(known["feature"]) - set(first))
    parts = windows.drop_duplicates("window").sort_values("start", kind="stable")
    cells = known.set_index(["feature", "window"])["psi"].to_dict()
    values = [[cells.get((feature, name), math.nan) for name in parts["window"]] for feature in order]
    labels = [_month(start) or str(name) for start, name in zip(parts["start"], parts["window"], strict=True)]
    train = int(parts["split"].eq("train").sum())
    mark = (train, "after training") if 0 < train < len(parts) else None
    title = heat_map_finding(windows)
    svg = heat_map(order, labels, values, PSI_BOUNDS, Axis("start of the window (UTC)"), title, mark)
    return Picture("Population stability index, by feature and window", title, svg)


def heat_map_finding(windows: pd.DataFrame) -> str:
    """The feature and window after the training period whose PSI is furthest above what chance alone gives."""
    features = moved(windows)
    if features.empty:
        return "No window lies after the training period"
    most = features.iloc[0]
    if most["psi"] <= most["psi_by_chance"]:
        return "No feature moved more than chance alone would move it"
    start = _month(most["start"])
    when = (
        f"{most['window']}" if not start or str(most["window"])[:4] == start[:4] else f"{most['window']} (from {start})"
    )
    return f"{most['feature']} moved most: PSI {number(most['psi'], 2)} in {when}"


def moved(windows: pd.DataFrame) -> pd.DataFrame:
    """Each feature at the window after training where its PSI is furthest above chance, the furthest first."""
    after = windows[windows["split"] != "train"].dropna(subset="psi")
    beyond = (after["psi"] - after["psi_by_chance"]).sort_values(ascending=False, kind="stable")
    return after.loc[beyond.index].drop_duplicates("feature")


def policy_pictures(results: pd.DataFrame) -> list[Picture]:
    """A curve per policy, a chart per metric of `DRAWN`, of one data set.

    Parameters
    ----------
    results : `POLICY_COLUMNS`, a row per window, policy and metric; window is a number, start is UTC
    """
    pictures = []
    for metric in DRAWN:
        own = results[results["metric"] == metric]
        if own.empty:
            continue
        starts = own.drop_duplicates("window").sort_values("window")[["window", "start"]]
        ticks = [(float(window), str(start)[:7]) for window, start in starts.itertuples(index=False)]
        looks = [look for policy, look in POLICIES.items() if policy in set(own["policy"])]
        lines = []
        for policy, part in own.sort_values("window").groupby("policy"):
            points = [Point(POLICIES[str(policy)], *row) for row in part[["value", "low", "high"]].to_numpy()]
            lines.append(Line(part["window"].astype(float).tolist(), points))
        title = policy_finding(own)
        axes = Axis("start of the window (UTC)", ticks[:: math.ceil(len(ticks) / 5)]), Axis(unit(metric))
        pictures.append(
            Picture(f"{_name(metric)} by window", title, line_chart(lines, *axes, title, whiskers=True), looks)
        )
    return pictures


def policy_finding(own: pd.DataFrame) -> str:
    """What warm start costs and loses against training again, by the numbers of `policy_table`."""
    overall, name = policy_table(own), _name(str(own["metric"].iloc[0]))
    if not {"warm_start", "retrain"} <= set(overall.index):
        values = (f"{POLICIES[policy].label} {number(value)}" for policy, value in overall["value"].items())
        return f"{name}: {', '.join(values)}"
    warm, again = overall.loc["warm_start"], overall.loc["retrain"]
    percent = 100 * (warm["value"] / again["value"] - 1)
    share = f"{number(100 * warm['seconds'] / again['seconds'], 0)}{PERCENT} of retrain's seconds"
    side = f"{number(abs(percent), 1)}{PERCENT} {'higher' if percent > 0 else 'lower'}"
    return f"Warm start takes {share}, with an {name} {side}"


def policy_table(own: pd.DataFrame) -> pd.DataFrame:
    """Of one metric, by policy: `value` over the rows (or users) of all windows after the first, in which the policies
    still have the same model, and `seconds` of training for these windows."""
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


def _month(start: Any) -> str:
    """Of a moment; nothing where there are no timestamps."""
    return "" if pd.isna(start) else str(start)[:7]


def _name(metric: str) -> str:
    return unit(metric).removesuffix(" (rating points)")


def _occasion(commit: Commit, metric: str) -> Occasion:
    estimate = commit.estimates.get(metric)
    label = f"{commit.date} {commit.sha[:7]}"
    if estimate is None:
        return Occasion(label, _notes(commit), "–", None, commit.comparable)
    value = estimate["value"]
    point = Point(MEASURED, value, estimate.get("low", value), estimate.get("high", value))
    return Occasion(label, _notes(commit), number(value), point, commit.comparable)


def _notes(commit: Commit) -> list[str]:
    """The first parameter that changed, and how many more."""
    notes = [] if commit.comparable else ["other test rows"]
    changed = [text for text in changed_text(commit) if " → " in text]
    if changed:
        name, _, values = changed[0].partition(" ")
        notes += [_short(name.rpartition(".")[2]), _short(values)]
    if len(changed) > 1:
        notes.append(f"and {len(changed) - 1} more")
    return notes


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
