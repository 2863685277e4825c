"""A FeatureSet that is read from the tables of the stage is what a model sees."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.small_data import written
from widedeep.features.assemble import grid, history, listed
from widedeep.features.files import FeatureTables
from widedeep.features.inputs import Reads
from widedeep.features.tensors import FeatureSet, load_features

Featurize = Callable[..., FeatureTables]


def columns(features: FeatureSet, history: torch.Tensor) -> dict[str, list[float]]:
    names = [field.name for field in features.spec.of_kind("history")]
    return {name: history[:, slot].tolist() for slot, name in enumerate(names)}


def test_spec_comes_back_as_it_was(featurize: Featurize, tmp_path: Path) -> None:
    tables = featurize(crosses=(("year", "genres"), ("gender", "item_id"), ("country", "genres")))
    assert FeatureTables.load(written(tables, tmp_path)).spec == tables.spec


def recent_mean(of_user: pd.DataFrame, size: int) -> float:
    last = of_user[of_user["timestamp"].isin(sorted(of_user["timestamp"].unique())[-size:])]
    return float((last["residual"] - last["item_mean"]).sum() / (len(last) + 3))


def test_frozen_history_is_the_state_at_the_training_cut_off(
    featurize: Featurize, ratings: pd.DataFrame, items: pd.DataFrame, tmp_path: Path
) -> None:
    tables = featurize()
    features = load_features(written(tables, tmp_path), "train", "test")
    rows = features.splits["test"]
    found = columns(features, history(features, rows.user, rows.item, rows.timestamp))

    # A residual is a training rating minus the mean, and minus what its row knew about item and user.
    known = tables.rows.to_pandas()
    training = ratings.assign(item_mean=known["item_mean"], user_mean=known["user_mean"])
    training = training[training["split"] == "train"]
    training["residual"] = training["rating"] - tables.spec.mean
    genres_of = dict(zip(items["item_id"], items["genres"], strict=True))
    for place, row in enumerate(ratings[ratings["split"] == "test"].itertuples()):
        of_item = training[training["item_id"] == row.item_id]
        of_user = training[training["user_id"] == row.user_id]
        user_mean = (of_user["residual"] - of_user["item_mean"]).sum() / (len(of_user) + 3)
        counts, means = [], []
        for genre in genres_of[row.item_id]:
            alike = of_user[[genre in genres_of[item] for item in of_user["item_id"]]]
            counts.append(len(alike))
            means.append((alike["residual"] - alike["item_mean"] - alike["user_mean"]).sum() / (len(alike) + 2))
        expected = {
            "user_count": np.log1p(len(of_user)),
            "user_mean": user_mean,
            **{f"user_recent_{size}_mean": recent_mean(of_user, size) for size in (2, 5)},
            "user_recency": np.log1p(min(20, row.timestamp - of_user["timestamp"].max())) if len(of_user) else 0,
            "user_genre_count": np.log1p(np.mean(counts or [0])),
            "user_genre_mean": np.mean(means or [0]),
            "item_count": np.log1p(len(of_item)),
            "item_mean": of_item["residual"].sum() / (len(of_item) + 5),
            "item_recency": np.log1p(min(20, row.timestamp - of_item["timestamp"].max())) if len(of_item) else 0,
        }
        assert {name: values[place] for name, values in found.items()} == pytest.approx(expected, abs=1e-4)


def test_frozen_equals_online_in_the_first_second_after_the_cut_off(featurize: Featurize, tmp_path: Path) -> None:
    features = load_features(written(featurize(), tmp_path), "train", "validation")
    rows = features.splits["validation"]
    first = rows.timestamp == rows.timestamp.min()
    assert first.any()
    frozen = history(features, rows.user[first], rows.item[first], rows.timestamp[first])
    torch.testing.assert_close(frozen, rows.history[first], atol=1e-4, rtol=0)


@pytest.mark.parametrize("split", ["random", "leave_last_out"])
def test_rows_outside_training_have_the_frozen_history(featurize: Featurize, tmp_path: Path, split: str) -> None:
    tables = featurize(split)
    features = load_features(written(tables, tmp_path), "train", "test")
    rows = features.splits["test"]
    frozen = columns(features, history(features, rows.user, rows.item, rows.timestamp))
    stored = tables.rows.to_pandas().query("split == 'test'")
    nearby = {name: stored[name].tolist() for name in frozen if "nearby" in name}  # as of the time of the row
    assert len(nearby) == (2 if split == "random" else 0)
    found = columns(features, rows.history)
    assert found.keys() == frozen.keys()
    for name, values in (frozen | nearby).items():
        assert found[name] == pytest.approx(values), name


def test_asked_for_a_list_a_random_split_knows_the_last_ratings(
    featurize: Featurize, ratings: pd.DataFrame, tmp_path: Path
) -> None:
    tables = featurize("random")
    features = load_features(written(tables, tmp_path), "train")
    user = torch.arange(len(features.users))
    inputs = grid(features, user, torch.tensor([0]), torch.full_like(user, 10**6), Reads(), with_history=True)
    assert inputs.history is not None
    found = columns(features, inputs.history[:, 0])
    known = ratings.assign(item_mean=tables.rows["item_mean"].to_numpy(), residual=ratings["rating"] - tables.spec.mean)
    by_user = known[known["split"] == "train"].groupby("user_id")
    for size in (2, 5):
        expected = [
            recent_mean(by_user.get_group(int(identity)), size) for identity in features.names.user_ids.to_pylist()
        ]
        assert found[f"user_nearby_{size}_mean"] == pytest.approx(expected, abs=1e-4)


def test_data_without_timestamps_have_no_ratings_near_in_time(
    featurize: Featurize, ratings: pd.DataFrame, tmp_path: Path
) -> None:
    tables = featurize("random", ratings=ratings.assign(timestamp=pd.array([None] * len(ratings), "Int64")))
    assert not [name for name in tables.rows.column_names if "nearby" in name]
    features = load_features(written(tables, tmp_path), "train", "test")
    assert features.splits["test"].history.shape[1] == 6


def test_split_without_rows_is_empty(featurize: Featurize, ratings: pd.DataFrame, tmp_path: Path) -> None:
    table = ratings.assign(split=ratings["split"].replace("validation", "train"))
    features = load_features(written(featurize(ratings=table), tmp_path), "train", "validation")
    assert len(features.splits["validation"]) == 0
    assert features.splits["validation"].history.shape == (0, 10)
    assert len(features.splits["train"]) == (table["split"] == "train").sum()


def test_inputs_are_those_of_the_rows(
    featurize: Featurize, ratings: pd.DataFrame, items: pd.DataFrame, tmp_path: Path
) -> None:
    features = load_features(written(featurize(), tmp_path), "train")
    rows = features.splits["train"]
    inputs = listed(features, rows, Reads())
    train = ratings[ratings["split"] == "train"]
    vocabulary = sorted(train["item_id"].unique())
    indices = inputs.pairs.of_items(inputs.items.categories[:, 0])
    assert indices.tolist() == [vocabulary.index(item) + 1 for item in train["item_id"]]
    genres = features.spec.of_kind("bag")[0].values or ()
    bags = inputs.pairs.of_items(inputs.items.bag).tolist()
    found = [[genres[index - 1] for index in bag if index] for bag in bags]
    assert found == [items.set_index("item_id")["genres"][item] for item in train["item_id"]]
    assert rows.rating.tolist() == train["rating"].tolist()


def test_items_without_any_genre_have_an_empty_bag(featurize: Featurize, items: pd.DataFrame, tmp_path: Path) -> None:
    tables = featurize(items=items.assign(genres=[[] for _ in range(31)]))
    features = load_features(written(tables, tmp_path), "train", "test")
    rows = features.splits["test"]
    assert features.spec.of_kind("bag")[0].cardinality == 1
    assert not listed(features, rows, Reads()).items.bag.any()
    found = columns(features, history(features, rows.user, rows.item, rows.timestamp))
    assert set(found["user_genre_mean"]) == {0}
