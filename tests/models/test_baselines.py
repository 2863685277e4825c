"""Baselines, compared with numpy, with the knowledge of each row."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from tests.small_data import small_recipe
from widedeep.features.assemble import grid, listed
from widedeep.features.files import FeatureTables
from widedeep.features.inputs import Inputs
from widedeep.features.tensors import FeatureSet, feature_set
from widedeep.models.build import build
from widedeep.models.knobs import RecentPopularityConfig
from widedeep.models.model import Model
from widedeep.models.popularity import HALF_LIVES, Popularity, RecentPopularity, least_squares

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
    return listed(features, features.splits[split], Popularity.reads)


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
    inputs = grid(features, users, torch.arange(31), torch.tensor([1060]), model.reads)
    count = rated[rated["split"] == "train"]["item_id"].value_counts().reindex(range(1, 32), fill_value=0)
    output = model(inputs)
    assert output.ranking[0].tolist() == count.tolist()
    np.testing.assert_allclose(output.rating, 5 - output.ranking.log1p(), atol=1e-6)


def test_least_squares_line_is_that_of_numpy() -> None:
    x, y = torch.randn(2, 50)
    slope, intercept = np.polyfit(x, y, 1)
    assert least_squares(x, y).tolist() == pytest.approx([intercept, slope], abs=1e-5)
    assert least_squares(torch.ones(50), y).tolist() == pytest.approx([y.mean().item(), 0])


DAY = 86_400


@pytest.fixture
def fashions(featurize: Featurize) -> Callable[..., FeatureSet]:
    """Make 6 ratings of item 1 on day 0, and 3 of item 2 on day 100. Item 3 has none.

    On day 110, four users rate the item of `validation`. Users are new to what they rate.
    """

    def build(validation: int | None) -> FeatureSet:
        rows = [(user, 1, 0, "train") for user in range(1, 7)] + [(user, 2, 100, "train") for user in range(7, 10)]
        if validation:
            rows += [(user, validation, 110, "validation") for user in range(10, 14)]
        rows += [(1, 2, 120, "test")]
        ratings = pd.DataFrame(rows, columns=["user_id", "item_id", "day", "split"]).assign(rating=4.0)
        ratings["timestamp"] = DAY * ratings["day"] + 1000
        items = pd.DataFrame({"item_id": [1, 2, 3], "title": "T", "genres": [[], [], []]})
        users = pd.DataFrame({"user_id": range(1, 14)})
        tables = featurize("temporal", ratings=ratings, items=items, users=users, crosses=())
        return feature_set(tables, "train", "validation", "test")

    return build


def recent(features: FeatureSet, half_life: float | None = None) -> RecentPopularity:
    model = RecentPopularity(features.spec, RecentPopularityConfig(half_life_days=half_life))
    model.fit(features)
    return model


@pytest.mark.parametrize(("validation", "expected"), [(1, max(HALF_LIVES)), (2, 30.0), (None, 365.0)])
def test_recent_popularity_takes_the_half_life_that_fits_the_validation_rows(
    fashions: Callable[..., FeatureSet], validation: int | None, expected: float
) -> None:
    """A shorter one than 30 days would forget the ratings of item 2 as well, which are 10 days old."""
    assert recent(fashions(validation)).half_life.item() == expected


def test_recent_popularity_takes_a_half_life_in_between_where_it_is_most_likely(
    fashions: Callable[..., FeatureSet],
) -> None:
    """Half of the validation rows rate each of the items 1 and 2."""
    features = fashions(1)
    valid = features.splits["validation"]
    mixed = replace(valid, item=torch.tensor([0, 0, 1, 1]))
    likelihood = {}
    for days in HALF_LIVES:
        counts = np.array([6 * 0.5 ** (110 / days), 3 * 0.5 ** (10 / days), 0.0]) + 1
        likelihood[days] = np.log(counts / counts.sum())[[0, 0, 1, 1]].mean()
    best = max(likelihood, key=likelihood.__getitem__)
    assert min(HALF_LIVES) < best < max(HALF_LIVES)
    model = recent(replace(features, splits=features.splits | {"validation": mixed}))
    assert model.half_life.item() == best


@pytest.mark.parametrize(("half_life", "order"), [(30.0, [1, 0, 2]), (1000.0, [0, 1, 2])])
def test_recent_popularity_orders_by_the_decayed_count(
    fashions: Callable[..., FeatureSet], half_life: float, order: list[int]
) -> None:
    features = fashions(2)
    model = recent(features, half_life)
    now = torch.tensor([120 * DAY + 1000])
    inputs = grid(features, torch.tensor([0]), torch.arange(3), now, model.reads)
    output = model(inputs)
    expected = [6 * 0.5 ** (120 / half_life), 3 * 0.5 ** (20 / half_life), 0.0]
    assert output.ranking[0].tolist() == pytest.approx(expected, rel=1e-5)
    assert output.ranking[0].argsort(descending=True).tolist() == order
    line = model.line[0] + model.line[1] * output.ranking.log1p()
    torch.testing.assert_close(output.rating, line)
    online = model(grid(features, torch.tensor([0]), torch.arange(3), now, model.reads, online=True)).ranking[0]
    expected[1] += 4 * 0.5 ** (10 / half_life)  # the validation ratings are known too
    assert online.tolist() == pytest.approx(expected, rel=1e-5)
