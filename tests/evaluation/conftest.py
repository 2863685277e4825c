"""A small evaluation that tests of metrics and of the report share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from tests.small_data import written
from widedeep.evaluation.evaluate import Evaluation, evaluate
from widedeep.features.build import FeatureTables
from widedeep.features.store import Features
from widedeep.models.wide_deep import WideDeep
from widedeep.params import EvaluateParams, WideDeepParams


class Judged(NamedTuple):
    """An evaluation with what it was made from."""

    features: Features
    model: WideDeep
    params: EvaluateParams
    evaluation: Evaluation


@pytest.fixture
def judge(featurize: Callable[..., FeatureTables], tmp_path: Path) -> Callable[..., Judged]:
    """Evaluate an untrained model on the small data set; with `constant` it predicts the training mean everywhere."""

    def run(split: str = "temporal", constant: bool = False, **changes: Any) -> Judged:
        own: dict[str, Any] = {"ks": (1, 5), "relevant_rating": None, "ranked_users": 100}
        own |= {"bootstrap_replicates": 100, "examples": 3, "seed": 0}
        params = EvaluateParams(**(own | {name: changes.pop(name) for name in own if name in changes}))
        features = Features.load(written(featurize(split, **changes), tmp_path), "train", "validation", "test")
        torch.manual_seed(0)
        shape: dict[str, Any] = {
            "hidden": (4,),
            "activation": "relu",
            "dropout": 0.0,
            "batch_norm": False,
            "bounded_output": False,
        }
        model = WideDeep(features.spec, WideDeepParams(embedding_size=2, embedding_deviation=0.5, **shape)).eval()
        if constant:
            for weights in model.parameters():
                torch.nn.init.zeros_(weights)
        return Judged(features, model, params, evaluate(features, model, params))

    return run
