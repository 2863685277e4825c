"""What the report says about the trained model itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class About:
    """A model by name, and how it was trained."""

    model: str
    kept: int = 0
    """Epoch whose weights were kept."""
    objective: str = "rating"
    """rating, ranking or joint."""
    positive_rating: float | None = None
    """From this rating on an item is a positive for the ranking objective. None: every rated item is."""
    rating_weight: float = 0
    """Weight of the predicted rating in the score that a joint model sorts by."""

    @classmethod
    def from_json(cls, about: Mapping[str, Any]) -> "About":
        """From the JSON that is stored with the weights of a model."""
        built = about["architecture"]
        return cls(
            about["model"], about["best_epoch"], built["objective"], built["positive_rating"], built["rating_weight"]
        )
