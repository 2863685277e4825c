"""The part that recommends by a user's other items, against its formula written out by hand."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch

from tests.small_data import SPLITS
from widedeep.features.files import FeatureTables
from widedeep.features.questions import ANCHORS, Questions, ask_for_lists, ask_with_histories, popularity_now
from widedeep.features.ragged import Ragged
from widedeep.features.tensors import FeatureSet, feature_set
from widedeep.models.other_items import OtherItems


@pytest.fixture
def features(load: Callable[..., FeatureSet]) -> FeatureSet:
    """Features of a random split. Item 5 (with the code 4) has no training rating."""
    return load("random")


@pytest.fixture
def model(features: FeatureSet) -> OtherItems:
    """A part with random weights."""
    model = OtherItems(features.spec)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn_like(weight) / 2)
        for table in (model.had, model.wanted, model.bias):
            table.weight[0] = 0
    return model


def asked(features: FeatureSet, items: list[int], ratings: list[float]) -> Questions:
    """Ask for someone who had the items, the latest last, and for someone who had none."""
    seen = Ragged(
        torch.tensor([0, len(items), len(items)]), torch.tensor(items), torch.tensor(ratings), torch.arange(len(items))
    )
    nobody = torch.tensor([-1, -1])
    popularity = popularity_now(features, (float("inf"),))
    return ask_with_histories(features, nobody, seen, torch.tensor([99, 99]), popularity, True)


@torch.no_grad()
def test_scores_are_those_of_the_formula(features: FeatureSet, model: OtherItems) -> None:
    index = features.items.index.tolist()
    # On the scale from 0.5 to 5, an item is liked from 3.875 on.
    had = {0: 4.0, 7: 3.5, 9: 5.0}
    scores = model(asked(features, [*had], [*had.values()]))
    vector = sum(
        model.had.weight[index[item]] * (1 if rating >= 3.875 else float(model.disliked))
        for item, rating in had.items()
    )
    for item in range(len(index)):
        bias = float(model.bias.weight[index[item], 0])
        expected = bias + float(model.wanted.weight[index[item]] @ vector) / 4**0.75
        assert float(scores[0, item]) == pytest.approx(expected, rel=1e-4, abs=1e-4)
        assert float(scores[1, item]) == pytest.approx(bias, abs=1e-6)


@torch.no_grad()
def test_an_item_without_training_ratings_has_the_score_0_and_changes_no_vector_but_by_its_number(
    features: FeatureSet, model: OtherItems
) -> None:
    assert features.items.index[4] == 0
    with_it, without = asked(features, [0, 4], [5.0, 5.0]), asked(features, [0], [5.0])
    assert model(with_it)[0, 4] == 0
    torch.testing.assert_close(model.users(with_it)[0] * 3**0.75, model.users(without)[0] * 2**0.75)


@torch.no_grad()
@pytest.mark.parametrize("n", [3, ANCHORS + 2])
def test_parts_of_an_explanation_add_up_to_the_score(features: FeatureSet, model: OtherItems, n: int) -> None:
    questions = asked(features, [*range(5, 5 + n)], [5.0, 1.0] * (n // 2) + [4.0] * (n % 2))
    alone = ask_with_histories(
        features,
        torch.tensor([-1]),
        Ragged(questions.seen.start[:2], *(questions.seen.other, questions.seen.rating, questions.seen.timestamp)),
        torch.tensor([99]),
        questions.popularity,
        True,
    )
    rest, each = model.explain(alone, 2)
    assert each.shape == (ANCHORS,)
    assert float(rest + each.sum()) == pytest.approx(float(model(alone)[0, 2]), abs=1e-5)
    latest = model.had(alone.item_index[4 + n]) @ model.wanted(alone.item_index[2]) / (1 + n) ** 0.75
    weight = 1.0 if n % 2 else float(model.disliked)
    assert float(each[0]) == pytest.approx(float(latest) * weight, abs=1e-5)
    if n <= ANCHORS:
        assert float(rest) == pytest.approx(float(model.bias(alone.item_index[2])), abs=1e-5)


@torch.no_grad()
def test_before_any_training_step_vectors_of_users_are_near_the_items_that_others_like_them_had(
    featurize: Callable[..., FeatureTables],
) -> None:
    """Users with odd codes rate some of the items 0 to 14, the others some of the items 15 to 29."""
    rng = np.random.default_rng(0)
    rows = [
        {"user_id": user, "item_id": item + 1, "rating": 4.5, "timestamp": 0, "split": "train"}
        for user in range(1, 11)
        for item in rng.permutation(15)[:9] + 15 * (user % 2)
    ]
    features = feature_set(featurize("random", ratings=pd.DataFrame(rows)), *SPLITS)
    model = OtherItems(features.spec)
    model.fit(features)
    user = torch.arange(10)
    questions = ask_for_lists(features, user, torch.full_like(user, 99), model.half_lives, online=False, period=True)
    known = (features.items.index > 0).nonzero()[:, 0]
    near = (known >= 15)[None] == (user % 2 == 0)[:, None]
    scores = (model(questions) - model.bias(features.items.index)[:, 0])[:, known]
    assert (scores.masked_fill(~near, torch.inf).amin(1) > scores.masked_fill(near, -torch.inf).amax(1)).all()
