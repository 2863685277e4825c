"""Lists are learnt from questions in time, in the first epochs only."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch

from tests.small_data import SPLITS, bundled, small_recipe
from widedeep.errors import UserError
from widedeep.features.files import FeatureTables
from widedeep.features.questions import ask_for_lists
from widedeep.features.tensors import FeatureSet, feature_set
from widedeep.models.build import build
from widedeep.models.bundle import Bundle
from widedeep.models.model import Ensemble
from widedeep.params import Recipe
from widedeep.scoring import rank
from widedeep.training.callbacks import Row
from widedeep.training.data import TrainingData
from widedeep.training.fit import Fit, fit
from widedeep.training.next_item_task import FIRST, WINDOWS, NextItemTask

PAIRS = 12  # item 1 + n is always followed by item 1 + n + PAIRS
LOSS = "train_ranking_loss"
LISTS = {"validation_next_ndcg_at_10", "validation_period_ndcg_at_10"}


@pytest.fixture(scope="module")
def followed(featurize: Callable[..., FeatureTables]) -> FeatureSet:
    """Make 60 users, one after the other. Each rates 6 of 12 items in any order, and after each the one that follows.

    The last fifth of the users tests, the fifth before them validates.
    """
    rng = np.random.default_rng(0)
    rows = []
    for user in range(60):
        for place, item in enumerate(rng.permutation(PAIRS)[:6] + 1):
            second = 1000 + 100 * user + 2 * place
            rows += [(user + 1, item, second), (user + 1, item + PAIRS, second + 1)]
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    table = table.assign(rating=rng.integers(6, 11, len(rows)) / 2, split=np.repeat(SPLITS, [432, 144, 144]))
    items = pd.DataFrame({"item_id": np.arange(1, 31), "title": "T", "genres": [[] for _ in range(30)]})
    users = pd.DataFrame({"user_id": np.arange(1, 61)})
    return feature_set(featurize(ratings=table, items=items, users=users, crosses=()), *SPLITS)


def recipe(lists: dict[str, Any] | None = None, **changes: Any) -> Recipe:
    """Change the parameters of lists, and the others."""
    made = small_recipe(**{"objective": "joint", "hidden": (), "history": False} | changes)
    learnt = {"epochs": 3, "questions": 16, "windows": 2, "learning_rate": 0.03} | (lists or {})
    return made.with_train(ranking=made.train.ranking.model_copy(update=learnt))


@pytest.fixture(scope="module")
def trained(followed: FeatureSet, tmp_path_factory: pytest.TempPathFactory) -> Fit:
    return fit(followed, recipe(epochs=3), tmp_path_factory.mktemp("trained"))


def weights_of_lists(trained: Fit) -> list[torch.Tensor]:
    weights = [weight.detach() for weight in trained.model.list_parameters()]
    assert weights
    return weights


def equal(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> bool:
    return all(one.equal(other) for one, other in zip(first, second, strict=True))


def test_the_loss_falls_and_validation_measures_both_kinds_of_lists(trained: Fit) -> None:
    assert [row[LOSS] for row in trained.curves] == sorted((row[LOSS] for row in trained.curves), reverse=True)
    for row in trained.curves:
        assert row.keys() >= LISTS
        assert all(0 <= row[name] <= 1 for name in LISTS)


def test_a_list_begins_with_what_follows_the_latest_item(followed: FeatureSet, trained: Fit) -> None:
    """No test user was there in training, so only the order of others can tell."""
    rows = followed.splits["test"]
    after = rows[rows.item >= PAIRS]
    popular = build(followed.spec, small_recipe(model="popularity").architecture)
    popular.fit(followed)
    models = {"trained": trained.model, "popularity": popular}
    lists = rank(models, followed, after.user, after.timestamp, 10, online=True)
    hits = {name: (found.items[:, 0] == after.item).float().mean().item() for name, found in lists.items()}
    assert hits["trained"] > 0.95
    assert hits["popularity"] < 0.4


def test_after_the_epochs_of_lists_their_weights_stay_and_others_learn_on(
    featurize: Callable[..., FeatureTables], ratings: pd.DataFrame, tmp_path: Path
) -> None:
    """Without validation rows the last epoch is kept."""
    table = ratings.assign(split=ratings["split"].replace("validation", "train"))
    features = feature_set(featurize(ratings=table), *SPLITS)
    short, long, longer = (
        fit(features, recipe({"epochs": lists}, epochs=epochs), tmp_path / f"{lists} {epochs}")
        for lists, epochs in ((2, 2), (2, 4), (4, 4))
    )
    assert equal(weights_of_lists(short), weights_of_lists(long))
    assert not equal(weights_of_lists(short), weights_of_lists(longer))
    others = [
        [weight for name, weight in one.model.named_parameters() if "next_items" not in name] for one in (short, long)
    ]
    assert not equal(others[0], others[1])
    assert [row[LOSS] for row in long.curves[2:]] == [long.curves[1][LOSS]] * 2
    assert long.curves[-1]["train_rmse"] < short.curves[-1]["train_rmse"]


@pytest.mark.parametrize(
    ("name", "value", "neutral"), [("negatives", 3, "0"), ("positive_rating", 4.0, "null"), ("rating_weight", 0.5, "0")]
)
def test_parameters_of_the_other_ranking_task_are_refused(
    followed: FeatureSet, name: str, value: float, neutral: str
) -> None:
    with pytest.raises(UserError) as raised:
        TrainingData(followed, recipe({name: value}).train)
    assert str(raised.value) == (
        f"train.ranking.{name} must be {neutral} for train.objective: joint and data in order of time, which learn "
        f"lists from questions. Got {value} instead."
    )


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    followed: FeatureSet, trained: Fit, tmp_path: Path
) -> None:
    again = fit(followed, recipe(epochs=3), tmp_path / "a")
    other = fit(followed, recipe(epochs=3).with_train(seed=1), tmp_path / "b")
    assert equal(weights_of_lists(trained), weights_of_lists(again))
    assert again.curves == trained.curves
    assert not equal(weights_of_lists(trained), weights_of_lists(other))


@pytest.mark.parametrize("killed_in", [1, 3])
def test_a_killed_training_ends_with_the_same_lists(followed: FeatureSet, tmp_path: Path, killed_in: int) -> None:
    """It is killed while lists are learnt, or after."""

    class Killed(BaseException):
        pass

    def kill(row: Row) -> None:
        if row["epoch"] == killed_in:
            raise Killed

    params = recipe({"epochs": 2}, epochs=4)
    whole = fit(followed, params, tmp_path / "a")
    with pytest.raises(Killed):
        fit(followed, params, tmp_path / "b", kill)
    resumed = fit(followed, params, tmp_path / "b")
    assert resumed.curves == whole.curves
    assert equal(weights_of_lists(resumed), weights_of_lists(whole))


def test_members_learn_lists_apart_and_answer_by_their_mean(followed: FeatureSet, tmp_path: Path) -> None:
    model = fit(followed, recipe(epochs=1, members=2), tmp_path / "a").model
    first, second = (member.list_parameters() for member in cast(Ensemble, model).each())
    assert not equal(first, second)
    models = {"both": model, "first": cast(Ensemble, model).each()[0], "second": cast(Ensemble, model).each()[1]}
    rows = followed.splits["test"][:5]
    asked = ask_for_lists(followed, rows.user, rows.timestamp, model.half_lives, online=True, period=False)
    answers = {name: one.answer(asked) for name, one in models.items()}
    torch.testing.assert_close(answers["both"], (answers["first"] + answers["second"]) / 2)


def test_a_loaded_bundle_makes_the_lists_of_the_trained_model(
    followed: FeatureSet, trained: Fit, tmp_path: Path
) -> None:
    bundled(followed, trained.model, recipe().architecture).save(tmp_path)
    loaded = Bundle.load(tmp_path)
    user, second = torch.arange(60), torch.full((60,), 5000)
    expected = rank({"m": trained.model}, followed.context(), user, second, 10)["m"]
    found = rank({"m": loaded.model}, loaded.context, user, second, 10)["m"]
    assert found.items.equal(expected.items)
    torch.testing.assert_close(found.scores, expected.scores)


def test_a_rating_added_to_a_loaded_bundle_counts_in_the_next_list(
    followed: FeatureSet, trained: Fit, tmp_path: Path
) -> None:
    bundled(followed, trained.model, recipe().architecture).save(tmp_path)
    loaded = Bundle.load(tmp_path)
    user, item, second = torch.tensor([59]), torch.tensor([4]), torch.tensor([9000])
    context = loaded.context.add(user, item, torch.tensor([4.0]), second).settled()
    for online in (False, True):
        found = rank({"m": loaded.model}, context, user, second + 60, 10, online=online)["m"]
        assert (found.items[0, 0] == item + PAIRS) if online else (found.items[0] == item + PAIRS).any()


def test_batches_are_windows_with_enough_past(followed: FeatureSet) -> None:
    task = NextItemTask(recipe().train)
    windows, size = task.batches(followed)
    assert size == 2
    assert isinstance(windows, torch.Tensor)
    assert len(windows) == 2 * -(-432 // 32)  # as many batches as the ratings have
    assert (int(windows.min()), int(windows.max())) == (FIRST, WINDOWS - 1)


def test_lists_are_learnt_from_questions_only_in_order_of_time(featurize: Callable[..., FeatureTables]) -> None:
    features = feature_set(featurize("random"), *SPLITS)
    assert not any(isinstance(task, NextItemTask) for task in TrainingData(features, recipe().train).tasks)
