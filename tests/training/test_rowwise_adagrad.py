"""Row-wise Adagrad, compared with steps worked out by hand and with Adagrad, and in use."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.small_data import small_recipe, written
from widedeep.errors import UserError
from widedeep.features.files import FeatureTables
from widedeep.features.tensors import FeatureSet, load_features
from widedeep.models.build import build
from widedeep.training.fit import fit
from widedeep.training.module import clip
from widedeep.training.rowwise_adagrad import RowwiseAdagrad


@pytest.fixture(scope="module")
def features(featurize: Callable[[], FeatureTables], tmp_path_factory: pytest.TempPathFactory) -> FeatureSet:
    return load_features(written(featurize(), tmp_path_factory.mktemp("features")), "train", "validation")


def test_two_steps_worked_out_by_hand() -> None:
    table = nn.Embedding(3, 2, sparse=True)
    nn.init.zeros_(table.weight)
    optimizer = RowwiseAdagrad([*table.parameters()], lr=0.5)
    # Row 1 has the gradient (3, 1): s = (9 + 1) / 2 = 5. Row 2 has none.
    for row, gradient in ((1, [3.0, 1.0]), (1, [1.0, 7.0])):
        optimizer.zero_grad()
        (table(torch.tensor([row])) * torch.tensor(gradient)).sum().backward()
        optimizer.step()
    # Then (1, 7): s = 5 + (1 + 49) / 2 = 30.
    expected = -0.5 * torch.tensor([3 / 5**0.5 + 1 / 30**0.5, 1 / 5**0.5 + 7 / 30**0.5])
    torch.testing.assert_close(table.weight.data, torch.stack([torch.zeros(2), expected, torch.zeros(2)]))


@pytest.mark.parametrize("sparse", [True, False])
def test_with_one_weight_per_row_it_is_adagrad(sparse: bool) -> None:
    torch.manual_seed(0)
    ours = nn.Embedding(20, 1, sparse=sparse)
    theirs = nn.Embedding.from_pretrained(ours.weight.data.clone(), freeze=False)
    optimizers = [RowwiseAdagrad([*ours.parameters()], lr=0.1), torch.optim.Adagrad([*theirs.parameters()], lr=0.1)]
    for _ in range(5):
        index = torch.randint(0, 20, (8,))  # some rows twice
        for table, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            (table(index)[:, 0] * torch.arange(1.0, 9)).square().sum().backward()
            if table.weight.grad is not None and table.weight.grad.is_sparse:
                table.weight.grad = table.weight.grad.coalesce()
            optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight)


def test_sparse_gradients_are_clipped_as_dense_ones() -> None:
    gradients = []
    for sparse in (True, False):
        torch.manual_seed(0)
        table, linear = nn.Embedding(9, 4, sparse=sparse), nn.Linear(4, 1)
        linear(table(torch.tensor([1, 1, 5]))).sum().backward()
        assert table.weight.grad is not None
        assert linear.weight.grad is not None
        if sparse:
            table.weight.grad = table.weight.grad.coalesce()
        clip([*table.parameters(), *linear.parameters()], 0.1)
        gradients.append((table.weight.grad.to_dense(), linear.weight.grad))
    torch.testing.assert_close(*gradients)
    norm = torch.cat([part.flatten() for part in gradients[0]]).norm()
    assert float(norm) < 0.1


@pytest.mark.parametrize("name", ["wide_deep", "dot", "genre_dense"])
def test_a_model_learns_and_only_rows_of_the_batches_change(features: FeatureSet, tmp_path: Path, name: str) -> None:
    recipe = small_recipe(model=name, row_learning_rate=0.05, epochs=8, patience=8)
    trained = fit(features, recipe, tmp_path / "checkpoints")
    errors = [row["train_rmse"] for row in trained.curves]
    assert errors[-1] < errors[0]
    torch.manual_seed(recipe.train.seed)
    start = build(features.spec, recipe.architecture).state_dict()
    tables = [key for key in start if key.endswith(("categories.weight", "table.weight", "user.weight", "item.weight"))]
    assert tables
    for key in tables:
        same = (start[key] == trained.model.state_dict()[key]).all(1)
        assert not same.all()
    if name == "wide_deep":  # a hashed cross has rows that no pair has
        assert same.any()


def test_an_interrupted_training_goes_on_to_the_same_weights(features: FeatureSet, tmp_path: Path) -> None:
    recipe = small_recipe(row_learning_rate=0.05, epochs=4, patience=4)
    whole = fit(features, recipe, tmp_path / "whole").model.state_dict()

    def stop(row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(BaseException):  # noqa: B017, PT011 (Lightning may turn an interrupt into SystemExit)
        fit(features, recipe, tmp_path / "cut", stop)
    resumed = fit(features, recipe, tmp_path / "cut").model.state_dict()
    for key, weight in whole.items():
        torch.testing.assert_close(resumed[key], weight, rtol=0, atol=0)


@pytest.mark.parametrize(
    "changes",
    [{"noise_variance": 0.5}, {"wide_optimizer": "ftrl", "wide_learning_rate": 0.1}],
    ids=lambda one: next(iter(one)),
)
def test_knobs_that_need_whole_tables_are_refused(
    features: FeatureSet, tmp_path: Path, changes: dict[str, object]
) -> None:
    with pytest.raises(UserError, match=r"train.row_learning_rate must be null with .*Got 0.05 instead"):
        fit(features, small_recipe(row_learning_rate=0.05, **changes), tmp_path / "checkpoints")
