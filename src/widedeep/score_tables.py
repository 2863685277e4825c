"""Write what the models say as score tables, which evaluation and report read.

The trained model stands beside baselines. Their scores come from the two loops in `widedeep.scoring`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

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
    SCORE,
    TEST,
    TIMESTAMP,
    USER_ID,
)
from widedeep.errors import UserError
from widedeep.features.assemble import ask
from widedeep.features.rows import Rows
from widedeep.features.tensors import FeatureSet
from widedeep.models.build import build
from widedeep.models.ease import MAX_ITEMS
from widedeep.models.model import Model
from widedeep.models.registry import ENTRIES, Architecture
from widedeep.params import EvaluateParams
from widedeep.scoring import PAD, Lists, knowledges, predict, rank_by_penalty
from widedeep.tables.files import external

COMPARED = ("bias", "popularity", "global_mean", "recent_popularity", "ease")  # baselines beside every trained model
UNRATED = ("recent_popularity", "ease")  # baselines of lists. They learn no ratings.
UNRANKED = ("global_mean",)  # gives all items the same score, so it has no meaningful list
PENALTIES = (0.0, 0.2, 0.4, 0.6, 0.8, 0.95)  # the lists of the trained model are compared at these


def with_baselines(features: FeatureSet, name: str, model: Model) -> dict[str, Model]:
    """Return the trained model and the baselines in `COMPARED`, fitted to the training rows, by name.

    EASE is left out if the catalogue is too large for it, and with implicit feedback the models that need ratings.
    """
    left_out = {name} | ({"ease"} if len(features.items) > MAX_ITEMS else set())
    if features.spec.implicit:
        left_out |= {other for other in COMPARED if "ratings" in ENTRIES[other].needs}
    names = [other for other in COMPARED if other not in left_out]
    return {name: model} | {other: _fitted(other, features) for other in names}


def score_tables(
    features: FeatureSet, models: Mapping[str, Model], params: EvaluateParams
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Predict the test ratings and rank the catalogue by several models.

    The first model has all tables. Of the others, those in `UNRATED` predict no ratings, and those in `UNRANKED` have
    no lists. With implicit feedback only the first model has predictions: every rating is 1, and so is each of them.

    Parameters
    ----------
    models : by name
    params : section evaluate; read are `ks` (the largest is the length of the lists), `ranked_users`,
        `ranked_questions`, `relevant_rating`, `seed` for the draw of users and of questions, and `popularity_penalty`,
        with which the first model ranks

    Returns
    -------
    predictions : [model, knowledge, user_id, item_id, rating, timestamp, predicted]
        One row per model, knowledge and test rating. Models keep their order, and `online` comes before `frozen`. Test
        ratings keep their order.
    recommendations : [model, knowledge, user_id, timestamp, rank, item_id, score, predicted]
        One row per place of a list, best first. With the knowledge `frozen`, each user asks once, at their first test
        rating. With `online`, a user asks at each second in which they rated a test item that is relevant. Models that
        rank with the history of ratings have no online lists. The predicted ratings of online lists are left out.
    by_penalty : [popularity_penalty, knowledge, user_id, timestamp, rank, item_id]
        The lists of the first model at each of `PENALTIES` and at that of `params`.

    Raises
    ------
    UserError
        There is no test row.
    """
    test = features.splits[TEST]
    if not len(test):
        raise UserError("There is no test row to evaluate on. Raise preprocess.test_fraction in params.yaml.")
    first = next(iter(models))
    rated, ranked = (
        {name: model for name, model in models.items() if name == first or name not in without}
        for without in (models if features.spec.implicit else UNRATED, UNRANKED)
    )
    rows = {knowledge: test if knowledge == ONLINE else features.frozen(test) for knowledge in knowledges(features)}
    predicted = {knowledge: predict(rated, features, asked) for knowledge, asked in rows.items()}
    of_test = _ids(features, test.user, test.item) | {
        RATING: test.rating.numpy(),
        TIMESTAMP: pd.array(test.timestamp.numpy() if test.timestamp.any() else [None] * len(test), dtype="Int64"),
    }
    types = {MODEL: pd.CategoricalDtype(list(models)), KNOWLEDGE: pd.CategoricalDtype([ONLINE, FROZEN])}
    predictions = [
        pd.DataFrame({MODEL: name, KNOWLEDGE: knowledge, **of_test, PREDICTED: by_model[name].numpy()}).astype(types)
        for name in rated
        for knowledge, by_model in predicted.items()
    ]
    k = max(params.ks)
    users = _drawn(torch.unique(test.user), params.ranked_users, params.seed)
    asked_at = _first_second(test, len(features.users))[users]
    own = dict.fromkeys(ranked, 0.0) | {first: params.popularity_penalty}
    several = {name: (one,) for name, one in own.items()} | {first: sorted({*PENALTIES, own[first]})}
    found = rank_by_penalty(ranked, features, users, asked_at, k, several)
    recommendations = [
        _listed(features, name, FROZEN, users, asked_at, lists[own[name]], ranked[name])
        for name, lists in found.items()
    ]
    by_penalty = [
        _listed(features, first, FROZEN, users, asked_at, lists).assign(**{PENALTY: one})
        for one, lists in found[first].items()
    ]
    implicit = {name: other for name, other in ranked.items() if not other.ranks_with_history}
    asked = _questions(test[test.rating >= params.relevant_from(features.spec.rating_scale)])
    if ONLINE in rows and implicit and len(asked):
        user, second = _drawn(asked, params.ranked_questions, params.seed).T.contiguous()
        found = rank_by_penalty(implicit, features, user, second, k, several, online=True)
        recommendations += [
            _listed(features, name, ONLINE, user, second, lists[own[name]]) for name, lists in found.items()
        ]
        by_penalty += [
            _listed(features, first, ONLINE, user, second, lists).assign(**{PENALTY: one})
            for one, lists in found.get(first, {}).items()
        ]
    columns = [PENALTY, KNOWLEDGE, USER_ID, TIMESTAMP, RANK, ITEM_ID]
    return (
        pd.concat(predictions, ignore_index=True),
        pd.concat(recommendations, ignore_index=True).astype(types),
        pd.concat(by_penalty, ignore_index=True)[columns],
    )


