"""Cut the time line of a data set into an initial part and windows, and make the features at the start of a window."""

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
    """A time line of ratings, cut into an initial part and W windows.

    tables : the canonical tables, with ratings in order of time. Their split does not matter.
    starts : (W,) int64, first second of each window, since 1970-01-01 UTC. A window ends where the next one starts, and
        the last window ends with the last rating. The ratings before starts[0] are the initial part.
    """

    tables: Tables
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, tables: Tables, initial: float, windows: int) -> Self:
        """Cut the time line of canonical tables.

        Raises
        ------
        UserError
            The ratings have no timestamps, or too few different timestamps (see `cut`).
        """
        timestamp = tables.ratings[TIMESTAMP]
        if timestamp.null_count:
            raise UserError(f"{tables.about.dataset} has no timestamps, so there is no time line to cut into windows.")
        return cls(tables, cut(timestamp.to_numpy(), initial, windows))

    def window(self, timestamp: NDArray[np.int64]) -> NDArray[np.int64]:
        """Find the number of the window of each timestamp, from 1: (N,) -> (N,). In the initial part it is 0."""
        return np.searchsorted(self.starts, timestamp, side="right")

    def initial_part(self, initial: float, windows: int) -> Self:
        """Cut the initial part into a stream of its own, on which the settings of the policies can be chosen."""
        ratings = self.tables.ratings
        tables = replace(self.tables, ratings=ratings.filter(pc.less(ratings[TIMESTAMP], int(self.starts[0]))))
        return type(self).of(tables, initial, windows)


def cut(timestamp: NDArray[np.int64], initial: float, windows: int) -> NDArray[np.int64]:
    """Find the first second of each of W windows with equal numbers of ratings: (W,) int64.

    Ratings of the same second stay together, so windows may differ a little in size.

    Parameters
    ----------
    timestamp : (N,) int64, sorted seconds since 1970-01-01 UTC
    initial : share of the ratings before the first window, in (0, 1)
    windows : W

    Raises
    ------
    UserError
        There are too few different seconds for this number of windows.
    """
    n = len(timestamp)
    places = np.linspace(initial * n, n, windows + 1)[:-1].round().astype(np.int64)
    starts: NDArray[np.int64] = timestamp[places.clip(max=n - 1)]
    if (np.diff(starts, prepend=timestamp[0]) <= 0).any():
        raise UserError(
            f"The time line must have a rating before the first window and in each of the {windows} windows. Ratings "
            f"of the same second stay together. Got {n} ratings in {len(np.unique(timestamp))} different seconds. "
            "Set fewer windows."
        )
    return starts


@dataclass(frozen=True)
class Moment:
    """The features at the start of a window.

    vocabulary : the vocabulary of the training rows
    training : features of the earlier ratings only
    features : features of the earlier ratings, and all M later ratings as test rows
    window : (M,) int64, number of the window of each test row
    """

    vocabulary: Vocabulary
    training: FeatureSet
    features: FeatureSet
    window: Tensor

    def rows(self, window: int) -> FeatureSet:
        """Return the features with the test rows of one window only."""
        test = self.features.splits[TEST][self.window == window]
        return replace(self.features, splits=self.features.splits | {TEST: test})


def moment(
    stream: Stream,
    start: int,
    params: FeaturizeParams,
    earlier: Vocabulary | None = None,
    validation: float = 0,
) -> Moment:
    """Make the features at the second `start`. Ratings before it are training rows, all others are test rows.

    Parameters
    ----------
    earlier : a vocabulary to extend. None makes a new one from the training rows.
    validation : the last training rows, of this share, become validation rows
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
    """Return the features as a model with an earlier `spec` sees them.

    The vocabularies have grown since then. Users, items and values that are new to the model get index 0 (unseen).
    Histories stay as they are.
    """
    users, items = _hide_new(features.users, spec, "user"), _hide_new(features.items, spec, "item")
    return replace(features, users=users, items=items)


def _hide_new(entities: Entities, spec: Spec, entity: str) -> Entities:
    fields = [field for field in spec.fields if field.entity == entity]
    sizes = torch.tensor([field.cardinality for field in fields if field.kind == "category"])
    bag = next((field.cardinality or 0 for field in fields if field.kind == "bag"), 0)
    return replace(
        entities,
        categories=entities.categories * (entities.categories < sizes),
        bag=entities.bag * (entities.bag < bag),
    )
