"""The facts about the trained model that the report shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
    def from_json(cls, about: Mapping[str, Any]) -> "About":
        """Read the facts from the JSON that is stored with the weights of a model."""
        built = about["architecture"]
        return cls(
            about["model"], about["best_epoch"], built["objective"], built["positive_rating"], built["rating_weight"]
        )
