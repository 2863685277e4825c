"""The ablation compares variants with the preset on validation rows, with paired intervals."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from studies.ablation.run import ablate, ndcgs, squared_errors
from studies.tuning.presets import load_preset
from tests.conftest import ROOT
from tests.lists import lists
from tests.small_data import small_params, small_recipe
from widedeep.columns import TRAIN, VALIDATION
from widedeep.evaluation import ranking
from widedeep.evaluation.bootstrap import Estimate, verdict
from widedeep.features.assemble import grid
from widedeep.features.ragged import Ragged
from widedeep.features.tensors import FeatureSet
from widedeep.models.bias import Bias
from widedeep.models.global_mean import GlobalMean
from widedeep.models.knobs import ModelConfig
from widedeep.params import changed, load_params, merged, nested
from widedeep.scoring import top_items

Load = Callable[..., FeatureSet]


def test_same_parameters_have_no_difference_and_others_have_their_own_value(load: Load) -> None:
    features = load("random")
    without_deep: dict[str, Any] = {
        f"models.wide_deep.{key}": value for key, value in (("hidden", []), ("dropout", 0), ("factors", 4))
    }
    table = ablate(features, small_params(epochs=1), {"same": {}, "no deep part": without_deep}, seeds=1)
    assert table["variant"].tolist() == ["preset", "same", "no deep part"]
    assert table.loc[1, ["difference", "low", "high"]].tolist() == [0, 0, 0]
    assert table["verdict"].tolist()[:2] == ["", "no evidence"]
    assert table.loc[2, "difference"] == pytest.approx(table.loc[2, "rmse"] - table.loc[0, "rmse"], abs=2e-4)


def test_squared_errors_are_those_of_the_validation_rows(load: Load) -> None:
    features = load("random")
    rows = features.splits[VALIDATION]
    errors, n = squared_errors(features, GlobalMean(features.spec, ModelConfig()))
    assert n.sum() == len(rows)
    assert errors.sum() == pytest.approx(float((rows.rating - features.spec.mean).square().sum()), rel=1e-5)


def test_ndcg_is_that_of_the_evaluation(load: Load) -> None:
    features, params = load("random"), small_recipe(objective="ranking", positive_rating=3.0).train
    model = Bias(features.spec, ModelConfig())
    rows, train = features.splits[VALIDATION], features.splits[TRAIN]
    liked = rows[rows.rating >= 3]
    users = liked.user.unique()
    place = np.searchsorted(users.numpy(), liked.user.numpy())
    catalogue = liked.item.new_tensor(range(len(features.items)))
    first = liked.timestamp.new_tensor([int(liked.timestamp[liked.user == user].min()) for user in users])
    scores = model(grid(features, users, catalogue, first, model.reads, with_history=True)).ranking
    known = np.isin(train.user.numpy(), users.numpy())
    owner = liked.user.new_tensor(np.searchsorted(users.numpy(), train.user.numpy()[known]))
    rated = Ragged.of(owner, train.item[known], train.rating[known], train.timestamp[known], len(users))
    top = top_items(scores, rated, 10, features.tie_order).items
    expected = ranking.ndcg(lists(top, pairs=(place, liked.item)), 10)
    np.testing.assert_allclose(ndcgs(features, model, params)[0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("interval", "lower_is_better", "expected"),
    [((-0.02, -0.01), True, "better"), ((-0.02, -0.01), False, "worse"), ((-0.01, 0.02), True, "no evidence")],
)
def test_verdict(interval: tuple[float, float], lower_is_better: bool, expected: str) -> None:
    assert verdict(Estimate(sum(interval) / 2, *interval, 10), lower_is_better) == expected


@pytest.mark.parametrize("objective", ["rating", "ranking"])
def test_every_variant_is_possible(objective: str) -> None:
    variants: dict[str, Any] = yaml.safe_load(Path(ROOT / "studies/ablation/variants.yaml").read_text(encoding="utf-8"))
    params = load_params(ROOT / "params.yaml")
    preset = load_preset(ROOT / "studies/tuning/ml-100k.yaml", "random", objective)
    assert preset is not None
    own = {"train": {"objective": objective}, "models": {"wide_deep": {"members": 1}}}
    used = changed(params, merged(preset, own), "preset")
    for change in variants[objective].values():
        assert changed(used, nested(change), "variant") != used
