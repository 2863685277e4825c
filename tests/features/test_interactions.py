"""What each row may see of the ratings of its user and its item, against plain loops over the table."""

from collections.abc import Callable

import pandas as pd
import pytest
import torch
from torch import Tensor
from widedeep.features.log import Log
from widedeep.features.store import Features

from tests.small_data import SPLITS
from widedeep.features.inputs import Inputs, Interactions, Reads

Load = Callable[[str], Features]

ALL = Reads(2**31, 2**31, time=True)


def lists(inputs: Inputs, entity: str) -> list[list[tuple[int, float]]]:
    """Index and rating of what the user (or the item) of each row was shown to have, in order."""
    side, place = (inputs.users, inputs.pairs.user) if entity == "user" else (inputs.items, inputs.pairs.item)
    assert side.interactions is not None
    assert place is not None
    seen: list[list[tuple[int, float]]] = [[] for _ in side.interactions.size]
    owner, other, rating = (part.tolist() for part in side.interactions[:3])
    for key, index, value in zip(owner, other, rating, strict=True):
        seen[key].append((index, value))
    assert [len(one) for one in seen] == side.interactions.size.tolist()
    return [seen[row] for row in place.tolist()]


def expected(ratings: pd.DataFrame, split: str, entity: str, rule: Callable[[pd.DataFrame, pd.Series], pd.Series]) -> (
    list[list[tuple[int, float]]]
):  # fmt: skip
    """The same from the table: of the ratings of the user (item), those that the rule keeps for a row."""
    key, other = ("user_id", "item_id") if entity == "user" else ("item_id", "user_id")
    vocabulary = sorted(ratings.loc[ratings["split"] == "train", other].unique())
    index = {name: place + 1 for place, name in enumerate(vocabulary)}
    ordered = ratings.sort_values(["timestamp", "user_id", "item_id"])
    found = []
    for _, row in ratings[ratings["split"] == split].iterrows():
        own = ordered[(ordered[key] == row[key]) & rule(ordered, row)]
        found.append(
            [(index.get(name, 0), float(value)) for name, value in zip(own[other], own["rating"], strict=True)]
        )
    return found


def before(table: pd.DataFrame, row: pd.Series) -> pd.Series:
    return table["timestamp"] < row["timestamp"]


def in_training(table: pd.DataFrame, row: pd.Series) -> pd.Series:
    return table["split"] == "train"


@pytest.mark.parametrize("entity", ["user", "item"])
@pytest.mark.parametrize("split", SPLITS)
def test_rows_of_a_temporal_split_see_what_came_strictly_before(
    load: Load, rated: pd.DataFrame, split: str, entity: str
) -> None:
    assert rated.duplicated(["user_id", "timestamp"]).any()
    assert rated.duplicated(["item_id", "timestamp"]).any()
    features = load("temporal")
    inputs = features.inputs(features.splits[split], ALL)
    assert lists(inputs, entity) == expected(rated, split, entity, before)
    own = inputs.user_own if entity == "user" else inputs.item_own
    assert own is not None
    assert not own.any()


@pytest.mark.parametrize("entity", ["user", "item"])
def test_frozen_rows_see_the_training_ratings(load: Load, rated: pd.DataFrame, entity: str) -> None:
    features = load("temporal")
    inputs = features.inputs(features.frozen(features.splits["test"]), ALL)
    assert lists(inputs, entity) == expected(rated, "test", entity, in_training)


@pytest.mark.parametrize("entity", ["user", "item"])
def test_leave_last_out_trains_on_the_past_and_tests_on_all_of_training(
    load: Load, rated: pd.DataFrame, entity: str
) -> None:
    features = load("leave_last_out")
    train, test = (features.inputs(features.splits[split], ALL) for split in ("train", "test"))
    trained = expected(rated, "train", entity, lambda table, row: before(table, row) & in_training(table, row))
    assert lists(train, entity) == trained
    assert lists(test, entity) == expected(rated, "test", entity, in_training)


@pytest.mark.parametrize("entity", ["user", "item"])
def test_out_of_fold_rows_see_all_of_training_but_themselves(load: Load, rated: pd.DataFrame, entity: str) -> None:
    features = load("random")
    train, test = (features.inputs(features.splits[split], ALL) for split in ("train", "test"))
    for split, inputs, own in (("train", train, 1.0), ("test", test, 0.0)):
        assert lists(inputs, entity) == expected(rated, split, entity, in_training)
        found = inputs.user_own if entity == "user" else inputs.item_own
        assert found is not None
        assert found.unique().tolist() == [own]


