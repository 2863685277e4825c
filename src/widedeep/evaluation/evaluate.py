"""The judgement of a trained model: its metrics beside those of the baselines, on the same rows, knowing the same."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from widedeep.columns import TEST, TRAIN, USER
from widedeep.errors import UserError
from widedeep.evaluation.bootstrap import Bootstrap, Estimate
from widedeep.evaluation.curves import DECIMALS, item_genres, ranking_curves, rating_curves
from widedeep.evaluation.ranking import UserItems, coverage, diversity, novelty, ranking_metrics, top_items
from widedeep.evaluation.rating import per_user_errors, rating_metrics, rmse_difference
from widedeep.features.store import FROZEN, ONLINE, Features
from widedeep.models.family import BASELINES
from widedeep.models.model import Model
from widedeep.params import EvaluateParams, ModelParams

COMPARED = ("bias", "popularity", "global_mean")  # the baselines that every model is judged beside
UNRANKED = ("global_mean",)  # all items are the same to it
ROWS = 2**15  # rows scored at a time, each with all that its user rated before
CHUNK = 2**18  # pairs of a grid scored at a time


class Recommended(NamedTuple):
    """The model's lists: `users` (U,) positions of the test users, `asked_at` (U,) seconds, their first test rating,
    and `items` (U, k) positions, best first, `ranking.PAD` at the end of a short list. All int64."""

    users: Tensor
    asked_at: Tensor
    items: Tensor


@dataclass(frozen=True)
class Evaluation:
    """model: its name. metrics: nested, finite numbers for reports/metrics.json. per_user: a row per test user. curves:
    the tables of the plots by name (see `curves`). recommended: the lists of the model."""

    model: str
    metrics: dict[str, Any]
    per_user: pd.DataFrame
    curves: dict[str, pd.DataFrame]
    recommended: Recommended


@torch.no_grad()
def evaluate(features: Features, model: Model, about: ModelParams, params: EvaluateParams) -> Evaluation:
    """Score the test rows under each knowledge and rank the catalogue for each test user, by the trained model, of
    which `about` tells the name, and by the baselines of `COMPARED`.

    Rating: `frozen` knows the history up to the training cut-off, `online` (temporal split) up to each event; all
    predictions are clipped to the rating scale. Ranking, `frozen` only: every item of the catalogue but those the user
    rated in training, asked for at the user's first test rating, for at most `params.ranked_users` of the test users;
    relevant are test items rated at least `params.relevant_rating`.

    Raises
    ------
    UserError
        There is no test row.
    """
    test = features.splits[TEST]
    if not len(test):
        raise UserError("There is no test row to evaluate on. Raise preprocess.test_fraction in params.yaml.")
    bootstrap = Bootstrap(params.bootstrap_replicates, params.seed)
    name = about.model
    models = {name: model} | {other: BASELINES[other](features.spec, about) for other in COMPARED if other != name}
    for other in set(models) - {name}:
        models[other].fit(features)
    predictions = {knowledge: _predictions(features, models, model, knowledge) for knowledge in knowledges(features)}
    user = features.users.ids[test.user].numpy()

    metrics: dict[str, Any] = {"rating": {}, "ranking": {}, "baselines": {}}
    per_user: dict[str, pd.Series] = {}
    for knowledge, by_model in predictions.items():
        errors = {name: per_user_errors(user, test.rating, values) for name, values in by_model.items()}
        for of, table in errors.items():
            estimates = rating_metrics(table, bootstrap)
            if of == name:
                for baseline in set(errors) - {name}:
                    estimates[f"rmse_minus_{baseline}"] = rmse_difference(table, errors[baseline], bootstrap)
            _put(_of(metrics, of, name), "rating", knowledge, estimates)
        own = errors[name].set_index(USER)
        per_user |= {"n": own["n"]} | {f"{knowledge}_{column}": own[column] for column in own.columns if column != "n"}

    ranker = _Ranker(features, params)
    tops = ranker.top({of: other for of, other in models.items() if of == name or of not in UNRANKED}, model)
    judged = {of: ranker.judge(top, bootstrap) for of, top in tops.items()}
    for of, (estimates, ranked) in judged.items():
        _put(_of(metrics, of, name), "ranking", FROZEN, estimates)
        if of == name:
            per_user |= {f"frozen_{column}": ranked[column] for column in ranked.columns}
    curves = rating_curves(features, name, next(iter(predictions.values())), bootstrap)
    curves["ranking_by_k"] = ranking_curves({of: estimates for of, (estimates, _) in judged.items()}, params.ks)
    table = pd.DataFrame(per_user).rename_axis(USER).reset_index()
    return Evaluation(name, metrics, table, curves, Recommended(ranker.users, ranker.asked_at, tops[name]))


def knowledges(features: Features) -> tuple[str, ...]:
    """What the models may know of the test rows' past, the fullest first: that of the headline and the slices."""
    return (ONLINE, FROZEN) if features.spec.online else (FROZEN,)


def _predictions(
    features: Features, models: Mapping[str, Model], model: Model, knowledge: str
) -> dict[str, NDArray[np.float64]]:
    """Clipped predictions of each model for the test rows: name -> (N,)."""
    rows = features.splits[TEST]
    if knowledge == FROZEN:
        rows = features.frozen(rows)
    predicted: dict[str, list[Tensor]] = {name: [] for name in models}
    for part in rows.parts(ROWS):
        inputs = features.inputs(part, model.reads)
        for name, other in models.items():
            predicted[name].append(other(inputs).rating)
    low, high = features.spec.rating_scale
    return {name: torch.cat(parts).clamp(low, high).double().numpy() for name, parts in predicted.items()}


