"""A small evaluation that tests of metrics and of the report share."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
import torch
from widedeep.evaluation.evaluate import Evaluation, evaluate

from tests.small_data import small_recipe, written
from widedeep.evaluation.evaluate import Evaluation, evaluate
from widedeep.features.build import FeatureTables
from widedeep.features.store import Features
from widedeep.models.build import build
from widedeep.models.model import Model
from widedeep.models.registry import Architecture
from widedeep.params import EvaluateParams
from widedeep.training.fit import Fit, fit


class Judged(NamedTuple):
    """An evaluation with what it was made from, and the learning curves."""

    features: Features
    model: Model
    about: Architecture
    params: EvaluateParams
    evaluation: Evaluation
    curves: pd.DataFrame
    kept: int


@pytest.fixture
def judge(featurize: Callable[..., FeatureTables], tmp_path: Path) -> Callable[..., Judged]:
    """Evaluate a model on the small data set, with other parameters of training and evaluation where given: fitted,
    and `trained` by gradient if asked for; with `constant` it predicts the training mean everywhere."""

    def run(
        split: str = "temporal",
        train: Mapping[str, Any] | None = None,
        trained: bool = False,
        constant: bool = False,
        **changes: Any,
    ) -> Judged:
        own: dict[str, Any] = {"ks": (1, 5), "relevant_rating": None, "ranked_users": 100}
        own |= {"bootstrap_replicates": 100, "examples": 3, "seed": 0}
        params = EvaluateParams(**(own | {name: changes.pop(name) for name in own if name in changes}))
        features = Features.load(written(featurize(split, **changes), tmp_path), "train", "validation", "test")
        recipe = small_recipe(**{"epochs": 2} | dict(train or {}))
        about = recipe.architecture
        if trained:
            done = fit(features, recipe, tmp_path / "checkpoints")
        else:
            torch.manual_seed(0)
            model = build(features.spec, about)
            model.fit(features)
            done = Fit(model.eval(), [{"epoch": 0}], 0, {})
        if constant:
            for weights in done.model.parameters():
                torch.nn.init.zeros_(weights)
        evaluation = evaluate(features, done.model, about, params)
        return Judged(features, done.model, about, params, evaluation, pd.DataFrame(done.curves), done.epoch)

    return run
