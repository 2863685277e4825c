"""Training learns, keeps the best epoch, gives the same result again, and continues after it was killed."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.lists import lists
from tests.small_data import BASELINES, NETWORKS, small_recipe, written
from widedeep.errors import UserError
from widedeep.evaluation import ranking
from widedeep.features.assemble import ask, grid, listed
from widedeep.features.files import FeatureTables
from widedeep.features.inputs import Reads
from widedeep.features.ragged import Ragged
from widedeep.features.tensors import FeatureSet, load_features
from widedeep.models.build import build
from widedeep.models.model import Ensemble
from widedeep.models.registry import ENTRIES
from widedeep.scoring import top_items
from widedeep.training.callbacks import CURVES, Row
from widedeep.training.fit import Fit, fingerprint, fit

Featurize = Callable[..., FeatureTables]

NDCG = "validation_ndcg_at_10"
# Each of these trains in a different way.
WAYS: dict[str, dict[str, Any]] = {
    "rating": {},
    "one optimizer": {"model": "dot"},
    "members": {"model": "bias_dot", "members": 2},
    "interactions": {"factors": 3, "user_items": 4, "item_users": 4, "time": True},
    "distributions": {"factors": 3, "user_items": 4, "item_users": 4, "noise_variance": 0.5},
    "adagrad and ftrl": {"optimizer": "adagrad", "wide_optimizer": "ftrl", "wide_learning_rate": 0.1},
    "softmax": {"objective": "ranking"},
    "sampled softmax": {"objective": "ranking", "negatives": 3},
    "joint": {"objective": "joint", "factors": 2},
    "lists from other items": {"objective": "joint"},
    "joint and sampled": {"objective": "joint", "factors": 2, "negatives": 3, "positive_rating": 3.0},
}


@pytest.fixture(scope="module")
def features(featurize: Featurize, tmp_path_factory: pytest.TempPathFactory) -> FeatureSet:
    return load_features(written(featurize(), tmp_path_factory.mktemp("features")), "train", "validation")


@pytest.fixture(scope="module")
def drawn(featurize: Featurize, tmp_path_factory: pytest.TempPathFactory) -> FeatureSet:
    """Make a FeatureSet of a random split, whose lists are learnt from pairs."""
    return load_features(written(featurize("random"), tmp_path_factory.mktemp("drawn")), "train", "validation")


@pytest.fixture(scope="module")
def of_way(features: FeatureSet, drawn: FeatureSet) -> Callable[[str], FeatureSet]:
    return lambda way: drawn if way in ("joint and sampled", "lists from other items") else features


@pytest.fixture(scope="module")
def unvalidated(featurize: Featurize, ratings: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> FeatureSet:
    """Make a FeatureSet without validation rows."""
    table = ratings.assign(split=ratings["split"].replace("validation", "train"))
    folder = written(featurize(ratings=table), tmp_path_factory.mktemp("features"))
    return load_features(folder, "train", "validation")


@pytest.fixture(scope="module")
def tastes(featurize: Featurize, tmp_path_factory: pytest.TempPathFactory) -> FeatureSet:
    """Make 40 users in two camps of 30 items each. A user rates 18 items of the camp, 3 of them for validation."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(40):
        items = rng.permutation(30)[:18] + 30 * (user % 2) + 1
        splits = ["validation"] * 3 + ["test"] + ["train"] * 14
        rows += [(user + 1, item, float(rng.integers(1, 6)), split) for item, split in zip(items, splits, strict=True)]
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "rating", "split"]).assign(timestamp=1000)
    items = pd.DataFrame({"item_id": np.arange(1, 61), "title": "T", "genres": [[] for _ in range(60)]})
    users = pd.DataFrame({"user_id": np.arange(1, 41)})
    tables = featurize("random", ratings=table, items=items, users=users, crosses=())
    return load_features(written(tables, tmp_path_factory.mktemp("features")), "train", "validation")


