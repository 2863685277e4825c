"""The description of the features: what `features.json` holds, and all that a model must know to size its tables."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

UNIT = 2**16  # of a residual kept as an integer: parts of a rating point

Kind = Literal["point_in_time", "out_of_fold"]


@dataclass(frozen=True)
class Damping:
    """Ratings' worth of "no difference" that each mean is mixed with, >= 0."""

    user: float
    item: float
    genre: float


def history_columns(kind: Kind, recent: tuple[int, ...]) -> tuple[str, ...]:
    """The history of a row, in the order of the model's input; only a line of time has recency and recent means, and
    only without one does a row see what came after it."""
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
    """The means of the user's ratings near the row in time: before it, or on both sides."""
    side = "recent" if kind == "point_in_time" else "nearby"
    return tuple(f"user_{side}_{size}_mean" for size in recent)


# Demographics and item columns that the shipped data sets have. A cross on one that this data set lacks is left out;
# on any other unknown name it is a mistake.
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

    kind: "category" (one index per row, 0 for unseen or missing), "bag" (several indices per row, padded with 0),
    "number" (of the user or item) or "history" (of the user or item before the rating). `cardinality` counts the
    indices with 0; `values` are those of the indices 1, 2, ... of a small vocabulary, and `edges` the numbers between
    them where a value is a range: index i > 0 is [edges[i - 2], edges[i - 1]), open at both ends.
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
    """A wide feature that is on where all its fields have one combination of values (Cheng et al. 2016, eq. 1).

    Index 0 stands for every combination with an unseen value; the others are 1 + the combination's number where
    `hashed` is False, else 1 + its hash modulo (cardinality - 1).
    """

    fields: tuple[str, ...]
    cardinality: int
    hashed: bool


@dataclass(frozen=True)
class Spec:
    """All of `features.json`. `mean` is that of the training ratings; `online`: rows outside training have history;
    `scaling`: imputation and scaling of the numeric columns, by table and column."""

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

    def of_kind(self, kind: str) -> tuple[Field, ...]:
        return tuple(field for field in self.fields if field.kind == kind)

    def cardinality(self, name: str) -> int:
        """How many indices the field `name` has, 0 among them; 0 if it has none, or is not there."""
        return next((field.cardinality or 0 for field in self.fields if field.name == name), 0)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Spec":
        """The spec that `as_dict` describes."""
        raw = dict(values)
        raw["rating_scale"] = tuple(raw["rating_scale"])
        raw["recent"] = tuple(raw["recent"])
        raw["damping"] = Damping(**raw["damping"])
        raw["fields"] = tuple(
            Field(**(field | {name: field[name] and tuple(field[name]) for name in ("values", "edges")}))
            for field in raw["fields"]
        )
        raw["crosses"] = tuple(Cross(**(cross | {"fields": tuple(cross["fields"])})) for cross in raw["crosses"])
        raw["crosses_left_out"] = tuple(tuple(names) for names in raw["crosses_left_out"])
        return cls(**raw)


def cross_of(fields: tuple[Field, ...], hash_buckets: int) -> Cross:
    """Index the combinations of `fields` exactly if they are at most `hash_buckets`, else hash them into as many."""
    cardinality = combinations([int(field.cardinality or 0) for field in fields])
    hashed = cardinality > 1 + hash_buckets
    return Cross(tuple(field.name for field in fields), 1 + hash_buckets if hashed else cardinality, hashed)


def combinations(cardinalities: Sequence[int]) -> int:
    """The cardinality of an exact cross of fields with these."""
    return 1 + math.prod(cardinalities)
