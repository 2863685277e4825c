"""The registry of models: it agrees with the docs, imports quickly, and a new model is one file and one entry."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Project
from widedeep.models.build import model_class
from widedeep.models.knobs import WideDeepConfig
from widedeep.models.model import Model
from widedeep.models.registry import ENTRIES, Architecture

CLASS = '''
"""A rating that is the same for all, learnt by gradient from the middle of the scale on."""

import torch
from torch import nn

from widedeep.features.inputs import Inputs
from widedeep.features.spec import Spec
from widedeep.features.inputs import Output
from widedeep.models.model import Model
from widedeep.models.knobs import ModelConfig


class Middle(Model):
    def __init__(self, spec: Spec, config: ModelConfig) -> None:
        super().__init__()
        self.rating = nn.Parameter(torch.tensor(sum(spec.rating_scale) / 2))

    def forward(self, inputs: Inputs) -> Output:
        return self.same(self.rating + inputs.pairs.dot(inputs.users.numbers[:, :0], inputs.items.numbers[:, :0]))
'''
ENTRY = """
    "middle": Entry(
        label="middle of the scale",
        about="one rating for all",
        target="widedeep.models.middle:Middle",
        tasks=("rating",),
        search={"train.learning_rate": {"low": 0.0001, "high": 0.1, "log": True}},
    ),
"""


def test_docs_have_a_row_for_each_model_that_says_the_same(root: Path) -> None:
    text = (root / "docs/model.md").read_text(encoding="utf-8")
    for name, entry in ENTRIES.items():
        knobs = ", ".join(entry.config.model_fields) or "none"
        assert f"| {name} | {entry.about} | {', '.join(entry.tasks)} | {knobs} |\n" in text


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_names_a_model(name: str) -> None:
    assert issubclass(model_class(ENTRIES[name]), Model)


def test_params_and_labels_need_no_torch(root: Path) -> None:
    code = "import stages, widedeep.params, widedeep.models.registry, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_stored_config_that_lacks_a_younger_knob_gets_its_default() -> None:
    about = Architecture(model="wide_deep", objective="joint", config=WideDeepConfig(factors=3), rating_weight=0.5)
    stored = about.model_dump(mode="json")
    del stored["config"]["noise_variance"], stored["positive_rating"]
    assert Architecture.load(stored) == about


def test_a_new_model_is_one_file_and_one_entry(project: Project) -> None:
    """The new model is trained, judged and reported. The comparison and the search offer it."""
    models = project.path / "src/widedeep/models"
    (models / "middle.py").write_text(CLASS, encoding="utf-8")
    registry = (models / "registry.py").read_text(encoding="utf-8")
    start = "ENTRIES: dict[str, Entry] = {"
    assert start in registry
    (models / "registry.py").write_text(registry.replace(start, start + ENTRY), encoding="utf-8")
    changes = {"train.model": "middle", "train.objective": "rating", "train.learning_rate": 0.01}
    project.set({"models.middle": {}} | changes)

    project.run("dvc", "repro")
    assert "Middle of the scale predicts" in (project.path / "reports/report.html").read_text(encoding="utf-8")
    assert "middle of the scale" in (project.path / "reports/summary.md").read_text(encoding="utf-8")
    stages = project.run("dvc", "stage", "list", "studies/comparison/dvc.yaml", "--name-only")
    assert "model@middle\n" in stages
    project.run("dvc", "repro", "--single-item", "studies/comparison/dvc.yaml:model@middle")
    assert (project.path / "studies/comparison/models/middle.csv").exists()
    printed = project.run(
        "env", "PYTHONPATH=src", "python", "-m", "widedeep.cli", "tune", "--model", "middle", "--trials", "1"
    )
    assert "-S 'train.model=\"middle\"' -S train.learning_rate=0.01" in printed
