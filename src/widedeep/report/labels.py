"""The names that a reader sees for models and metrics."""

MODEL_LABELS = {
    "wide_deep": "Wide & Deep",
    "dot": "embedding dot",
    "bias_dot": "dot with biases",
    "dense": "dense",
    "genre_dense": "dense with genres",
    "cnn": "CNN",
    "item_knn": "item kNN",
    "ease": "EASE",
    "bias": "bias",
    "popularity": "popularity",
    "global_mean": "global mean",
}
RATING_LABELS = {
    "rmse": "RMSE",
    "mae": "MAE",
    "frozen_rmse": "frozen RMSE",
    "user_mean_rmse": "mean RMSE of users",
    "user_mean_mae": "mean MAE of users",
}
RANKING_LABELS = {
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "ndcg": "NDCG",
    "map": "MAP",
    "mrr": "MRR",
    "hit_rate": "Hit rate",
    "novelty": "Novelty (bits)",
    "diversity": "Diversity",
    "coverage": "Coverage",
}
UNJUDGED = ("novelty", "diversity", "coverage")  # neither more nor less of these is better
DRAWN_BY_K = ("ndcg", "recall", "precision", "hit_rate")  # those that say most; the table beside has all
SUMMARIZED = ("ndcg", "recall", "hit_rate", "coverage")


def model_label(model: str) -> str:
    """The label of a model. A system that is not one of ours keeps its name."""
    return MODEL_LABELS.get(model, model)


def metric_label(metric: str) -> str:
    """`rating.online.rmse` as `online RMSE`. An unknown name stays as it is."""
    *place, name = metric.split(".")
    stem, _, k = name.partition("_at_")
    label = (RATING_LABELS.get(stem) or RANKING_LABELS.get(stem, "")).partition(" (")[0]
    if not label or not place:
        return metric
    label = label if label.isupper() else label[0].lower() + label[1:]
    of = f"{place[1].replace('_', ' ')}, " if place[0] == "baselines" else ""
    return f"{of}{place[-1]} {label}{f' at {k}' if k else ''}"


def unit(metric: str) -> str:
    """The name of an axis for a metric: its label, with the unit or the length of the list."""
    name = metric.rpartition(".")[2]
    if name in RATING_LABELS:
        return f"{RATING_LABELS[name]} (rating points)"
    stem, _, k = name.partition("_at_")
    return f"{RANKING_LABELS[stem]} at {k}" if stem in RANKING_LABELS else name
