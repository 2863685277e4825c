"""Training as a user meets it: it learns, keeps the best epoch, repeats itself, and survives being killed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from tests.small_data import written
from widedeep.errors import UserError
from widedeep.features.build import FeatureTables
from widedeep.features.store import Features
from widedeep.models.wide_deep import WideDeep
from widedeep.params import TrainParams, load_params
from widedeep.training.callbacks import Row
from widedeep.training.fit import Fit, fingerprint, fit
from widedeep.training.module import RatingModule

Featurize = Callable[..., FeatureTables]

SMALL: dict[str, Any] = {
    "embedding_size": 4,
    "hidden": (8,),
    "batch_size": 32,
    "epochs": 6,
    "patience": 6,
    "learning_rate": 0.01,
    "wide_learning_rate": 0.01,
    "accelerator": "cpu",
}


@pytest.fixture
def features(featurize: Featurize, tmp_path: Path) -> Features:
    return Features.load(written(featurize(), tmp_path), "train", "validation")


@pytest.fixture
def params(root: Path) -> TrainParams:
    return load_params(root / "params.yaml").train.model_copy(update=SMALL)


def same_weights(first: Fit, second: Fit) -> bool:
    one, other = first.model.state_dict(), second.model.state_dict()
    return all(torch.equal(one[name], other[name]) for name in one)


def test_training_lowers_the_error(features: Features, params: TrainParams, tmp_path: Path) -> None:
    curves = fit(features, params, tmp_path / "c").curves
    assert [row["epoch"] for row in curves] == list(range(6))
    assert curves[-1]["train_rmse"] < curves[0]["train_rmse"]


def test_weights_are_those_of_the_best_epoch(features: Features, params: TrainParams, tmp_path: Path) -> None:
    trained = fit(features, params, tmp_path / "c")
    best = min(trained.curves, key=lambda row: row["validation_rmse"])
    assert trained.epoch == best["epoch"]
    assert trained.validation_rmse == best["validation_rmse"]
    rows = features.splits["validation"]
    errors = {}
    for name, known in (("online", rows), ("frozen", features.frozen(rows))):
        with torch.no_grad():
            errors[name] = trained.model(features.inputs(rows.user, rows.item, known.history)) - rows.rating
        rmse = errors[name].square().mean().sqrt().item()
        assert rmse == pytest.approx(best[f"validation_{name}_rmse"], abs=1e-5)
    pooled = torch.cat(list(errors.values())).square().mean().sqrt().item()
    assert pooled == pytest.approx(best["validation_rmse"], abs=1e-5)


def test_a_random_split_validates_on_the_frozen_history_alone(
    featurize: Featurize, params: TrainParams, tmp_path: Path
) -> None:
    features = Features.load(written(featurize("random"), tmp_path), "train", "validation")
    row = fit(features, params.model_copy(update={"epochs": 1}), tmp_path / "c").curves[0]
    assert row["validation_rmse"] == row["validation_frozen_rmse"]
    assert "validation_online_rmse" not in row


def test_training_stops_when_validation_no_longer_improves(
    features: Features, params: TrainParams, tmp_path: Path
) -> None:
    hasty = params.model_copy(update={"epochs": 100, "patience": 2, "learning_rate": 0.05})
    trained = fit(features, hasty, tmp_path / "c")
    assert len(trained.curves) == trained.epoch + 1 + 2


def test_same_seed_gives_the_same_weights_and_another_seed_others(
    features: Features, params: TrainParams, tmp_path: Path
) -> None:
    first, second = fit(features, params, tmp_path / "a"), fit(features, params, tmp_path / "b")
    other = fit(features, params.model_copy(update={"seed": 1}), tmp_path / "c")
    assert same_weights(first, second)
    assert first.curves == second.curves
    assert not same_weights(first, other)


def test_killed_run_goes_on_and_ends_with_the_same_weights(
    features: Features, params: TrainParams, tmp_path: Path
) -> None:
    class Killed(BaseException):
        pass

    def kill_in_the_fourth_epoch(row: Row) -> None:
        if row["epoch"] == 3:
            raise Killed

    whole = fit(features, params, tmp_path / "a")
    with pytest.raises(Killed):
        fit(features, params, tmp_path / "b", kill_in_the_fourth_epoch)
    seen: list[Row] = []
    resumed = fit(features, params, tmp_path / "b", seen.append)
    assert [row["epoch"] for row in seen] == [3, 4, 5]
    assert resumed.curves == whole.curves
    assert same_weights(resumed, whole)


def test_without_validation_rows_all_epochs_are_trained_and_the_last_is_kept(
    featurize: Featurize, ratings: pd.DataFrame, params: TrainParams, tmp_path: Path
) -> None:
    table = ratings.assign(split=ratings["split"].replace("validation", "train"))
    features = Features.load(written(featurize(ratings=table), tmp_path), "train", "validation")
    trained = fit(features, params, tmp_path / "c")
    assert trained.epoch == 5
    assert trained.validation_rmse is None


def test_accelerator_that_is_not_there_is_a_clear_error(
    features: Features, params: TrainParams, tmp_path: Path
) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UserError, match=r"train.accelerator: gpu .* Set train.accelerator to auto"):
        fit(features, params.model_copy(update={"accelerator": "gpu"}), tmp_path / "c")


def test_more_processes_than_cores_is_a_clear_error(features: Features, params: TrainParams, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train.devices: 999 cannot be had .* CPU cores .* train.devices to 1"):
        fit(features, params.model_copy(update={"devices": 999}), tmp_path / "c")


def test_loss_that_blows_up_is_a_clear_error(features: Features, params: TrainParams, tmp_path: Path) -> None:
    wild = params.model_copy(update={"learning_rate": 1e30, "wide_learning_rate": 1e30, "gradient_clip": 0.0})
    with pytest.raises(UserError, match=r"Lower train.learning_rate"):
        fit(features, wild, tmp_path / "c")


def test_weights_that_blow_up_without_validation_rows_are_a_clear_error(
    featurize: Featurize, ratings: pd.DataFrame, params: TrainParams, tmp_path: Path
) -> None:
    table = ratings.assign(split=ratings["split"].replace("validation", "train"))
    features = Features.load(written(featurize(ratings=table), tmp_path), "train", "validation")
    wild = params.model_copy(update={"learning_rate": 1e30, "wide_learning_rate": 1e30, "gradient_clip": 0.0})
    with pytest.raises(UserError, match=r"Lower train.learning_rate"):
        fit(features, wild, tmp_path / "c")


def test_only_the_same_params_features_and_code_are_resumed(
    params: TrainParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = fingerprint(params, "a")
    assert fingerprint(params, "a") == name
    assert fingerprint(params, "b") != name
    assert fingerprint(params.model_copy(update={"seed": 7}), "a") != name
    (tmp_path / "other.py").write_text("changed = True\n", encoding="utf-8")
    monkeypatch.setattr("widedeep.__file__", str(tmp_path / "__init__.py"))
    assert fingerprint(params, "a") != name


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
def test_unseen_rate_is_the_share_of_hidden_ids(features: Features, params: TrainParams, rate: float) -> None:
    model = WideDeep(features.spec, params)
    module = RatingModule(model, features.spec, params.model_copy(update={"unseen_rate": rate}))
    rows = features.splits["train"]
    inputs = features.inputs(rows.user, rows.item, rows.history)
    torch.manual_seed(0)
    hidden = module._with_unseen(inputs)
    for slot in module.id_slots:
        assert (hidden.categories[:, slot] == 0).float().mean().item() == pytest.approx(rate, abs=0.1)
    others = [slot for slot in range(inputs.categories.shape[1]) if slot not in module.id_slots]
    assert torch.equal(hidden.categories[:, others], inputs.categories[:, others])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_gpu_trains_to_the_same_error_as_the_cpu(features: Features, params: TrainParams, tmp_path: Path) -> None:
    on_cpu = fit(features, params, tmp_path / "a")
    on_gpu = fit(features, params.model_copy(update={"accelerator": "gpu"}), tmp_path / "b")
    assert on_gpu.validation_rmse == pytest.approx(on_cpu.validation_rmse, abs=0.05)
