"""Compare the judged models: make a table of metrics with intervals, and test the differences from Wide & Deep."""

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from widedeep.columns import FROZEN, ONLINE, USER_ID
from widedeep.errors import UserError, exit_on_user_error
from widedeep.evaluation.bootstrap import BETTER, NO_EVIDENCE, WORSE, Bootstrap, verdict
from widedeep.evaluation.metrics import LOWER, METRICS, SQUARED_ERROR, N, stored_terms
from widedeep.evaluation.results import DECIMALS
from widedeep.files import replacing
from widedeep.params import load_params
from widedeep.reading import read_mapping, refuse
from widedeep.report.charts import Axis, Point, Row, Series, dot_chart, sheet
from widedeep.report.charts.canvas import BLUE, CIRCLE, DIAMOND, GREEN, GREY, SQUARE, TRIANGLE, VERMILION
from widedeep.report.labels import MODEL_LABELS
from widedeep.report.text import PERCENT, count, interval, markdown_table, number
from widedeep.tabular import read_csv

REFERENCE = "wide_deep"
RMSE = "rmse"
COLUMNS = (
    *("model", "knowledge", "metric", "value", "low", "high", "n"),
    *("minus_wide_deep", "minus_low", "minus_high", "verdict"),
)
LOOKS = {
    "": Series(MODEL_LABELS[REFERENCE], BLUE, CIRCLE),
    BETTER: Series(BETTER, GREEN, TRIANGLE),
    WORSE: Series(WORSE, VERMILION, SQUARE),
    NO_EVIDENCE: Series(NO_EVIDENCE, GREY, DIAMOND),
}

MEND = "`make models` makes it again."


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.comparison.compare", description=__doc__)
    parser.add_argument("--params", required=True, type=Path, help="file of parameters")
    parser.add_argument("--models", required=True, type=Path, help="folder that studies.comparison.model wrote")
    parser.add_argument("--out", required=True, type=Path, help="folder for results.csv, results.md and results.svg")
    args = parser.parse_args(arguments)

    with exit_on_user_error():
        params = load_params(args.params).evaluate
        names = [name for name in MODEL_LABELS if (args.models / f"{name}.csv").exists()]
        tables = {name: _table(args.models / f"{name}.csv") for name in names}
        about = {name: _about(args.models / f"{name}.json") for name in names}
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


def _table(path: Path) -> pd.DataFrame:
    """Read the results of a model by user."""
    table = read_csv(path, [USER_ID], [N], MEND)
    for column in table.columns.drop([USER_ID, N]):
        knowledge, _, metric = column.partition("_")
        known = knowledge in (ONLINE, FROZEN) and (metric == SQUARED_ERROR or metric.partition("_at_")[0] in METRICS)
        if not known or not pd.api.types.is_numeric_dtype(table[column]):
            refuse(path, f"must have a metric, and only numbers, in column {column}", MEND)
    return table


def _about(path: Path) -> dict[str, Any]:
    """Read the facts about a model and its training."""
    about = read_mapping(path, MEND)
    for name in ("parameters", "training_seconds", "dataset"):
        if not isinstance(about.get(name), str if name == "dataset" else int | float):
            refuse(path, f"lacks a right value of '{name}'", MEND)
    return about


