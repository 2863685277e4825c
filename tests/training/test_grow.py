"""Warm start: growing keeps what is known, and estimates what is new from its features."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from tests.small_data import BASELINES, NETWORKS, bundled, small_recipe, written
from widedeep.errors import UserError
from widedeep.features.assemble import listed
from widedeep.features.files import FeatureTables
from widedeep.features.tensors import FeatureSet, load_features
from widedeep.features.vocabulary import Vocabulary
from widedeep.files import write_json
from widedeep.models.build import build
from widedeep.models.model import Ensemble, Model
from widedeep.params import Recipe
from widedeep.training.fit import fit
from widedeep.training.grow import grow, new_rows, warm_start

Grown = Callable[..., FeatureSet]
CROSSES = (("user_id", "genres"), ("gender", "year"), ("gender", "item_id", "genres"))
WHOLE = {"factors": 4, "user_items": 3, "item_users": 1000, "time": True, "members": 2}


@pytest.fixture(scope="module")
def at(
    featurize: Callable[..., FeatureTables],
    ratings: pd.DataFrame,
    items: pd.DataFrame,
    users: pd.DataFrame,
    tmp_path_factory: pytest.TempPathFactory,
) -> Grown:
    """FeatureSet at a moment: all ratings before it train. User 9 comes at 1020 and user 1, of a new gender, at 1040;
    items 26 to 30, one of them of a new genre, at 1020."""
    users = users.assign(gender=[*"XMFMFMFMFM"], age=np.arange(10) ** 2 / 100)
    items = items.assign(genres=[*items["genres"].iloc[:28], ["Western"], ["War", "Western"], []])
    early = ratings["timestamp"]
    hidden = ((ratings["item_id"] > 25) | (ratings["user_id"] == 9)) & (early < 1020)
    hidden |= (ratings["user_id"] == 1) & (early < 1040)
    rated = ratings[~hidden]

    def features(moment: int, earlier: Vocabulary | None = None, **changes: Any) -> FeatureSet:
        split = np.where(rated["timestamp"] < moment, "train", "test")
        tables = featurize(
            ratings=rated.assign(split=split), users=users, items=items, earlier=earlier, crosses=CROSSES, **changes
        )
        return load_features(written(tables, tmp_path_factory.mktemp("grown")), "train", "test", "validation")

    return features


def random_model(features: FeatureSet, recipe: Recipe) -> Model:
    """Draw all weights except those that stay 0."""
    torch.manual_seed(0)
    model = build(features.spec, recipe.architecture)
    model.fit(features)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    for module in model.modules():
        if isinstance(module, nn.Embedding) and module.padding_idx == 0:
            with torch.no_grad():
                module.weight[0] = 0
    return model.eval()


@torch.no_grad()
def predicted(
    model: Model, features: FeatureSet, first: int, split: str = "train"
) -> tuple[torch.Tensor, torch.Tensor]:
    output = model(listed(features, features.splits[split][:first], model.reads))
    return output.rating, output.ranking


@pytest.mark.parametrize("hash_buckets", [1000, 40])
@pytest.mark.parametrize(
    ("model", "changes"),
    [(name, {}) for name in NETWORKS] + [("wide_deep", WHOLE), ("wide_deep", WHOLE | {"objective": "joint"})],
)
def test_what_was_known_is_predicted_as_before(
    at: Grown, model: str, changes: dict[str, Any], hash_buckets: int
) -> None:
    before = at(1015, hash_buckets=hash_buckets)
    assert {cross.hashed for cross in before.spec.crosses} == ({False} if hash_buckets == 1000 else {False, True})
    after = at(1045, before.vocabulary(), hash_buckets=hash_buckets)
    assert len(after.spec.of_kind("bag")[0].values or ()) == 5  # there is a new genre
    earlier = random_model(before, small_recipe(model=model, **changes))
    grown = grow(earlier, before.vocabulary(), after)
    n = len(before.splits["train"])
    for old, new in zip(predicted(earlier, before, n), predicted(grown, after, n), strict=True):
        assert old.std() > 0.01
        torch.testing.assert_close(new, old, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("model", "changes"), [("dot", {}), ("genre_dense", {}), ("wide_deep", WHOLE)])
def test_growing_twice_is_growing_once(at: Grown, model: str, changes: dict[str, Any]) -> None:
    first = at(1015)
    second = at(1030, first.vocabulary())
    by_two, by_one = at(1055, second.vocabulary()), at(1055, first.vocabulary())
    assert by_two.users.categories[:, 0].tolist() != by_one.users.categories[:, 0].tolist()
    earlier = random_model(first, small_recipe(model=model, **changes))
    once = grow(earlier, first.vocabulary(), by_one)
    twice = grow(grow(earlier, first.vocabulary(), second), second.vocabulary(), by_two)
    for split in ("train", "test"):
        for one, two in zip(predicted(once, by_one, 999, split), predicted(twice, by_two, 999, split), strict=True):
            torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-4)


def test_a_new_user_starts_at_the_mean_of_users_like_it(
    featurize: Callable[..., FeatureTables], tmp_path: Path
) -> None:
    """With one demographic least squares gives the mean of each group; who is like nobody gets the mean of all groups,
    each counted by its users."""
    ratings = pd.DataFrame(
        [(1, 1, 1), (2, 1, 2), (3, 1, 3), (4, 1, 4), (7, 1, 5), (8, 1, 6)], columns=["user_id", "item_id", "timestamp"]
    ).assign(rating=3.0)
    users = pd.DataFrame({"user_id": [1, 2, 3, 4, 7, 8], "gender": [*"FFMMMX"]})
    items = pd.DataFrame({"item_id": [1], "title": "T", "year": [1990.0], "genres": [["War"]]})

    def features(moment: int, earlier: Vocabulary | None = None) -> FeatureSet:
        folder = tmp_path / str(moment)
        folder.mkdir()
        split = np.where(ratings["timestamp"] < moment, "train", "test")
        tables = featurize(ratings=ratings.assign(split=split), users=users, items=items, crosses=(), earlier=earlier)
        return load_features(written(tables, folder), "train")

    before = features(5)
    after = features(7, before.vocabulary())
    model = random_model(before, small_recipe(model="dot"))
    assert isinstance(model, Ensemble)
    grown = grow(model, before.vocabulary(), after)
    old, new = (one.state_dict()["members.0.ids.user.weight"] for one in (model, grown))
    assert new[:5].equal(old)
    torch.testing.assert_close(new[5], old[3:5].mean(0))
    torch.testing.assert_close(new[6], old[1:5].mean(0))


def test_only_new_rows_and_a_share_of_the_others_are_trained_on(at: Grown) -> None:
    features = at(1045)
    rows = features.splits["train"]
    late = rows.timestamp > 1030
    assert new_rows(features, 1030, 0, 0).splits["train"].timestamp.equal(rows.timestamp[late])
    some = new_rows(features, 1030, 0.5, 0)
    kept = some.splits["train"].timestamp
    assert kept.equal(kept.sort().values)
    assert int((kept > 1030).sum()) == int(late.sum())
    assert int((kept <= 1030).sum()) == round(0.5 * int((~late).sum()))
    assert not new_rows(features, 1030, 0.5, 1).splits["train"].item.equal(some.splits["train"].item)
    assert len(new_rows(features, 1030, 1, 0).splits["train"]) == len(rows)
    assert some.known() is rows
    with pytest.raises(UserError, match="no training rating is later than 1970-01-01T00:17:25"):
        new_rows(features, 1045, 0, 0)


@pytest.mark.parametrize("changes", [{}, {"objective": "ranking"}, {"objective": "ranking", "negatives": 3}])
def test_a_grown_model_trains_on(at: Grown, changes: dict[str, Any], tmp_path: Path) -> None:
    before = at(1015)
    vocabulary = before.vocabulary()
    params = small_recipe(epochs=3, **changes)
    earlier = fit(before, params, tmp_path / "1").model
    after = at(1045, vocabulary)
    grown = grow(earlier, vocabulary, after)
    start = {name: value.clone() for name, value in grown.state_dict().items()}
    assert vocabulary.trained_until is not None
    trained = fit(new_rows(after, vocabulary.trained_until, 0, 0), params, tmp_path / "2", start=grown)
    numbers = "members.0.numbers.pair.mean"
    assert trained.model.state_dict()[numbers].equal(start[numbers])  # the scale of known numbers stays
    moved = (
        trained.model.state_dict()["members.0.deep.user.categories.weight"]
        - start["members.0.deep.user.categories.weight"]
    )
    assert moved.abs().sum(1).max() > 1e-3


def test_what_shapes_no_weights_may_change(at: Grown, tmp_path: Path) -> None:
    before = at(1015)
    params = small_recipe(dropout=0.1, wide_l2=0.0)
    bundled(before, random_model(before, params), params.architecture).save(tmp_path)
    changed = small_recipe(dropout=0.9, wide_l2=2.0)
    features = at(1045, before.vocabulary())
    was, _, _ = warm_start(tmp_path, params, features)
    now, _, rows = warm_start(tmp_path, changed, features)
    assert {module.p for module in now.modules() if isinstance(module, nn.Dropout)} == {0.9}
    inputs = listed(features, rows.splits["train"], now.reads)
    assert was(inputs).penalty == 0 < now(inputs).penalty
    assert now(inputs).rating.equal(was(inputs).rating)


def test_an_optimizer_that_would_forget_the_earlier_weights_is_refused(at: Grown, tmp_path: Path) -> None:
    before = at(1015)
    after = at(1045, before.vocabulary())
    params = small_recipe(wide_optimizer="ftrl")
    grown = grow(random_model(before, params), before.vocabulary(), after)
    with pytest.raises(UserError, match=r"models.wide_deep.wide_optimizer: ftrl .* would forget .* Set it to adamw"):
        fit(after, params, tmp_path, start=grown)
    without_wide = small_recipe(model="dot", epochs=1)
    grown = grow(random_model(before, without_wide), before.vocabulary(), after)
    assert fit(after, without_wide, tmp_path, start=grown).curves


def test_weights_learnt_as_distributions_go_on_as_points(at: Grown, tmp_path: Path) -> None:
    before = at(1015)
    after = at(1045, before.vocabulary())
    params = small_recipe(noise_variance=0.5, factors=2, user_items=3)
    was = random_model(before, params)
    with pytest.raises(UserError, match=r"models.wide_deep.noise_variance must be 0 in a warm start.*Got 0.5"):
        fit(after, params, tmp_path, start=grow(was, before.vocabulary(), after))
    points = grow(was, before.vocabulary(), after, small_recipe(factors=2, user_items=3).architecture)
    assert not [name for name in points.state_dict() if name.endswith("log_deviation")]
    rows = before.splits["train"]
    torch.testing.assert_close(
        points(listed(after, rows, points.reads)).rating, was(listed(before, rows, was.reads)).rating
    )


def test_features_that_have_not_grown_from_the_model_are_refused(at: Grown) -> None:
    """User 10 is known at both moments, but has different indices."""
    before, anew = at(1015), at(1045)
    assert before.vocabulary().user_ids[7] == "10" != anew.vocabulary().user_ids[7]
    with pytest.raises(UserError, match=r"have not grown from the vocabulary of this model.*dvc repro --force"):
        grow(random_model(before, small_recipe()), before.vocabulary(), anew)


def test_users_and_items_that_have_left_the_data_keep_their_index(
    featurize: Callable[..., FeatureTables],
    ratings: pd.DataFrame,
    items: pd.DataFrame,
    users: pd.DataFrame,
    tmp_path: Path,
) -> None:
    def features(moment: int, earlier: Vocabulary | None, *gone: int) -> FeatureSet:
        kept = ratings[~ratings["user_id"].isin(gone) & ~ratings["item_id"].isin(gone)]
        tables = featurize(
            ratings=kept.assign(split=np.where(kept["timestamp"] < moment, "train", "test")),
            users=users[~users["user_id"].isin(gone)],
            items=items[~items["item_id"].isin(gone)],
            earlier=earlier,
        )
        (tmp_path / str(moment)).mkdir()
        return load_features(written(tables, tmp_path / str(moment)), "train", "test")

    before = features(1015, None, 9)
    known = before.vocabulary()
    params = small_recipe()
    (tmp_path / "model").mkdir()
    bundled(before, random_model(before, params), params.architecture).save(tmp_path / "model")
    _, vocabulary, _ = warm_start(tmp_path / "model", params, features(1045, known, 3))
    assert known.user_ids == [*"12345678", "10"]
    assert vocabulary.user_ids == [*"12345678", "10", "9"]
    assert vocabulary.item_ids[: len(known.item_ids)] == known.item_ids


def test_ids_keep_their_index_when_their_codes_shift(
    featurize: Callable[..., FeatureTables],
    ratings: pd.DataFrame,
    items: pd.DataFrame,
    users: pd.DataFrame,
    tmp_path: Path,
) -> None:
    """User "007" comes first among the ids, but only in the second version of the data, and "x" puts them in the order
    of text."""
    named = {1: "10", 2: "9", 3: "007", 10: "x"}

    def features(moment: int, earlier: Vocabulary | None, *gone: int) -> FeatureSet:
        names = users["user_id"].map(lambda user: named.get(user, f"u{user}"))
        text = users.assign(user_id=names)[~users["user_id"].isin(gone)].sort_values("user_id", ignore_index=True)
        kept = ratings[~ratings["user_id"].isin(gone)]
        tables = featurize(
            ratings=kept.assign(
                split=np.where(kept["timestamp"] < moment, "train", "test"),
                user_id=kept["user_id"].map(dict(zip(users["user_id"], names, strict=True))),
            ),
            users=text,
            items=items,
            earlier=earlier,
        )
        (tmp_path / str(moment)).mkdir()
        return load_features(written(tables, tmp_path / str(moment)), "train", "test")

    before = features(1030, None, 3)
    known = before.vocabulary()
    after = features(1045, known)
    assert known.user_ids == ["10", "9", "u4", "u5", "u6", "u7", "u8", "u9", "x"]
    assert after.names.user_ids.to_pylist() == ["007", *known.user_ids]
    assert after.vocabulary(known).user_ids == [*known.user_ids, "007"]
    assert after.users.categories[:, 0].tolist() == [10, *range(1, 10)]
    params = small_recipe(model="bias_dot")
    model = random_model(before, params)
    old, new = (one.state_dict()["members.0.ids.user.weight"] for one in (model, grow(model, known, after)))
    assert torch.equal(new[: len(old)], old)
    assert len(new) == len(old) + 1


@pytest.mark.parametrize("name", BASELINES)
def test_a_model_without_gradient_does_not_grow(at: Grown, name: str) -> None:
    features = at(1045)
    with pytest.raises(UserError, match=r"Set train.warm_start_from to null"):
        grow(build(features.spec, small_recipe(model=name).architecture), features.vocabulary(), features)


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"recent": (2,)}, "recent"), ({"user_damping": 9}, "damping"), ({"split": "leave_last_out"}, "online")],
)
def test_features_made_otherwise_do_not_grow(
    at: Grown, featurize: Callable[..., FeatureTables], changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(UserError, match=f"have {named} .*They must be the same"):
        featurize(earlier=at(1015).vocabulary(), crosses=CROSSES, **changes)


def test_a_vocabulary_is_read_as_it_was_written(at: Grown, tmp_path: Path) -> None:
    before = at(1015)
    vocabulary = at(1045, before.vocabulary()).vocabulary()
    write_json(tmp_path / "features.json", vocabulary.spec.as_dict())
    vocabulary.save(tmp_path)
    read = Vocabulary.load(tmp_path)
    assert read.spec == vocabulary.spec
    assert read.user_ids == vocabulary.user_ids
    assert read.item_ids == vocabulary.item_ids
    assert read.trained_until == vocabulary.trained_until == 1044
    known = before.vocabulary().item_ids
    assert read.item_ids[: len(known)] == known
    undated = replace(vocabulary, trained_until=None)
    undated.save(tmp_path)
    assert Vocabulary.load(tmp_path).trained_until is None
