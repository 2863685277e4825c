"""Predict ratings of listed pairs, and rank a catalogue, by one or several models.

Both work on parts of their rows, so that memory does not grow with the number of rows. Models that read the same inputs
share them. `score_tables` writes the results that evaluation and report read. Shapes: N rows, U users, I items of the
catalogue, k places in a list.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from widedeep.columns import (
    FROZEN,
    ITEM_ID,
    KNOWLEDGE,
    MODEL,
    ONLINE,
    PREDICTED,
    RANK,
    RATING,
    SCORE,
    TEST,
    TIMESTAMP,
    USER_ID,
)
from widedeep.errors import UserError
from widedeep.features.assemble import ask, grid, listed
from widedeep.features.context import Context
from widedeep.features.inputs import Inputs, Reads
from widedeep.features.questions import ask_for_lists
from widedeep.features.ragged import Ragged
from widedeep.features.rows import Queries, Rows
from widedeep.features.tensors import FeatureSet
from widedeep.models.build import build
from widedeep.models.ease import MAX_ITEMS
from widedeep.models.model import Model
from widedeep.models.registry import ENTRIES, Architecture
from widedeep.params import EvaluateParams
from widedeep.tables.files import external

COMPARED = ("bias", "popularity", "global_mean", "recent_popularity", "ease")  # baselines beside every trained model
UNRATED = ("recent_popularity", "ease")  # baselines of lists. They learn no ratings.
UNRANKED = ("global_mean",)  # gives all items the same score, so it has no meaningful list
ROWS = 2**15  # rows scored at once, each with the interactions of its user
PAIRS = 2**18  # pairs of a grid scored at once
PAD = -1  # an empty place at the end of a list


class Lists(NamedTuple):
    """The best items of each user, best first. A list with fewer than k items is padded at its end.

    items : (U, k) int64
        Codes; `PAD` in an empty place.
    scores : (U, k) float32
        Scores of these items; -inf in an empty place.
    """

    items: Tensor
    scores: Tensor


@torch.no_grad()
def predict(models: Mapping[str, Model], context: Context, rows: Queries, clip: bool = True) -> dict[str, Tensor]:
    """Predict the rating of each row by each model.

    What a model may know is set by the row: its history, and how many interactions of its user and item are visible.

    Parameters
    ----------
    models : by name
    rows : N pairs of a user and an item
    clip : whether to clip predictions to the rating scale

    Returns
    -------
    by name of the model, (N,) float32 in rating points
    """
    predicted: dict[str, list[Tensor]] = {name: [rows.timestamp.new_zeros(0).float()] for name in models}
    for part in rows.parts(ROWS):
        looks: dict[Reads, Inputs] = {}
        for name, model in models.items():
            if model.reads not in looks:
                looks[model.reads] = listed(context, part, model.reads)
            predicted[name].append(model(looks[model.reads]).rating.float())
    whole = {name: torch.cat(parts) for name, parts in predicted.items()}
    return {name: values.clamp(*context.spec.rating_scale) if clip else values for name, values in whole.items()}


@torch.no_grad()
def rank(
    models: Mapping[str, Model],
    context: Context,
    user: Tensor,
    timestamp: Tensor,
    k: int,
    exclude_seen: bool = True,
    online: bool = False,
) -> dict[str, Lists]:
    """Rank the whole catalogue for each user by each model, and keep the k best items.

    Parameters
    ----------
    models : by name
    user : (U,) int64
        Codes. With `online`, a user may ask several times.
    timestamp : (U,) int64
        When each user asks, in seconds since 1970.
    k : length of the lists, >= 1
    exclude_seen : whether to leave out items that the user has rated, as far as this is known
    online : whether all interactions before the second of a question are known. If not, models know what the state of
        the context knows. Models that rank with the history of ratings cannot rank online.

    Raises
    ------
    ValueError
        `k` is below 1, or a score is NaN.
    """
    catalogue = torch.arange(len(context.items), device=user.device)
    with_history = any(model.ranks_with_history for model in models.values())
    found: dict[str, list[Lists]] = {name: [] for name in models}
    step = max(1, PAIRS // max(1, len(catalogue)))
    for some, asked_at in zip(user.split(step), timestamp.split(step), strict=True):
        seen = Ragged.empty(len(some)).to(user.device)
        if exclude_seen:
            seen = seen_items(context, some, asked_at if online else None)
        looks: dict[Reads, Inputs] = {}
        for name, model in models.items():
            if model.half_lives:
                asked = ask_for_lists(context, some, asked_at, model.half_lives, online, period=not online)
                found[name].append(top_items(model.answer(asked).float(), seen, k, context.tie_order))
                continue
            if model.reads not in looks:
                looks[model.reads] = grid(context, some, catalogue, asked_at, model.reads, with_history, online)
            inputs = looks[model.reads]
            scores = model(inputs if model.ranks_with_history else inputs._replace(history=None)).ranking
            every = scores.float().expand(len(some), len(catalogue))
            found[name].append(top_items(every, seen, k, context.tie_order))
    return {name: Lists(*(torch.cat(part) for part in zip(*parts, strict=True))) for name, parts in found.items()}


def seen_items(context: Context, user: Tensor, before: Tensor | None = None) -> Ragged:
    """Return the items that each user (U,) rated before a second (U,), or that the state knows if that is None."""
    by_user = context.state.by_user
    count = context.state.users.count[user] if before is None else by_user.seen_before(user, before)
    return by_user.pick(user, torch.zeros_like(count), count)


def top_items(scores: Tensor, exclude: Ragged, k: int, tie_order: Tensor) -> Lists:
    """Return the k best items of each user, without the excluded ones.

    Items with equal scores are in the order of `tie_order`, so the list is the same on every device. Codes would not do
    for ties: publishers often list well-known items first, so a model without any knowledge would look good.

    Parameters
    ----------
    scores : (U, I) float
        Higher is better. An item with the score -inf is never listed.
    exclude : items to leave out, by user
    tie_order : (I,) int64
        The place of each item among items with equal scores, a permutation of 0 to I - 1 (see `Context`).

    Raises
    ------
    ValueError
        `k` is below 1, or a score of a candidate is NaN.
    """
    if k < 1:
        raise ValueError(f"k must be an int in the range [1, inf). Got {k} instead.")
    n_items = scores.shape[1]
    kept = min(k, n_items)
    scores = scores.index_put((exclude.owner, exclude.other), scores.new_tensor(-torch.inf))
    best, items = scores.topk(min(k + 1, n_items))  # one more than k, to see a tie at the border; NaN sorts first
    if best.isnan().any():
        raise ValueError("scores must not hold NaN.")
    if n_items > k:
        items, border = items[:, :k], best[:, k - 1]
        tied = (border == best[:, k]).nonzero().squeeze(1)
        if len(tied):
            items[tied] = _resolve_border(scores[tied], border[tied, None], k, tie_order)
    items = items.gather(1, tie_order[items].argsort(dim=1))
    best, order = scores.gather(1, items).sort(dim=1, descending=True, stable=True)
    items = items.gather(1, order).masked_fill(best == -torch.inf, PAD)
    return Lists(functional.pad(items, (0, k - kept), value=PAD), functional.pad(best, (0, k - kept), value=-torch.inf))


def _resolve_border(scores: Tensor, border: Tensor, k: int, tie_order: Tensor) -> Tensor:
    """Choose the items above the border score, then the first in `tie_order` at it: (T, I), (T, 1) -> (T, k) int64."""
    n_items = scores.shape[1]
    first = (n_items - tie_order).int()
    key = torch.where(scores > border, n_items + 1, torch.where(scores == border, first, 0))
    return key.topk(k).indices


def with_baselines(features: FeatureSet, name: str, model: Model) -> dict[str, Model]:
    """Return the trained model and the baselines in `COMPARED`, fitted to the training rows, by name.

    EASE is left out if the catalogue is too large for it.
    """
    names = [other for other in COMPARED if other != name and (other != "ease" or len(features.items) <= MAX_ITEMS)]
    return {name: model} | {other: _fitted(other, features) for other in names}


def score_tables(
    features: FeatureSet, models: Mapping[str, Model], params: EvaluateParams
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predict the test ratings and rank the catalogue by several models.

    The first model has all tables. Of the others, those in `UNRATED` predict no ratings, and those in `UNRANKED` have
    no lists.

    Parameters
    ----------
    models : by name
    params : section evaluate; read are `ks` (the largest is the length of the lists), `ranked_users`,
        `ranked_questions`, `relevant_rating`, and `seed` for the draw of users and of questions

    Returns
    -------
    predictions : [model, knowledge, user_id, item_id, rating, timestamp, predicted]
        One row per model, knowledge and test rating. Models keep their order, and `online` comes before `frozen`. Test
        ratings keep their order.
    recommendations : [model, knowledge, user_id, timestamp, rank, item_id, score, predicted]
        One row per place of a list, best first. With the knowledge `frozen`, each user asks once, at their first test
        rating. With `online`, a user asks at each second in which they rated a test item that is relevant. Models that
        rank with the history of ratings have no online lists. The predicted ratings of online lists are left out.

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
        for without in (UNRATED, UNRANKED)
    )
    rows = {knowledge: test if knowledge == ONLINE else features.frozen(test) for knowledge in knowledges(features)}
    predicted = {knowledge: predict(rated, features, asked) for knowledge, asked in rows.items()}
    of_test = _ids(features, test.user, test.item) | {
        RATING: test.rating.numpy(),
        TIMESTAMP: pd.array(test.timestamp.numpy() if test.timestamp.any() else [None] * len(test), dtype="Int64"),
    }
    predictions = [
        pd.DataFrame({MODEL: name, KNOWLEDGE: knowledge, **of_test, PREDICTED: by_model[name].numpy()})
        for name in rated
        for knowledge, by_model in predicted.items()
    ]
    k = max(params.ks)
    users = _drawn(torch.unique(test.user), params.ranked_users, params.seed)
    asked_at = _first_second(test, len(features.users))[users]
    recommendations = [
        _listed(features, name, FROZEN, users, asked_at, lists, ranked[name])
        for name, lists in rank(ranked, features, users, asked_at, k).items()
    ]
    implicit = {name: other for name, other in ranked.items() if not other.ranks_with_history}
    asked = _questions(test[test.rating >= params.relevant_from(features.spec.rating_scale)])
    if ONLINE in rows and implicit and len(asked):
        user, second = _drawn(asked, params.ranked_questions, params.seed).T.contiguous()
        recommendations += [
            _listed(features, name, ONLINE, user, second, lists)
            for name, lists in rank(implicit, features, user, second, k, online=True).items()
        ]
    types = {MODEL: pd.CategoricalDtype(list(models)), KNOWLEDGE: pd.CategoricalDtype([ONLINE, FROZEN])}
    return tuple(pd.concat(parts, ignore_index=True).astype(types) for parts in (predictions, recommendations))


def knowledges(context: Context) -> tuple[str, ...]:
    """Return the kinds of knowledge that this data set allows, the fullest first."""
    return (ONLINE, FROZEN) if context.spec.online else (FROZEN,)


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