@pytest.mark.parametrize("most", [1, 3, 1000])
@pytest.mark.parametrize("split", ["temporal", "random"])
def test_a_cap_leaves_the_latest_and_own_is_1_only_where_the_own_rating_is_left(
    load: Load, split: str, most: int
) -> None:
    features = load(split)
    rows = features.splits["train"]
    whole, capped = features.inputs(rows, ALL), features.inputs(rows, Reads(most, most))
    for entity, own, other in (("user", capped.user_own, rows.item), ("item", capped.item_own, rows.user)):
        found = lists(capped, entity)
        assert found == [one[-most:] for one in lists(whole, entity)]
        table = features.items if entity == "user" else features.users
        ids = table.categories[other, 0].tolist()
        listed = [float(name in [index for index, _ in one]) for one, name in zip(found, ids, strict=True)]
        assert own is not None
        assert own.tolist() == listed


@pytest.mark.parametrize("most", [2, 1000])
def test_a_grid_sees_what_frozen_rows_see(load: Load, most: int) -> None:
    features = load("temporal")
    users, items = torch.tensor([3, 0, 8, 9]), torch.arange(31)
    asked = torch.full_like(users, 1060)
    grid = features.grid(users, items, asked, Reads(most, most, time=True))
    listed = features.listed(users[:, None], items, asked[:, None], Reads(most, most, time=True))
    by_user, by_item = lists(listed, "user"), lists(listed, "item")
    for side, of_rows in ((grid.users, by_user[::31]), (grid.items, by_item[:31])):
        assert side.interactions is not None
        found = zip(side.interactions.owner.tolist(), side.interactions.other.tolist(), strict=True)
        assert list(found) == [(place, index) for place, one in enumerate(of_rows) for index, _ in one]
    for of_grid, of_list in ((grid.user_own, listed.user_own), (grid.item_own, listed.item_own)):
        assert of_grid is not None
        assert of_list is not None
        assert of_grid.flatten().equal(of_list)
        assert of_list.any()
    assert grid.time is not None
    assert listed.time is not None
    assert grid.time.flatten(0, 1).equal(listed.time)


def test_a_model_that_reads_none_is_given_none(load: Load) -> None:
    features = load("temporal")
    inputs = features.inputs(features.splits["test"], Reads())
    assert inputs.users.interactions is inputs.items.interactions is None
    assert inputs.user_own is inputs.item_own is None


def test_an_id_hidden_in_one_row_is_shown_in_another_of_the_same_user(load: Load) -> None:
    features = load("temporal")
    rows = features.splits["train"]
    torch.manual_seed(0)
    hide_user, hide_item = torch.rand(2, len(rows)) < 0.5
    shown, hidden = features.inputs(rows, ALL), features.inputs(rows, ALL, hide_user, hide_item)
    for side, entity, place, hide in (("users", "user", 0, hide_user), ("items", "item", 0, hide_item)):
        known, found = getattr(shown, side), getattr(hidden, side)
        at, now = getattr(shown.pairs, entity), getattr(hidden.pairs, entity)
        categories = known.categories[at].clone()
        categories[hide, place] = 0
        assert found.categories[now].equal(categories)
        assert found.bag[now].equal(known.bag[at])
        assert lists(hidden, entity) == lists(shown, entity)
        assert 0 < hide.sum() < len(rows)


def days(inputs: Inputs) -> tuple[list[int], list[int]]:
    """Seconds since the first rating of all and of the user."""
    assert inputs.time is not None
    date, age = (inputs.time * 86400).round().int().T.tolist()
    return date, age


def test_time_is_that_since_the_first_rating_of_all_and_of_the_user(load: Load, rated: pd.DataFrame) -> None:
    features = load("temporal")
    test = rated[rated["split"] == "test"]
    first = rated.groupby("user_id")["timestamp"].min()
    date = (test["timestamp"] - rated["timestamp"].min()).tolist()
    assert days(features.inputs(features.splits["test"], Reads(time=True))) == (
        date,
        (test["timestamp"] - test["user_id"].map(first)).tolist(),
    )
    # Of a user without training ratings a frozen model knows nothing, not even when their first test rating was.
    known = rated[rated["split"] == "train"].groupby("user_id")["timestamp"].min()
    age = (test["timestamp"] - test["user_id"].map(known)).fillna(0).astype(int).tolist()
    assert days(features.inputs(features.frozen(features.splits["test"]), Reads(time=True))) == (date, age)
    assert test["user_id"].eq(4).sum() > 1


@pytest.fixture
def log() -> Log:
    """Owner 0 rated at 3, 5, 5 and 9 seconds, owner 1 never, owner 2 at 5."""
    owner, other = torch.tensor([0, 2, 0, 0, 0]), torch.tensor([2, 3, 1, 0, 3])
    rating, timestamp = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]), torch.tensor([5, 5, 9, 3, 5])
    return Log.of(owner, other, rating, timestamp, owner * 4 + other, 3)


