"""A small evaluation that tests of metrics and of the report share."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
import torch

from tests.small_data import train_params, written
from widedeep.evaluation.background import Background
from widedeep.evaluation.judge import Evaluation, judge
from widedeep.features.build import FeatureTables
from widedeep.features.store import Features
from widedeep.models.family import build
from widedeep.models.model import Model
from widedeep.params import EvaluateParams, TrainParams
from widedeep.scoring import score_tables
from widedeep.training.fit import Fit, fit


class Judged(NamedTuple):
    """An evaluation with what it was made from: the score tables, what they were scored by, and the learning curves."""

    features: Features
    model: Model
    about: TrainParams
    params: EvaluateParams
    background: Background
    predictions: pd.DataFrame
    recommendations: pd.DataFrame
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
        own: dict[str, Any] = {"ks": (1, 5), "relevant_rating": None, "ranked_users": 100}
        own |= {"bootstrap_replicates": 100, "seed": 0}
        params = EvaluateParams(**(own | {name: changes.pop(name) for name in own if name in changes}))
        features = Features.load(written(featurize(split, **changes), tmp_path), "train", "validation", "test")
        about = train_params(**{"epochs": 2} | dict(train or {}))
        if trained:
            done = fit(features, about, tmp_path / "checkpoints")
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
        tables = score_tables(features, done.model, about.model, about, params)
        evaluation = judge(*tables, background, params)
        made_of = features, done.model, about, params, background
        return Judged(*made_of, *tables, evaluation, pd.DataFrame(done.curves), done.epoch)

    return run
