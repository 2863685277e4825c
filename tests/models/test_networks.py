"""The smaller networks, compared with their formulas for single pairs."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.small_data import small_recipe
from widedeep.features.assemble import ask, listed
from widedeep.features.inputs import Inputs, Reads
from widedeep.features.tensors import FeatureSet
from widedeep.models import cnn
from widedeep.models.bias_dot import BiasDot
from widedeep.models.build import model_class
from widedeep.models.cnn import Cnn
from widedeep.models.dense import Dense
from widedeep.models.dot import Dot
from widedeep.models.genre_dense import GenreDense
from widedeep.models.ids import IdEmbeddings
from widedeep.models.knobs import BiasDotConfig
from widedeep.models.registry import ENTRIES

Load = Callable[..., FeatureSet]


def fresh(kind: Any, features: FeatureSet, deviation: float = 0.5, **changes: Any) -> Any:
    torch.manual_seed(0)
    name = next(name for name, entry in ENTRIES.items() if model_class(entry) is kind)
    own = {"factors_l2": 0.25, "wide_l2": 0.5, "hidden": (5, 3), "activation": "relu"}
    own = {key: value for key, value in own.items() if key in ENTRIES[name].config.model_fields}
    config: Any = small_recipe(model=name, **own | changes).config
    model = kind(features.spec, config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=deviation)
    return model


@pytest.fixture(scope="module")
def features(load: Load) -> FeatureSet:
    return load("temporal")


@pytest.fixture
def inputs(features: FeatureSet) -> Inputs:
    rows = features.splits["test"]
    return listed(features, rows, Reads(), torch.arange(len(rows)) % 5 == 0)


def vectors(ids: IdEmbeddings, inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Look up the vectors of the user and of the item of each row, (P, E) each."""
    pairs = inputs.pairs
    user, item = pairs.of_users(inputs.users.categories[:, 0]), pairs.of_items(inputs.items.categories[:, 0])
    return ids.user.weight[user], ids.item.weight[item]


def squares(*of: Tensor) -> Tensor:
    """Average over rows."""
    return torch.stack([vector.square().sum(1) for vector in of]).sum(0).mean()


@torch.no_grad()
def test_dot(features: FeatureSet, inputs: Inputs) -> None:
    model = fresh(Dot, features)
    p, q = vectors(model.ids, inputs)
    found = model(inputs)
    torch.testing.assert_close(found.rating, features.spec.mean + (p * q).sum(1))
    torch.testing.assert_close(found.penalty, 0.25 * squares(p, q))


@torch.no_grad()
def test_bias_dot(features: FeatureSet, inputs: Inputs) -> None:
    model = fresh(BiasDot, features)
    (p, q), (b, c) = vectors(model.ids, inputs), vectors(model.biases, inputs)
    score = (p * q).sum(1) + b[:, 0] + c[:, 0]
    share = (features.spec.mean - 0.5) / 4.5
    start = torch.tensor(share / (1 - share)).log()
    found = model(inputs)
    torch.testing.assert_close(found.rating, 0.5 + 4.5 / (1 + (-start - score).exp()))
    torch.testing.assert_close(found.ranking, score)
    torch.testing.assert_close(found.penalty, 0.25 * squares(p, q) + 0.5 * squares(b, c))


@torch.no_grad()
def test_bias_dot_starts_at_the_mean_and_stays_in_the_scale(features: FeatureSet, inputs: Inputs) -> None:
    rating = fresh(BiasDot, features, deviation=1e-6)(inputs).rating
    torch.testing.assert_close(rating, torch.full_like(rating, features.spec.mean))
    wild = fresh(BiasDot, features, deviation=30)(inputs).rating
    assert 0.5 <= wild.min() < 0.6
    assert 4.9 < wild.max() <= 5


@torch.no_grad()
def test_dense(features: FeatureSet, inputs: Inputs) -> None:
    model = fresh(Dense, features)
    hidden = model.first(torch.cat(vectors(model.ids, inputs), 1))
    expected = features.spec.mean + layers(model, hidden)
    torch.testing.assert_close(model(inputs).rating, expected)