def compare(tables: Mapping[str, pd.DataFrame], bootstrap: Bootstrap) -> pd.DataFrame:
    """Estimate each metric of each model, and its paired difference from the metric of `REFERENCE`.

    Parameters
    ----------
    tables : a table per model, with a row per test user: user_id, n (number of rows), `<knowledge>_squared_error`
        (sums), and `<knowledge>_ndcg_at_<k>` (empty for a user without a relevant item). A model that does not rank has
        no NDCG.

    Returns
    -------
    DataFrame [model, knowledge, metric, value, low, high, n, minus_wide_deep, minus_low, minus_high, verdict], ordered
    by metric and then from best to worst. Intervals are 95 %. n is the number of test ratings for RMSE, and of users
    for NDCG. The verdict is better or worse if the interval of the difference does not hold 0, otherwise no evidence.
    It is empty for `REFERENCE`.

    Raises
    ------
    UserError
        `REFERENCE` is missing, or a model was judged on other users or rows.
    """
    if REFERENCE not in tables:
        raise UserError(f"There is no result of {REFERENCE}, the reference. Run `make models` to make it.")
    reference = tables[REFERENCE]
    rows = []
    for column in reference.columns.drop([USER_ID, N]):
        knowledge, _, metric = column.partition("_")
        metric = RMSE if metric == SQUARED_ERROR else metric
        lower_is_better = METRICS[metric.partition("_at_")[0]].direction == LOWER
        statistics: dict[str, tuple[NDArray[np.float64], int, int]] = {}
        for model, table in tables.items():
            if column in table:
                same = table[[USER_ID, N]].equals(reference[[USER_ID, N]])
                if not same or not table[column].isna().equals(reference[column].isna()):
                    raise UserError(
                        f"{model} and {REFERENCE} were judged on different rows. Run `make models` to judge them again."
                    )
                statistics[model] = statistic(table, knowledge, metric, bootstrap)
        estimates = []
        for model, (values, n, users) in statistics.items():
            own = bootstrap.estimate(values, n, users)
            minus = bootstrap.estimate(values - statistics[REFERENCE][0], n, users)
            estimates.append((model, own, minus))
        estimates.sort(key=lambda entry: entry[1].value if lower_is_better else -entry[1].value)
        for model, own, minus in estimates:
            row = {"model": model, "knowledge": knowledge, "metric": metric}
            row |= own.as_dict()
            if model != REFERENCE:
                row |= {"minus_wide_deep": minus.value, "minus_low": minus.low, "minus_high": minus.high}
                row["verdict"] = verdict(minus, lower_is_better)
            rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS).round(DECIMALS).fillna({"verdict": ""})


def statistic(
    table: pd.DataFrame, knowledge: str, metric: str, bootstrap: Bootstrap
) -> tuple[NDArray[np.float64], int, int]:
    """Compute a metric on the data and on each of R resamples of users: (1 + R,). Return its n and users too."""
    stored = stored_terms(table, f"{METRICS[metric.partition('_at_')[0]].task}.{knowledge}.{metric}")
    assert stored is not None, "the column is in the table"
    _, terms = stored
    return bootstrap.ratios([terms])[0], int(terms.below.sum()), len(terms.below)


def render_table(results: pd.DataFrame, dataset: str) -> str:
    """Render two Markdown tables with a row per model: the metrics, and the differences from `REFERENCE`."""
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
        values.append([MODEL_LABELS[model], *cells, *cost])
        if model != REFERENCE:
            cells = [
                ""
                if row is None
                else f"{interval(row['minus_wide_deep'], row['minus_low'], row['minus_high'])} {row['verdict']}"
                for row in found
            ]
            differences.append([MODEL_LABELS[model], *cells])
    n = count(by_model[0]["n"].iloc[0])
    first = [f"{n} test ratings of {dataset}", *titles, "parameters", "training seconds"]
    second = [f"minus {MODEL_LABELS[REFERENCE]}, paired", *titles]
    return markdown_table(first, values) + "\n" + markdown_table(second, differences)


def heading(metric: str) -> str:
    """Return a short name for a metric: "RMSE", "NDCG@10"."""
    name, _, k = metric.partition("_at_")
    return f"{name.upper()}@{k}" if k else name.upper()


def draw(results: pd.DataFrame) -> str:
    """Draw a chart per metric with the difference of each model from `REFERENCE`. Its title states the finding."""
    charts = []
    for (metric, knowledge), table in results.groupby(["metric", "knowledge"], sort=False):
        name = heading(metric)
        title = f"{knowledge.capitalize()} {name}: {finding(table['verdict'])}"
        rows = []
        for row in table.fillna(0).to_dict("records"):
            point = Point(LOOKS[row["verdict"]], row["minus_wide_deep"], row["minus_low"], row["minus_high"])
            rows.append(Row(MODEL_LABELS[row["model"]], number(row["value"]), [point]))
        axis = Axis(f"{name} minus that of {MODEL_LABELS[REFERENCE]}, 95{PERCENT} interval")
        charts.append((title, dot_chart(rows, axis, name, title, [0])))
    return sheet(charts, list(LOOKS.values()))


def finding(verdicts: Iterable[str]) -> str:
    """Count the models that are worse and that are better than `REFERENCE`. For the others there is no evidence."""
    counts = Counter(verdicts)
    others = counts.total() - counts[""]
    return f"{counts[WORSE]} of {others} worse than {MODEL_LABELS[REFERENCE]}, {counts[BETTER]} better"


if __name__ == "__main__":
    main()
