"""Users and items as a model sees them: indices, numbers and genres. "Entity" means a user or an item."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from widedeep.features.spec import Field, Spec

INDEX = 0  # the column of categories that holds the index of the id


@dataclass(frozen=True)
class Entities:
    """n users, or n items, in the order of their codes.

    categories : (n, F) int64
        Index of each category; 0 is unseen or missing. The index of the id comes first.
    numbers : (n, N) float32
    bag : (n, G) int64
        Indices of the genres, padded with 0.
    """

    categories: Tensor
    numbers: Tensor
    bag: Tensor

    def __len__(self) -> int:
        return len(self.categories)

    @property
    def index(self) -> Tensor:
        """The index of each id: its row in the embeddings, 0 for an id without training ratings. (n,) int64."""
        return self.categories[:, INDEX]

    def extended(self, new: Self) -> Self:
        """Return these entities followed by the new ones."""
        width = max(self.bag.shape[1], new.bag.shape[1])
        bags = [torch.nn.functional.pad(bag, (0, width - bag.shape[1])) for bag in (self.bag, new.bag)]
        return type(self)(
            torch.cat([self.categories, new.categories]), torch.cat([self.numbers, new.numbers]), torch.cat(bags)
        )

    def to(self, device: torch.device | str) -> Self:
        return type(self)(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


def encode(spec: Spec, entity: Literal["user", "item"], values: Mapping[str, Any]) -> Entities:
    """Encode one new user or item. Its id is unseen.

    Parameters
    ----------
    values : by name of the column, as in the data set before scaling. A column that is not given is missing. A missing
        or unknown category has index 0; a missing number becomes the mean.

    Raises
    ------
    ValueError
        A name is no column of the users (or items).
    """
    own = [field for field in spec.fields if field.entity == entity and field.kind != "history"]
    known = {_column(field) for field in own if field.name != f"{entity}_id"}
    if unknown := sorted(set(values) - known):
        raise ValueError(f"'{unknown[0]}' is no column of the {entity}s. Known: {', '.join(sorted(known))}.")
    categories, numbers, bag = [], [], [0]
    for field in own:
        value = values.get(_column(field))
        if field.kind == "category":
            categories.append(0 if field.name == f"{entity}_id" else _index(field, value))
        elif field.kind == "number":
            numbers.append(_scaled(spec.scaling.get(f"{entity}s", {}).get(field.name, {}), value))
        else:
            places = {name: place for place, name in enumerate(field.values or (), 1)}
            bag = [places[name] for name in value or () if name in places] or [0]
    return Entities(torch.tensor([categories]), torch.tensor([numbers], dtype=torch.float32), torch.tensor([bag]))


def _column(field: Field) -> str:
    return field.source.partition(".")[2]


def _index(field: Field, value: Any) -> int:
    if value is None:
        return 0
    if field.edges is not None:
        return int(np.searchsorted(np.array(field.edges), float(value), side="right")) + 1
    values = field.values or ()
    return values.index(value) + 1 if value in values else 0


def _scaled(fitted: Mapping[str, Any], value: float | None) -> float:
    """Fill and scale a number as `widedeep.tables.entities.impute_and_scale` does."""
    if "mean" not in fitted:
        return 0.0
    filled = fitted["mean"] if value is None else float(value)
    return float(np.clip((filled - fitted["min"]) / ((fitted["max"] - fitted["min"]) or 1), 0, 1))
