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
from widedeep.features.ragged import Ragged
from widedeep.features.rows import Queries, Rows
from widedeep.features.tensors import FeatureSet
from widedeep.models.build import build
from widedeep.models.model import Model
from widedeep.models.registry import ENTRIES, Architecture
from widedeep.params import EvaluateParams
from widedeep.tables.files import external

COMPARED = ("bias", "popularity", "global_mean")  # baselines, evaluated together with every model
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
    models: Mapping[str, Model], context: Context, user: Tensor, timestamp: Tensor, k: int, exclude_seen: bool = True
) -> dict[str, Lists]:
    """Rank the whole catalogue for each user by each model, and keep the k best items.

    Models know what the state of the context knows.

    Parameters
    ----------
    models : by name
    user : (U,) int64
        Codes.
    timestamp : (U,) int64
        When each user asks, in seconds since 1970.
    k : length of the lists, >= 1
    exclude_seen : whether to leave out items that the user has rated, as far as the state knows

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
        seen = seen_items(context, some) if exclude_seen else Ragged.empty(len(some)).to(user.device)
        looks: dict[Reads, Inputs] = {}
        for name, model in models.items():
            if model.reads not in looks:
                looks[model.reads] = grid(context, some, catalogue, asked_at, model.reads, with_history)
            inputs = looks[model.reads]
            scores = model(inputs if model.ranks_with_history else inputs._replace(history=None)).ranking
            every = scores.float().expand(len(some), len(catalogue))
            found[name].append(top_items(every, seen, k, context.tie_order))
    return {name: Lists(*(torch.cat(part) for part in zip(*parts, strict=True))) for name, parts in found.items()}


def seen_items(context: Context, user: Tensor) -> Ragged:
    """Return the items that each user (U,) has rated, as far as the state knows."""
    count = context.state.users.count[user]
    return context.state.by_user.pick(user, torch.zeros_like(count), count)


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


def score_tables(
    features: FeatureSet, model: Model, about: Architecture, params: EvaluateParams
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predict the test ratings and rank the catalogue, by a trained model and the baselines in `COMPARED`.

    Parameters
    ----------
    about : what the model was built from
    params : section evaluate; read are `ks` (the largest is the length of the lists), `ranked_users`, and `seed` for
        the draw of these users

    Returns
    -------
    predictions : [model, knowledge, user_id, item_id, rating, timestamp, predicted]
        One row per model, knowledge and test rating. The trained model comes first, and `online` before `frozen`. Test
        ratings keep their order.
    recommendations : [model, knowledge, user_id, rank, item_id, score, predicted]
        One row per place of a list, best first, with the knowledge `frozen`. Each user asks at their first test
        rating. Baselines in `UNRANKED` have no lists.

    Raises
    ------
    UserError
        There is no test row.
    """
    test = features.splits[TEST]
    if not len(test):
        raise UserError("There is no test row to evaluate on. Raise preprocess.test_fraction in params.yaml.")
    models = {about.model: model} | {name: _fitted(name, features) for name in COMPARED if name != about.model}
    rows = {knowledge: test if knowledge == ONLINE else features.frozen(test) for knowledge in knowledges(features)}
    predicted = {knowledge: predict(models, features, asked) for knowledge, asked in rows.items()}
    of_test = _ids(features, test.user, test.item) | {
        RATING: test.rating.numpy(),
        TIMESTAMP: pd.array(test.timestamp.numpy() if test.timestamp.any() else [None] * len(test), dtype="Int64"),
    }
    predictions = [
        pd.DataFrame({MODEL: name, KNOWLEDGE: knowledge, **of_test, PREDICTED: by_model[name].numpy()})
        for name in models
        for knowledge, by_model in predicted.items()
    ]
    ranking = {name: other for name, other in models.items() if name == about.model or name not in UNRANKED}
    users = _drawn(torch.unique(test.user), params.ranked_users, params.seed)
    asked_at = _first_second(test, len(features.users))[users]
    recommendations = [
        _listed(features, name, models[name], users, asked_at, lists)
        for name, lists in rank(ranking, features, users, asked_at, max(params.ks)).items()
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


def _listed(context: FeatureSet, name: str, model: Model, user: Tensor, asked_at: Tensor, lists: Lists) -> pd.DataFrame:
    place, rank_of = (lists.items != PAD).nonzero(as_tuple=True)
    owner, item = user[place], lists.items[place, rank_of]
    ids = _ids(context, owner, item)
    return pd.DataFrame(
        {
            MODEL: name,
            KNOWLEDGE: FROZEN,
            USER_ID: ids[USER_ID],
            RANK: (rank_of + 1).int().numpy(),
            ITEM_ID: ids[ITEM_ID],
            SCORE: lists.scores[place, rank_of].numpy(),
            PREDICTED: predict({name: model}, context, ask(context, owner, item, asked_at[place]))[name].numpy(),
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


def _drawn(users: Tensor, most: int, seed: int) -> Tensor:
    """Draw at most `most` of the users without replacement, and keep their order.

    Without a limit, ranking 80,000 items for 200,000 users would take days.
    """
    if len(users) <= most:
        return users
    drawn = np.random.default_rng(seed).choice(len(users), most, replace=False)
    return users[torch.from_numpy(np.sort(drawn))]
