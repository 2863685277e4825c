"""Judge score tables: compute the metrics of a model and of others beside it, on the same rows and users."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from widedeep.columns import (
    FROZEN,
    ITEM_ID,
    KNOWLEDGE,
    MODEL,
    ONLINE,
    PENALTY,
    PREDICTED,
    RANK,
    RATING,
    TIMESTAMP,
    USER_ID,
)
from widedeep.evaluation.background import Background
from widedeep.evaluation.bootstrap import Bootstrap, Estimate
from widedeep.evaluation.curves import (
    KNOWN,
    PENALISED,
    empty_rating_curves,
    ndcg_by_known_ratings,
    penalty_curve,
    ranking_curves,
    rating_curves,
    rmse_by_known_ratings,
)
from widedeep.evaluation.files import LIST
from widedeep.evaluation.metrics import METRICS, N_LISTS, RANKING_TASK, RATING_TASK, Metric, N, list_length, of_task
from widedeep.evaluation.ranking import PAD, Lists, novelty
from widedeep.evaluation.rating import per_user_errors, rating_metrics, rmse_difference
from widedeep.evaluation.results import LIKED, METRIC, TASK, nested, row, table
from widedeep.files import replacing, write_json
from widedeep.params import EvaluateParams
from widedeep.tabular import write_parquet

Rows = list[dict[str, Any]]
TOTAL = "total"
NO_RATINGS = "the data have no ratings (implicit feedback)"


@dataclass(frozen=True)
class Evaluation:
    """The outcome of a judgement.

    model : name of the model that is judged
    results : long table of the metrics of this and all other models (see `widedeep.evaluation.results`)
    per_user : errors and ranking metrics of the model, a row per test user (reports/per_user.parquet)
    curves : the tables of the plots, by name
    missing : why a metric of the model is missing, by its flat name; or why all of a task are, by the name of the task
    """

    model: str
    results: pd.DataFrame
    per_user: pd.DataFrame
    curves: dict[str, pd.DataFrame]
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, Any]:
        """Nest the results as in reports/metrics.json."""
        return nested(self.results, self.model, self.missing)


def judge(
    predictions: pd.DataFrame,
    recommendations: pd.DataFrame,
    background: Background,
    params: EvaluateParams,
    by_penalty: pd.DataFrame | None = None,
) -> Evaluation:
    """Judge the first model of `predictions`, with the other models beside it.

    Rating metrics use all rows of a knowledge. Ranking metrics use all lists that any model has under a knowledge. If
    another model lacks such a list, it has no hit there. With frozen knowledge a user has one list, which should show
    the user's relevant test items. With online knowledge a user has a list for each question, which should show what
    the user rated in that second. A test item is relevant if its rating is at least `params.relevant_rating`. Slices
    and calibration use the first knowledge of the table. With implicit feedback there are no rating metrics.

    Parameters
    ----------
    predictions : [model, knowledge, user_id, item_id, rating, timestamp, predicted], the same rows for each model that
        predicts ratings
    recommendations : [model, knowledge, user_id, timestamp, rank, item_id]. Frozen lists need no timestamp.
    by_penalty : [popularity_penalty, knowledge, user_id, timestamp, rank, item_id]. The lists of the first model with
        several penalties. None: there are none.

    Raises
    ------
    ValueError
        The models do not have the same rows, or the first model lacks a knowledge that another model has.
    """
    bootstrap = Bootstrap(params.bootstrap_replicates, params.seed)
    model = str(predictions[MODEL].iloc[0])
    rows: Rows = []
    per_user: dict[str, pd.Series] = {}
    curves: dict[str, pd.DataFrame] = {}
    by_known = [pd.DataFrame(columns=KNOWN)]
    for knowledge, of_knowledge in predictions.groupby(KNOWLEDGE, sort=False, observed=True):
        test, predicted = _aligned(of_knowledge)
        if background.implicit:
            per_user[N] = test.groupby(USER_ID).size()
            continue
        errors = {name: per_user_errors(test[USER_ID], test[RATING], values) for name, values in predicted.items()}
        rows += _rating_rows(model, str(knowledge), errors, bootstrap)
        own = errors[model].set_index(USER_ID)
        per_user |= {N: own[N]} | {f"{knowledge}_{column}": own[column] for column in own.columns if column != N}
        curves = curves or rating_curves(test, model, predicted, background, bootstrap)
        if knowledge == ONLINE:
            by_known.append(rmse_by_known_ratings(test, predicted, background, bootstrap))
    relevant = background.test[background.test[RATING] >= params.relevant_from(background.rating_scale)]
    for knowledge, of_knowledge in recommendations.groupby(KNOWLEDGE, sort=False, observed=True):
        key = LIST if knowledge == ONLINE else [USER_ID]
        asked, lists = _lists(of_knowledge, key, max(params.ks), background, relevant)
        if knowledge == ONLINE:
            k = list_length(params.ks)
            by_known.append(ndcg_by_known_ratings(asked, lists, k, background, bootstrap))
        for name, of_model in lists.items():
            values = {
                (metric, k): _of_users(metric.of_lists(of_model, k), asked)
                for metric, k in _by_user(params.ks)
                if metric.of_lists
            }
            rows += _ranking_rows(name, str(knowledge), of_model, values, list_length(params.ks), bootstrap)
            if name == model:
                for (metric, k), of_users in values.items():
                    if metric.every_k:
                        per_user[f"{knowledge}_{metric.name}_at_{k}"] = of_users[TOTAL]
                        per_user[f"{knowledge}_{N_LISTS}"] = of_users[N]
    results = table(rows)
    curves = curves or empty_rating_curves()
    curves["ranking_by_k"] = ranking_curves(results, FROZEN)
    curves["by_known_ratings"] = pd.concat([part for part in by_known if len(part)] or by_known, ignore_index=True)
    penalised = (
        () if by_penalty is None else _penalised_rows(model, by_penalty, background, relevant, params.ks, bootstrap)
    )
    curves["by_popularity_penalty"] = penalty_curve(penalised)
    missing = {RATING_TASK: NO_RATINGS} if background.implicit else {}
    nothing = "no list was asked for that has a relevant test item to show"
    listed = set(recommendations.loc[recommendations[MODEL] == model, KNOWLEDGE])
    if relevant.empty:
        nothing = f"no test rating reaches relevant_rating {params.relevant_from(background.rating_scale):g}"
        listed = set(predictions[KNOWLEDGE])  # without a relevant item, nobody asks for online lists
    for knowledge in sorted(listed):
        missing |= _missing_of_lists(results[results[MODEL] == model], knowledge, list_length(params.ks), nothing)
    return Evaluation(model, results, pd.DataFrame(per_user).rename_axis(USER_ID).reset_index(), curves, missing)


def _missing_of_lists(results: pd.DataFrame, knowledge: str, k: int, nothing: str) -> dict[str, str]:
    """Say which ranking metrics of a model are missing at k under a knowledge, and why: reasons by flat name.

    nothing : the reason if there is nothing that lists should show
    """
    own = set(results.loc[(results[TASK] == RANKING_TASK) & (results[KNOWLEDGE] == knowledge), METRIC])
    reasons = {"novelty": "all lists are empty", "diversity": "no list has two items with genres"}
    return {
        f"{RANKING_TASK}.{knowledge}.{metric.name}_at_{k}": reasons.get(metric.name, nothing) if own else nothing
        for metric in of_task(RANKING_TASK)
        if metric.name not in own
    }


def save_evaluation(evaluation: Evaluation, folder: Path, outputs: ExitStack) -> None:
    """Write metrics.json, per_user.parquet and the tables of the plots into `folder`.

    They get their final names when `outputs` closes, together with all other files that were entered there.
    """

    def output(name: str) -> Path:
        return outputs.enter_context(replacing(folder / name))

    for name, curve in evaluation.curves.items():
        curve.to_csv(output(f"plots/{name}.csv"), index=False)
    per_user = pa.Table.from_pandas(evaluation.per_user, preserve_index=False).replace_schema_metadata()
    write_parquet(per_user, output("per_user.parquet"))
    write_json(output("metrics.json"), evaluation.metrics)


def _aligned(predictions: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, NDArray[np.float64]]]:
    """Split the predictions of one knowledge into the N test rows, and each model's predictions for them: (N,)."""
    by_model = {str(name): part for name, part in predictions.groupby(MODEL, sort=False, observed=True)}
    test = next(iter(by_model.values()))[[USER_ID, ITEM_ID, RATING, TIMESTAMP]].reset_index(drop=True)
    for name, part in by_model.items():
        if not part[[USER_ID, ITEM_ID]].reset_index(drop=True).equals(test[[USER_ID, ITEM_ID]]):
            raise ValueError(f"The predictions of {name} and of {next(iter(by_model))} must be for the same rows.")
    return test, {name: part[PREDICTED].to_numpy(np.float64) for name, part in by_model.items()}


