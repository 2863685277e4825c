"""The judgement of score tables: the metrics of a model beside those of others, on the same rows and users."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from widedeep.columns import FROZEN, ITEM, KNOWLEDGE, MODEL, PREDICTED, RANK, RATING, TIMESTAMP, USER
from widedeep.errors import UserError
from widedeep.evaluation.background import Background, relevant_from
from widedeep.evaluation.bootstrap import Bootstrap, Estimate
from widedeep.evaluation.curves import ranking_curves, rating_curves
from widedeep.evaluation.metrics import RANKING_TASK, RATING_TASK, Metric, N, list_length, of_task
from widedeep.evaluation.ranking import PAD, Lists
from widedeep.evaluation.rating import per_user_errors, rating_metrics, rmse_difference
from widedeep.evaluation.results import nested, row, table
from widedeep.files import replacing, write_json
from widedeep.params import EvaluateParams

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Evaluation:
    """What the metrics say.

    model : the name of the model that is judged; the others stand beside it
    results : the long table (see `widedeep.evaluation.results`) of all models
    per_user : a row per test user, with the errors and the rankings of the model (reports/per_user.parquet)
    curves : the tables of the plots by name
    """

    model: str
    results: pd.DataFrame
    per_user: pd.DataFrame
    curves: dict[str, pd.DataFrame]

    @property
    def metrics(self) -> dict[str, Any]:
        """The content of reports/metrics.json."""
        return nested(self.results, self.model)


def judge(
    predictions: pd.DataFrame,
    recommendations: pd.DataFrame,
    background: Background,
    params: EvaluateParams,
) -> Evaluation:
    """Judge the first model of `predictions` beside the others.

    Rating metrics rest on all rows of a knowledge. Rankings rest on the users who have a list of any model under a
    knowledge; a user without a list of one model has no hit there. Relevant are test items rated at least
    `params.relevant_rating`. Slices and calibration are of the first knowledge of the table, the fullest.

    Parameters
    ----------
    predictions : [model, knowledge, user_id, item_id, rating, timestamp, predicted], the same rows for each model
    recommendations : [model, knowledge, user_id, rank, item_id]

    Raises
    ------
    UserError
        There is no prediction.
    ValueError
        The models do not have the same rows, or the first has no predictions under a knowledge that others have.
    """
    if predictions.empty:
        raise UserError("There is no test row to evaluate on. Raise preprocess.test_fraction in params.yaml.")
    bootstrap = Bootstrap(params.bootstrap_replicates, params.seed)
    model = str(predictions[MODEL].iloc[0])
    rows: Rows = []
    per_user: dict[str, pd.Series] = {}
    curves: dict[str, pd.DataFrame] = {}
    for knowledge, of_knowledge in predictions.groupby(KNOWLEDGE, sort=False, observed=True):
        test, predicted = _aligned(of_knowledge)
        errors = {name: per_user_errors(test[USER], test[RATING], values) for name, values in predicted.items()}
        rows += _rating_rows(model, str(knowledge), errors, bootstrap)
        own = errors[model].set_index(USER)
        per_user |= {N: own[N]} | {f"{knowledge}_{column}": own[column] for column in own.columns if column != N}
        curves = curves or rating_curves(test, model, predicted, background, bootstrap)
    for knowledge, of_knowledge in recommendations.groupby(KNOWLEDGE, sort=False, observed=True):
        users, lists = _lists(of_knowledge, max(params.ks), background, params.relevant_rating)
        for name, of_model in lists.items():
            values = {(metric, k): metric.of_lists(of_model, k) for metric, k in _by_user(params.ks) if metric.of_lists}
            rows += _ranking_rows(name, str(knowledge), of_model, values, list_length(params.ks), bootstrap)
            if name == model:
                per_user |= {
                    f"{knowledge}_{metric.name}_at_{k}": pd.Series(found.to_numpy(), index=users[found.index])
                    for (metric, k), found in values.items()
                    if metric.every_k
                }
    results = table(rows)
    curves["ranking_by_k"] = ranking_curves(results, FROZEN)
    return Evaluation(model, results, pd.DataFrame(per_user).rename_axis(USER).reset_index(), curves)


def save_evaluation(evaluation: Evaluation, folder: Path, outputs: ExitStack) -> None:
    """Write metrics.json, per_user.parquet and the tables of the plots into `folder`. They are renamed into place when
    `outputs` closes, together with whatever else was entered there."""

    def output(name: str) -> Path:
        return outputs.enter_context(replacing(folder / name))

    for name, curve in evaluation.curves.items():
        curve.to_csv(output(f"plots/{name}.csv"), index=False)
    evaluation.per_user.to_parquet(output("per_user.parquet"), index=False)
    write_json(output("metrics.json"), evaluation.metrics)


def _aligned(predictions: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, NDArray[np.float64]]]:
    """The test rows of one knowledge, and what each model predicts for them."""
    by_model = {str(name): part for name, part in predictions.groupby(MODEL, sort=False, observed=True)}
    test = next(iter(by_model.values()))[[USER, ITEM, RATING, TIMESTAMP]].reset_index(drop=True)
    for name, part in by_model.items():
        if not part[[USER, ITEM]].reset_index(drop=True).equals(test[[USER, ITEM]]):
            raise ValueError(f"The predictions of {name} are of other rows than those of {next(iter(by_model))}.")
    return test, {name: part[PREDICTED].to_numpy(np.float64) for name, part in by_model.items()}


def _rating_rows(
    model: str, knowledge: str, errors: Mapping[str, pd.DataFrame], bootstrap: Bootstrap
) -> Iterator[dict[str, Any]]:
    """Rows of the long table: every rating metric of every model, and the RMSE of `model` minus that of each other."""
    for name, by_user in errors.items():
        for metric, estimate in rating_metrics(by_user, bootstrap).items():
            yield row(name, knowledge, RATING_TASK, metric, None, estimate)
        if name != model:
            difference = rmse_difference(errors[model], by_user, bootstrap)
            yield row(model, knowledge, RATING_TASK, f"rmse_minus_{name}", None, difference)


def _by_user(ks: tuple[int, ...]) -> Iterator[tuple[Metric, int]]:
    """The ranking metrics that have a value by user, each at the cut-offs at which it is shown."""
    for k in ks:
        for metric in of_task(RANKING_TASK):
            if metric.of_lists and (metric.every_k or k == list_length(ks)):
                yield metric, k


def _ranking_rows(
    model: str,
    knowledge: str,
    lists: Lists,
    values: Mapping[tuple[Metric, int], pd.Series],
    k: int,
    bootstrap: Bootstrap,
) -> Iterator[dict[str, Any]]:
    """Rows of the long table: every ranking metric that is defined for any user."""
    groups: dict[bytes, list[tuple[Metric, int]]] = {}
    for key, found in values.items():  # metrics of the same users share their resamples
        if len(found):
            groups.setdefault(found.index.to_numpy().tobytes(), []).append(key)
    for keys in groups.values():
        ones = np.ones(len(values[keys[0]]))
        ratios = bootstrap.ratios([key[0].terms(values[key].to_numpy(), ones) for key in keys])
        for (metric, cut), ratio in zip(keys, ratios, strict=True):
            yield row(model, knowledge, RANKING_TASK, metric.name, cut, bootstrap.estimate(ratio, len(ones)))
    for metric in of_task(RANKING_TASK):
        if metric.of_all:
            value = metric.of_all(lists, k)
            estimate = Estimate(value, value, value, len(lists))
            yield row(model, knowledge, RANKING_TASK, metric.name, k, estimate)


def _lists(
    recommendations: pd.DataFrame, places: int, background: Background, relevant_rating: float | None
) -> tuple[pd.Index, dict[str, Lists]]:
    """The judged users of one knowledge (U,), in the order of their ids, and the lists of each model for them."""
    users = pd.Index(np.sort(recommendations[USER].unique()))
    test = background.test
    liked = test[(test[RATING] >= relevant_from(relevant_rating, background.rating_scale)) & test[USER].isin(users)]
    pairs = users.get_indexer(liked[USER]), background.codes_of_items(liked[ITEM])
    lists = {}
    for name, part in recommendations.groupby(MODEL, sort=False, observed=True):
        shown = part[part[RANK] <= places]
        items = np.full((len(users), places), PAD, dtype=np.int64)
        items[users.get_indexer(shown[USER]), shown[RANK].to_numpy() - 1] = background.codes_of_items(shown[ITEM])
        lists[str(name)] = Lists.of(
            items, *pairs, background.item_counts, background.n_training_users, background.item_genres
        )
    return users, lists
