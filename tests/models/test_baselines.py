"""Baselines against numpy, on what each row may know."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.small_data import written
from widedeep.features.build import FeatureTables
from widedeep.features.store import Features
from widedeep.models.baselines import Bias, GlobalMean, Known, Popularity, running_mean

Featurize = Callable[..., FeatureTables]


@pytest.fixture
def features(featurize: Featurize, tmp_path: Path) -> Features:
    return Features.load(written(featurize(), tmp_path), "train", "validation", "test")


def test_running_mean_is_that_of_all_ratings_strictly_before(features: Features, ratings: pd.DataFrame) -> None:
    test = ratings[ratings["split"] == "test"]
    expected = [ratings.loc[ratings["timestamp"] < second, "rating"].mean() for second in test["timestamp"]]
    found = running_mean(features, features.splits["test"].timestamp)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert GlobalMean().predict(Known(torch.zeros(len(test), 1), found)).equal(found)


def test_running_mean_before_the_first_rating_is_the_training_mean(features: Features) -> None:
    assert running_mean(features, torch.tensor([0])).item() == pytest.approx(features.spec.mean)


def test_bias_adds_the_damped_means_of_user_and_item(featurize: Featurize, features: Features) -> None:
    rows = featurize().rows.to_pandas()
    rows = rows[rows["split"] == "test"]
    known = Known(features.splits["test"].history, torch.zeros(len(rows)))
    expected = features.spec.mean + rows["user_mean"] + rows["item_mean"]
    np.testing.assert_allclose(Bias(features.spec).predict(known), expected, atol=1e-6)


def test_popularity_is_the_least_squares_line_on_the_logarithm_of_the_count(
    featurize: Featurize, features: Features
) -> None:
    rows = featurize().rows.to_pandas()
    train, test = rows[rows["split"] == "train"], rows[rows["split"] == "test"]
    slope, intercept = np.polyfit(np.log1p(train["item_count"]), train["rating"], 1)
    known = Known(features.splits["test"].history, torch.zeros(len(test)))
    expected = intercept + slope * np.log1p(test["item_count"])
    np.testing.assert_allclose(Popularity(features).predict(known), expected, atol=1e-4)