def _rating_rows(
    model: str, knowledge: str, errors: Mapping[str, pd.DataFrame], bootstrap: Bootstrap
) -> Iterator[dict[str, Any]]:
    """Yield rows of the long table: every rating metric of every model, and the RMSE of `model` minus each other's."""
    for name, by_user in errors.items():
        for metric, estimate in rating_metrics(by_user, bootstrap).items():
            yield row(name, knowledge, RATING_TASK, metric, None, estimate)
        if name != model:
            difference = rmse_difference(errors[model], by_user, bootstrap)
            yield row(model, knowledge, RATING_TASK, f"rmse_minus_{name}", None, difference)


def _by_user(ks: tuple[int, ...]) -> Iterator[tuple[Metric, int]]:
    """Yield the ranking metrics that have a value by user, each with the cut-offs at which it is shown."""
    for k in ks:
        for metric in of_task(RANKING_TASK):
            if metric.of_lists and (metric.every_k or k == list_length(ks)):
                yield metric, k


def _of_users(of_lists: pd.Series, asked: pd.DataFrame) -> pd.DataFrame:
    """Add up the values of each user's lists: [total, n] by user_id. `asked` has a row for each list."""
    owner = asked[USER_ID].iloc[of_lists.index].to_numpy()
    return of_lists.groupby(owner).agg([(TOTAL, "sum"), (N, "size")]).rename_axis(USER_ID)


