"""Warm start: a commit with a model, and then more ratings for training."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.conftest import Project
from widedeep.features.vocabulary import Vocabulary

EMBEDDING_SIZE = "models.wide_deep.embedding_size"
MORE = {"preprocess.validation_fraction": 0.05, "preprocess.test_fraction": 0.05}


def weights(project: Project) -> bytes:
    return (project.path / "models/model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def warm(session_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Run `dvc repro` with 90 % of the ratings for training, as a warm start from the commit with 80 %."""
    project = session_project.copy(tmp_path_factory.mktemp("warm") / "repo")
    commit = project.run("git", "rev-parse", "HEAD").strip()
    project.set(MORE | {"train.warm_start_from": commit})
    project.run("dvc", "repro")
    return project


def test_the_vocabularies_of_a_commit_grow(session_project: Project, warm: Project) -> None:
    before, after = (Vocabulary.load(project.path / "models") for project in (session_project, warm))
    for known, grown in ((before.user_ids, after.user_ids), (before.item_ids, after.item_ids)):
        assert len(grown) > len(known)
        assert grown[: len(known)] == known
    assert after.spec.mean == before.spec.mean
    assert before.trained_until is not None
    assert after.trained_until is not None
    assert after.trained_until > before.trained_until
    metrics = json.loads((warm.path / "reports/metrics.json").read_text(encoding="utf-8"))
    assert metrics["rating"]["online"]["rmse"]["n"] < 6000


def test_a_folder_serves_as_well_as_a_commit(session_project: Project, warm: Project, tmp_path: Path) -> None:
    project = warm.copy(tmp_path / "repo")
    made = weights(project)
    session_project.copy(tmp_path / "earlier")
    project.set({"train.warm_start_from": "../earlier/models"})
    assert "preprocess" in project.run("dvc", "repro")
    assert weights(project) == made


def test_mistakes_are_told(warm: Project, tmp_path: Path, run_stage: Callable[[Project, str], str]) -> None:
    project = warm.copy(tmp_path / "repo")
    commit = yaml.safe_load((project.path / "params.yaml").read_text(encoding="utf-8"))["train"]["warm_start_from"]
    damaged = project.path / "damaged"
    shutil.copytree(project.path / "models", damaged)
    (damaged / "model.safetensors").write_bytes(b"cut")
    for changes, told in (
        ({"train.warm_start_from": "nowhere"}, "There is no revision 'nowhere'"),
        ({"train.warm_start_from": "models"}, "models is the folder of the new model"),
        ({"train.warm_start_from": "workspace"}, "workspace is the folder of the new model"),
        (
            {"train.warm_start_from": "damaged"},
            "train.warm_start_from: damaged/model.safetensors is not a whole file of weights",
        ),
        ({"train.warm_start_from": "reports"}, "train.warm_start_from: reports holds no model"),
        ({"train.warm_start_from": commit, EMBEDDING_SIZE: 9}, f"{EMBEDDING_SIZE} must be 8, as in the earlier model"),
    ):
        project.set(changes)
        assert told in run_stage(project, "train")
    project.set({EMBEDDING_SIZE: 8, "featurize.recent": [4]})
    assert "the features of the earlier model have recent" in run_stage(project, "featurize")
    project.set({"featurize.recent": [3, 10, 50], "preprocess.test_fraction": 0.15})
    for stage in ("preprocess", "featurize"):
        assert "error: " not in run_stage(project, stage)
    assert "no training rating is later than" in run_stage(project, "train")
