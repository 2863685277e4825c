"""The facts about the trained model and the data that the report shows."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from widedeep.models.files import read_about
from widedeep.reading import made_by, read_json
from widedeep.sections import typed


@dataclass(frozen=True)
class About:
    """A model and how it was trained."""

    model: str
    """Name of the model."""
    kept: int = 0
    """Epoch whose weights were kept."""
    objective: str = "rating"
    """rating, ranking or joint."""
    positive_rating: float | None = None
    """Lowest rating of a positive of the ranking objective. None if every rated item is a positive."""
    rating_weight: float = 0
    """Weight of the predicted rating in the score by which a joint model sorts."""

    @classmethod
    def read(cls, folder: Path) -> "About":
        """Read the facts from the folder of a model.

        Raises
        ------
        UserError
            There is no model, or the file is damaged.
        """
        about = read_about(folder)
        built = about.architecture
        return cls(built.model, about.best_epoch, built.objective, built.positive_rating, built.rating_weight)


def read_counts(path: Path) -> dict[str, Any]:
    """Read reports/data.json, the numbers of rows, users and items that stage preprocess counted.

    Raises
    ------
    UserError
        The file is missing or damaged.
    """
    mend = made_by("preprocess")
    return asdict(typed(_Counts, read_json(path, mend), path, mend))


@dataclass(frozen=True)
class _Rows:
    read: int
    bad_rows: dict[str, int]
    duplicates: int
    filtered: int


@dataclass(frozen=True)
class _Ratings:
    kept: int


@dataclass(frozen=True)
class _Entities:
    rated: int
    listed: int


@dataclass(frozen=True)
class _Counts:
    rows: _Rows
    ratings: _Ratings
    users: _Entities
    items: _Entities
    understood: list[str] = field(default_factory=list)