def same_weights(first: Fit, second: Fit) -> bool:
    one, other = first.model.state_dict(), second.model.state_dict()
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("way", WAYS)
def test_training_lowers_the_loss(of_way: Callable[[str], FeatureSet], tmp_path: Path, way: str) -> None:
    curves = fit(of_way(way), small_recipe(**{"unseen_rate": 0.2} | WAYS[way]), tmp_path / "c").curves
    assert [row["epoch"] for row in curves] == list(range(6))
    objective = WAYS[way].get("objective", "rating")
    for name, trained in (("train_rmse", objective != "ranking"), ("train_ranking_loss", objective != "rating")):
        assert (name in curves[0]) is trained
        if trained:
            assert curves[-1][name] < curves[0][name]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("objective", ["rating", "ranking"])
def test_every_network_learns_every_objective(features: FeatureSet, tmp_path: Path, name: str, objective: str) -> None:
    params = small_recipe(model=name, objective=objective, unseen_rate=0.0, learning_rate=0.03)
    curves = fit(features, params, tmp_path / "c").curves
    loss = {"rating": "train_rmse", "ranking": "train_ranking_loss"}[objective]
    assert curves[-1][loss] < curves[0][loss]


@pytest.mark.slow
@pytest.mark.parametrize("loss", [{}, {"negatives": 4, "batch_size": 64}, {"negatives": 1, "batch_size": 64}])
@pytest.mark.parametrize("name", ["dot", "wide_deep"])
def test_ranking_finds_tastes_that_popularity_does_not(
    tastes: FeatureSet, tmp_path: Path, name: str, loss: dict[str, Any]
) -> None:
    popular = fit(tastes, small_recipe(model="popularity", objective="ranking"), tmp_path / "a").validation[NDCG]
    params = small_recipe(
        model=name, objective="ranking", epochs=10, patience=10, unseen_rate=0.0, learning_rate=0.05, **loss
    )
    # A user has not rated 46 items, of which 16 are in the own camp.
    assert fit(tastes, params, tmp_path / "b").validation[NDCG] > 1.3 * popular


def test_weights_are_those_of_the_best_epoch(features: FeatureSet, tmp_path: Path) -> None:
    trained = fit(features, small_recipe(), tmp_path / "c")
    best = min(trained.curves, key=lambda row: row["validation_rmse"])
    assert trained.epoch == best["epoch"]
    assert trained.validation == {"validation_rmse": best["validation_rmse"]}
    rows = features.splits["validation"]
    errors = {}
    for name, known in (("online", rows), ("frozen", features.frozen(rows))):
        with torch.no_grad():
            errors[name] = trained.model(listed(features, known, Reads())).rating - rows.rating
        rmse = errors[name].square().mean().sqrt().item()
        assert rmse == pytest.approx(best[f"validation_{name}_rmse"], abs=1e-5)
    pooled = torch.cat(list(errors.values())).square().mean().sqrt().item()
    assert pooled == pytest.approx(best["validation_rmse"], abs=1e-5)


@pytest.mark.parametrize("changes", [{}, {"positive_rating": 3.0}, {"model": "popularity"}])
def test_the_best_ranking_is_that_with_the_highest_ndcg(
    features: FeatureSet, tmp_path: Path, changes: dict[str, Any]
) -> None:
    trained = fit(features, small_recipe(objective="ranking", **changes), tmp_path / "c")
    best = max(trained.curves, key=lambda row: row[NDCG])
    assert trained.epoch == best["epoch"]
    assert trained.validation == {NDCG: best[NDCG]}

    # The metric is the same as in the evaluation, over users with a positive to find.
    train, rows = features.splits["train"], features.splits["validation"]
    positive = rows[rows.rating >= changes.get("positive_rating", 0)]
    asked = [int(positive.timestamp[positive.user == user].min()) for user in range(10) if user in positive.user]
    users, n = positive.user.unique(), len(features.users)
    model = trained.model
    inputs = grid(features, users, torch.arange(31), torch.tensor(asked), model.reads, model.ranks_with_history)
    scores = torch.zeros(n, 31)
    scores[users] = model(inputs).ranking.detach()
    rated = Ragged.of(train.user, train.item, train.rating, train.timestamp, n)
    top = top_items(scores, rated, 10, features.tie_order).items
    found = ranking.ndcg(lists(top, pairs=(positive.user, positive.item)), 10)
    if "model" not in changes:  # popularity has ties
        assert found.mean() == pytest.approx(best[NDCG], abs=1e-5)
    assert len(found) == len(users)


