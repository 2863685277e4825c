"""A small evaluation, for tests of metrics and of the report."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
import torch

from tests.small_data import small_recipe, written
from widedeep.evaluation.background import Background
from widedeep.evaluation.judge import Evaluation, judge
from widedeep.features.files import FeatureTables
from widedeep.features.tensors import FeatureSet, load_features
from widedeep.models.build import build
from widedeep.models.model import Model
from widedeep.models.registry import Architecture
from widedeep.params import EvaluateParams
from widedeep.score_tables import score_tables, with_baselines
from widedeep.training.fit import Fit, fit


class Judged(NamedTuple):
    """An evaluation, with everything from which it was made: score tables, features, model learning curves, and lists
    with popularity penalties."""

    features: FeatureSet
    model: Model
    about: Architecture
    params: EvaluateParams
    background: Background
    predictions: pd.DataFrame
    recommendations: pd.DataFrame
    by_penalty: pd.DataFrame
    evaluation: Evaluation
    curves: pd.DataFrame
    kept: int


@pytest.fixture(name="judge")
def judge_fixture(
    featurize: Callable[..., FeatureTables], ratings: pd.DataFrame, items: pd.DataFrame, tmp_path: Path
) -> Callable[..., Judged]:
    """Evaluate a model on the small data set, with other parameters of training and evaluation where given: fitted,
    and `trained` by gradient if asked for; with `constant` it predicts the training mean everywhere."""

    def run(
        split: str = "temporal",
        train: Mapping[str, Any] | None = None,
        trained: bool = False,
        constant: bool = False,
        **changes: Any,
    ) -> Judged:
        own: dict[str, Any] = {"ks": (1, 5), "relevant_rating": None, "ranked_users": 100, "ranked_questions": 50}
        own |= {"popularity_penalty": 0, "bootstrap_replicates": 100, "seed": 0}
        params = EvaluateParams(**(own | {name: changes.pop(name) for name in own if name in changes}))
        features = load_features(written(featurize(split, **changes), tmp_path), "train", "validation", "test")
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
        facts = changes.get("ratings", ratings), changes.get("items", items)
        background = Background.of(*facts, "csv", features.spec.rating_scale)
        models = with_baselines(features, about.model, done.model)
        predictions, recommendations, by_penalty = score_tables(features, models, params)
        evaluation = judge(predictions, recommendations, background, params, by_penalty)
        made_of = features, done.model, about, params, background
        curves = pd.DataFrame(done.curves)
        return Judged(*made_of, predictions, recommendations, by_penalty, evaluation, curves, done.epoch)

    return run
