"""The judgement of a trained model: its metrics beside those of the baselines, on the same rows, knowing the same."""

from collections.abc import Callable, Iterable
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
from widedeep.features.store import Features
from widedeep.models.baselines import Bias, GlobalMean, Known, Popularity, running_mean
from widedeep.models.wide_deep import WideDeep
from widedeep.params import EvaluateParams

MODEL = "wide_deep"
FROZEN, ONLINE = "frozen", "online"
CHUNK = 2**18  # rows scored at a time

Score = Callable[[Tensor, Tensor, Tensor], Tensor]  # users (B,), items (B,), history (B, H) -> (B,)


class Recommended(NamedTuple):
    """The model's lists: `users` (U,) positions of the test users, `asked_at` (U,) seconds, their first test rating,
    and `items` (U, k) positions, best first, `ranking.PAD` at the end of a short list. All int64."""

    users: Tensor
    asked_at: Tensor
    items: Tensor


@dataclass(frozen=True)
class Evaluation:
    """metrics: nested, finite numbers for reports/metrics.json. per_user: a row per test user. curves: the tables of
    the plots by name (see `curves`). recommended: the lists of the model."""

    metrics: dict[str, Any]
    per_user: pd.DataFrame
    curves: dict[str, pd.DataFrame]
    recommended: Recommended


@torch.no_grad()
def evaluate(features: Features, model: WideDeep, params: EvaluateParams) -> Evaluation:
    """Score the test rows under each knowledge and rank the catalogue for each test user.

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
    predictions = {knowledge: _predictions(features, model, knowledge) for knowledge in knowledges(features)}
    user = features.users.ids[test.user].numpy()

    metrics: dict[str, Any] = {"rating": {}, "ranking": {}, "baselines": {}}
    per_user: dict[str, pd.Series] = {}
    for knowledge, by_model in predictions.items():
        errors = {name: per_user_errors(user, test.rating, values) for name, values in by_model.items()}
        for name, table in errors.items():
            estimates = rating_metrics(table, bootstrap)
            if name == MODEL:
                for baseline in set(errors) - {MODEL}:
                    estimates[f"rmse_minus_{baseline}"] = rmse_difference(table, errors[baseline], bootstrap)
            _put(metrics, name, "rating", knowledge, estimates)
        own = errors[MODEL].set_index(USER)
        per_user |= {"n": own["n"]} | {f"{knowledge}_{column}": own[column] for column in own.columns if column != "n"}

    ranker = _Ranker(features, params)
    tops = ranker.top(_rankings(features, model))
    judged = {name: ranker.judge(top, bootstrap) for name, top in tops.items()}
    for name, (estimates, ranked) in judged.items():
        _put(metrics, name, "ranking", FROZEN, estimates)
        if name == MODEL:
            per_user |= {f"frozen_{column}": ranked[column] for column in ranked.columns}
    curves = rating_curves(features, MODEL, next(iter(predictions.values())), bootstrap)
    curves["ranking_by_k"] = ranking_curves({name: estimates for name, (estimates, _) in judged.items()}, params.ks)
    table = pd.DataFrame(per_user).rename_axis(USER).reset_index()
    return Evaluation(metrics, table, curves, Recommended(ranker.users, ranker.asked_at, tops[MODEL]))


def knowledges(features: Features) -> tuple[str, ...]:
    """What the models may know of the test rows' past, the fullest first: that of the headline and the slices."""
    return (ONLINE, FROZEN) if features.spec.online else (FROZEN,)


def _predictions(features: Features, model: WideDeep, knowledge: str) -> dict[str, NDArray[np.float64]]:
    """Clipped predictions of the model and each baseline for the test rows: name -> (N,)."""
    rows = features.splits[TEST]
    if knowledge == ONLINE:
        known = Known(rows.history, running_mean(features, rows.timestamp))
    else:
        history = features.frozen_history(rows.user, rows.item, rows.timestamp)
        known = Known(history, torch.full((len(rows),), features.spec.mean))
    score = _by_model(features, model)
    chunks = torch.split(torch.arange(len(rows)), CHUNK)
    predicted = {MODEL: torch.cat([score(rows.user[c], rows.item[c], known.history[c]) for c in chunks])}
    for baseline in (GlobalMean(), Bias(features.spec), Popularity(features)):
        predicted[baseline.name] = baseline.predict(known)
    return {name: values.clamp(*features.spec.rating_scale).double().numpy() for name, values in predicted.items()}


def _by_model(features: Features, model: WideDeep) -> Score:
    return lambda user, item, history: model(features.inputs(user, item, history))


def _rankings(features: Features, model: WideDeep) -> dict[str, Score]:
    bias, popularity = Bias(features.spec), Popularity(features)
    return {
        MODEL: _by_model(features, model),
        bias.name: lambda user, item, history: bias.score(history),
        popularity.name: lambda user, item, history: popularity.score(history),
    }


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

    def top(self, rankings: dict[str, Score]) -> dict[str, Tensor]:
        """The items of every user by each ranking, best first: name -> (U, k) int64. All share one look at history."""
        n_items = len(self.features.items)
        found: dict[str, list[Tensor]] = {name: [] for name in rankings}
        size = max(1, CHUNK // n_items)
        for start in range(0, len(self.users), size):
            stop = min(start + size, len(self.users))
            user = self.users[start:stop].repeat_interleave(n_items)
            item = torch.arange(n_items).repeat(stop - start)
            history = self.features.frozen_history(user, item, self.asked_at[start:stop].repeat_interleave(n_items))
            for name, score in rankings.items():
                scores = score(user, item, history).view(stop - start, n_items)
                found[name].append(top_items(scores, self.exclude.batch(start, stop), max(self.ks)))
        return {name: torch.cat(parts) for name, parts in found.items()}


def _drawn(users: Tensor, most: int, seed: int) -> Tensor:
    """At most so many of the users, drawn without replacement, in their order: ranking a catalogue of 80,000 items for
    200,000 users would take days."""
    if len(users) <= most:
        return users
    drawn = np.random.default_rng(seed).choice(len(users), most, replace=False)
    return users[torch.from_numpy(np.sort(drawn))]


def list_length(ks: Iterable[int]) -> int:
    """The cut-off of the headline: 10 if it is one of them, else the longest."""
    return 10 if 10 in ks else max(ks)


def relevant_from(features: Features, params: EvaluateParams) -> float:
    """The rating from which a test item is relevant."""
    low, high = features.spec.rating_scale
    return low + 0.75 * (high - low) if params.relevant_rating is None else params.relevant_rating


def _put(metrics: dict[str, Any], name: str, task: str, knowledge: str, estimates: dict[str, Estimate]) -> None:
    where = metrics if name == MODEL else metrics["baselines"].setdefault(name, {})
    rounded = {
        metric: {key: round(value, DECIMALS) for key, value in estimate.as_dict().items()}
        for metric, estimate in sorted(estimates.items())
    }
    where.setdefault(task, {})[knowledge] = rounded
