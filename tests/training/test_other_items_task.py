"""Without an order of time, lists are learnt from hidden items that users liked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.small_data import SPLITS, small_recipe
from tests.training.test_next_item_task import recipe
from widedeep.errors import UserError
from widedeep.features.files import FeatureTables
from widedeep.features.tensors import FeatureSet, feature_set
from widedeep.models.build import build
from widedeep.models.model import Ensemble
from widedeep.scoring import rank
from widedeep.training.data import TrainingData
from widedeep.training.fit import Fit, fit
from widedeep.training.other_items_task import OtherItemsTask

LOSS, NDCG = "train_ranking_loss", "validation_ndcg_at_10"


@pytest.fixture(scope="module")
def tastes(featurize: Callable[..., FeatureTables]) -> FeatureSet:
    """Make 90 users of 3 tastes. Each likes 8 of the 10 items of their taste.

    One of the 8 is for validation, another one for the test.
    """
    rng = np.random.default_rng(0)
    rows = [
        (user, int(item), 5.0, {0: "test", 1: "validation"}.get(place, "train"))
        for user in range(1, 91)
        for place, item in enumerate(rng.permutation(10)[:8] + 1 + 10 * (user % 3))
    ]
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "rating", "split"]).assign(timestamp=7)
    users = pd.DataFrame({"user_id": np.arange(1, 91)})
    return feature_set(featurize("random", ratings=table, users=users, crosses=()), *SPLITS)


@pytest.fixture(scope="module")
def trained(tastes: FeatureSet, tmp_path_factory: pytest.TempPathFactory) -> Fit:
    return fit(tastes, recipe({"epochs": 3}, epochs=5), tmp_path_factory.mktemp("trained"))


def lists(model: torch.nn.Module, features: FeatureSet, user: torch.Tensor) -> torch.Tensor:
    assert isinstance(model, Ensemble)
    return rank({"": model}, features, user, torch.full_like(user, 99), 10)[""].items


def test_a_list_begins_with_what_people_with_the_same_taste_had(tastes: FeatureSet, trained: Fit) -> None:
    test = tastes.splits["test"]
    popular = build(tastes.spec, small_recipe(model="popularity").architecture)
    popular.fit(tastes)
    models = {"trained": trained.model, "popularity": popular}
    found = rank(models, tastes, test.user, test.timestamp, 4)  # each user lacks 4 items of their taste
    hits = {name: (of.items == test.item[:, None]).any(1).float().mean().item() for name, of in found.items()}
    assert hits["trained"] > 0.95
    assert hits["popularity"] < 0.6


def test_the_loss_falls_and_the_weights_of_lists_stay_after_their_epochs(tastes: FeatureSet, trained: Fit) -> None:
    losses = [row[LOSS] for row in trained.curves]
    assert losses[:3] == sorted(losses[:3], reverse=True)
    assert losses[3:] == [losses[2]] * 2
    assert all(0 <= row[NDCG] <= 1 for row in trained.curves)
    assert trained.curves[2][NDCG] == trained.curves[4][NDCG] > 0.5


def test_the_epoch_is_chosen_by_the_ratings_alone(trained: Fit) -> None:
    assert trained.epoch == min(trained.curves, key=lambda row: row["validation_rmse"])["epoch"]


def test_no_step_sees_a_validation_or_test_item(tastes: FeatureSet, tmp_path: Path) -> None:
    """Other validation and test ratings give the same weights."""
    swapped = {name: rows[torch.arange(len(rows)).flip(0)] for name, rows in tastes.splits.items() if name != "train"}
    for rows in swapped.values():
        rows.item.copy_((rows.item + 3) % 30)
    changed = FeatureSet(**{**vars(tastes), "splits": tastes.splits | swapped})
    models = [fit(some, recipe(epochs=1), tmp_path / str(n)).model for n, some in enumerate((tastes, changed))]
    weights = [model.list_parameters() for model in models]
    assert weights[0]
    assert all(torch.equal(one, other) for one, other in zip(*weights, strict=True))


@pytest.mark.parametrize(
    ("name", "value", "neutral"), [("negatives", 3, "0"), ("positive_rating", 4.0, "null"), ("rating_weight", 0.5, "0")]
)
def test_parameters_of_the_other_ranking_task_are_refused(
    tastes: FeatureSet, name: str, value: Any, neutral: str
) -> None:
    with pytest.raises(UserError) as raised:
        TrainingData(tastes, recipe({name: value}).train, apart=True)
    assert str(raised.value) == (
        f"train.ranking.{name} must be {neutral} for train.objective: joint, models.wide_deep.factors: 0 and data "
        f"without an order in time, which learn lists from a user's other items. Got {value} instead."
    )


def test_an_inner_product_ranks_by_a_second_head_instead(tastes: FeatureSet) -> None:
    with_product = recipe(factors=2)
    model = build(tastes.spec, with_product.architecture)
    assert not model.list_parameters()
    assert not model.half_lives
    own = build(tastes.spec, recipe().architecture)
    assert own.half_lives
    assert isinstance(TrainingData(tastes, recipe().train, apart=True).tasks[1], OtherItemsTask)
    assert not isinstance(TrainingData(tastes, with_product.train).tasks[1], OtherItemsTask)


def test_users_who_like_nothing_give_a_loss_of_0(featurize: Callable[..., FeatureTables], tmp_path: Path) -> None:
    rows = [(user, item, 1.0, "train") for user in range(1, 11) for item in range(user, user + 5)]
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "rating", "split"]).assign(timestamp=7)
    features = feature_set(featurize("random", ratings=table), *SPLITS)
    trained = fit(features, recipe(epochs=1), tmp_path)
    assert trained.curves[0][LOSS] == 0
    assert (lists(trained.model, features, torch.arange(10))[:, :5] >= 0).all()
