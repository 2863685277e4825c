"""The train stage as its own process: what it writes, alone and with several processes."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.small_data import written
from widedeep.features.files import FeatureTables
from widedeep.files import sha256
from widedeep.models.bundle import Bundle
from widedeep.training.callbacks import CURVES

FAST = {"epochs": 2, "batch_size": 32, "accelerator": "cpu"}

MODEL = {
    *("model.json", "model.safetensors", "vocabulary.json"),
    *("features.json", "users.parquet", "items.parquet", "rows.parquet"),
}


@pytest.fixture
def train(root: Path, tmp_path: Path, featurize: Callable[..., FeatureTables]) -> Callable[..., str]:
    """Run the stage in `tmp_path` on the small data set, with other train params. Return what it prints."""
    (tmp_path / "features").mkdir()
    written(featurize(), tmp_path / "features")

    def run(**changes: Any) -> str:
        params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
        params["train"] |= FAST | changes
        params["models"]["wide_deep"] |= {"embedding_size": 4, "hidden": [8]}
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        command = [
            sys.executable, "-m", "stages.train", "--params", "params.yaml", "--features", "features",
            "--out", "models", "--curves", "curves.csv", "--checkpoints", "checkpoints",
        ]  # fmt: skip
        store = {"MLFLOW_TRACKING_URI": "sqlite:///runs.db", "PYTHONPATH": str(root)}
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | store, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=True,
        )  # fmt: skip
        return done.stdout

    return run


def test_outputs_are_a_model_and_a_row_per_epoch(train: Callable[..., str], tmp_path: Path) -> None:
    train()
    assert {path.name for path in (tmp_path / "models").iterdir()} == MODEL
    curves = pd.read_csv(tmp_path / "curves.csv")
    assert curves["epoch"].tolist() == [0, 1]
    assert list(curves) == ["epoch", *CURVES]
    assert curves["train_ranking_loss"].isna().all()
    bundle = Bundle.load(tmp_path / "models")
    assert bundle.data_sha256 == sha256(tmp_path / "features")
    assert bundle.names.titles.to_pylist() == ["T"] * 31
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_without_a_terminal_there_is_a_plain_line_per_epoch(train: Callable[..., str]) -> None:
    lines = [line for line in train().splitlines() if line.startswith("epoch")]
    assert len(lines) == 2
    assert "validation_rmse" in lines[0]


def test_output_that_cannot_be_replaced_is_found_before_the_training(train: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to("not-mounted")
    with pytest.raises(subprocess.CalledProcessError) as found:
        train()
    assert "error: models is a symbolic link to not-mounted, which does not exist" in found.value.output
    assert "epoch" not in found.value.output


def test_unfinished_checkpoints_of_killed_trainings_do_not_stay(train: Callable[..., str], tmp_path: Path) -> None:
    other = tmp_path / "checkpoints" / "other"
    other.mkdir(parents=True)
    for name in ("last.ckpt", "last.ckpt.partial"):
        (other / name).touch()
    (tmp_path / "big").mkdir()
    (tmp_path / "models").symlink_to("big")
    train()
    assert [path.name for path in other.iterdir()] == ["last.ckpt"]
    assert (tmp_path / "models").is_symlink()
    assert {path.name for path in (tmp_path / "big").iterdir()} == MODEL


def test_several_processes_train_one_model(train: Callable[..., str], tmp_path: Path) -> None:
    printed = train(devices=2)
    assert "MEMBER: 2/2" in printed
    assert printed.count("epoch  1") == 1
    assert {path.name for path in (tmp_path / "models").iterdir()} == MODEL
    assert len(pd.read_csv(tmp_path / "curves.csv")) == 2
