"""Sections download, preprocess and featurize of params.yaml: from raw files to features."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import AfterValidator, model_validator

from widedeep.sections import Count, Float, Fraction, Int, NonNegative, Positive, Section, Seed, Text, increasing

Dataset = Literal[
    "movielens-small",
    "ml-100k",
    "ml-1m",
    "ml-10m",
    "ml-20m",
    "ml-25m",
    "ml-32m",
    "ml-latest",
    "ml-latest-small",
    "myanimelist-2023",
    "own",
    "csv",
]
OWN_NAMES = ("own", "csv")  # two names of ratings of one's own


def _url(source: str) -> str:
    if source.startswith(("http://", "https://")):
        try:
            parts = urlsplit(source)
            host = parts.hostname if parts.port != 0 else None
        except ValueError:  # brackets around no IPv6 address, or a port that is no number
            host = None
        if not host:
            raise ValueError("must be a URL with a host, as in https://example.org/ratings.zip")
    return source


def _distinct(crosses: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    as_sets = [frozenset(names) for names in crosses]
    if any(len(names) != len(group) for names, group in zip(crosses, as_sets, strict=True)):
        raise ValueError("a cross must not name a field twice")
    if len(set(as_sets)) != len(as_sets):
        raise ValueError("the same cross must not be listed twice")
    return crosses


class OwnFiles(Section):
    ratings: Text | None
    items: Text | None
    users: Text | None


class OwnColumns(Section):
    user: Text | None
    item: Text | None
    rating: Text | None
    timestamp: Text | None


def _separator(text: str | None) -> str | None:
    if text is not None and text != "tab" and len(text.encode()) > 4:
        raise ValueError("must be 1 to 4 characters, or tab")
    return text


class DownloadParams(Section):
    dataset: Dataset
    source: Annotated[Text, AfterValidator(_url)]
    watch: Text
    files: OwnFiles
    max_unpacked_gib: Annotated[Positive, Le(10**6)]

    @model_validator(mode="after")
    def _check(self) -> "DownloadParams":
        chosen = [name for name, value in self.files if value is not None]
        if chosen and self.dataset not in OWN_NAMES:
            raise ValueError(
                f"files.{chosen[0]} must be null for dataset: {self.dataset}, whose files have fixed names. "
                f"Got {getattr(self.files, chosen[0])!r} instead."
            )
        return self


class Reading(Section):
    """What a user says about the form of own files. None and "auto": find it out."""

    columns: OwnColumns
    separator: Annotated[Annotated[str, Len(1)] | None, AfterValidator(_separator)]
    encoding: Text | None
    timestamp_unit: Literal["auto", "s", "ms", "us", "ns", "date", "iso"]
    feedback: Literal["auto", "explicit", "implicit"]
    kinds: dict[Text, Literal["number", "category", "none"]]


NOTHING_SAID = Reading(
    columns=OwnColumns(user=None, item=None, rating=None, timestamp=None),
    separator=None,
    encoding=None,
    timestamp_unit="auto",
    feedback="auto",
    kinds={},
)


class PreprocessParams(Reading):
    on_bad_rows: Literal["error", "drop"]
    rating_scale: tuple[Float, Float] | None
    min_ratings_per_user: Annotated[Count, Le(10**9)]
    min_ratings_per_item: Annotated[Count, Le(10**9)]
    split: Literal["auto", "temporal", "random", "leave_last_out", "predefined"]
    fold: Text
    validation_fraction: Fraction
    test_fraction: Annotated[Float, Gt(0), Lt(1)]
    seed: Seed
    memory_gib: Annotated[Float, Ge(0.1), Le(10**6)]
    threads: Annotated[Count, Le(1024)] | None
    spill_folder: Text | None

    @model_validator(mode="after")
    def _check(self) -> "PreprocessParams":
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError(
                "validation_fraction and test_fraction must leave rows to train on: their sum must be below 1. "
                f"Got {self.validation_fraction} + {self.test_fraction} instead."
            )
        if self.rating_scale is not None and self.rating_scale[0] >= self.rating_scale[1]:
            raise ValueError(f"rating_scale must be [lowest, highest]. Got {list(self.rating_scale)} instead.")
        return self


class FeaturizeParams(Section):
    crosses: Annotated[tuple[Annotated[tuple[Text, ...], Len(2, 4)], ...], Len(0, 100), AfterValidator(_distinct)]
    hash_buckets: Annotated[Count, Le(10**7)]
    user_damping: NonNegative
    item_damping: NonNegative
    genre_damping: NonNegative
    recent: Annotated[tuple[Annotated[Count, Le(1000)], ...], Len(0, 20), AfterValidator(increasing)]
    recency_cap: Annotated[Count, Le(10**9)]
    buckets: Annotated[Int, Ge(2), Le(1000)]
    folds: Annotated[Int, Ge(2), Le(1000)]
    seed: Seed
