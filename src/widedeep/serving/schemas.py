"""What the HTTP server takes and gives."""

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from widedeep.serving.scorer import Horizon

Number = Annotated[int, Query(ge=1, le=1000, description="Length of the list.")]
Penalty = Annotated[float, Query(ge=0, lt=1, description="How far popular items move down.")]
Text = Annotated[str, Field(min_length=1, max_length=200)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Item(BaseModel):
    """An item of a list."""

    rank: int
    item_id: str
    title: str | None
    genres: str
    predicted: float | None = None
    score: float
    reason: str | None = None


class Recommendations(BaseModel):
    """A list, best first. `fallback` is "recent_popularity" if nothing is known of the user."""

    known: bool
    fallback: str | None
    reason: str | None
    at: int
    version: str
    items: list[Item]


class Wish(Strict):
    """Someone new, by ratings or likes. Items are given by id or title, and years as in 1990-1999."""

    ratings: Annotated[dict[Text, float], Field(max_length=1000)] = {}
    likes: Annotated[list[Text], Field(max_length=1000)] = []
    demographics: Annotated[dict[Text, str | float | None], Field(max_length=50)] = {}
    candidates: Annotated[list[Text], Field(max_length=10_000)] | None = None
    genres: Annotated[list[Text], Field(max_length=50)] = []
    years: Text | None = None
    n: Annotated[int, Field(ge=1, le=1000)] = 10
    horizon: Horizon = "period"
    popularity_penalty: Annotated[float, Field(ge=0, lt=1)] = 0
    reasons: bool = False


class Pairs(Strict):
    user_id: Text
    items: Annotated[list[Text], Field(min_length=1, max_length=1000)]


class Event(Strict):
    user_id: Text
    item_id: Text
    rating: Annotated[float | None, Field(description="May be left out if the data have no ratings.")] = None
    timestamp: Annotated[int, Field(ge=0, le=2**40)] | None = None


class Events(Strict):
    events: Annotated[list[Event], Field(min_length=1, max_length=1000)]
