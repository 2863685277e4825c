"""Properties of every model: any form of pairs gives the same scores, and files restore the model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from tests.small_data import BASELINES, NETWORKS, bundled, small_recipe, written
from widedeep.errors import UserError
from widedeep.features.assemble import ask, grid, history, listed
from widedeep.features.files import FeatureTables
from widedeep.features.inputs import Inputs, Output
from widedeep.features.tensors import FeatureSet, load_features
from widedeep.models.build import build
from widedeep.models.bundle import Bundle
from widedeep.models.model import Ensemble, Model
from widedeep.models.registry import ENTRIES

Load = Callable[..., FeatureSet]

CROSSES = (("user_id", "genres"), ("gender", "year"), ("gender", "item_id", "genres"))
VARIANTS: dict[str, dict[str, Any]] = {
    **{name: {"model": name} for name in (*BASELINES, *NETWORKS)},
    "members": {"model": "dot", "members": 2},
    "linear": {"hidden": ()},
    "bounded": {"bounded_output": True},
    "factors": {"factors": 3},
    "user_items": {"factors": 3, "user_items": 1000, "time": True},
    "interactions": {"factors": 3, "user_items": 5, "item_users": 1000},
    "ranking": {"objective": "ranking", "factors": 3, "item_users": 3},
    "joint": {"objective": "joint", "factors": 3, "user_items": 4, "item_users": 4, "rating_weight": 0.5, "members": 2},
}
KNOW_NOTHING_ELSE = {"bias", "item_knn"}  # than the history

every_variant = pytest.mark.parametrize("variant", VARIANTS)
every_split = pytest.mark.parametrize("split", ["temporal", "random"])


def randomize(model: Model) -> Model:
    """Draw new weights, because many are 0 at the start. Rows of absent values stay 0."""
    torch.manual_seed(1)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    for module in model.modules():
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            nn.init.zeros_(module.weight[module.padding_idx])
    if isinstance(model, Ensemble) and model.ranks_only:
        model.get_buffer("line").copy_(torch.tensor([0.5, 2.0]))
    return model.eval()


def model_of(features: FeatureSet, variant: str) -> Model:
    changes = VARIANTS[variant]
    knobs = ENTRIES[changes.get("model", "wide_deep")].config.model_fields
    l2 = {name: value for name, value in {"wide_l2": 0.1, "factors_l2": 0.2}.items() if name in knobs}
    if "factors" in knobs and not changes.get("factors"):
        l2["factors_l2"] = 0.0
    model = build(features.spec, small_recipe(**l2 | changes).architecture)
    model.fit(features)
    with torch.no_grad():
        return randomize(model)


@torch.no_grad()
def scored(model: Model, inputs: Inputs) -> Output:
    return cast(Output, model(inputs))


def assert_same(found: Output, expected: Output) -> None:
    """Compare numbers up to rounding, in any shape."""
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.flatten(), other.flatten(), atol=2e-5, rtol=1e-5)


@every_variant
@every_split
def test_a_grid_is_scored_as_its_pairs_one_by_one(load: Load, split: str, variant: str) -> None:
    features = load(split, crosses=CROSSES)
    model = model_of(features, variant)
    users, items = torch.tensor([9, 3, 0]), torch.arange(31)  # user 3 and item 4 have no training rating
    asked = torch.tensor([1055, 1060, 1060])
    for known in (False, True):
        gridded = grid(features, users, items, asked, model.reads, with_history=known)
        one_by_one = listed(
            features, ask(features, users[:, None], items, asked[:, None], with_history=False), model.reads
        )
        if known:
            pairs = torch.broadcast_tensors(users[:, None], items, asked[:, None])
            one_by_one = one_by_one._replace(history=history(features, *(part.flatten() for part in pairs)))
        elif variant in KNOW_NOTHING_ELSE:
            continue
        found = scored(model, gridded)
        assert found.rating.shape == found.ranking.shape == (3, 31)
        assert_same(found, scored(model, one_by_one))
        if variant != "global_mean":
            assert found.rating.unique().numel() > 3


@every_variant
@every_split
def test_a_row_is_scored_the_same_in_whatever_batch(load: Load, split: str, variant: str) -> None:
    features = load(split, crosses=CROSSES)
    model = model_of(features, variant)
    torch.manual_seed(0)
    rows = features.splits["train"]
    rows = rows[torch.randint(len(rows), (60,))]  # some come twice
    hide_user, hide_item = torch.rand(2, 60) < 0.5
    found = scored(model, listed(features, rows, model.reads, hide_user, hide_item))
    single = [
        scored(model, listed(features, rows[place], model.reads, hide_user[place], hide_item[place]))
        for place in (slice(row, row + 1) for row in range(60))
    ]
    rating, ranking, penalty = (torch.stack(parts) for parts in zip(*single, strict=True))
    assert_same(found, Output(rating, ranking, penalty.mean()))


@every_variant
def test_saved_model_predicts_the_same_after_loading(load: Load, variant: str, tmp_path: Path) -> None:
    features = load("temporal", crosses=CROSSES)
    model, about = model_of(features, variant), small_recipe(**VARIANTS[variant]).architecture
    bundled(features, model, about).save(tmp_path)
    torch.manual_seed(5)
    loaded = Bundle.load(tmp_path)
    assert loaded.architecture == about
    assert loaded.model.reads == model.reads
    rows = features.splits["test"]
    before, after = (scored(one, listed(features, rows, one.reads)) for one in (model, loaded.model))
    assert after.rating.equal(before.rating)
    assert after.ranking.equal(before.ranking)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("objective", ["rating", "ranking"])
def test_every_parameter_of_a_network_has_a_gradient(load: Load, name: str, objective: str) -> None:
    features = load("random", crosses=CROSSES)
    wanted = {"factors": 3, "user_items": 9, "item_users": 9, "dropout": 0.0, "activation": "tanh"}
    changes = {key: value for key, value in wanted.items() if key in ENTRIES[name].config.model_fields}
    model = build(features.spec, small_recipe(model=name, objective=objective, **changes).architecture)
    model.fit(features)
    with torch.no_grad():
        randomize(model).train()
    inputs = listed(features, features.splits["train"], model.reads)
    output = model(inputs)
    target: Tensor = output.rating if objective == "rating" else output.ranking
    target.square().sum().backward()
    silent = [name for name, one in model.named_parameters() if one.grad is None or not one.grad.any()]
    assert silent == []


def outputs_of_members(model: Ensemble, inputs: Inputs) -> list[Output]:
    return [scored(member, inputs) for member in model.each()]


def test_an_ensemble_is_the_mean_of_members_that_differ(load: Load) -> None:
    features = load("temporal")
    model = build(features.spec, small_recipe(members=3).architecture).eval()
    assert isinstance(model, Ensemble)
    inputs = listed(features, features.splits["test"], model.reads)
    members = outputs_of_members(model, inputs)
    assert len(members) == 3
    assert not members[0].rating.allclose(members[1].rating)
    assert not members[1].rating.allclose(members[2].rating)
    found = scored(model, inputs)
    torch.testing.assert_close(found.rating, sum(one.rating for one in members) / 3)
    torch.testing.assert_close(found.ranking, sum(one.ranking for one in members) / 3)


def test_an_ensemble_of_one_is_that_one(load: Load) -> None:
    features = load("temporal")
    model = build(features.spec, small_recipe(members=1).architecture).eval()
    assert isinstance(model, Ensemble)
    inputs = listed(features, features.splits["test"], model.reads)
    assert scored(model, inputs).rating.equal(outputs_of_members(model, inputs)[0].rating)


def test_joint_ranks_by_its_own_head_plus_the_weighted_rating(load: Load) -> None:
    features = load("temporal")
    model = model_of(features, "joint")
    assert isinstance(model, Ensemble)
    inputs = listed(features, features.splits["test"], model.reads)
    members = outputs_of_members(model, inputs)
    rating, ranking = (torch.stack([one[place] for one in members]).mean(0) for place in (0, 1))
    assert not rating.allclose(ranking)
    found = scored(model, inputs)
    torch.testing.assert_close(found.rating, rating)
    torch.testing.assert_close(found.ranking, ranking + 0.5 * rating)


def test_a_model_that_learnt_to_rank_alone_rates_by_a_line_and_whatever_the_history(load: Load) -> None:
    features = load("temporal")
    model = model_of(features, "ranking")
    inputs = listed(features, features.splits["test"], model.reads)
    found = scored(model, inputs)
    torch.testing.assert_close(found.rating, 0.5 + 2 * found.ranking)
    # Training showed no history, so the weights of the history did not change.
    assert inputs.history is not None
    assert scored(model, inputs._replace(history=inputs.history + 1)).ranking.equal(found.ranking)


def test_genre_dense_needs_genres(featurize: Callable[..., FeatureTables], items: pd.DataFrame, tmp_path: Path) -> None:
    features = load_features(written(featurize(items=items.assign(genres=[[] for _ in range(31)])), tmp_path), "train")
    with pytest.raises(UserError, match=r"genre_dense needs genres.* Choose another model\."):
        build(features.spec, small_recipe(model="genre_dense").architecture)
