"""The inner product over a batch, compared with the same formula for single pairs."""

from collections.abc import Callable
from math import sqrt

import pytest
import torch
from torch import Tensor, nn

from widedeep.features.assemble import grid, listed
from widedeep.features.inputs import Inputs, Reads, Side
from widedeep.features.tensors import FeatureSet
from widedeep.models.factors import Factors
from widedeep.models.knobs import WideDeepConfig

Load = Callable[..., FeatureSet]


def random_factors(features: FeatureSet, heads: int, reads: Reads) -> Factors:
    torch.manual_seed(0)
    config = WideDeepConfig(
        embedding_deviation=0.1, factors=3, user_items=reads.user_items, item_users=reads.item_users
    )
    factors = Factors(features.spec, config, heads)
    with torch.no_grad():
        for parameter in factors.parameters():
            nn.init.normal_(parameter, std=0.5)
        for table in (factors.user.bag, factors.item.bag, factors.rated, factors.raters):
            if table is not None:
                table.weight[0] = 0
    return factors


def fields_of(embeddings: nn.Module, side: Side, place: int) -> Tensor:
    """Sum the vectors of the fields of one user or item."""
    categories, bag, starts = embeddings.categories, embeddings.bag, embeddings.starts
    assert isinstance(categories, nn.Embedding)
    assert isinstance(starts, Tensor)
    vector = categories.weight[side.categories[place] + starts].sum(0)
    genres = [genre for genre in side.bag[place].tolist() if genre]
    return vector + bag.weight[genres].mean(0) if isinstance(bag, nn.Embedding) and genres else vector


def implicit(table: nn.Embedding | None, side: Side, place: int, without: int) -> Tensor:
    """Compute |N|^-1/2 times the sum of the vectors of N, the interactions of this user or item."""
    if table is None:
        return torch.zeros(3)
    assert side.interactions is not None
    others = side.interactions.other[side.interactions.owner == place].tolist()
    left = [other for other in others if other != without]
    return table.weight[left].sum(0) / sqrt(max(len(left), 1))


def naive(factors: Factors, inputs: Inputs, users: Tensor, items: Tensor) -> tuple[Tensor, float]:
    """Compute scores (P, heads) and the penalty."""
    heads = torch.ones(1, 3) if factors.heads is None else factors.heads
    scores, penalties = [], []
    for user, item in zip(users.tolist(), items.tolist(), strict=True):
        user_id, item_id = int(inputs.users.id[user]), int(inputs.items.id[item])
        fields = fields_of(factors.user, inputs.users, user), fields_of(factors.item, inputs.items, item)
        p = fields[0] + implicit(factors.rated, inputs.users, user, item_id)
        q = fields[1] + implicit(factors.raters, inputs.items, item, user_id)
        scores.append((heads * p * q).sum(1))
        whole = (
            fields[0] + implicit(factors.rated, inputs.users, user, -1),
            fields[1] + implicit(factors.raters, inputs.items, item, -1),
        )
        penalties.append(sum(float(vector.square().sum()) for vector in whole))
    return torch.stack(scores), sum(penalties) / len(penalties)


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("reads", [Reads(), Reads(1000, 0), Reads(0, 1000), Reads(1000, 1000), Reads(3, 2)])
@pytest.mark.parametrize("split", ["temporal", "random"])
@torch.no_grad()
def test_scores_are_those_of_the_formula(load: Load, split: str, reads: Reads, heads: int) -> None:
    features = load(split)
    factors = random_factors(features, heads, reads)
    rows = features.splits["train"]
    hide_user, hide_item = torch.rand(2, len(rows)) < 0.5
    inputs = listed(features, rows, reads, hide_user, hide_item)
    user, item = inputs.pairs
    assert user is not None
    assert item is not None
    expected, square = naive(factors, inputs, user, item)
    scores, penalty = factors(inputs)
    torch.testing.assert_close(scores, expected, atol=1e-4, rtol=1e-4)
    assert penalty.item() == pytest.approx(square, rel=1e-4)


@pytest.mark.parametrize("heads", [1, 2])
@torch.no_grad()
def test_scores_of_a_grid_are_those_of_the_formula(load: Load, heads: int) -> None:
    features, reads = load("temporal"), Reads(1000, 3)
    factors = random_factors(features, heads, reads)
    users, items = torch.tensor([3, 0, 7]), torch.arange(31)
    inputs = grid(features, users, items, torch.full_like(users, 1060), reads)
    expected, square = naive(factors, inputs, torch.arange(3).repeat_interleave(31), items.repeat(3))
    scores, penalty = factors(inputs)
    torch.testing.assert_close(scores, expected.view(3, 31, heads), atol=1e-4, rtol=1e-4)
    assert penalty.item() == pytest.approx(square, rel=1e-4)


@pytest.mark.parametrize("hidden", [False, True])
def test_the_item_of_a_row_never_speaks_for_it(load: Load, hidden: bool) -> None:
    # Otherwise the user's items would show even an item whose id is hidden.
    features, reads = load("random"), Reads(1000, 0)
    factors = random_factors(features, 1, reads)
    rows = features.splits["train"][:1]
    hide = torch.tensor([hidden])
    factors(listed(features, rows, reads, None, hide))[0].sum().backward()
    assert factors.rated is not None
    gradient = factors.rated.weight.grad
    assert gradient is not None
    assert gradient.any()
    assert not gradient[features.items.categories[rows.item, 0]].any()


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_interactions_learn_in_mixed_precision(load: Load, precision: torch.dtype) -> None:
    features, reads = load("random"), Reads(1000, 1000)
    factors = random_factors(features, 1, reads)
    inputs = listed(features, features.splits["train"], reads)
    with torch.autocast("cpu", dtype=precision):
        scores, _ = factors(inputs)
    torch.testing.assert_close(scores.float(), factors(inputs)[0], atol=0.2, rtol=0.05)
    scores.float().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in factors.parameters())