def test_joint_without_order_of_time_decides_by_both(drawn: FeatureSet, tmp_path: Path) -> None:
    trained = fit(drawn, small_recipe(objective="joint", factors=2), tmp_path / "c")
    best = min(trained.curves, key=lambda row: row["validation_rmse"] - row[NDCG])
    assert trained.epoch == best["epoch"]
    assert trained.validation == {name: best[name] for name in ("validation_rmse", NDCG)}


def test_joint_in_order_of_time_has_all_curves_and_decides_by_the_ratings(features: FeatureSet, tmp_path: Path) -> None:
    trained = fit(features, small_recipe(objective="joint"), tmp_path / "c")
    assert all(row.keys() == {"epoch", *CURVES} for row in trained.curves)
    best = min(trained.curves, key=lambda row: row["validation_rmse"])
    assert trained.epoch == best["epoch"]
    assert trained.validation == {name: best[name] for name in ("validation_rmse", NDCG)}
    both = [best[f"validation_{name}_ndcg_at_10"] for name in ("next", "period")]
    assert best[NDCG] == pytest.approx(sum(both) / 2)


def test_a_ranking_rates_by_the_least_squares_line_of_its_scores(features: FeatureSet, tmp_path: Path) -> None:
    model = fit(features, small_recipe(objective="ranking", epochs=2), tmp_path / "c").model
    rows = features.splits["train"]
    with torch.no_grad():
        output = model(
            listed(features, ask(features, rows.user, rows.item, rows.timestamp, with_history=False), model.reads)
        )
    slope, intercept = np.polyfit(output.ranking, rows.rating, 1)
    np.testing.assert_allclose(output.rating, intercept + slope * output.ranking, atol=1e-3)


def test_a_random_split_validates_on_the_frozen_history_alone(featurize: Featurize, tmp_path: Path) -> None:
    features = load_features(written(featurize("random"), tmp_path), "train", "validation")
    row = fit(features, small_recipe(epochs=1), tmp_path / "c").curves[0]
    assert row["validation_rmse"] == row["validation_frozen_rmse"]
    assert "validation_online_rmse" not in row


@pytest.mark.parametrize("objective", ["rating", "ranking"])
def test_training_stops_when_validation_no_longer_improves(
    features: FeatureSet, tmp_path: Path, objective: str
) -> None:
    hasty = small_recipe(epochs=100, patience=2, learning_rate=0.05, objective=objective)
    trained = fit(features, hasty, tmp_path / "c")
    assert len(trained.curves) == trained.epoch + 1 + 2


@pytest.mark.parametrize("way", ["rating", "joint and sampled"])
def test_same_seed_gives_the_same_weights_and_another_seed_others(
    of_way: Callable[[str], FeatureSet], tmp_path: Path, way: str
) -> None:
    features, params = of_way(way), small_recipe(**WAYS[way])
    first, second = fit(features, params, tmp_path / "a"), fit(features, params, tmp_path / "b")
    other = fit(features, params.with_train(seed=1), tmp_path / "c")
    assert same_weights(first, second)
    assert first.curves == second.curves
    assert not same_weights(first, other)


@pytest.mark.slow
@pytest.mark.parametrize("way", sorted(WAYS.keys() - {"sampled softmax", "softmax"}))
def test_killed_run_goes_on_and_ends_with_the_same_weights(
    of_way: Callable[[str], FeatureSet], tmp_path: Path, way: str
) -> None:
    class Killed(BaseException):
        pass

    def kill_in_the_fourth_epoch(row: Row) -> None:
        if row["epoch"] == 3:
            raise Killed

    features, params = of_way(way), small_recipe(**WAYS[way])
    whole = fit(features, params, tmp_path / "a")
    with pytest.raises(Killed):
        fit(features, params, tmp_path / "b", kill_in_the_fourth_epoch)
    seen: list[Row] = []
    resumed = fit(features, params, tmp_path / "b", seen.append)
    assert [row["epoch"] for row in seen] == [3, 4, 5]
    assert resumed.curves == whole.curves
    assert same_weights(resumed, whole)


