"""The tables of the plots: tidy, in the order in which they are drawn, and there even where they have no rows."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from widedeep.columns import TEST
from widedeep.evaluation import slices
from widedeep.evaluation.bootstrap import Bootstrap, Estimate
from widedeep.evaluation.rating import calibration
from widedeep.features.store import Features

DECIMALS = 6  # the last bits differ from processor to processor and mean nothing
SLICES = ("user_activity", "item_popularity", "genre", "month")
RANKING_METRICS = ("precision", "recall", "f1", "ndcg", "map", "mrr", "hit_rate")


def rating_curves(
    features: Features, model: str, predictions: Mapping[str, NDArray[np.float64]], bootstrap: Bootstrap
) -> dict[str, pd.DataFrame]:
    """`calibration` of the model, and for each of `SLICES` `rmse_by_...` [group, model, n, users, rmse, low, high].

    A slice that the data set does not have (months without timestamps, genres) is a table without rows.
    """
    test = features.splits[TEST]
    bags = features.spec.of_kind("bag")
    names = (bags[0].values or ()) if bags else ()
    groups = [
        slices.by_user_activity(features.users.count[test.user].long()),
        slices.by_item_popularity(features.items.count[test.item].long()),
    ]
    if names:
        groups.append(slices.by_genre(test.item, item_genres(features), names))
    if test.timestamp.any():
        groups.append(slices.by_month(test.timestamp))
    user = features.users.ids[test.user.numpy()]
    table = slices.slice_metrics(groups, user, test.rating, predictions, bootstrap).round(DECIMALS)
    by_slice = {f"rmse_by_{name}": table[table["slice"] == name].drop(columns="slice") for name in SLICES}
    return {"calibration": calibration(predictions[model], test.rating).round(DECIMALS), **by_slice}


def ranking_curves(estimates: Mapping[str, Mapping[str, Estimate]], ks: Iterable[int]) -> pd.DataFrame:
    """[model, metric, k, value, low, high, n] from the estimates of each model; no rows if no user has a relevant
    item."""
    rows = [
        {"model": model, "metric": metric, "k": k} | by_metric[f"{metric}_at_{k}"].as_dict()
        for metric in RANKING_METRICS
        for model, by_metric in estimates.items()
        for k in ks
        if f"{metric}_at_{k}" in by_metric
    ]
    return pd.DataFrame(rows, columns=["model", "metric", "k", "value", "low", "high", "n"]).round(DECIMALS)


def item_genres(features: Features) -> Tensor:
    """Which genres each item has: (I, G) bool."""
    genres = torch.zeros(len(features.items), features.genre_count.shape[1], dtype=torch.bool)
    return genres.scatter(1, features.items.bag, True)[:, 1:]