def test_seen_before_counts_strictly_earlier_seconds(log: Log) -> None:
    owner, timestamp = torch.tensor([0, 0, 0, 0, 0, 0, 1, 2, 2]), torch.tensor([-7, 3, 4, 5, 6, 99, 5, 5, 6])
    assert log.seen_before(owner, timestamp).tolist() == [0, 0, 1, 1, 3, 4, 0, 0, 1]


def test_latest_are_the_last_of_those_seen_in_order_of_time(log: Log) -> None:
    vocabulary = torch.tensor([10, 11, 12, 13])
    found = log.latest(torch.tensor([0, 1, 2, 0]), torch.tensor([4, 0, 1, 2]), 3, vocabulary)
    assert found.owner.tolist() == [0, 0, 0, 2, 3, 3]
    assert found.other.tolist() == [12, 13, 11, 13, 10, 12]
    assert found.rating.tolist() == [1, 5, 3, 2, 4, 1]
    assert found.size.tolist() == [3, 0, 1, 2]


def test_own_looks_at_the_last_of_those_seen(log: Log) -> None:
    # Owner 0 rated items 0, 2, 3 and 1, in this order.
    pair, seen = torch.tensor([0, 1, 2, 3, 0, 1, 4, 11]), torch.tensor([4, 4, 4, 4, 1, 1, 0, 1])
    assert log.own(pair, seen, 2).tolist() == [0, 1, 0, 1, 1, 0, 0, 1]
    assert log.own(pair, seen, 100).tolist() == [1, 1, 1, 1, 1, 0, 0, 1]


def test_a_log_without_ratings_shows_nothing() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    log = Log.of(none, none, torch.zeros(0), none, none, 2)
    asked = torch.tensor([0, 1])
    assert log.seen_before(asked, asked).tolist() == [0, 0]
    assert log.own(asked, asked * 0, 5).tolist() == [0, 0]
    assert log.latest(asked, asked * 0, 5, none).size.tolist() == [0, 0]


@pytest.fixture
def three() -> Interactions:
    """Owner 0 rated indices 4, 1 and 4, owner 1 nothing, owner 2 index 2."""
    return Interactions(
        torch.tensor([0, 0, 0, 2]), torch.tensor([4, 1, 4, 2]), torch.arange(4.0), torch.tensor([3.0, 0.0, 1.0])
    )


def test_sum_adds_up_the_rows_of_what_each_owner_rated(three: Interactions) -> None:
    table = torch.tensor([[1.0], [10.0], [100.0], [1000.0], [10000.0]], requires_grad=True)
    assert three.sum(table).tolist() == [[20010], [0], [100]]
    assert three.sum(table, torch.tensor([1.0, 2.0, 0.0, 0.5])).tolist() == [[10020], [0], [50]]
    three.sum(table).sum().backward()
    assert table.grad is not None
    assert table.grad.flatten().tolist() == [0, 1, 1, 0, 2]


def test_of_lists_the_interactions_of_each_owner_side_by_side(three: Interactions) -> None:
    def found(*owner: int) -> list[list[int]]:
        place, known = three.of(torch.tensor(owner, dtype=torch.int64))
        other: Tensor = three.other[place]
        return [row[mask].tolist() for row, mask in zip(other, known, strict=True)]

    assert found(2, 0, 1, 0) == [[2], [4, 1, 4], [], [4, 1, 4]]
    assert found(1) == [[]]
    assert found() == []


@pytest.mark.parametrize("split", ["temporal", "random"])
def test_a_row_shown_as_by_a_new_user_knows_the_item_alone(load: Load, split: str) -> None:
    features = load(split)
    rows = features.splits["train"]
    new = torch.arange(len(rows)) % 3 == 0
    shown = features.by_new_users(rows, new)
    inputs, before = features.inputs(shown, ALL, hidden_user=new), features.inputs(rows, ALL)
    assert lists(inputs, "item") == lists(before, "item")
    seen = zip(lists(inputs, "user"), lists(before, "user"), new.tolist(), strict=True)
    assert all(found == ([] if hidden else known) for found, known, hidden in seen)
    assert inputs.user_own is not None
    assert not inputs.user_own[new].any()
    # Nothing tells these rows from those of user 4, who has no training rating.
    of_user = [field.name.startswith("user_") for field in features.spec.of_kind("history")]
    stranger = features.frozen_history(torch.tensor([3]), torch.tensor([0]), torch.tensor([1060]))
    assert shown.history[new][:, of_user].equal(stranger[:, of_user].expand(int(new.sum()), -1))
    assert shown.history[~new].equal(rows.history[~new])
    assert inputs.time is not None
    assert not inputs.time[new, 1].any()