@pytest.fixture(scope="module")
def stopped(features: FeatureSet, tmp_path_factory: pytest.TempPathFactory) -> tuple[Fit, bytes]:
    """Train six epochs, and return the result and the checkpoint of the first two."""
    folder = tmp_path_factory.mktemp("whole")
    whole = fit(features, small_recipe(), folder / "whole")
    fit(features, small_recipe(epochs=2), folder / "part")
    assert [path.name for path in (folder / "part").iterdir()] == ["last.ckpt"]
    return whole, (folder / "part" / "last.ckpt").read_bytes()


# A fraction is a place in the file; among the weights, a wrong bit makes other weights and no error.
@pytest.mark.parametrize("damage", ["cut off", "empty", 0, 40, 400, 0.3, 0.5, 0.7, 0.9, -1])
def test_damaged_checkpoint_is_named_and_training_starts_anew(
    features: FeatureSet, stopped: tuple[Fit, bytes], tmp_path: Path, damage: str | float,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    whole, content = stopped
    broken = bytearray(content)
    if isinstance(damage, str):
        broken = broken[: len(content) // 2 if damage == "cut off" else 0]
    else:
        broken[int(damage if isinstance(damage, int) else damage * len(content))] ^= 4
    checkpoint = tmp_path / "last.ckpt"
    checkpoint.write_bytes(broken)
    seen: list[Row] = []
    again = fit(features, small_recipe(), tmp_path, seen.append)
    said = [line for line in capsys.readouterr().err.splitlines() if "checkpoint" in line or "ckpt" in line]
    assert said == [f"{checkpoint} is damaged (its checksum is wrong). It was removed, and training starts anew."]
    assert len(seen) == 6
    assert same_weights(again, whole)


def test_terminated_training_does_not_end_like_a_complete_one(features: FeatureSet, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        fit(features, small_recipe(), tmp_path / "c", lambda row: os.kill(os.getpid(), signal.SIGTERM))
    assert ended.value.code == 143


def test_checkpoint_is_written_beside_its_place(
    features: FeatureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning would write to TMPDIR first, which may be another file system."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    fit(features, small_recipe(epochs=1), tmp_path / "c")
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("objective", ["rating", "ranking"])
def test_without_validation_rows_all_epochs_are_trained_and_the_last_is_kept(
    unvalidated: FeatureSet, tmp_path: Path, objective: str
) -> None:
    trained = fit(unvalidated, small_recipe(patience=1, objective=objective), tmp_path / "c")
    assert trained.epoch == 5
    assert trained.validation == {}


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("objective", ["rating", "ranking", "joint"])
def test_a_baseline_takes_one_epoch(features: FeatureSet, tmp_path: Path, name: str, objective: str) -> None:
    rows: list[Row] = []
    trained = fit(features, small_recipe(model=name, objective=objective), tmp_path / "c", rows.append)
    assert (trained.curves, trained.epoch) == (rows, 0)
    assert len(rows) == 1
    measured = {"rating": {"validation_rmse"}, "ranking": {NDCG}, "joint": {"validation_rmse", NDCG}}[objective]
    assert trained.validation.keys() == measured
    assert ("validation_online_rmse" in rows[0]) is (objective != "ranking")
    if objective == "rating":
        valid = features.splits["validation"]
        with torch.no_grad():
            predicted = trained.model(listed(features, features.frozen(valid), trained.model.reads)).rating
        rmse = (predicted - valid.rating).square().mean().sqrt().item()
        assert rows[0]["validation_frozen_rmse"] == pytest.approx(rmse, abs=1e-5)


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_needs_no_validation_rows(unvalidated: FeatureSet, tmp_path: Path, name: str) -> None:
    trained = fit(unvalidated, small_recipe(model=name), tmp_path / "c")
    assert trained.curves == [{"epoch": 0}]
    assert trained.validation == {}


def test_members_are_trained_apart_from_different_starts(features: FeatureSet, tmp_path: Path) -> None:
    trained = fit(features, small_recipe(model="dot", members=2, unseen_rate=0.0), tmp_path / "c")
    assert isinstance(trained.model, Ensemble)
    first, second = (dict(member.named_parameters()) for member in trained.model.each())
    for name, weight in first.items():
        assert not weight[1:].allclose(second[name][1:], atol=0.01)
    rows = features.splits["train"]
    inputs = listed(features, rows, Reads())
    with torch.no_grad():
        alone = [(member(inputs).rating - rows.rating).square().mean() for member in trained.model.each()]
        together = (trained.model(inputs).rating - rows.rating).square().mean()
    assert together < sum(alone) / 2


@pytest.mark.slow
def test_what_the_ratings_leave_uncertain_is_shrunk_the_more_noise_they_have(
    features: FeatureSet, tmp_path: Path
) -> None:
    changes = {"factors": 3, "hidden": (), "history": False, "epochs": 40, "patience": 40, "learning_rate": 0.03}
    deviations = []
    for noise in (0.01, 1.0, 1000.0):
        params = small_recipe(**changes, noise_variance=noise, unseen_rate=0.0, weight_decay=0.0)
        model = fit(features, params, tmp_path / str(noise)).model
        with torch.no_grad():
            [wide] = [table.weight.std() for name, table in model.named_modules() if name.endswith("wide.table")]
            deviations.append(float(wide))
    assert deviations[0] > 1.5 * deviations[1] > 3 * deviations[2]


def test_weight_decay_leaves_deviations_alone(features: FeatureSet, tmp_path: Path) -> None:
    params = small_recipe(factors=3, epochs=2, noise_variance=0.5, weight_decay=50.0)
    state = fit(features, params, tmp_path / "c").model.state_dict()
    deviations = [value.exp() for name, value in state.items() if name.endswith("log_deviation")]
    assert len(deviations) == 4
    assert all(float(deviation.max()) < 0.2 for deviation in deviations)


def wide_weights(features: FeatureSet, folder: Path, **changes: Any) -> torch.Tensor:
    params = small_recipe(wide_optimizer="ftrl", wide_learning_rate=0.5, patience=9, **changes)
    model = fit(features, params, folder).model
    return torch.cat([parameter.detach().flatten() for parameter in model.wide_parameters()])


def test_ftrl_with_a_large_l1_keeps_the_wide_weights_at_exactly_0(features: FeatureSet, tmp_path: Path) -> None:
    weights = [wide_weights(features, tmp_path / str(l1), wide_l1=l1) for l1 in (0.0, 0.1, 1e6)]
    zeros = [int((one == 0).sum()) for one in weights]
    assert zeros[0] < zeros[1] < zeros[2] == len(weights[2])


@pytest.mark.parametrize(("clip", "moved"), [(0.0, True), (1.0, True), (1e-30, False)])
def test_a_step_is_as_long_as_the_clipped_gradient_lets_it(
    features: FeatureSet, tmp_path: Path, clip: float, moved: bool
) -> None:
    params = small_recipe(model="dot", epochs=1, gradient_clip=clip, weight_decay=0.0)
    trained = fit(features, params, tmp_path / "c")
    torch.manual_seed(params.train.seed)
    start = build(features.spec, params.architecture).state_dict()
    change = max(float((weight - start[name]).abs().max()) for name, weight in trained.model.state_dict().items())
    assert (change > 1e-3) is moved


def test_at_unseen_rate_1_ids_learn_nothing_and_at_0_they_do(features: FeatureSet, tmp_path: Path) -> None:
    for rate in (0.0, 1.0):
        params = small_recipe(model="bias_dot", epochs=2, unseen_rate=rate, weight_decay=0.0)
        trained = fit(features, params, tmp_path / str(rate)).model.state_dict()
        torch.manual_seed(params.train.seed)
        start = build(features.spec, params.architecture).state_dict()
        for name in ("members.0.ids.user.weight", "members.0.biases.item.weight"):
            assert trained[name][1:].equal(start[name][1:]) is (rate == 1)
        assert trained["members.0.biases.item.weight"][0].equal(torch.zeros(1)) is (rate == 0)


def test_bf16_learns(features: FeatureSet, tmp_path: Path) -> None:
    params = small_recipe(precision="bf16-mixed", unseen_rate=0.0, **WAYS["joint"] | WAYS["interactions"])
    curves = fit(features, params, tmp_path / "c").curves
    assert curves[-1]["train_rmse"] < curves[0]["train_rmse"]
    assert curves[-1]["train_ranking_loss"] < curves[0]["train_ranking_loss"]


def test_accelerator_that_is_not_there_is_a_clear_error(features: FeatureSet, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UserError, match=r"train.accelerator: gpu .* Set train.accelerator to auto"):
        fit(features, small_recipe(accelerator="gpu"), tmp_path / "c")


def test_more_processes_than_cores_is_a_clear_error(features: FeatureSet, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train.devices: 999 is not available .* CPU cores .* train.devices to 1"):
        fit(features, small_recipe(devices=999), tmp_path / "c")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"objective": "ranking"}, "train.ranking"),
        ({"model": "ease"}, "models.ease"),
    ],
)
def test_nothing_to_rank_is_a_clear_error(
    features: FeatureSet, tmp_path: Path, changes: dict[str, Any], key: str
) -> None:
    with pytest.raises(UserError, match=rf"{key}.positive_rating: no training row is rated at least 5.5"):
        fit(features, small_recipe(positive_rating=5.5, **changes), tmp_path / "c")


def crowded(featurize: Featurize, folder: Path, whole: int, part: int) -> FeatureSet:
    """Make 6 items, `whole` users who rated all of them, and `part` users who rated 2 and a third for validation."""
    rated = [(user, item, "train") for user in range(1, whole + 1) for item in range(1, 7)]
    for user in range(whole + 1, whole + part + 1):
        rated += [(user, 1, "train"), (user, 2, "train"), (user, 3, "validation")]
    table = pd.DataFrame(rated, columns=["user_id", "item_id", "split"]).assign(timestamp=1000)
    table["rating"] = (table["user_id"] + table["item_id"]) % 5 + 1.0
    items = pd.DataFrame({"item_id": np.arange(1, 7), "title": "T", "genres": [[] for _ in range(6)]})
    users = pd.DataFrame({"user_id": np.arange(1, whole + part + 1)})
    tables = featurize("random", ratings=table, items=items, users=users, crosses=())
    return load_features(written(tables, folder), "train", "validation")


@pytest.mark.parametrize("way", ["sampled softmax", "joint and sampled"])
def test_no_negative_at_all_is_a_clear_error(featurize: Featurize, tmp_path: Path, way: str) -> None:
    features = crowded(featurize, tmp_path, whole=4, part=0)
    with pytest.raises(
        UserError, match=r"train.ranking.negatives must be 0 .* catalogue \(6\).* Got [23] instead. Set it to 0"
    ):
        fit(features, small_recipe(**WAYS[way]), tmp_path / "c")


@pytest.mark.parametrize("changes", [{"model": "dot"}, {"model": "popularity", "negatives": 3}])
def test_who_draws_no_negatives_needs_none(featurize: Featurize, tmp_path: Path, changes: dict[str, Any]) -> None:
    features = crowded(featurize, tmp_path, whole=4, part=0)
    trained = fit(features, small_recipe(objective="ranking", **changes), tmp_path / "c")
    assert all(bool(weight.isfinite().all()) for weight in trained.model.state_dict().values())


@pytest.mark.parametrize("negatives", [1, 2])
def test_users_without_a_negative_teach_nothing(featurize: Featurize, tmp_path: Path, negatives: int) -> None:
    # At most two of the 37 batches have a row of the last user.
    features = crowded(featurize, tmp_path, whole=12, part=1)
    # A gradient of 0 changes nothing.
    params = small_recipe(
        model="dot", objective="ranking", negatives=negatives, batch_size=2, optimizer="adagrad",
        weight_decay=0.0, factors_l2=0.1, unseen_rate=0.0, epochs=3,
    )  # fmt: skip
    trained = fit(features, params, tmp_path / "c")
    torch.manual_seed(params.train.seed)
    start = build(features.spec, params.architecture).state_dict()["members.0.ids.user.weight"]
    change = (trained.model.state_dict()["members.0.ids.user.weight"] - start).abs().amax(1)
    assert change.nonzero().flatten().tolist() == [int(features.users.categories[-1, 0])]
    assert all(np.isfinite(row["train_ranking_loss"]) for row in trained.curves)


@pytest.mark.parametrize("way", ["joint and sampled", "sampled softmax"])
def test_batches_without_a_negative_are_harmless_to_every_part(featurize: Featurize, tmp_path: Path, way: str) -> None:
    features = crowded(featurize, tmp_path, whole=12, part=1)
    changes = WAYS["interactions"] | WAYS[way] | {"batch_size": 2, "positive_rating": None}
    trained = fit(features, small_recipe(**changes), tmp_path / "c")
    assert all(bool(weight.isfinite().all()) for weight in trained.model.state_dict().values())
    assert trained.curves[-1]["train_ranking_loss"] < trained.curves[0]["train_ranking_loss"]


WILD: dict[str, Any] = {"learning_rate": 1e30, "wide_learning_rate": 1e30, "gradient_clip": 0.0}


@pytest.mark.parametrize("objective", ["rating", "ranking"])
def test_loss_that_blows_up_is_a_clear_error(features: FeatureSet, tmp_path: Path, objective: str) -> None:
    with pytest.raises(UserError, match=r"Lower train.learning_rate"):
        fit(features, small_recipe(objective=objective, **WILD), tmp_path / "c")


def test_weights_that_blow_up_without_validation_rows_are_a_clear_error(
    unvalidated: FeatureSet, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"Lower train.learning_rate"):
        fit(unvalidated, small_recipe(**WILD), tmp_path / "c")


def test_only_the_same_params_features_and_code_are_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = small_recipe()
    name = fingerprint(params, "a")
    assert fingerprint(params, "a") == name
    assert fingerprint(params, "b") != name
    assert fingerprint(small_recipe(objective="joint"), "a") != name
    (tmp_path / "other.py").write_text("changed = True\n", encoding="utf-8")
    monkeypatch.setattr("widedeep.__file__", str(tmp_path / "__init__.py"))
    assert fingerprint(params, "a") != name


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


@needs_gpu
@pytest.mark.parametrize("way", WAYS)
def test_gpu_trains_to_the_same_loss_as_the_cpu(of_way: Callable[[str], FeatureSet], tmp_path: Path, way: str) -> None:
    without_chance = {"dropout": 0.0} if WAYS[way].get("model", "wide_deep") == "wide_deep" else {}
    params = small_recipe(unseen_rate=0.0, **without_chance, **WAYS[way])
    on_cpu = fit(of_way(way), params, tmp_path / "a")
    on_gpu = fit(of_way(way), params.with_train(accelerator="gpu"), tmp_path / "b")
    # Negatives, questions and hidden items are other ones on another device.
    drawn = "sampled" in way or way in ("joint", "lists from other items")
    assert on_gpu.validation == pytest.approx(on_cpu.validation, abs=0.15 if drawn else 0.05)


@needs_gpu
@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
def test_mixed_precision_learns_on_a_gpu(features: FeatureSet, tmp_path: Path, precision: str) -> None:
    params = small_recipe(accelerator="gpu", precision=precision, epochs=12, **WAYS["joint"] | WAYS["interactions"])
    curves = fit(features, params, tmp_path / "c").curves
    assert curves[-1]["train_rmse"] < curves[0]["train_rmse"]


@needs_gpu
@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_is_the_same_on_a_gpu(features: FeatureSet, tmp_path: Path, name: str) -> None:
    params = small_recipe(model=name, objective=ENTRIES[name].tasks[-1])
    on_cpu = fit(features, params, tmp_path / "a")
    on_gpu = fit(features, params.with_train(accelerator="gpu"), tmp_path / "b")
    assert on_gpu.validation == pytest.approx(on_cpu.validation, abs=0.02)
