"""A small random data set with hard cases: ties in time, items with several genres, items without genres."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from widedeep.columns import RATINGS_SCHEMA
from widedeep.features.build import build_features
from widedeep.features.files import FeatureTables
from widedeep.features.tensors import FeatureSet, feature_set
from widedeep.features.vocabulary import Vocabulary
from widedeep.models.bundle import Bundle
from widedeep.models.model import Model
from widedeep.models.registry import ENTRIES, Architecture
from widedeep.params import FeaturizeParams, Params, Recipe, changed, dotted, load_params, nested
from widedeep.tables.files import About, Tables

DEFAULTS: dict[str, Any] = {
    "crosses": (("user_id", "genres"),),
    "hash_buckets": 1000,
    "user_damping": 3,
    "item_damping": 5,
    "genre_damping": 2,
    "recent": (2, 5),
    "recency_cap": 20,
    "buckets": 10,
    "folds": 4,
    "seed": 0,
}
SPLITS = ("train", "validation", "test")
GENRES = ["Action", "Comedy", "Drama", "War"]
BASELINES = [name for name, entry in ENTRIES.items() if not entry.trained]
NETWORKS = [name for name, entry in ENTRIES.items() if entry.trained]
# Values for every model that has the knob.
SMALL: dict[str, Any] = {
    "model": "wide_deep",
    "objective": "rating",
    "members": 1,
    "embedding_size": 4,
    "embedding_deviation": 0.1,
    "hidden": (8,),
    "dropout": 0.1,
    "factors": 0,
    "user_items": 0,
    "item_users": 0,
    "time": False,
    "wide_l2": 0.0,
    "factors_l2": 0.0,
    "channels": 3,
    "l2": 5.0,
    "positive_rating": None,
    "loss": "softmax",
    "negatives": 0,
    "user_batch_size": 4,
    "rating_weight": 0.0,
    "epochs": 6,
    "batch_size": 32,
    "optimizer": "adamw",
    "wide_optimizer": "adamw",
    "learning_rate": 0.01,
    "wide_learning_rate": 0.01,
    "wide_l1": 0.0,
    "unseen_rate": 0.5,
    "new_user_rate": 0.0,
    "patience": 6,
    "gradient_clip": 1.0,
    "accelerator": "cpu",
    "devices": 1,
}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Use one thread: with tensors this small, threads only wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Set the seed, so that the draws of a test do not depend on earlier tests."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def ratings() -> pd.DataFrame:
    """240 ratings of 10 users and 30 items in 60 seconds; the last fifth tests, the fifth before it validates."""
    rng = np.random.default_rng(5)
    pairs = rng.permutation(300)[:240]
    table = pd.DataFrame(
        {
            "user_id": pairs // 30 + 1,
            "item_id": pairs % 30 + 1,
            "rating": rng.integers(1, 11, 240) / 2,
            "timestamp": rng.integers(1000, 1060, 240),
        }
    ).sort_values(["timestamp", "user_id", "item_id"], ignore_index=True)
    cuts = table["timestamp"].iloc[[144, 192]].to_numpy()
    return table.assign(
        split=np.array(["train", "validation", "test"])[np.searchsorted(cuts, table["timestamp"], "right")]
    )


@pytest.fixture(scope="session")
def items() -> pd.DataFrame:
    rng = np.random.default_rng(6)
    genres = [[name for name in GENRES if rng.random() < 0.4] for _ in range(31)]
    return pd.DataFrame(
        {
            "item_id": np.arange(1, 32),
            "title": "T",
            "year": [float("nan") if item % 7 == 0 else 1990.0 + item for item in range(31)],
            "genres": genres,
        }
    )


@pytest.fixture(scope="session")
def users() -> pd.DataFrame:
    return pd.DataFrame({"user_id": np.arange(1, 11), "gender": ["F", "M"] * 5})


@pytest.fixture(scope="session")
def featurize(ratings: pd.DataFrame, items: pd.DataFrame, users: pd.DataFrame) -> Callable[..., FeatureTables]:
    """Make features of the small data set. Arguments replace tables or params."""

    def build(split: str = "temporal", **changes: Any) -> FeatureTables:
        tables = {"ratings": ratings, "items": items, "users": users}
        tables |= {name: changes.pop(name) for name in tables if name in changes}
        earlier = changes.pop("earlier", None)
        return build_features(coded(**tables, split=split), FeaturizeParams(**(DEFAULTS | changes)), earlier)

    return build


@pytest.fixture(scope="session")
def rated(ratings: pd.DataFrame) -> pd.DataFrame:
    """The same ratings without the training ratings of user 4 and item 5."""
    new = ratings["user_id"].eq(4) | ratings["item_id"].eq(5)
    return ratings[~(new & ratings["split"].eq("train"))].reset_index(drop=True)


@pytest.fixture(scope="session")
def load(
    featurize: Callable[..., FeatureTables],
    rated: pd.DataFrame,
    users: pd.DataFrame,
    items: pd.DataFrame,
) -> Callable[..., FeatureSet]:
    """Features of `rated` by kind of split and, where given, by other params; all rows are loaded."""
    users, items = users.assign(age=np.arange(10) ** 2), items.assign(length=np.arange(31) % 8)

    @cache
    def of(split: str, **changes: Any) -> FeatureSet:
        tables = featurize(split, ratings=rated, users=users, items=items, **changes)
        return feature_set(tables, *SPLITS)

    return of


def coded(ratings: pd.DataFrame, items: pd.DataFrame, users: pd.DataFrame, split: str = "temporal") -> Tables:
    """The canonical tables of frames that name users and items by id. All are listed, in the order of their ids."""
    ids = {"user": users["user_id"], "item": items["item_id"]}
    codes = {key: pd.Series(range(len(listed)), index=listed) for key, listed in ids.items()}
    rows = ratings.assign(**{key: code[ratings[f"{key}_id"]].to_numpy() for key, code in codes.items()})
    item_ids, user_ids = (pa.array(map(str, ids[key]), pa.string()) for key in ("item", "user"))
    return Tables(
        pa.Table.from_pandas(rows[RATINGS_SCHEMA.names], RATINGS_SCHEMA, preserve_index=False),
        items.reset_index(drop=True).rename(columns={"item_id": "item"}).assign(item=range(len(items))),
        users.reset_index(drop=True).rename(columns={"user_id": "user"}).assign(user=range(len(users))),
        item_ids,
        user_ids,
        About("own", (0.5, 5.0), split, {}),
    )


def written(tables: FeatureTables, folder: Path) -> Path:
    """Write the features folder as the stage does."""
    tables.save(folder)
    return folder


def bundled(
    features: FeatureSet, model: Model, about: Architecture, vocabulary: Vocabulary | None = None, best_epoch: int = 0
) -> Bundle:
    """Write a model of these features as the train stage does."""
    return Bundle(
        model=model,
        architecture=about,
        context=features.context(),
        names=features.names,
        vocabulary=vocabulary or features.vocabulary(),
        data_sha256="0" * 64,
        best_epoch=best_epoch,
        validation={},
    )


def small_recipe(**changes: Any) -> Recipe:
    """A small model that trains within a second, with other values where given, by the last part of their name."""
    return small_params(**changes).recipe


def small_params(**changes: Any) -> Params:
    """The parameters of `small_recipe`. Sections other than train and models are as in params.yaml."""
    params = load_params(Path(__file__).resolve().parents[1] / "params.yaml")
    model = changes.get("model", SMALL["model"])
    if "hidden" in changes and not changes["hidden"]:
        changes = {"dropout": 0.0} | changes
    places = dotted({"train": params.train.model_dump(), "models": {model: params.models[model].model_dump()}})
    by_key = {name.rpartition(".")[2]: name for name in places}
    assert changes.keys() <= by_key.keys(), f"{model} has no {changes.keys() - by_key.keys()}"
    given = {by_key[key]: value for key, value in (SMALL | changes).items() if key in by_key}
    if model == "ease":  # EASE has its own knob with this name
        given["train.ranking.positive_rating"] = given["models.ease.positive_rating"]
    return changed(params, nested(given), "small")