def _fitted(name: str, features: FeatureSet) -> Model:
    model = build(features.spec, Architecture(model=name, objective="rating", config=ENTRIES[name].config()))
    model.fit(features)
    return model.eval()


def _questions(rows: Rows) -> Tensor:
    """Return the distinct pairs of user and second of the rows, (Q, 2) int64, sorted."""
    pairs: Tensor = torch.unique(torch.stack([rows.user, rows.timestamp], 1), dim=0)
    return pairs


def _listed(
    context: FeatureSet,
    name: str,
    knowledge: str,
    user: Tensor,
    asked_at: Tensor,
    lists: Lists,
    predicting: Model | None = None,
) -> pd.DataFrame:
    place, rank_of = (lists.items != PAD).nonzero(as_tuple=True)
    owner, item = user[place], lists.items[place, rank_of]
    ids = _ids(context, owner, item)
    predicted = np.full(len(item), np.nan, np.float32)
    if predicting is not None:
        asked = ask(context, owner, item, asked_at[place])
        predicted = predict({name: predicting}, context, asked)[name].numpy()
    return pd.DataFrame(
        {
            MODEL: name,
            KNOWLEDGE: knowledge,
            USER_ID: ids[USER_ID],
            TIMESTAMP: asked_at[place].numpy(),
            RANK: (rank_of + 1).int().numpy(),
            ITEM_ID: ids[ITEM_ID],
            SCORE: lists.scores[place, rank_of].numpy(),
            PREDICTED: predicted,
        }
    )


def _ids(features: FeatureSet, user: Tensor, item: Tensor) -> dict[str, Any]:
    return {
        USER_ID: external(features.names.user_ids, user.numpy()).to_pandas(),
        ITEM_ID: external(features.names.item_ids, item.numpy()).to_pandas(),
    }


def _first_second(test: Rows, users: int) -> Tensor:
    """Return the second of each user's first test rating; the largest int64 for users without one."""
    never = torch.full((users,), torch.iinfo(torch.int64).max)
    return never.scatter_reduce(0, test.user, test.timestamp, "amin")


def _drawn(rows: Tensor, most: int, seed: int) -> Tensor:
    """Draw at most `most` of the rows without replacement, and keep their order.

    Without a limit, ranking 80,000 items for 200,000 users would take days.
    """
    if len(rows) <= most:
        return rows
    drawn = np.random.default_rng(seed).choice(len(rows), most, replace=False)
    return rows[torch.from_numpy(np.sort(drawn))]
