"""How the model learnt: charts of the learning curves, or a sentence for a model that is not trained in epochs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup

from widedeep.reading import made_by, refuse
from widedeep.report.about import About
from widedeep.report.charts import Axis, Line, Point, Series, line_chart
from widedeep.report.charts.canvas import BLUE, CIRCLE, DIAMOND, GREY, ORANGE, PINK, SQUARE, TRIANGLE
from widedeep.report.labels import model_title
from widedeep.report.results import RMSE, Figure, thin_out
from widedeep.report.text import number
from widedeep.tabular import read_csv

TRAINING, VALIDATION = Series("training", GREY, DIAMOND), Series("validation", BLUE, CIRCLE)
# The columns of the learning curves, by what they measure. With a temporal split, `validation_rmse` is over both kinds
# of knowledge, and each kind has a column of its own.
MEASURES = {
    "RMSE": {
        "train_rmse": TRAINING,
        "validation_rmse": VALIDATION,
        "validation_frozen_rmse": Series("validation, frozen", PINK, SQUARE),
        "validation_online_rmse": Series("validation, online", ORANGE, TRIANGLE),
    },
    "NDCG at 10": {
        "validation_ndcg_at_10": VALIDATION,
        "validation_period_ndcg_at_10": Series("validation, whole period", PINK, SQUARE),
        "validation_next_ndcg_at_10": Series("validation, next item", ORANGE, TRIANGLE),
    },
    "ranking loss": {"train_ranking_loss": TRAINING},
}
UNITS = {"RMSE": RMSE, "ranking loss": "ranking loss (nats)"}
FITTED = {
    "validation_rmse": "RMSE",
    "validation_frozen_rmse": "frozen RMSE",
    "validation_online_rmse": "online RMSE",
    "validation_ndcg_at_10": "NDCG at 10",
}


def read_curves(path: Path, kept: int) -> pd.DataFrame:
    """Read the learning curves, a row per epoch. `kept` is the epoch whose weights were kept.

    Raises
    ------
    UserError
        The file is missing or damaged, or has no row of the epoch `kept`.
    """
    mend = made_by("train")
    curves = read_csv(path, (), ("epoch", *dict.fromkeys(name for names in MEASURES.values() for name in names)), mend)
    if curves["epoch"].tolist() != list(range(len(curves))) or kept not in curves["epoch"]:
        refuse(path, f"must have a row for each epoch 0, 1, 2, ..., among them {kept}, whose weights were kept", mend)
    return curves


def learning_figures(curves: pd.DataFrame, kept: int) -> list[Figure]:
    """Draw a chart per measure of the learning curves. There are none for a model that is not trained in epochs.

    Parameters
    ----------
    curves : a row per epoch, as in reports/plots/learning_curves.csv
    kept : the epoch whose weights were kept
    """
    curves = curves.set_index("epoch")
    curves = curves.where(np.isfinite(curves)).dropna(axis="columns", how="all")
    if not any(str(column).startswith("train") for column in curves):
        return []
    figures = []
    for measure, columns in MEASURES.items():
        shown = {column: look for column, look in columns.items() if column in curves}
        if "validation_online_rmse" not in shown:  # then the frozen RMSE is the same curve as `validation_rmse`
            shown.pop("validation_frozen_rmse", None)
        if shown:
            rated = "train_rmse" in curves
            figures.append(_figure(measure, curves[list(shown)], list(shown.values()), kept, rated))
    return figures


def _figure(measure: str, curves: pd.DataFrame, looks: Sequence[Series], kept: int, rated: bool) -> Figure:
    title = learning_finding(measure, curves, kept, rated)
    lines = []
    for look, column in zip(looks, curves, strict=True):
        values = curves[column].dropna()
        lines.append(Line(values.index.tolist(), [Point(look, value, value, value) for value in values]))
    ticks = thin_out([(epoch, str(epoch)) for epoch in curves.index], 10)
    axes = Axis("epoch", ticks), Axis(UNITS.get(measure, measure))
    svg = Markup(line_chart(lines, *axes, title, (kept, f"epoch {kept} is kept")))
    return Figure(title, svg, f"Learning curves, {measure}", looks=looks)


def learning_finding(measure: str, curves: pd.DataFrame, kept: int, rated: bool = True) -> str:
    """State where the validation curve of a measure is best. Without validation, state where the training curve ends.

    `curves` has the columns of this measure, by epoch. `rated` says whether the model also learns ratings.
    """
    last = int(curves.index[-1])
    validation = [name for name in curves if str(name).startswith("validation")]
    if not validation:
        return f"Training {measure} ends at {number(curves.iloc[:, 0].dropna().iloc[-1])} after epoch {last}"
    values = curves[validation[0]]
    lowest = measure == "RMSE"
    best = int(values.index[values.argmin() if lowest else values.argmax()])
    start = f"Validation {measure} is {'lowest' if lowest else 'highest'} in"
    # Lists share no weights with the ratings, by which training stops.
    if rated and "validation_next_ndcg_at_10" in validation:
        return f"Validation {measure} is {number(values[kept])} in epoch {kept}, which the ratings choose"
    if best != kept:  # a joint model stops by RMSE minus NDCG, so this measure may be best at another epoch
        return (
            f"{start} epoch {best} ({number(values[best])}). Epoch {kept} is kept ({number(values[kept])}): there RMSE "
            "minus NDCG is lowest"
        )
    if best == last:
        return f"{start} the last epoch, {best} ({number(values[best])}): it may still {'fall' if lowest else 'rise'}"
    return f"{start} epoch {best} ({number(values[best])}), whose weights are kept"


def fitted_finding(about: About, curves: pd.DataFrame) -> str:
    """State the validation metrics of a model that is not trained in epochs."""
    row = curves.iloc[0].dropna()
    measured = [f"{label} {number(row[name])}" for name, label in FITTED.items() if name in row]
    whose = model_title(about.model)
    start = f"{whose} is not trained in epochs: it is computed from the training ratings in one step."
    return f"{start} On the validation ratings: {', '.join(measured)}." if measured else start
