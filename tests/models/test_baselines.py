"""Baselines, compared with numpy, with the knowledge of each row."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch

from tests.small_data import small_recipe
from widedeep.features.assemble import grid, listed
from widedeep.features.files import FeatureTables
from widedeep.features.inputs import Inputs, Reads
from widedeep.features.tensors import FeatureSet
from widedeep.models.build import build
from widedeep.models.model import Model
from widedeep.models.popularity import Popularity, least_squares

Featurize = Callable[..., FeatureTables]


@pytest.fixture(scope="module")
def features(load: Callable[..., FeatureSet]) -> FeatureSet:
    return load("temporal")


@pytest.fixture(scope="module")
def rows(featurize: Featurize, rated: pd.DataFrame) -> pd.DataFrame:
    return featurize(ratings=rated).rows.to_pandas()


def fitted(features: FeatureSet, name: str) -> Model:
    model = build(features.spec, small_recipe(model=name).architecture)
    model.fit(features)
    return model


def inputs_of(features: FeatureSet, split: str = "test") -> Inputs:
    return listed(features, features.splits[split], Reads())


def test_global_mean_is_that_of_the_training_ratings(features: FeatureSet, rated: pd.DataFrame) -> None:
    mean = rated.loc[rated["split"] == "train", "rating"].mean()
    output = fitted(features, "global_mean")(inputs_of(features))
    assert output.rating.tolist() == pytest.approx([mean] * len(features.splits["test"]))


def test_bias_adds_the_damped_means_of_user_and_item(features: FeatureSet, rows: pd.DataFrame) -> None:
    rows = rows[rows["split"] == "test"]
    expected = features.spec.mean + rows["user_mean"] + rows["item_mean"]
    output = fitted(features, "bias")(inputs_of(features))
    np.testing.assert_allclose(output.rating, expected, atol=1e-6)
    assert output.ranking.equal(output.rating)


def test_popularity_is_the_least_squares_line_on_the_logarithm_of_the_count(
    features: FeatureSet, rows: pd.DataFrame
) -> None:
    train, test = rows[rows["split"] == "train"], rows[rows["split"] == "test"]
    slope, intercept = np.polyfit(np.log1p(train["item_count"]), train["rating"], 1)
    output = fitted(features, "popularity")(inputs_of(features))
    np.testing.assert_allclose(output.rating, intercept + slope * np.log1p(test["item_count"]), atol=1e-4)


def test_popularity_ranks_the_most_rated_first_even_if_they_are_rated_low(
    features: FeatureSet, rated: pd.DataFrame
) -> None:
    model = fitted(features, "popularity")
    assert isinstance(model, Popularity)
    model.line.copy_(torch.tensor([5.0, -1.0]))
    users = torch.tensor([0])
    inputs = grid(features, users, torch.arange(31), torch.tensor([1060]), Reads(), with_history=True)
    count = rated[rated["split"] == "train"]["item_id"].value_counts().reindex(range(1, 32), fill_value=0)
    output = model(inputs)
    np.testing.assert_allclose(output.ranking[0].exp() - 1, count, atol=1e-4)
    np.testing.assert_allclose(output.rating, 5 - output.ranking)


def test_least_squares_line_is_that_of_numpy() -> None:
    x, y = torch.randn(2, 50)
    slope, intercept = np.polyfit(x, y, 1)
    assert least_squares(x, y).tolist() == pytest.approx([intercept, slope], abs=1e-5)
    assert least_squares(torch.ones(50), y).tolist() == pytest.approx([y.mean().item(), 0])
