"""The description of the features, stored in `features.json`. A model takes the sizes of its tables from it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from widedeep.columns import IMPLICIT

# The sums in a state: by user and by item, and lists of sums by user.
SUMS = ("count", "total", "last")
BY_USER = ("genre_count", "genre_total", "moment_count", "moment_total")
UNIT = 2**16  # residuals are stored as integers, in units of 1 / UNIT rating points

Kind = Literal["point_in_time", "out_of_fold"]


@dataclass(frozen=True)
class Damping:
    """Damping of means: this many ratings at the overall mean are added before averaging. Each is >= 0.

    user : for a user's mean
    item : for an item's mean
    genre : for a user's mean in a genre
    """

    user: float
    item: float
    genre: float


def history_columns(kind: Kind, recent: tuple[int, ...]) -> tuple[str, ...]:
    """Return the names of the history columns, in the order of the model's input.

    Point-in-time histories have recency and `recent` means. Out-of-fold histories have `nearby` means, which also use
    later ratings.
    """
    if kind == "out_of_fold":
        means = window_columns(kind, recent)
        return ("user_count", "user_mean", *means, "user_genre_count", "user_genre_mean", "item_count", "item_mean")
    return (
        "user_count",
        "user_mean",
        *window_columns(kind, recent),
        "user_recency",
        "user_genre_count",
        "user_genre_mean",
        "item_count",
        "item_mean",
        "item_recency",
    )


def window_columns(kind: Kind, recent: tuple[int, ...]) -> tuple[str, ...]:
    """Return the names of the means over the user's ratings near the row in time: before it, or on both sides."""
    side = "recent" if kind == "point_in_time" else "nearby"
    return tuple(f"user_{side}_{size}_mean" for size in recent)


# Columns that some supported data sets have. A cross with one of these is left out if the data set lacks the column. A
# cross with any other unknown name is an error.
OPTIONAL_FIELDS = (
    "gender",
    "age",
    "occupation",
    "country",
    "birth_year",
    "joined_year",
    "year",
    "type",
    "source",
    "status",
    "age_rating",
)


@dataclass(frozen=True)
class Field:
    """One input of the model.

    name : name of the field
    entity : whether the field describes users or items
    kind : "category" (one index per row, 0 for unseen or missing), "bag" (several indices per row, padded with 0),
        "number" (of the user or item) or "history" (of the user or item before the rating)
    source : table and column that the field is made from
    cardinality : number of indices, including 0; None for numbers and histories
    values : the values of the indices 1, 2, ...; None for ids
    edges : for ranges of numbers, the bounds between them: index i > 0 is the range [edges[i - 2], edges[i - 1]). The
        first range has no lower bound, the last no upper bound.
    """

    name: str
    entity: Literal["user", "item"]
    kind: Literal["category", "bag", "number", "history"]
    source: str
    cardinality: int | None = None
    values: tuple[str, ...] | None = None
    edges: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Cross:
    """A wide feature with an index for each combination of the values of its fields (Cheng et al. 2016, eq. 1).

    A combination with an unseen value has index 0.

    fields : names of the fields
    cardinality : number of indices, including 0
    hashed : False: the index is 1 + the number of the combination. True: it is 1 + a hash of the combination modulo
        (cardinality - 1), so several combinations may share an index.
    """

    fields: tuple[str, ...]
    cardinality: int
    hashed: bool


@dataclass(frozen=True)
class Spec:
    """The content of `features.json`.

    dataset : the value of download.dataset
    rating_scale : lowest and highest rating; `IMPLICIT` for implicit feedback
    mean : mean of the training ratings
    history : the kind of the histories of training rows
    online : whether rows outside training have a history of their own (only in a temporal split)
    damping : damping of the means in the histories
    recent : windows of the user's mean near the row in time
    recency_cap : longest time since the last rating that counts, in seconds
    fields : the inputs of the model
    crosses : the crosses of the wide part
    crosses_left_out : crosses whose fields this data set lacks
    scaling : imputation and scaling of the numeric columns, by table and column
    """

    dataset: str
    rating_scale: tuple[float, float]
    mean: float
    history: Kind
    online: bool
    damping: Damping
    recent: tuple[int, ...]
    recency_cap: int
    fields: tuple[Field, ...]
    crosses: tuple[Cross, ...]
    crosses_left_out: tuple[tuple[str, ...], ...]
    scaling: Mapping[str, Any]

    @property
    def implicit(self) -> bool:
        """Whether a row only says that a user had an item. Then every rating is 1."""
        return self.rating_scale == IMPLICIT

    def of_kind(self, kind: str) -> tuple[Field, ...]:
        """Return the fields of a kind, in the order of the model's input."""
        return tuple(field for field in self.fields if field.kind == kind)

    def cardinality(self, name: str) -> int:
        """Return the number of indices of the field `name`, including 0. The result is 0 if there are none."""
        return next((field.cardinality or 0 for field in self.fields if field.name == name), 0)

    def as_dict(self) -> dict[str, Any]:
        """Convert the spec to plain values for JSON."""
        return asdict(self)

    def problem(self) -> str:
        """Say what is wrong with a spec whose numbers do not fit together, or return ""."""
        sizes = {field.name: field.cardinality for field in self.fields}
        low, high = self.rating_scale
        if not low <= self.mean <= high:
            return f"has the mean {self.mean:g}, which is outside the rating scale"
        if len(sizes) < len(self.fields):
            return "names a field twice"
        for field in self.fields:
            size = field.cardinality
            if (size is None) != (field.kind in ("number", "history")) or (size is not None and size < 1):
                return f"gives the field {field.name} the wrong number of indices, {size}"
            known = None if field.values is None else 1 + len(field.values)
            known = known if field.edges is None else 2 + len(field.edges)
            if known is not None and size != known:
                return f"gives the field {field.name} {size} indices for {known} values"
        for cross in self.crosses:
            if not all(sizes.get(name) for name in cross.fields):
                return f"crosses {' and '.join(cross.fields)}, which are not all fields with indices"
            exact = combinations([sizes[name] or 0 for name in cross.fields])
            if not 1 <= cross.cardinality <= exact or (not cross.hashed and cross.cardinality != exact):
                return f"gives the cross of {' and '.join(cross.fields)} the wrong number of indices"
        names = [field.name for field in self.of_kind("history")]
        if names != list(history_columns(self.history, self.recent)):
            return "names other histories than its rows have"
        return ""


def cross_of(fields: tuple[Field, ...], hash_buckets: int) -> Cross:
    """Cross `fields`: exactly if there are at most `hash_buckets` combinations, else hashed into that many buckets."""
    cardinality = combinations([int(field.cardinality or 0) for field in fields])
    hashed = cardinality > 1 + hash_buckets
    return Cross(tuple(field.name for field in fields), 1 + hash_buckets if hashed else cardinality, hashed)


def combinations(cardinalities: Sequence[int]) -> int:
    """Return the number of indices, including 0, of an exact cross of fields with these cardinalities."""
    return 1 + math.prod(cardinalities)