class _Ranker:
    """Full-catalogue ranking of the test users, judged on those with a relevant test item: U users, I items."""

    def __init__(self, features: Features, params: EvaluateParams) -> None:
        self.features, self.ks = features, params.ks
        train, test = features.splits[TRAIN], features.splits[TEST]
        liked = test.rating >= relevant_from(features, params)
        self.users = _drawn(torch.unique(test.user), params.ranked_users, params.seed)  # (U,)
        n_items = len(features.items)
        place = torch.full((len(features.users),), -1).index_copy(0, self.users, torch.arange(len(self.users)))
        liked &= place[test.user] >= 0
        self.relevant = UserItems.from_pairs(place[test.user[liked]], test.item[liked], len(self.users))
        known = place[train.user] >= 0
        self.exclude = UserItems.from_pairs(place[train.user[known]], train.item[known], len(self.users))
        first = torch.full((len(features.users),), torch.iinfo(torch.int64).max)
        first = first.scatter_reduce(0, test.user, test.timestamp, "amin")
        self.asked_at = first[self.users]
        self.item_users = torch.bincount(train.item, minlength=n_items)
        self.n_users = len(torch.unique(train.user))

    def judge(self, top: Tensor, bootstrap: Bootstrap) -> tuple[dict[str, Estimate], pd.DataFrame]:
        """Estimates over users, and per-user metrics indexed by user_id, of the lists (U, k)."""
        ids = self.features.users.ids[self.users].numpy()
        per_user = ranking_metrics(top, self.relevant, self.ks)
        estimates = bootstrap.user_means(per_user) if len(per_user) else {}
        k = list_length(self.ks)
        lists = top[:, :k]
        for name, values in (
            (f"novelty_at_{k}", novelty(lists, self.item_users, self.n_users)),
            (f"diversity_at_{k}", diversity(lists, item_genres(self.features))),
        ):
            if len(values):
                estimates |= bootstrap.user_means({name: values})
        share = coverage(lists, len(self.features.items))
        estimates[f"coverage_at_{k}"] = Estimate(share, share, share, len(lists))
        return estimates, per_user.set_index(ids[per_user.index])

    def top(self, models: Mapping[str, Model], model: Model) -> dict[str, Tensor]:
        """The items of every user by each model, best first: name -> (U, k) int64. All share one look at history."""
        catalogue = torch.arange(len(self.features.items))
        found: dict[str, list[Tensor]] = {name: [] for name in models}
        size = max(1, CHUNK // len(catalogue))
        for start in range(0, len(self.users), size):
            stop = min(start + size, len(self.users))
            user, asked_at = self.users[start:stop], self.asked_at[start:stop]
            inputs = self.features.grid(user, catalogue, asked_at, model.reads, with_history=True)
            for name, other in models.items():
                scores = other(inputs if other.ranks_with_history else inputs._replace(history=None)).ranking
                scores = scores.expand(len(user), len(catalogue))
                found[name].append(top_items(scores, self.exclude.batch(start, stop), max(self.ks)))
        return {name: torch.cat(parts) for name, parts in found.items()}


def _drawn(users: Tensor, most: int, seed: int) -> Tensor:
    """At most so many of the users, drawn without replacement, in their order: ranking a catalogue of 80,000 items for
    200,000 users would take days."""
    if len(users) <= most:
        return users
    drawn = np.random.default_rng(seed).choice(len(users), most, replace=False)
    return users[torch.from_numpy(np.sort(drawn))]


def headline(metrics: Mapping[str, Any], k: int) -> dict[str, float]:
    """Values for MLflow by flat names: `rating.online.rmse`, `ranking.frozen.ndcg_at_10`, `bias.rating.online.rmse`.

    Of the metrics at several cut-offs only those at `k` are there, and of the baselines only the ratings.
    """
    flat: dict[str, float] = {}
    for prefix, tasks in {"": metrics, **{f"{name}.": tasks for name, tasks in metrics["baselines"].items()}}.items():
        for knowledge, estimates in tasks["rating"].items():
            flat |= {f"{prefix}rating.{knowledge}.{metric}": e["value"] for metric, e in estimates.items()}
    for metric, estimate in metrics["ranking"][FROZEN].items():
        if metric.endswith(f"_at_{k}"):
            flat[f"ranking.{FROZEN}.{metric}"] = estimate["value"]
    return flat


def list_length(ks: Iterable[int]) -> int:
    """The cut-off of the headline: 10 if it is one of them, else the longest."""
    return 10 if 10 in ks else max(ks)


def relevant_from(features: Features, params: EvaluateParams) -> float:
    """The rating from which a test item is relevant."""
    low, high = features.spec.rating_scale
    return low + 0.75 * (high - low) if params.relevant_rating is None else params.relevant_rating


def _of(metrics: dict[str, Any], name: str, model: str) -> dict[str, Any]:
    """Where the metrics of a model belong: those of the trained one stand above those of the baselines."""
    if name == model:
        return metrics
    of_baseline: dict[str, Any] = metrics["baselines"].setdefault(name, {})
    return of_baseline


def _put(where: dict[str, Any], task: str, knowledge: str, estimates: dict[str, Estimate]) -> None:
    rounded = {
        metric: {key: round(value, DECIMALS) for key, value in estimate.as_dict().items()}
        for metric, estimate in sorted(estimates.items())
    }
    where.setdefault(task, {})[knowledge] = rounded
