"""The time line of a data set, cut into an initial part and windows, and the features as of the start of a window."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from widedeep.columns import SPLIT, TEST, TIMESTAMP, TRAIN, VALIDATION
from widedeep.errors import UserError
from widedeep.features.build import build_features
from widedeep.features.entities import Entities
from widedeep.features.spec import Spec
from widedeep.features.tensors import FeatureSet, feature_set
from widedeep.features.vocabulary import Vocabulary
from widedeep.params import FeaturizeParams
from widedeep.tables.files import Tables


@dataclass(frozen=True)
class Stream:
    """tables: the ratings of the whole time line, in order of time. Their split does not matter.
    starts: (W,) int64 first second of each window. A window ends before the next one starts, the last with the last
    rating. All before starts[0] is the initial part."""

    tables: Tables
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, tables: Tables, initial: float, windows: int) -> Self:
        """Cut the time line of canonical tables.

        Raises
        ------
        UserError
            The ratings have no timestamps, or too few different ones (see `cut`).
        """
        timestamp = tables.ratings[TIMESTAMP]
        if timestamp.null_count:
            raise UserError(f"{tables.about.dataset} has no timestamps, so there is no time line to cut into windows.")
        return cls(tables, cut(timestamp.to_numpy(), initial, windows))

    def window(self, timestamp: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of the window of each moment, from 1; 0: in the initial part."""
        return np.searchsorted(self.starts, timestamp, side="right")

    def initial_part(self, initial: float, windows: int) -> Self:
        """What lies before the first window, as a stream of its own: on it the settings of a policy may be chosen."""
        ratings = self.tables.ratings
        tables = replace(self.tables, ratings=ratings.filter(pc.less(ratings[TIMESTAMP], int(self.starts[0]))))
        return type(self).of(tables, initial, windows)


def cut(timestamp: NDArray[np.int64], initial: float, windows: int) -> NDArray[np.int64]:
    """First second of each of `windows` windows with equal numbers of ratings, after a share `initial` of all: (W,).

    Ratings of one second are never parted, so a window may be a little larger or smaller. `timestamp` (N,) is sorted.

    Raises
    ------
    UserError
        There are too few different seconds for so many windows.
    """
    n = len(timestamp)
    places = np.linspace(initial * n, n, windows + 1)[:-1].round().astype(np.int64)
    starts: NDArray[np.int64] = timestamp[places.clip(max=n - 1)]
    if (np.diff(starts, prepend=timestamp[0]) <= 0).any():
        raise UserError(
            f"The time line must have a rating before the first window and in each of the {windows} windows, and "
            f"ratings of one second are never parted. Got {n} ratings in {len(np.unique(timestamp))} different "
            "seconds. Set fewer windows."
        )
    return starts


@dataclass(frozen=True)
class Moment:
    """What there is at the start of a window. training: features that hold nothing but the earlier ratings. features:
    these and all later ratings as test rows. window: (M,) int64, the number of each of these rows' window."""

    vocabulary: Vocabulary
    training: FeatureSet
    features: FeatureSet
    window: Tensor

    def rows(self, window: int) -> FeatureSet:
        """The same with no other test rows than those of the window."""
        test = self.features.splits[TEST][self.window == window]
        return replace(self.features, splits=self.features.splits | {TEST: test})


def moment(
    stream: Stream,
    start: int,
    params: FeaturizeParams,
    earlier: Vocabulary | None = None,
    validation: float = 0,
) -> Moment:
    """The features at the second `start`: all ratings before it train, all others test.

    `earlier`: the vocabulary that grows; None: a new one of these training rows. `validation`: the last such share of
    the training rows validates instead.
    """
    ratings = stream.tables.ratings
    timestamp = ratings[TIMESTAMP].to_numpy()
    split = np.where(timestamp < start, TRAIN, TEST).astype(object)
    if validation:
        split[timestamp >= timestamp[int((1 - validation) * (timestamp < start).sum())]] = VALIDATION
        split[timestamp >= start] = TEST
    ratings = ratings.set_column(ratings.column_names.index(SPLIT), SPLIT, pa.array(split, pa.string()))
    tables = replace(stream.tables, ratings=ratings, about=replace(stream.tables.about, split="temporal"))
    built = build_features(tables, params, earlier)
    features = feature_set(built, TRAIN, TEST)
    window = torch.from_numpy(stream.window(features.splits[TEST].timestamp.numpy()))
    training = feature_set(built, TRAIN, VALIDATION)
    return Moment(training.vocabulary(), training, features, window)


def seen_by(features: FeatureSet, spec: Spec) -> FeatureSet:
    """The features as a model of the earlier `spec` sees them, whose vocabularies have grown since: what is new to it
    is unseen, index 0. Histories stay as they are."""
    return replace(features, users=_hidden(features.users, spec, "user"), items=_hidden(features.items, spec, "item"))


def _hidden(entities: Entities, spec: Spec, entity: str) -> Entities:
    fields = [field for field in spec.fields if field.entity == entity]
    sizes = torch.tensor([field.cardinality for field in fields if field.kind == "category"])
    bag = next((field.cardinality or 0 for field in fields if field.kind == "bag"), 0)
    return replace(
        entities,
        categories=entities.categories * (entities.categories < sizes),
        bag=entities.bag * (entities.bag < bag),
    )
