"""Warm start: enlarge an earlier model for new users, items and values, and choose the rows to train it on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from widedeep.columns import ITEM_ID, TRAIN, USER_ID
from widedeep.errors import UserError
from widedeep.features.entities import INDEX, Entities
from widedeep.features.spec import Cross, Spec
from widedeep.features.tensors import FeatureSet
from widedeep.features.vocabulary import Vocabulary
from widedeep.models.build import build
from widedeep.models.bundle import Bundle
from widedeep.models.model import Ensemble, Model
from widedeep.models.registry import Architecture
from widedeep.models.table import Part, Table
from widedeep.params import Recipe


def grow(earlier: Model, vocabulary: Vocabulary, features: FeatureSet, about: Architecture | None = None) -> Model:
    """Return the earlier model with larger tables, for the vocabularies of `features`.

    The weights of known users, items and values stay the same, and so do the predictions for them.

    The rows of new users and items are estimated from their side information x: one-hot categories, shares of genres,
    and numbers. A linear model is fitted by least squares (minimum norm) to the rows Y of the known users or items,
    with side information X. The new row is mean(Y) + (x - mean(X)) w. New rows lie on the fitted plane, so growing
    twice gives the same as growing once. Hashed crosses are an exception: there, new combinations share weights with
    known ones.

    A new value of any other field starts with the weights of an unseen value. New genres and new combinations of exact
    crosses start at 0.

    Parameters
    ----------
    vocabulary : the vocabulary of the earlier model
    features : made from this vocabulary by `build_features`
    about : a new architecture, which may differ only in knobs that shape no weights, such as dropout; None: keep it

    Raises
    ------
    UserError
        The model is not trained by gradient, or the features have not grown from `vocabulary`.
    """
    if not isinstance(earlier, Ensemble):
        raise UserError(
            "train.warm_start_from: the earlier model was made by counting or in closed form, so there is nothing to "
            "continue. Set train.warm_start_from to null: a new model takes seconds."
        )
    _check_grown(vocabulary, features)
    model = build(features.spec, earlier.about if about is None else about)
    before, after = _Sizes.of(vocabulary.spec), _Sizes.of(features.spec)
    sides = {
        USER_ID: _Side.of(features.users, before.fields[USER_ID]),
        ITEM_ID: _Side.of(features.items, before.fields[ITEM_ID]),
    }
    old_state, state = earlier.state_dict(), model.state_dict()
    for name, value in old_state.items():
        if name in state and state[name].shape == value.shape:
            state[name] = value.clone()
    old_tables, tables = _tables(earlier), _tables(model)
    for path, table in tables.items():
        name, old_starts = f"{path}.weight", dict(old_tables[path].parts)
        state[name] = _grown(old_state[name], old_starts, state[name], table.parts, before, after, sides)
    model.load_state_dict(state)
    return model.eval()


def _tables(model: Model) -> dict[str, Table]:
    return {path: module for path, module in model.named_modules() if isinstance(module, Table)}


def _check_grown(vocabulary: Vocabulary, features: FeatureSet) -> None:
    """Check that the features were made from this vocabulary.

    They may not be, because the name of an earlier model can come to mean another model: a branch moves, or a folder is
    overwritten.
    """
    before, after = vocabulary.spec, features.spec
    same = (before.mean, before.scaling) == (after.mean, after.scaling)
    sizes = {field.name: field.cardinality or 0 for field in after.fields}
    same &= all((field.cardinality or 0) <= sizes.get(field.name, -1) for field in before.fields)
    grown = features.vocabulary(vocabulary)
    same &= grown.user_ids[: len(vocabulary.user_ids)] == vocabulary.user_ids
    same &= grown.item_ids[: len(vocabulary.item_ids)] == vocabulary.item_ids
    if not same:
        raise UserError(
            "train.warm_start_from: the features have not grown from the vocabulary of this model, because the model "
            "has changed since they were made. Make them again: dvc repro --force --single-item preprocess featurize, "
            "then dvc repro."
        )


def warm_start(folder: Path, recipe: Recipe, features: FeatureSet) -> tuple[Model, Vocabulary, FeatureSet]:
    """Prepare a warm start from the bundle in `folder`.

    Returns
    -------
    the model of the bundle, grown for `features`; its grown vocabulary; and the features with the rows to train on

    Raises
    ------
    UserError
        `grow` or `new_rows` raises it, `recipe` asks for another architecture, or the split is not temporal.
    """
    params, bundle = recipe.train, Bundle.load(folder)
    vocabulary, about = bundle.vocabulary, bundle.architecture
    before_and_now = {f"train.{name}": (getattr(about, name), getattr(params, name)) for name in ("model", "objective")}
    for name, now in recipe.config:
        if name not in _FREE:
            before_and_now[f"models.{params.model}.{name}"] = getattr(about.config, name, None), now
    for name, (before, now) in before_and_now.items():
        if before != now:
            raise UserError(
                f"{name} must be {before}, as in the earlier model, in a warm start from "
                f"{params.warm_start_from}. Got {now} instead."
            )
    if vocabulary.trained_until is None:
        raise UserError(
            "train.warm_start_from: the earlier model was trained on ratings of all times, so no rating is new to it. "
            "A warm start needs preprocess.split: temporal, for the earlier model and for this one."
        )
    model = grow(bundle.model, vocabulary, features, recipe.architecture)
    rows = new_rows(features, vocabulary.trained_until, params.replay, params.seed)
    return model, features.vocabulary(vocabulary), rows


def new_rows(features: FeatureSet, since: int, replay: float, seed: int) -> FeatureSet:
    """Return the features with fewer training rows: those after the second `since`, and some of the others.

    Histories and interactions still include all training rows.

    Parameters
    ----------
    since : seconds since 1970
    replay : share of the earlier training rows to keep, in [0, 1], drawn with `seed`

    Raises
    ------
    UserError
        No training row is later than `since`.
    """
    rows = features.splits[TRAIN]
    fresh = rows.timestamp > since
    if not fresh.any():
        moment = np.datetime64(since, "s")
        raise UserError(
            f"train.warm_start_from: no training rating is later than {moment}, the last training rating of the "
            "earlier model, so there is nothing new to learn. Add newer ratings, or set it to null."
        )
    past = (~fresh).nonzero()[:, 0]
    order = torch.randperm(len(past), generator=torch.Generator().manual_seed(seed))
    fresh[past[order[: round(replay * len(past))]]] = True
    return replace(features, splits=features.splits | {TRAIN: rows[fresh]}, whole_train=rows)


class _Sizes(NamedTuple):
    """The cardinality of each field by its name, and each cross by the names of its fields."""

    fields: Mapping[str, int]
    crosses: Mapping[tuple[str, ...], Cross]

    @classmethod
    def of(cls, spec: Spec) -> "_Sizes":
        return cls(
            {field.name: field.cardinality for field in spec.fields if field.cardinality is not None},
            {cross.fields: cross for cross in spec.crosses},
        )


class _Side(NamedTuple):
    """Side information of users, or of items.

    known : (n, S) float64
        Side information of those that the earlier model knew.
    known_index : (n,) int64
        Their indices.
    new : (m, S) float64
        Side information of those that are new to it.
    new_index : (m,) int64
        Their indices.
    """

    known: NDArray[np.float64]
    known_index: Tensor
    new: NDArray[np.float64]
    new_index: Tensor

    @classmethod
    def of(cls, entities: Entities, cardinality: int) -> "_Side":
        index = entities.index
        columns = [entities.numbers]
        columns += [functional.one_hot(values) for values in entities.categories.T[INDEX + 1 :]]
        if entities.bag.shape[1]:
            shares = functional.one_hot(entities.bag).sum(1)[:, 1:]
            columns.append(shares / shares.sum(1, keepdim=True).clamp(min=1))
        side = torch.cat([column.double() for column in columns], 1).numpy()
        known, new = (index > 0) & (index < cardinality), index >= cardinality
        return cls(side[known.numpy()], index[known], side[new.numpy()], index[new])

    def rows(self, table: Tensor) -> Tensor:
        """Estimate the rows of the new entities by least squares on the known rows of `table`: (m, K)."""
        rows = table[self.known_index].double().numpy()
        middle, mean = self.known.mean(0), rows.mean(0)
        weights = np.linalg.lstsq(self.known - middle, rows - mean)[0]
        return torch.from_numpy(mean + (self.new - middle) @ weights).to(table.dtype)


# Knobs that may change in a warm start, because they shape no weights.
_FREE = (
    *("dropout", "wide_l2", "factors_l2", "noise_variance"),
    *("wide_optimizer", "wide_learning_rate", "wide_weight_decay", "wide_l1"),
)


def _grown(
    old: Tensor,
    old_starts: Mapping[Part, int],
    new: Tensor,
    parts: Sequence[tuple[Part, int]],
    before: _Sizes,
    after: _Sizes,
    sides: Mapping[str, _Side],
) -> Tensor:
    table = torch.zeros_like(new)
    table[0] = old[0]
    for part, start in parts:
        known = old[old_starts[part] :]
        if isinstance(part, tuple):
            place, at = _combinations(before.crosses[part], before, after)
            table[start + at] = known[place]
            continue
        size = before.fields[part]
        grown = known[:1].repeat(after.fields[part], 1)  # an unseen value
        grown[:size] = known[:size]
        if part in sides and len(sides[part].new):
            grown[sides[part].new_index] = sides[part].rows(known)
        table[start : start + len(grown)] = grown
    return table


def _combinations(cross: Cross, before: _Sizes, after: _Sizes) -> tuple[Tensor, Tensor]:
    """Return the indices of a cross in the earlier model, and the indices of the same combinations now."""
    place = torch.arange(cross.cardinality)
    if cross.hashed:
        return place, place
    rest, now, radix = place[1:] - 1, torch.zeros(cross.cardinality - 1, dtype=torch.int64), 1
    for name in reversed(cross.fields):
        now = now + rest % before.fields[name] * radix
        rest, radix = rest // before.fields[name], radix * after.fields[name]
    return place, torch.cat([place[:1], now + 1])