@torch.no_grad()
def test_genre_dense(features: FeatureSet, inputs: Inputs) -> None:
    model = fresh(GenreDense, features)
    model.genres.weight[0] = 0
    bags = inputs.pairs.of_items(inputs.items.bag).tolist()
    genres = [model.genres.weight[[genre for genre in bag if genre]] for bag in bags]
    assert {len(one) for one in genres} > {0, 1, 2}
    mean = torch.stack([one.mean(0) if len(one) else torch.zeros(4) for one in genres])
    hidden = model.first(torch.cat([*vectors(model.ids, inputs), mean], 1))
    torch.testing.assert_close(model(inputs).rating, features.spec.mean + layers(model, hidden))


def layers(model: Dense, first: Tensor) -> Tensor:
    """Compute the layers after the first one: (P, 5) -> (P,)."""
    inner, last = (layer for layer in model.mlp.modules() if isinstance(layer, nn.Linear))
    hidden: Tensor = inner(first.relu()).relu()
    output: Tensor = last(hidden)
    return output[:, 0]


@pytest.mark.parametrize("size", [1, 2, 4])
@torch.no_grad()
def test_cnn(features: FeatureSet, inputs: Inputs, size: int) -> None:
    model = fresh(Cnn, features, embedding_size=size, channels=3)
    (p, q), (b, c) = vectors(model.ids, inputs), vectors(model.biases, inputs)
    image = torch.einsum("pe,pf->pef", p, q)[:, None]
    for layer in (one for one in model.convolutions if isinstance(one, nn.Conv2d)):
        # A convolution of 2 x 2 with stride 2 is a linear layer on each block.
        half = image.shape[-1] // 2
        blocks = image.unfold(2, 2, 2).unfold(3, 2, 2).permute(0, 2, 3, 1, 4, 5).reshape(len(p), half, half, -1)
        assert layer.bias is not None
        image = (blocks @ layer.weight.flatten(1).T + layer.bias).relu().permute(0, 3, 1, 2)
    score = image.flatten(1) @ model.output[1].weight[0]
    found = model(inputs)
    torch.testing.assert_close(found.rating, features.spec.mean + score + b[:, 0] + c[:, 0])
    torch.testing.assert_close(found.penalty, 0.25 * squares(p, q) + 0.5 * squares(b, c))


@pytest.mark.parametrize(("size", "used"), [(8, 8), (12, 8)])
def test_cnn_loses_the_border_of_an_image_that_is_no_power_of_2(
    features: FeatureSet, inputs: Inputs, size: int, used: int
) -> None:
    model = fresh(Cnn, features, embedding_size=size)
    model(inputs).rating.sum().backward()
    for table in (model.ids.user, model.ids.item):
        assert table.weight.grad.any(0).tolist() == [place < used for place in range(size)]


def test_cnn_gives_the_same_values_and_gradients_chunk_by_chunk(
    features: FeatureSet, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for chunk in (7, 10_000):
        monkeypatch.setattr(cnn, "CHUNK", chunk)
        model = fresh(Cnn, features, dropout=0.0).train()
        rating = model(inputs).rating
        rating.square().sum().backward()
        results.append([rating, *(parameter.grad for parameter in model.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", [Dot, BiasDot])
@torch.no_grad()
def test_unseen_users_and_items_start_at_the_mean(features: FeatureSet, kind: type[Dot | BiasDot]) -> None:
    model = kind(features.spec, BiasDotConfig(embedding_deviation=3.0)).eval()
    users, items = torch.tensor([3, 3, 0]), torch.tensor([4, 0, 4])  # user 3 and item 4 have no training rating
    rating = model(listed(features, ask(features, users, items, torch.tensor([0]), with_history=False), Reads())).rating
    torch.testing.assert_close(rating, torch.full((3,), features.spec.mean))
