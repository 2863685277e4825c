"""The train stage as its own process: what it writes and prints, alone and with several processes."""

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

FAST = {"objective": "rating", "epochs": 2, "batch_size": 32, "accelerator": "cpu"}

MODEL = {
    *("model.json", "model.safetensors", "vocabulary.json"),
    *("features.json", "users.parquet", "items.parquet", "rows.parquet"),
}


@pytest.fixture(scope="module")
def train(
    root: Path, featurize: Callable[..., FeatureTables], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[Path, str]]:
    """Run the stage on the small data set, in `where` or a new folder. Return the folder and what the stage prints."""

    def run(where: Path | None = None, **changes: Any) -> tuple[Path, str]:
        folder = where or tmp_path_factory.mktemp("train")
        (folder / "features").mkdir()
        written(featurize(), folder / "features")
        params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
        params["train"] |= FAST | changes
        params["models"]["wide_deep"] |= {"embedding_size": 4, "hidden": [8]}
        (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        command = [
            sys.executable, "-m", "stages.train", "--params", "params.yaml", "--features", "features",
            "--out", "models", "--curves", "curves.csv", "--checkpoints", "checkpoints",
        ]  # fmt: skip
        store = {"MLFLOW_TRACKING_URI": "sqlite:///runs.db", "PYTHONPATH": str(root)}
        done = subprocess.run(
            command, cwd=folder, env=os.environ | store, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=True,
        )  # fmt: skip
        return folder, done.stdout

    return run


@pytest.fixture(scope="module")
def trained(train: Callable[..., tuple[Path, str]]) -> tuple[Path, str]:
    """The folder after the stage, and what the stage printed."""
    return train()


@pytest.mark.slow
def test_outputs_are_a_model_and_a_row_per_epoch(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    assert {path.name for path in (folder / "models").iterdir()} == MODEL
    curves = pd.read_csv(folder / "curves.csv")
    assert curves["epoch"].tolist() == [0, 1]
    assert list(curves) == ["epoch", *CURVES]
    assert curves["train_ranking_loss"].isna().all()
    bundle = Bundle.load(folder / "models")
    assert bundle.data_sha256 == sha256(folder / "features")
    assert bundle.names.titles.to_pylist() == ["T"] * 31
    assert list((folder / "checkpoints").iterdir()) == []


@pytest.mark.slow
def test_without_a_terminal_there_is_a_plain_line_per_epoch(trained: tuple[Path, str]) -> None:
    lines = [line for line in trained[1].splitlines() if line.startswith("epoch")]
    assert len(lines) == 2
    assert "validation_rmse" in lines[0]


@pytest.mark.slow
def test_output_that_cannot_be_replaced_is_found_before_the_training(
    train: Callable[..., tuple[Path, str]], tmp_path: Path
) -> None:
    (tmp_path / "models").symlink_to("not-mounted")
    with pytest.raises(subprocess.CalledProcessError) as found:
        train(tmp_path)
    assert "error: models is a symbolic link to not-mounted, which does not exist" in found.value.output
    assert "epoch" not in found.value.output


@pytest.mark.slow
def test_unfinished_checkpoints_of_killed_trainings_do_not_stay(
    train: Callable[..., tuple[Path, str]], tmp_path: Path
) -> None:
    other = tmp_path / "checkpoints" / "other"
    other.mkdir(parents=True)
    for name in ("last.ckpt", "last.ckpt.partial"):
        (other / name).touch()
    (tmp_path / "big").mkdir()
    (tmp_path / "models").symlink_to("big")
    train(tmp_path)
    assert [path.name for path in other.iterdir()] == ["last.ckpt"]
    assert (tmp_path / "models").is_symlink()
    assert {path.name for path in (tmp_path / "big").iterdir()} == MODEL


@pytest.mark.slow
def test_several_processes_train_one_model(train: Callable[..., tuple[Path, str]], trained: tuple[Path, str]) -> None:
    folder, printed = train(devices=2)
    assert "MEMBER: 2/2" in printed
    assert printed.count("epoch  1") == 1
    assert {path.name for path in (folder / "models").iterdir()} == MODEL
    curves, alone = (pd.read_csv(path / "curves.csv") for path in (folder, trained[0]))
    assert len(curves) == 2
    for name in ("train_rmse", "validation_rmse"):  # seeds move them by as much
        assert abs(curves[name].iloc[-1] - alone[name].iloc[-1]) < 0.05
