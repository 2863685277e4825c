"""The model against its definition: a linear model on an explicit one-hot matrix, and a hand-made forward pass."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from tests.small_data import written
from widedeep.features.build import FeatureTables
from widedeep.features.store import Features, Inputs
from widedeep.models.weights import load_model, save_model
from widedeep.models.wide_deep import Standardize, WideDeep, stable_hash
from widedeep.params import WideDeepParams

Featurize = Callable[..., FeatureTables]

PARAMS = WideDeepParams(
    embedding_size=4,
    embedding_deviation=0.1,
    hidden=(8, 3),
    activation="relu",
    dropout=0.5,
    batch_norm=False,
    bounded_output=False,
)
CROSSES = (("user_id", "genres"), ("gender", "year"), ("gender", "item_id", "genres"))


@pytest.fixture
def features(featurize: Featurize, tmp_path: Path) -> Features:
    return Features.load(written(featurize(crosses=CROSSES), tmp_path), "train", "test")


def inputs_of(features: Features, split: str) -> Inputs:
    rows = features.splits[split]
    return features.inputs(rows.user, rows.item, rows.history)


def random_model(features: Features, params: WideDeepParams = PARAMS) -> WideDeep:
    torch.manual_seed(0)
    model = WideDeep(features.spec, params).eval()
    for parameter in model.wide.parameters():
        nn.init.normal_(parameter)
    with torch.no_grad():
        model.wide.table.weight[0] = 0
    return model


def one_hot(features: Features, inputs: Inputs) -> list[dict[tuple[object, ...], float]]:
    """Each row's wide features by name and value, with the weight they carry; written without any index arithmetic."""
    spec = features.spec
    names = [field.name for field in spec.of_kind("category")]
    rows = []
    for categories, bag in zip(inputs.categories.tolist(), inputs.bag.tolist(), strict=True):
        genres = [genre for genre in bag if genre]
        values = dict(zip(names, categories, strict=True))
        on: dict[tuple[object, ...], float] = dict.fromkeys(values.items(), 1.0)
        on |= {("genres", genre): 1 / len(genres) for genre in genres}
        for cross in spec.crosses:
            for genre in genres if "genres" in cross.fields else [0]:
                combination = tuple(genre if name == "genres" else values[name] for name in cross.fields)
                if all(combination):
                    share = 1 / len(genres) if "genres" in cross.fields else 1.0
                    on[(cross.fields, combination)] = share
        rows.append(on)
    return rows


def test_wide_part_is_a_linear_model_on_one_hot_features(features: Features) -> None:
    model, inputs = random_model(features), inputs_of(features, "train")
    rows = one_hot(features, inputs)
    columns = {name: place for place, name in enumerate(sorted({name for row in rows for name in row}, key=str))}
    matrix = torch.zeros(len(rows), len(columns), dtype=torch.float64)
    for place, row in enumerate(rows):
        for name, weight in row.items():
            matrix[place, columns[name]] = weight
    numbers = torch.zeros_like(inputs.numbers)
    output = model.wide(inputs, numbers).double() - model.wide.numbers.bias.double()
    # If the wide part is linear in these columns, least squares finds weights that give it exactly.
    solution = torch.linalg.lstsq(matrix, output[:, None], driver="gelsd").solution
    torch.testing.assert_close((matrix @ solution)[:, 0], output, atol=1e-5, rtol=0)


def test_crosses_are_left_at_0_for_unseen_values(features: Features) -> None:
    model, inputs = random_model(features), inputs_of(features, "train")
    unseen = inputs._replace(categories=torch.zeros_like(inputs.categories), bag=torch.zeros_like(inputs.bag))
    starts = model.wide.starts[: len(features.spec.of_kind("category"))]
    expected = model.wide.table.weight[starts].sum() + model.wide.numbers.bias
    output = model.wide(unseen, torch.zeros_like(inputs.numbers))
    torch.testing.assert_close(output, expected.expand(len(output)))


def test_every_exact_combination_has_its_own_weight(features: Features) -> None:
    model, inputs = random_model(features), inputs_of(features, "train")
    names = [field.name for field in features.spec.of_kind("category")]
    cross = features.spec.crosses[1]
    assert not cross.hashed
    index = model.wide._cross(cross, inputs)
    pairs = inputs.categories[:, [names.index(name) for name in cross.fields]]
    seen = (pairs > 0).all(1)
    assert len(index[seen].unique()) == len(pairs[seen].unique(dim=0))
    assert index[seen].min() >= 1
    assert index.max() < cross.cardinality


