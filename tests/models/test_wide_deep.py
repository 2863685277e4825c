"""Wide & Deep, compared with its definition: a linear model on a one-hot matrix, and a forward pass by hand."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from tests.small_data import small_recipe
from widedeep.errors import UserError
from widedeep.features.assemble import listed
from widedeep.features.inputs import Inputs, Reads
from widedeep.features.tensors import FeatureSet
from widedeep.models.deep import Embeddings
from widedeep.models.knobs import WideDeepConfig
from widedeep.models.model import Standardize
from widedeep.models.wide import stable_hash
from widedeep.models.wide_deep import WideDeep

Load = Callable[..., FeatureSet]

CROSSES = (("user_id", "genres"), ("gender", "year"), ("gender", "item_id", "genres"))


@pytest.fixture(scope="module")
def features(load: Load) -> FeatureSet:
    return load("temporal", crosses=CROSSES)


def inputs_of(features: FeatureSet, split: str) -> Inputs:
    return listed(features, features.splits[split], Reads(time=True))


def small_model(features: FeatureSet, **changes: Any) -> WideDeep:
    recipe = small_recipe(**changes)
    assert isinstance(recipe.config, WideDeepConfig)
    return WideDeep(features.spec, recipe.config, recipe.train.objective).eval()


def random_model(features: FeatureSet, **changes: Any) -> WideDeep:
    torch.manual_seed(0)
    if changes.get("objective") == "joint":  # two heads are for data without order of time
        features = replace(features, spec=replace(features.spec, online=False))
    model = small_model(features, **{"hidden": (8, 3), "activation": "relu"} | changes)
    for parameter in model.wide.parameters():
        nn.init.normal_(parameter)
    with torch.no_grad():
        model.wide.table.weight[0] = 0
    model.fit(features)
    return model


class Row(NamedTuple):
    """Look up the categories of a row by the name of the field, and its genres, without index arithmetic."""

    values: dict[str, int]
    genres: list[int]


# With factors, both tasks of a random split share the embeddings. Else lists come from a part of their own.
HEADS: dict[int, dict[str, Any]] = {1: {"objective": "rating"}, 2: {"objective": "joint", "factors": 3}}


def rows_of(features: FeatureSet, inputs: Inputs) -> list[Row]:
    names = [
        field.name
        for entity in ("user", "item")
        for field in features.spec.of_kind("category")
        if field.entity == entity
    ]
    pairs = inputs.pairs
    categories = torch.cat(
        [pairs.of_users(inputs.users.categories), pairs.of_items(inputs.items.categories)], 1
    ).tolist()
    bags = pairs.of_items(inputs.items.bag).tolist()
    return [
        Row(dict(zip(names, index, strict=True)), [genre for genre in bag if genre])
        for index, bag in zip(categories, bags, strict=True)
    ]


def one_hot(features: FeatureSet, inputs: Inputs) -> list[dict[tuple[object, ...], float]]:
    """List the wide features of each row by name and value, with their weights."""
    rows = []
    for values, genres in rows_of(features, inputs):
        on: dict[tuple[object, ...], float] = dict.fromkeys(values.items(), 1.0)
        on |= {("genres", genre): 1 / len(genres) for genre in genres}
        for cross in features.spec.crosses:
            for genre in genres if "genres" in cross.fields else [0]:
                combination = tuple(genre if name == "genres" else values[name] for name in cross.fields)
                if all(combination):
                    share = 1 / len(genres) if "genres" in cross.fields else 1.0
                    on[(cross.fields, combination)] = share
        rows.append(on)
    return rows


def without_numbers(model: WideDeep, inputs: Inputs) -> tuple[Tensor, Tensor, None]:
    user, item, _ = model.numbers(inputs)
    return torch.zeros_like(user), torch.zeros_like(item), None


@pytest.mark.parametrize("heads", [1, 2])
@torch.no_grad()
def test_wide_part_is_a_linear_model_on_one_hot_features(features: FeatureSet, heads: int) -> None:
    model, inputs = random_model(features, **HEADS[heads]), inputs_of(features, "train")
    rows = one_hot(features, inputs)
    columns = {name: place for place, name in enumerate(sorted({name for row in rows for name in row}, key=str))}
    matrix = torch.zeros(len(rows), len(columns), dtype=torch.float64)
    for place, row in enumerate(rows):
        for name, weight in row.items():
            matrix[place, columns[name]] = weight
    score, _ = model.wide(inputs, without_numbers(model, inputs))
    output = score.double() - model.wide.bias.double()
    assert output.shape == (len(rows), heads)
    # If the wide part is linear in these columns, least squares finds weights that give it exactly.
    solution = torch.linalg.lstsq(matrix, output, driver="gelsd").solution
    torch.testing.assert_close(matrix @ solution, output, atol=1e-5, rtol=0)


@torch.no_grad()
def test_numbers_add_their_standardized_value_times_a_weight(features: FeatureSet) -> None:
    model, inputs = random_model(features), inputs_of(features, "train")
    rows = features.splits["train"]
    numbers = torch.cat([features.users.numbers[rows.user], features.items.numbers[rows.item], rows.history], 1)
    assert numbers.shape[1] == 12
    standard = (numbers - numbers.mean(0)) / numbers.std(0, correction=0)
    whole, _ = model.wide(inputs, model.numbers(inputs))
    rest, _ = model.wide(inputs, without_numbers(model, inputs))
    torch.testing.assert_close(whole - rest, standard @ model.wide.numbers.weight.T, atol=1e-4, rtol=0)


@pytest.mark.parametrize("heads", [1, 2])
@torch.no_grad()
def test_wide_penalty_is_the_mean_square_of_the_weights_that_are_on(features: FeatureSet, heads: int) -> None:
    model = random_model(features, wide_l2=0.5, **HEADS[heads])
    model.wide.table.weight[1:] = 3.0
    for split in ("train", "test"):
        inputs = inputs_of(features, split)
        rows = one_hot(features, inputs)
        squares = [heads * sum((3 * share) ** 2 for share in row.values()) for row in rows]
        assert model(inputs).penalty.item() == pytest.approx(0.5 * sum(squares) / len(rows), rel=1e-5)


@torch.no_grad()
def test_crosses_are_left_at_0_for_unseen_values(features: FeatureSet) -> None:
    model, inputs = random_model(features), inputs_of(features, "train")
    users = inputs.users._replace(categories=torch.zeros_like(inputs.users.categories))
    items = inputs.items
    items = items._replace(categories=torch.zeros_like(items.categories), bag=torch.zeros_like(items.bag))
    starts = [model.wide.start[name] for name in model.wide.position]
    expected = model.wide.table.weight[starts].sum() + model.wide.bias
    output, _ = model.wide(inputs._replace(users=users, items=items), without_numbers(model, inputs))
    torch.testing.assert_close(output, expected.expand(len(output), 1))


def test_every_exact_combination_has_its_own_weight(features: FeatureSet) -> None:
    model, inputs = random_model(features), inputs_of(features, "train")
    cross = features.spec.crosses[1]
    assert not cross.hashed
    index = model.wide._cross(cross, inputs)
    pairs = torch.tensor([[row.values[name] for name in cross.fields] for row in rows_of(features, inputs)])
    seen = (pairs > 0).all(1)
    assert len(index[seen].unique()) == len(pairs[seen].unique(dim=0))
    assert index[seen].min() >= 1
    assert index.max() < cross.cardinality


def test_hashed_combinations_stay_inside_their_buckets(load: Load) -> None:
    features = load("temporal", crosses=CROSSES, hash_buckets=7)
    model, inputs = random_model(features), inputs_of(features, "train")
    for cross in features.spec.crosses:
        index = model.wide._cross(cross, inputs)
        assert cross.hashed
        assert cross.cardinality == 8
        assert set(index.unique().tolist()) <= set(range(8))
        assert len(index.unique()) > 5


def test_stable_hash_is_splitmix64() -> None:
    # The first two numbers of the reference generator with seed 0 are the hashes of 0 and of its increment.
    keys = torch.tensor([0, 0x9E3779B97F4A7C15 - 2**64])
    expected = [0xE220A8397B1DCDAF - 2**64, 0x6E789E6AA1B965F4]
    assert stable_hash(keys).tolist() == expected


def embedded(embeddings: Embeddings, values: list[int], genres: list[int]) -> Tensor:
    """Concatenate the vectors of the fields. The mean vector of the genres comes last."""
    starts: list[int] = embeddings.starts.tolist()
    parts = [embeddings.categories.weight[start + index] for start, index in zip(starts, values, strict=True)]
    if embeddings.bag is not None:
        parts.append(embeddings.bag.weight[genres].mean(0) if genres else torch.zeros(4))
    return torch.cat(parts)


@pytest.mark.parametrize("heads", [1, 2])
@torch.no_grad()
def test_deep_part_by_hand(features: FeatureSet, heads: int) -> None:
    model, inputs = random_model(features, objective="rating" if heads == 1 else "joint"), inputs_of(features, "test")
    deep = model.deep
    assert deep is not None
    assert deep.user.bag is None
    user, item, history = model.numbers(inputs)
    assert history is not None
    numbers = torch.cat([inputs.pairs.of_users(user), inputs.pairs.of_items(item), history], 1)
    # The model keeps the parts of this layer apart.
    first = torch.cat([deep.of_user, deep.of_item, deep.numbers.weight], 1)
    inner, last = (layer for layer in deep.mlp.modules() if isinstance(layer, nn.Linear))
    expected = []
    for row, (values, genres) in enumerate(rows_of(features, inputs)):
        index, of_user = list(values.values()), deep.user.fields
        vector = [embedded(deep.user, index[:of_user], []), embedded(deep.item, index[of_user:], genres), numbers[row]]
        hidden = (first @ torch.cat(vector) + deep.bias).relu()
        expected.append(last(inner(hidden).relu()))
    torch.testing.assert_close(deep(inputs, model.numbers(inputs)), torch.stack(expected), atol=1e-5, rtol=1e-4)


def silence(model: WideDeep) -> None:
    """Make the deep part 0."""
    assert model.deep is not None
    last = [layer for layer in model.deep.mlp.modules() if isinstance(layer, nn.Linear)][-1]
    for parameter in last.parameters():
        nn.init.zeros_(parameter)


@torch.no_grad()
def test_parts_add_up(features: FeatureSet) -> None:
    model, inputs = random_model(features, factors=2), inputs_of(features, "test")
    assert model.deep is not None
    assert model.factors is not None
    numbers = model.numbers(inputs)
    parts = model.wide(inputs, numbers)[0], model.deep(inputs, numbers), model.factors(inputs)[0]
    torch.testing.assert_close(model(inputs).rating, features.spec.mean + sum(parts)[:, 0])
    rest = random_model(features, hidden=())
    assert rest.deep is None
    assert rest.factors is None
    torch.testing.assert_close(rest(inputs).rating, features.spec.mean + rest.wide(inputs, numbers)[0][:, 0])


def test_prediction_is_the_training_mean_before_any_step(features: FeatureSet) -> None:
    model = small_model(features)
    silence(model)
    predicted = model(inputs_of(features, "test")).rating
    torch.testing.assert_close(predicted, torch.full_like(predicted, features.spec.mean))


def test_bounded_output_stays_inside_the_rating_scale_and_starts_at_the_mean(features: FeatureSet) -> None:
    model = random_model(features, bounded_output=True)
    with torch.no_grad():
        model.wide.table.weight *= 100
    predicted = model(inputs_of(features, "train")).rating
    assert 0.5 <= predicted.min() < 0.6
    assert 4.9 < predicted.max() <= 5
    fresh = small_model(features, bounded_output=True)
    silence(fresh)
    assert fresh(inputs_of(features, "test")).rating[0].item() == pytest.approx(features.spec.mean, abs=1e-5)


@torch.no_grad()
def test_time_moves_a_prediction_only_where_it_is_switched_on(features: FeatureSet) -> None:
    rows = features.splits["test"]
    inputs = listed(features, rows, Reads(time=True))
    assert inputs.time is not None
    for switch in (False, True):
        model = random_model(features, time=switch)
        early, late = (model(inputs._replace(time=inputs.time + days)).rating for days in (0, 1e-3))
        assert early.equal(late) is not switch


@torch.no_grad()
def test_history_moves_a_prediction_only_where_it_is_switched_on(features: FeatureSet) -> None:
    inputs = inputs_of(features, "test")
    for history, time in ((True, False), (False, False), (False, True)):
        model = random_model(features, history=history, time=time)
        assert inputs.history is not None
        known, less = (model(inputs._replace(history=inputs.history + more)).rating for more in (0, 1))
        assert known.equal(less) is not history


@torch.no_grad()
def test_a_pair_without_history_has_that_of_an_average_one(features: FeatureSet) -> None:
    rows = features.splits["train"]
    for switch in (False, True):
        model, inputs = random_model(features, time=switch), inputs_of(features, "train")
        average = rows.history.mean(0).expand(len(rows), -1)
        found = model(inputs._replace(history=None)).rating
        torch.testing.assert_close(found, model(inputs._replace(history=average)).rating, atol=1e-4, rtol=0)


def test_time_is_refused_where_the_ratings_have_none(load: Callable[..., FeatureSet]) -> None:
    features = load("random", crosses=CROSSES)
    rows = features.splits["train"]
    untimed = replace(features, splits={"train": replace(rows, timestamp=torch.zeros_like(rows.timestamp))})
    with pytest.raises(UserError, match=r"time must be false for ratings without timestamps.* Got true instead"):
        random_model(untimed, time=True)
    assert random_model(untimed, time=False)


def test_numbers_are_standardized_by_the_training_rows() -> None:
    numbers = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    standardize = Standardize(2)
    standardize.fit(numbers)
    assert standardize(numbers).tolist() == [[-1, 0], [1, 0]]  # a constant number becomes 0
