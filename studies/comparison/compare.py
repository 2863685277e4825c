"""Compare the judged models: a table with intervals, and which differences from Wide & Deep are real."""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from widedeep.columns import USER
from widedeep.errors import UserError, exit_on_user_error
from widedeep.evaluation.bootstrap import BETTER, NO_EVIDENCE, WORSE, Bootstrap, verdict
from widedeep.files import read_json, replacing
from widedeep.params import load_params
from widedeep.report.charts import WIDTH, Axis, Point, Row, Series, dot_chart, key
from widedeep.report.findings import LABELS, PERCENT, count, number

REFERENCE = "wide_deep"
RMSE, SQUARED_ERROR, N = "rmse", "squared_error", "n"
DECIMALS = 6
COLUMNS = (
    *("model", "knowledge", "metric", "value", "low", "high", "n"),
    *("minus_wide_deep", "minus_low", "minus_high", "verdict"),
)
LOOKS = {
    BETTER: Series(BETTER, "#009E73", "triangle"),
    WORSE: Series(WORSE, "#D55E00", "square"),
    NO_EVIDENCE: Series(NO_EVIDENCE, "#6B7280", "diamond"),
    "": Series(LABELS[REFERENCE], "#0072B2", "circle"),
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.comparison.compare", description=__doc__)
    parser.add_argument("--params", required=True, type=Path)
    parser.add_argument("--models", required=True, type=Path, help="folder of studies.comparison.model")
    parser.add_argument("--out", required=True, type=Path, help="folder for results.csv, results.md and results.svg")
    args = parser.parse_args(arguments)

    with exit_on_user_error():
        params = load_params(args.params).evaluate
        names = [name for name in LABELS if (args.models / f"{name}.csv").exists()]
        tables = {name: pd.read_csv(args.models / f"{name}.csv") for name in names}
        about = {name: read_json(args.models / f"{name}.json") for name in names}
        results = compare(tables, Bootstrap(params.bootstrap_replicates, params.seed))
        for column in ("parameters", "training_seconds"):
            results[column] = results["model"].map({name: about[name][column] for name in names})
        with ExitStack() as outputs:  # renamed together, after all are written
            csv, markdown, svg = (
                outputs.enter_context(replacing(args.out / f"results.{kind}")) for kind in ("csv", "md", "svg")
            )
            results.to_csv(csv, index=False)
            markdown.write_text(render_table(results, about[REFERENCE]["dataset"]), encoding="utf-8")
            svg.write_text(draw(results), encoding="utf-8")


def compare(tables: Mapping[str, pd.DataFrame], bootstrap: Bootstrap) -> pd.DataFrame:
    """Each metric of each model with its 95 % interval, and the difference from that of `REFERENCE`, on the same users.

    Parameters
    ----------
    tables : by model, a row per test user: user_id, n (rows), `<knowledge>_squared_error` (sums) and
        `<knowledge>_ndcg_at_<k>`, empty for users without a relevant item; a model that does not rank lacks the latter

    Returns
    -------
    DataFrame [model, knowledge, metric, value, low, high, n, minus_wide_deep, minus_low, minus_high, verdict], by
    metric and then best first. n: test ratings of an RMSE, users of an NDCG. verdict: better or worse where the
    interval of the difference is without 0, else no evidence; nothing in the rows of `REFERENCE`.

    Raises
    ------
    UserError
        `REFERENCE` is missing, or a model was judged on other users or rows.
    """
    if REFERENCE not in tables:
        raise UserError(f"There is no result of {REFERENCE}, with which all are compared. `make models` makes it.")
    reference = tables[REFERENCE]
    rows = []
    for column in reference.columns.drop([USER, N]):
        knowledge, _, metric = column.partition("_")
        statistics: dict[str, tuple[NDArray[np.float64], int]] = {}
        for model, table in tables.items():
            if column in table:
                same = table[[USER, N]].equals(reference[[USER, N]])
                if not same or not table[column].isna().equals(reference[column].isna()):
                    raise UserError(f"{model} was judged on other rows than {REFERENCE}. `make models` judges it anew.")
                statistics[model] = statistic(table, column, bootstrap)
        lower_is_better = metric == SQUARED_ERROR
        estimates = []
        for model, (values, n) in statistics.items():
            own = bootstrap.estimate(values, n)
            minus = bootstrap.estimate(values - statistics[REFERENCE][0], n)
            estimates.append((model, own, minus))
        estimates.sort(key=lambda entry: entry[1].value if lower_is_better else -entry[1].value)
        for model, own, minus in estimates:
            row = {"model": model, "knowledge": knowledge, "metric": RMSE if lower_is_better else metric}
            row |= own.as_dict()
            if model != REFERENCE:
                row |= {"minus_wide_deep": minus.value, "minus_low": minus.low, "minus_high": minus.high}
                row["verdict"] = verdict(minus, lower_is_better)
            rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS).round(DECIMALS).fillna({"verdict": ""})


