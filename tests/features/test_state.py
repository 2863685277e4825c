"""The state of users and items, updated rating by rating, compared with the history of whole tables."""

from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch import Tensor

from widedeep.features.assemble import ask, grid, history, listed
from widedeep.features.context import Context
from widedeep.features.entities import Entities, encode
from widedeep.features.files import FeatureTables
from widedeep.features.inputs import Reads
from widedeep.features.state import latest
from widedeep.features.tensors import FeatureSet, context_of, feature_set, tables_of

Featurize = Callable[..., FeatureTables]
ALL = Reads(2**31, 2**31, time=True)


@pytest.fixture
def features(featurize: Featurize) -> FeatureSet:
    return feature_set(featurize(), "train", "validation", "test")


def replayed(features: FeatureSet, *splits: str, at_once: bool = False) -> Context:
    """Make the state after training, and add the ratings of the splits second by second or in one call."""
    context = features.context()
    for split in splits:
        rows = features.splits[split]
        columns = rows.user, rows.item, rows.rating, rows.timestamp
        if at_once:
            context = context.add(*columns)
            continue
        for place in range(len(rows)):
            context = context.add(*(column[place : place + 1] for column in columns))
    return context


@pytest.mark.parametrize("at_once", [False, True])
def test_replaying_the_ratings_gives_the_history_that_the_features_have(features: FeatureSet, at_once: bool) -> None:
    """A row does not see other ratings of its own second."""
    context = features.context()
    for split in ("validation", "test"):
        rows = features.splits[split]
        assert rows.timestamp.unique().numel() < len(rows)
        for second in rows.timestamp.unique():
            now = rows[rows.timestamp == second]
            context = context.settled() if int(second) > latest(context.state) else context
            found = history(context, now.user, now.item, now.timestamp)
            torch.testing.assert_close(found, now.history, atol=1e-4, rtol=0)
            context = context.add(now.user, now.item, now.rating, now.timestamp)
    whole = replayed(features, "validation", "test", at_once=at_once).settled()
    for part in ("users", "items"):
        for name, values in vars(getattr(whole.state, part)).items():
            assert values.equal(getattr(getattr(context.settled().state, part), name)), name


def test_replayed_interactions_are_those_that_rows_see(features: FeatureSet) -> None:
    context = replayed(features, "validation", "test").settled()
    assert context.state.by_user.other.equal(features.state.by_user.other)
    assert context.state.by_item.other.equal(features.state.by_item.other)
    assert context.state.by_user.timestamp.equal(features.state.by_user.timestamp)


def test_ratings_of_the_latest_second_wait_for_a_later_one(features: FeatureSet) -> None:
    context = features.context()
    now = latest(context.state) + 1
    user, item, rating = torch.tensor([0]), torch.tensor([0]), torch.tensor([5.0])
    at = torch.tensor([now])
    added = context.add(user, item, rating, at)
    assert history(added, user, item, at).equal(history(context, user, item, at))
    before = context.state.users.count[0]
    assert added.settled().state.users.count[0] == before + 1
    assert added.add(user, item + 1, rating, at).settled().state.users.count[0] == before + 2
    assert added.add(user, item + 1, rating, at + 1).state.users.count[0] == before + 1


def test_ratings_from_before_what_is_known_are_refused(features: FeatureSet) -> None:
    context = features.context()
    one, past = torch.tensor([0]), torch.tensor([latest(context.state) - 1])
    with pytest.raises(ValueError, match="in order of time"):
        context.add(one, one, torch.tensor([3.0]), past)


def test_adding_leaves_the_context_as_it_was(features: FeatureSet) -> None:
    context = features.context()
    count, moments = context.state.users.count.clone(), context.state.moment_total.clone()
    replayed(features, "validation")
    assert context.state.users.count.equal(count)
    assert context.state.moment_total.equal(moments)


def test_a_context_comes_back_from_its_tables_as_it_was(features: FeatureSet, featurize: Featurize) -> None:
    context = replayed(features, "validation").settled()
    found, names = context_of(tables_of(context, features.names))
    assert names == features.names
    assert found.spec == context.spec
    pairs = torch.arange(10), torch.arange(10), torch.tensor(1060)
    for reads in (Reads(), ALL):
        old, new = (listed(one, ask(one, *pairs), reads) for one in (context, found))
        assert tensors(old) == tensors(new)
    # With training rows only, the tables are those of the stage, except for rows and splits.
    tables, stored = featurize(), tables_of(features.context(), features.names)
    assert stored.users.equals(tables.users)
    assert stored.items.equals(tables.items)


