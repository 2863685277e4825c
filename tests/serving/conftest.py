"""A trained model's folder, with random weights."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from tests.small_data import bundled, small_params
from widedeep.features.tensors import FeatureSet
from widedeep.models.build import build

SCRIPT = "<script>alert(1)</script> & “Ü”"


@pytest.fixture(scope="session")
def folder(load: Callable[..., FeatureSet], tmp_path_factory: pytest.TempPathFactory) -> Path:
    features = load("temporal")
    titles = pa.array([f"Film {code}" if code else SCRIPT for code in range(len(features.items))])
    recipe = small_params(objective="joint").recipe
    torch.manual_seed(0)
    model = build(features.spec, recipe.architecture)
    model.fit(features)
    bundle = bundled(features, model.eval(), recipe.architecture)
    out = tmp_path_factory.mktemp("models")
    type(bundle)(**{**vars(bundle), "names": bundle.names._replace(titles=titles)}).save(out)
    return out
