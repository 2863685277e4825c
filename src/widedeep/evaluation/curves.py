"""The tables of the plots. Rows stand in the order in which they are drawn. A table may have no rows."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from widedeep.columns import ITEM_ID, KNOWLEDGE, MODEL, PENALTY, RATING, TIMESTAMP, USER_ID
from widedeep.evaluation import slices
from widedeep.evaluation.background import Background
from widedeep.evaluation.bootstrap import Bootstrap
from widedeep.evaluation.metrics import METRICS, RANKING_TASK, of_task, squared_error
from widedeep.evaluation.ranking import Lists
from widedeep.evaluation.rating import calibration
from widedeep.evaluation.results import DECIMALS, ESTIMATE, METRIC, K

SLICES = ("user_activity", "item_popularity", "genre", "month")
PENALISED = ("ndcg", "coverage", "novelty", "diversity")  # metrics of by_popularity_penalty.csv, in their order
KNOWN = (METRIC, "group", MODEL, "n", "users", "value", "low", "high")  # columns of by_known_ratings.csv


def rating_curves(
    rows: pd.DataFrame,
    model: str,
    predictions: Mapping[str, NDArray[np.float64]],
    background: Background,
    bootstrap: Bootstrap,
) -> dict[str, pd.DataFrame]:
    """Make the tables of the rating plots: `calibration` of the model, and `rmse_by_<slice>` for each of `SLICES`.

    If the data set has no timestamps or no genres, the table of that slice has no rows.

    Parameters
    ----------
    rows : N test rows with user_id, item_id, rating and timestamp
    predictions : (N,) float64, by the name of the model

    Returns
    -------
    Tables by name. A table `rmse_by_<slice>` has the columns [group, model, n, users, rmse, low, high].
    """
    item = background.codes_of_items(rows[ITEM_ID])
    groups = [
        slices.by_user_activity(background.counts_of_users(rows[USER_ID])),
        slices.by_item_popularity(background.item_counts[item]),
    ]
    if background.genres:
        groups.append(slices.by_genre(item, background.item_genres, background.genres))
    if rows[TIMESTAMP].notna().all():
        groups.append(slices.by_month(rows[TIMESTAMP].to_numpy(np.int64)))
    rating = rows[RATING].to_numpy(np.float64)
    table = slices.slice_metrics(groups, rows[USER_ID], rating, predictions, bootstrap).round(DECIMALS)
    by_slice = {f"rmse_by_{name}": table[table["slice"] == name].drop(columns="slice") for name in SLICES}
    return {"calibration": calibration(predictions[model], rating).round(DECIMALS), **by_slice}


def empty_rating_curves() -> dict[str, pd.DataFrame]:
    """Make the tables of `rating_curves` without rows, for data without ratings."""
    of_slice = pd.DataFrame(columns=["group", MODEL, "n", "users", "rmse", "low", "high"])
    calibrated = pd.DataFrame(columns=["mean_predicted", "mean_rating", "n"])
    return {"calibration": calibrated, **{f"rmse_by_{name}": of_slice for name in SLICES}}


def rmse_by_known_ratings(
    rows: pd.DataFrame, predictions: Mapping[str, NDArray[np.float64]], background: Background, bootstrap: Bootstrap
) -> pd.DataFrame:
    """Compute the RMSE by the number of ratings that the user gave before the second of a row: [*KNOWN].

    rows, predictions : as in `rating_curves`. Without timestamps the table has no rows.
    """
    if rows[TIMESTAMP].isna().any():
        return pd.DataFrame(columns=KNOWN)
    one = slices.by_known_ratings(background.known_ratings(rows[USER_ID], rows[TIMESTAMP]))
    rating = rows[RATING].to_numpy(np.float64)
    errors = {model: squared_error(rating, predicted) for model, predicted in predictions.items()}
    table = slices.group_means(one, rows[USER_ID], errors, bootstrap, root=True)
    return table.assign(**{METRIC: "rmse"})[list(KNOWN)].round(DECIMALS)


def ndcg_by_known_ratings(
    asked: pd.DataFrame, lists: Mapping[str, Lists], k: int, background: Background, bootstrap: Bootstrap
) -> pd.DataFrame:
    """Compute the NDCG at k by the number of ratings that the user gave before the second of a question: [*KNOWN].

    Parameters
    ----------
    asked : user_id and timestamp of the L lists
    lists : the lists of each model, all with the same relevant items
    """
    of_lists = METRICS["ndcg"].of_lists
    assert of_lists is not None
    values = {model: of_lists(own, k) for model, own in lists.items()}
    asked = asked.iloc[next(iter(values.values())).index]  # those with a relevant item, the same for every model
    one = slices.by_known_ratings(background.known_ratings(asked[USER_ID], asked[TIMESTAMP]))
    ndcg = {model: own.to_numpy(np.float64) for model, own in values.items()}
    table = slices.group_means(one, asked[USER_ID], ndcg, bootstrap)
    return table.assign(**{METRIC: f"ndcg_at_{k}"})[list(KNOWN)].round(DECIMALS)


def ranking_curves(results: pd.DataFrame, knowledge: str) -> pd.DataFrame:
    """Select the metrics that are shown at every k from the long table of results.

    Returns
    -------
    DataFrame [model, metric, k, value, low, high, n]. It has no rows if no user has a relevant item.
    """
    shown = [metric.name for metric in of_task(RANKING_TASK) if metric.every_k]
    table = results[results[METRIC].isin(shown) & (results["knowledge"] == knowledge)]
    table = table[[MODEL, METRIC, K, *ESTIMATE]].astype({K: np.int64})
    order = table[METRIC].map({name: place for place, name in enumerate(shown)})
    return table.iloc[np.argsort(order.to_numpy(), kind="stable")].reset_index(drop=True).round(DECIMALS)


def penalty_curve(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Make the table of the metrics `PENALISED` by popularity penalty from rows of the long table with their penalty.

    Returns
    -------
    DataFrame [model, metric, popularity_penalty, value, low, high, n]. A metric is named as `frozen_ndcg_at_10`. The
    model `LIKED` stands for what users liked.
    """
    found = pd.DataFrame(list(rows), columns=[MODEL, KNOWLEDGE, METRIC, K, PENALTY, *ESTIMATE])
    order = found[METRIC].map({name: place for place, name in enumerate(PENALISED)})
    names = [f"{knowledge}_{metric}_at_{k}" for knowledge, metric, k in found[[KNOWLEDGE, METRIC, K]].to_numpy()]
    found = found.assign(**{METRIC: names}).iloc[np.lexsort((order, found[KNOWLEDGE]))]
    return found.drop(columns=[KNOWLEDGE, K]).reset_index(drop=True).round(DECIMALS)