def tensors(inputs: object) -> list[object]:
    """List all numbers of inputs, in order."""
    if isinstance(inputs, Tensor):
        return [inputs.tolist()]
    parts = inputs if isinstance(inputs, tuple) else vars(inputs).values() if hasattr(inputs, "__dict__") else ()
    return [number for part in parts for number in tensors(part)]


def test_a_user_and_an_item_that_no_table_has_know_nothing(features: FeatureSet, items: pd.DataFrame) -> None:
    context = features.context()
    spec = context.spec
    item = encode(spec, "item", {"genres": ["War", "Action", "unheard of"], "year": 2000})
    wide = context.extended(encode(spec, "user", {"gender": "F"}), item)
    user, code = len(context.users), len(context.items)
    assert wide.users.index[user] == wide.items.index[code] == 0
    genres = spec.of_kind("bag")[0].values or ()
    assert [genres[index - 1] for index in wide.items.bag[code].tolist() if index] == ["War", "Action"]
    known = context.users.categories[:, 1][context.users.index > 0]
    assert wide.users.categories[user, 1] in known  # this gender occurs in training

    found = history(wide, torch.tensor([user]), torch.tensor([code]), torch.tensor([1060]))
    assert not found.any()
    inputs = grid(wide, torch.tensor([user, 0]), torch.tensor([code, 0]), torch.tensor([1060, 1060]), ALL, True)
    assert inputs.users.interactions is not None
    assert inputs.users.interactions.count.tolist() == [0, int(context.state.users.count[0])]
    # Known values stay as they were.
    pairs = torch.arange(10), torch.arange(10), torch.tensor(1060)
    assert ask(wide, *pairs).history is not None
    torch.testing.assert_close(ask(wide, *pairs).history, ask(context, *pairs).history)


def test_a_new_user_is_known_after_their_first_ratings(features: FeatureSet) -> None:
    context = features.context()
    new = context.extended(encode(context.spec, "user", {}))
    user = torch.full((3,), len(context.users))
    now = latest(context.state) + 1
    seen = new.add(
        user, torch.arange(3), torch.tensor([5.0, 5.0, 1.0]), torch.tensor([now, now + 1, now + 2])
    ).settled()
    assert seen.state.users.count[-1] == 3
    names = [field.name for field in context.spec.of_kind("history")]
    found = history(seen, user[:1], torch.tensor([4]), torch.tensor([now + 9]))[0]
    assert found[names.index("user_count")] == pytest.approx(torch.log1p(torch.tensor(3.0)).item())
    assert found[names.index("user_mean")] != 0


@pytest.mark.parametrize(
    ("entity", "values", "message"),
    [("user", {"gendre": "F"}, "'gendre' is no column of the users. Known: gender."), ("item", {"user_id": 1}, "item")],
)
def test_a_column_that_is_not_there_is_refused(
    features: FeatureSet, entity: str, values: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        encode(features.spec, entity, values)  # type: ignore[arg-type]


def test_numbers_are_scaled_as_in_the_canonical_table(load: Callable[..., FeatureSet]) -> None:
    spec = replace(load("temporal").spec, scaling={"users": {"age": {"mean": 30.0, "min": 20.0, "max": 60.0}}})
    found = [encode(spec, "user", {} if age is None else {"age": age}).numbers.item() for age in (None, 20, 50, 99)]
    assert found == pytest.approx([0.25, 0, 0.75, 1])


def test_bags_of_different_width_go_together() -> None:
    old = Entities(torch.zeros(2, 1, dtype=torch.int64), torch.zeros(2, 0), torch.tensor([[1], [2]]))
    new = Entities(torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, 0), torch.tensor([[3, 4]]))
    assert old.extended(new).bag.tolist() == [[1, 0], [2, 0], [3, 4]]
    assert new.extended(old).bag.tolist() == [[3, 4], [1, 0], [2, 0]]
