"""The names that a reader sees for models and metrics."""

from widedeep.columns import FROZEN, ONLINE
from widedeep.evaluation.metrics import label_of, metric_of, unit_of
from widedeep.models.registry import ENTRIES
from widedeep.report.text import capitalize

MODEL_LABELS = {name: entry.label for name, entry in ENTRIES.items()}


def model_label(model: str) -> str:
    """Return the label of a model. A model that is not in the registry keeps its name."""
    return MODEL_LABELS.get(model, model)


def model_title(model: str) -> str:
    """Return the label of a model for the start of a sentence."""
    return capitalize(MODEL_LABELS[model]) if model in MODEL_LABELS else model


def metric_label(metric: str) -> str:
    """Return the label of a flat name: `online RMSE` for `rating.online.rmse`. An unknown name stays as it is."""
    *place, _ = metric.split(".")
    if not place or metric_of(metric) is None:
        return metric
    label = label_of(metric)
    label = label if label.partition(" ")[0].isupper() else label[0].lower() + label[1:]
    of = f"{model_label(place[1])}, " if place[0] == "baselines" else ""
    return f"{of}{place[-1]} {label}"


def axis_label(metric: str) -> str:
    """Return the label of a metric with its unit, for an axis or the head of a column.

    `metric` is a name such as `rating.online.rmse`, `ndcg_at_10` or `frozen_rmse`.
    """
    name = metric.rpartition(".")[2]
    knowledge, _, rest = name.partition("_")
    if knowledge in (ONLINE, FROZEN):
        return f"{knowledge} {axis_label(rest)}"
    return with_unit(label_of(name), unit_of(name))


def with_unit(label: str, unit: str) -> str:
    """Append the unit in brackets, if there is one."""
    return f"{label} ({unit})" if unit else label