def _ranking_rows(
    model: str,
    knowledge: str,
    lists: Lists,
    values: Mapping[tuple[Metric, int], pd.DataFrame],
    k: int,
    bootstrap: Bootstrap,
) -> Iterator[dict[str, Any]]:
    """Yield rows of the long table: every ranking metric that is defined for at least one list."""
    groups: dict[bytes, list[tuple[Metric, int]]] = {}
    for key, of_users in values.items():  # metrics that are defined for the same users share their resamples
        if len(of_users):
            groups.setdefault(pd.util.hash_pandas_object(of_users[N]).to_numpy().tobytes(), []).append(key)
    for keys in groups.values():
        n = values[keys[0]][N].to_numpy(np.float64)
        ratios = bootstrap.ratios([key[0].terms(values[key][TOTAL].to_numpy(), n) for key in keys])
        for (metric, cut), ratio in zip(keys, ratios, strict=True):
            estimate = bootstrap.estimate(ratio, int(n.sum()), len(n))
            yield row(model, knowledge, RANKING_TASK, metric.name, cut, estimate)
    for metric in of_task(RANKING_TASK):
        if metric.of_all:
            value = metric.of_all(lists, k)
            estimate = Estimate(value, value, value, len(lists))
            yield row(model, knowledge, RANKING_TASK, metric.name, k, estimate)


def _penalised_rows(
    model: str,
    by_penalty: pd.DataFrame,
    background: Background,
    relevant: pd.DataFrame,
    ks: tuple[int, ...],
    bootstrap: Bootstrap,
) -> Iterator[dict[str, Any]]:
    """Yield rows of the long table with their penalty: the ranking metrics at the headline k, at each penalty.

    The novelty of the relevant test items stands beside them as that of a model `LIKED`.
    """
    k = list_length(ks)
    for knowledge, of_knowledge in by_penalty.groupby(KNOWLEDGE, sort=False):
        key = LIST if knowledge == ONLINE else [USER_ID]
        asked, lists = _lists(of_knowledge.rename(columns={PENALTY: MODEL}), key, k, background, relevant)
        wanted = pd.MultiIndex.from_frame(relevant[key].astype(asked.dtypes)).isin(pd.MultiIndex.from_frame(asked))
        liked = _liked(relevant[wanted], key, background, bootstrap)
        for penalty, of_penalty in lists.items():
            values = {
                (metric, k): _of_users(metric.of_lists(of_penalty, k), asked)
                for metric in of_task(RANKING_TASK)
                if metric.of_lists and metric.name in PENALISED
            }
            rows = [*_ranking_rows(model, str(knowledge), of_penalty, values, k, bootstrap)]
            if liked:
                rows.append(row(LIKED, str(knowledge), RANKING_TASK, "novelty", k, liked))
            yield from ({PENALTY: float(penalty), **one} for one in rows)


def _liked(liked: pd.DataFrame, key: list[str], background: Background, bootstrap: Bootstrap) -> Estimate | None:
    """Compute the novelty of test rows, taken as lists with this key. None: there are no rows."""
    if liked.empty:
        return None
    chosen = liked.assign(**{MODEL: LIKED, RANK: liked.groupby(key).cumcount() + 1})
    places = int(chosen[RANK].max())
    asked, lists = _lists(chosen, key, places, background, liked)
    bits = _of_users(novelty(lists[LIKED], places), asked)
    n = bits[N].to_numpy(np.float64)
    (ratio,) = bootstrap.ratios([METRICS["novelty"].terms(bits[TOTAL].to_numpy(), n)])
    return bootstrap.estimate(ratio, int(n.sum()), len(n))


def _lists(
    recommendations: pd.DataFrame, key: list[str], places: int, background: Background, relevant: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, Lists]]:
    """Collect the L lists of one knowledge in the order of their `key`, and each model's lists.

    The key is the user, or the user and the second of the question. `relevant` are the relevant test rows. Those with
    the key of a list are what the list should show.
    """
    asked = recommendations[key].drop_duplicates().sort_values(key, ignore_index=True)
    index = pd.MultiIndex.from_frame(asked)
    sought = index.get_indexer(pd.MultiIndex.from_frame(relevant[key].astype(asked.dtypes)))
    pairs = sought[sought >= 0], background.codes_of_items(relevant[ITEM_ID][sought >= 0])
    lists = {}
    for name, part in recommendations.groupby(MODEL, sort=False, observed=True):
        shown = part[part[RANK] <= places]
        items = np.full((len(asked), places), PAD, dtype=np.int64)
        place = index.get_indexer(pd.MultiIndex.from_frame(shown[key]))
        items[place, shown[RANK].to_numpy() - 1] = background.codes_of_items(shown[ITEM_ID])
        lists[str(name)] = Lists.of(
            items, *pairs, background.item_counts, background.n_training_users, background.item_genres
        )
    return asked, lists