def statistic(table: pd.DataFrame, column: str, bootstrap: Bootstrap) -> tuple[NDArray[np.float64], int]:
    """A metric of the data and of each resample of users, (1 + R,), and how many rows or users it rests on."""
    table = table.dropna(subset=column)
    total, n = bootstrap.sums([table[column], table[N]])
    if column.endswith(SQUARED_ERROR):
        return np.sqrt(total / n), int(n[0])
    return total / len(table), len(table)


def render_table(results: pd.DataFrame, dataset: str) -> str:
    """Two Markdown tables, each with a row per model: the metrics, and the differences from `REFERENCE`."""
    metrics = list(results.groupby(["metric", "knowledge"], sort=False))
    order = list(dict.fromkeys(results["model"]))
    by_model = [part.set_index("model") for _, part in metrics]
    titles = [f"{heading(metric)}, {knowledge}" for (metric, knowledge), _ in metrics]
    costs = results.drop_duplicates("model").set_index("model")

    values, differences = [], []
    for model in order:
        found = [part.loc[model] if model in part.index else None for part in by_model]
        cells = ["" if row is None else interval(row["value"], row["low"], row["high"]) for row in found]
        cost = [count(costs["parameters"][model]), number(costs["training_seconds"][model], 1)]
        values.append([LABELS[model], *cells, *cost])
        if model != REFERENCE:
            cells = [
                ""
                if row is None
                else f"{interval(row['minus_wide_deep'], row['minus_low'], row['minus_high'])} {row['verdict']}"
                for row in found
            ]
            differences.append([LABELS[model], *cells])
    n = count(by_model[0]["n"].iloc[0])
    first = [f"{n} test ratings of {dataset}", *titles, "parameters", "training seconds"]
    return lines(first, values) + "\n" + lines([f"minus {LABELS[REFERENCE]}, paired", *titles], differences)


def lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in (header, ["---"] * len(header), *rows))


def interval(value: float, low: float, high: float) -> str:
    return f"{number(value)} [{number(low)}, {number(high)}]"


def heading(metric: str) -> str:
    name, _, k = metric.partition("_at_")
    return f"{name.upper()}@{k}" if k else name.upper()


def draw(results: pd.DataFrame) -> str:
    """A chart per metric: the difference of each model from `REFERENCE`, under a title that says what it shows."""
    parts: list[str] = []
    y = 8.0
    for (metric, knowledge), table in results.groupby(["metric", "knowledge"], sort=False):
        name = heading(metric)
        title = f"{knowledge.capitalize()} {name}: {finding(table['verdict'])}"
        rows = []
        for row in table.fillna(0).to_dict("records"):
            look = LOOKS[row["verdict"]]
            point = Point(look, row["minus_wide_deep"], row["minus_low"], row["minus_high"])
            rows.append(Row(LABELS[row["model"]], number(row["value"]), [point]))
        axis = Axis(f"{name} minus that of {LABELS[REFERENCE]}, 95{PERCENT} interval")
        chart = dot_chart(rows, axis, name, title, [0])
        height = height_of(chart)
        parts.append(f'<text x="2" y="{y + 12:.0f}" font-weight="bold">{escape(title)}</text>')
        parts.append(f'<svg y="{y + 20:.0f}" width="{WIDTH}" height="{height}">{chart}</svg>')
        y += height + 36
    x = 2.0
    for look in (LOOKS[name] for name in ("", BETTER, WORSE, NO_EVIDENCE)):
        parts.append(f'<svg x="{x:.0f}" y="{y:.0f}" width="20" height="14">{key(look)}</svg>')
        parts.append(f'<text x="{x + 24:.0f}" y="{y + 11:.0f}">{escape(look.label)}</text>')
        x += 38 + 6 * len(look.label)
    box = f'viewBox="0 0 {WIDTH} {y + 22:.0f}" width="{2 * WIDTH}"'
    style = 'font-family="sans-serif" font-size="11.5"'
    white = '<rect width="100%" height="100%" fill="#fff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} {style}>{white}{"".join(parts)}</svg>\n'


def height_of(chart: str) -> int:
    return int(chart.partition(f'viewBox="0 0 {WIDTH} ')[2].partition('"')[0])


def finding(verdicts: Sequence[str]) -> str:
    """How many models are worse and better than `REFERENCE`; of the others there is no evidence."""
    counts = Counter(verdicts)
    others = len(verdicts) - counts[""]
    return f"{counts[WORSE]} of {others} worse than {LABELS[REFERENCE]}, {counts[BETTER]} better"


if __name__ == "__main__":
    main()