def test_hashed_combinations_stay_inside_their_buckets(featurize: Featurize, tmp_path: Path) -> None:
    features = Features.load(written(featurize(crosses=CROSSES, hash_buckets=7), tmp_path), "train")
    model, inputs = random_model(features), inputs_of(features, "train")
    for cross in features.spec.crosses:
        index = model.wide._cross(cross, inputs)
        assert cross.hashed
        assert cross.cardinality == 8
        assert set(index.unique().tolist()) <= set(range(8))
        assert len(index.unique()) > 5


def test_stable_hash_is_splitmix64() -> None:
    # The first two outputs of the reference implementation's generator with seed 0: hashes of 0 and of its increment.
    keys = torch.tensor([0, 0x9E3779B97F4A7C15 - 2**64])
    expected = [0xE220A8397B1DCDAF - 2**64, 0x6E789E6AA1B965F4]
    assert stable_hash(keys).tolist() == expected


def test_deep_part_by_hand(features: Features) -> None:
    model, inputs = random_model(features), inputs_of(features, "test")
    numbers = model.standardize(inputs.numbers)
    deep = model.deep
    expected = []
    for row in range(len(numbers)):
        parts = [deep.categories.weight[start + index] for start, index in
                 zip(deep.starts.tolist(), inputs.categories[row].tolist(), strict=True)]  # fmt: skip
        genres = [deep.bag.weight[genre] for genre in inputs.bag[row].tolist() if genre] if deep.bag else []
        mean = torch.stack(genres).mean(0) if genres else torch.zeros(4)
        hidden = torch.cat([*parts, numbers[row], mean])
        for layer in (0, 3, 6):
            linear = cast(nn.Linear, deep.mlp[layer])
            hidden = linear.weight @ hidden + linear.bias
            hidden = hidden.relu() if layer < 6 else hidden
        expected.append(hidden[0])
    torch.testing.assert_close(deep(inputs, numbers), torch.stack(expected))


def silence(model: WideDeep) -> None:
    """Make the deep part 0."""
    for parameter in cast(nn.Linear, model.deep.mlp[-1]).parameters():
        nn.init.zeros_(parameter)


def test_prediction_is_the_training_mean_before_any_step(features: Features) -> None:
    model = WideDeep(features.spec, PARAMS).eval()
    silence(model)
    predicted = model(inputs_of(features, "test"))
    torch.testing.assert_close(predicted, torch.full_like(predicted, features.spec.mean))


def test_bounded_output_stays_inside_the_rating_scale_and_starts_at_the_mean(features: Features) -> None:
    params = PARAMS.model_copy(update={"bounded_output": True})
    model = random_model(features, params)
    with torch.no_grad():
        model.wide.table.weight *= 100
    predicted = model(inputs_of(features, "train"))
    assert predicted.min() >= 0.5
    assert predicted.max() <= 5
    fresh = WideDeep(features.spec, params).eval()
    silence(fresh)
    assert fresh(inputs_of(features, "test"))[0].item() == pytest.approx(features.spec.mean, abs=1e-5)


def test_numbers_are_standardized_by_the_training_rows() -> None:
    numbers = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    standardize = Standardize(2)
    standardize.fit(numbers)
    assert standardize(numbers).tolist() == [[-1, 0], [1, 0]]  # a constant number says nothing


@pytest.mark.parametrize("batch_norm", [False, True])
def test_every_parameter_learns(features: Features, batch_norm: bool) -> None:
    model = random_model(features, PARAMS.model_copy(update={"batch_norm": batch_norm, "dropout": 0.0})).train()
    predicted: Tensor = model(inputs_of(features, "train"))
    predicted.square().sum().backward()
    silent = [
        name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert silent == []


def test_saved_model_predicts_the_same_after_loading(features: Features, tmp_path: Path) -> None:
    model = random_model(features)
    model.standardize.fit(inputs_of(features, "train").numbers)
    save_model(tmp_path, model, features.spec, PARAMS, 3, 0.9)
    loaded = load_model(tmp_path, features.spec)
    inputs = inputs_of(features, "test")
    assert torch.equal(loaded(inputs), model(inputs))
