"""Warm start: an earlier model with room for the users, items and values that came after it."""

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
    """The `earlier` model of `vocabulary`, with tables for the vocabularies of `features`, which have grown from it
    (see `build_features`). What it knew is as it was, so its predictions for that do not change.

    `about`: its architecture with another dropout, or whatever else shapes no weights; None: as it was.

    The row of a new user or item is what its side information x says: mean(Y) + (x - mean(X)) w, with the w of least
    squares (of minimum norm) on the rows Y of the users or items that are known; x are the one-hot demographics or item
    columns, the shares of the genres and the numbers. New points lie on the fitted plane and do not move it, so growing
    twice gives the same as growing once (but for hashed crosses, in which new combinations share the weights of known
    ones). A new value of another field starts as an unseen one, a new genre and a new exact cross at 0.

    Raises
    ------
    UserError
        The model is not trained by gradient, or the features have not grown from `vocabulary`.
    """
    if not isinstance(earlier, Ensemble):
        raise UserError(
            "train.warm_start_from: the earlier model was made by counting or in closed form, so there is nothing to "
            "go on from. Set train.warm_start_from to null: it is made anew in seconds."
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
    """The name of an earlier model may mean another one by now (a branch moves, a folder is written again)."""
    before, after = vocabulary.spec, features.spec
    same = (before.mean, before.scaling) == (after.mean, after.scaling)
    sizes = {field.name: field.cardinality or 0 for field in after.fields}
    same &= all((field.cardinality or 0) <= sizes.get(field.name, -1) for field in before.fields)
    grown = features.vocabulary(vocabulary)
    same &= grown.user_ids[: len(vocabulary.user_ids)] == vocabulary.user_ids
    same &= grown.item_ids[: len(vocabulary.item_ids)] == vocabulary.item_ids
    if not same:
        raise UserError(
            "train.warm_start_from: the features have not grown from the vocabulary of this model, which has changed "
            "since they were made. Make them again: dvc repro --force --single-item preprocess featurize, then "
            "dvc repro."
        )


def warm_start(folder: Path, recipe: Recipe, features: FeatureSet) -> tuple[Model, Vocabulary, FeatureSet]:
    """The model of a bundle, grown to `features`, its vocabulary, and the features with the
    rows to train it on.

    Raises
    ------
    UserError
        As `grow` and `new_rows`; the architecture that `recipe` asks for is another; the split is not temporal.
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
                f"{name} must be that of the earlier model, {before}, in a warm start from "
                f"{params.warm_start_from}. Got {now} instead."
            )
    if vocabulary.trained_until is None:
        raise UserError(
            "train.warm_start_from: the earlier model was trained on ratings of all times, so none are new. It needs "
            "preprocess.split: temporal, before and now."
        )
    model = grow(bundle.model, vocabulary, features, recipe.architecture)
    rows = new_rows(features, vocabulary.trained_until, params.replay, params.seed)
    return model, features.vocabulary(vocabulary), rows


def new_rows(features: FeatureSet, since: int, replay: float, seed: int) -> FeatureSet:
    """The features with only those training rows that are later than the second `since`, and a share `replay` in
    [0, 1] of the others, drawn with `seed`, in order of time. Histories and interactions still hold all.

    Raises
    ------
    UserError
        No training row is later.
    """
    rows = features.splits[TRAIN]
    fresh = rows.timestamp > since
    if not fresh.any():
        moment = np.datetime64(since, "s")
        raise UserError(
            f"train.warm_start_from: no training rating is later than {moment}, where the training of the earlier "
            "model ended, so there is nothing new to learn. Bring new ratings, or set it to null."
        )
    past = (~fresh).nonzero()[:, 0]
    order = torch.randperm(len(past), generator=torch.Generator().manual_seed(seed))
    fresh[past[order[: round(replay * len(past))]]] = True
    return replace(features, splits=features.splits | {TRAIN: rows[fresh]}, whole_train=rows)


class _Sizes(NamedTuple):
    """Cardinality of each field by name, and of each cross by its fields."""

    fields: Mapping[str, int]
    crosses: Mapping[tuple[str, ...], Cross]

    @classmethod
    def of(cls, spec: Spec) -> "_Sizes":
        return cls(
            {field.name: field.cardinality for field in spec.fields if field.cardinality is not None},
            {cross.fields: cross for cross in spec.crosses},
        )


class _Side(NamedTuple):
    """Side information of the users (or items) that the earlier model knew, (n, S), with their indices, and of those
    that are new to it."""

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
        """What least squares on the known rows of a table, by index, say of the new ones."""
        rows = table[self.known_index].double().numpy()
        middle, mean = self.known.mean(0), rows.mean(0)
        weights = np.linalg.lstsq(self.known - middle, rows - mean)[0]
        return torch.from_numpy(mean + (self.new - middle) @ weights).to(table.dtype)


# What an architecture may change: it shapes no weights.
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
    """Indices of a cross in the earlier model, and those of the same combinations now."""
    place = torch.arange(cross.cardinality)
    if cross.hashed:
        return place, place
    rest, now, radix = place[1:] - 1, torch.zeros(cross.cardinality - 1, dtype=torch.int64), 1
    for name in reversed(cross.fields):
        now = now + rest % before.fields[name] * radix
        rest, radix = rest // before.fields[name], radix * after.fields[name]
    return place, torch.cat([place[:1], now + 1])
