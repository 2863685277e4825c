"""The ratings of user and item that each row may see, compared with plain loops over the table."""

import math
from collections.abc import Callable
from itertools import pairwise

import pandas as pd
import pytest
import torch

from tests.small_data import SPLITS
from widedeep.features.assemble import ask, by_new_users, grid, history, listed
from widedeep.features.inputs import Inputs, Reads
from widedeep.features.tensors import FeatureSet

Load = Callable[[str], FeatureSet]

ALL = Reads(2**31, 2**31, time=True)


def lists(inputs: Inputs, entity: str) -> list[list[tuple[int, float]]]:
    """List index and rating of the interactions that each row sees of its user (or item), in order."""
    side, place = (inputs.users, inputs.pairs.user) if entity == "user" else (inputs.items, inputs.pairs.item)
    assert side.interactions is not None
    assert place is not None
    ragged = side.interactions
    entries = list(zip(ragged.other.tolist(), ragged.rating.tolist(), strict=True))
    bounds = ragged.start.tolist()
    seen = [entries[start:stop] for start, stop in pairwise(bounds)]
    return [seen[row] for row in place.tolist()]


def expected(ratings: pd.DataFrame, split: str, entity: str, rule: Callable[[pd.DataFrame, pd.Series], pd.Series]) -> (
    list[list[tuple[int, float]]]
):  # fmt: skip
    """List the same from the table: the ratings of the user (or item) that the rule keeps for a row."""
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
    inputs = listed(features, features.splits[split], ALL)
    assert lists(inputs, entity) == expected(rated, split, entity, before)
    own = inputs.user_own if entity == "user" else inputs.item_own
    assert own is not None
    assert not own.any()


@pytest.mark.parametrize("entity", ["user", "item"])
def test_frozen_rows_see_the_training_ratings(load: Load, rated: pd.DataFrame, entity: str) -> None:
    features = load("temporal")
    inputs = listed(features, features.frozen(features.splits["test"]), ALL)
    assert lists(inputs, entity) == expected(rated, "test", entity, in_training)


@pytest.mark.parametrize("entity", ["user", "item"])
def test_leave_last_out_trains_on_the_past_and_tests_on_all_of_training(
    load: Load, rated: pd.DataFrame, entity: str
) -> None:
    features = load("leave_last_out")
    train, test = (listed(features, features.splits[split], ALL) for split in ("train", "test"))
    trained = expected(rated, "train", entity, lambda table, row: before(table, row) & in_training(table, row))
    assert lists(train, entity) == trained
    assert lists(test, entity) == expected(rated, "test", entity, in_training)


@pytest.mark.parametrize("entity", ["user", "item"])
def test_out_of_fold_rows_see_all_of_training_but_themselves(load: Load, rated: pd.DataFrame, entity: str) -> None:
    features = load("random")
    train, test = (listed(features, features.splits[split], ALL) for split in ("train", "test"))
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
    whole, capped = listed(features, rows, ALL), listed(features, rows, Reads(most, most))
    for entity, own, other in (("user", capped.user_own, rows.item), ("item", capped.item_own, rows.user)):
        found = lists(capped, entity)
        assert found == [one[-most:] for one in lists(whole, entity)]
        table = features.items if entity == "user" else features.users
        ids = table.categories[other, 0].tolist()
        among = [float(name in [index for index, _ in one]) for one, name in zip(found, ids, strict=True)]
        assert own is not None
        assert own.tolist() == among


@pytest.mark.parametrize("most", [2, 1000])
def test_a_grid_sees_what_frozen_rows_see(load: Load, most: int) -> None:
    features = load("temporal")
    users, items = torch.tensor([3, 0, 8, 9]), torch.arange(31)
    asked = torch.full_like(users, 1060)
    gridded = grid(features, users, items, asked, Reads(most, most, time=True))
    pairs = listed(
        features, ask(features, users[:, None], items, asked[:, None], with_history=False), Reads(most, most, time=True)
    )
    by_user, by_item = lists(pairs, "user"), lists(pairs, "item")
    for side, of_rows in ((gridded.users, by_user[::31]), (gridded.items, by_item[:31])):
        assert side.interactions is not None
        found = zip(side.interactions.owner.tolist(), side.interactions.other.tolist(), strict=True)
        assert list(found) == [(place, index) for place, one in enumerate(of_rows) for index, _ in one]
    for of_grid, of_list in ((gridded.user_own, pairs.user_own), (gridded.item_own, pairs.item_own)):
        assert of_grid is not None
        assert of_list is not None
        assert of_grid.flatten().equal(of_list)
        assert of_list.any()
    assert gridded.time is not None
    assert pairs.time is not None
    assert gridded.time.flatten(0, 1).equal(pairs.time)


def test_a_model_that_reads_none_is_given_none(load: Load) -> None:
    features = load("temporal")
    inputs = listed(features, features.splits["test"], Reads())
    assert inputs.users.interactions is inputs.items.interactions is None
    assert inputs.user_own is inputs.item_own is None


def test_an_id_hidden_in_one_row_is_shown_in_another_of_the_same_user(load: Load) -> None:
    features = load("temporal")
    rows = features.splits["train"]
    torch.manual_seed(0)
    hide_user, hide_item = torch.rand(2, len(rows)) < 0.5
    shown, hidden = listed(features, rows, ALL), listed(features, rows, ALL, hide_user, hide_item)
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
    """Compute the seconds since the first rating of all users, and since the first of the user."""
    assert inputs.time is not None
    date, age = (inputs.time * 86400).round().int().T.tolist()
    return date, age


def test_time_is_that_since_the_first_rating_of_all_and_of_the_user(load: Load, rated: pd.DataFrame) -> None:
    features = load("temporal")
    test = rated[rated["split"] == "test"]
    first = rated.groupby("user_id")["timestamp"].min()
    date = (test["timestamp"] - rated["timestamp"].min()).tolist()
    assert days(listed(features, features.splits["test"], Reads(time=True))) == (
        date,
        (test["timestamp"] - test["user_id"].map(first)).tolist(),
    )
    # A frozen model knows nothing about a user without training ratings, not even the time of the first test rating.
    known = rated[rated["split"] == "train"].groupby("user_id")["timestamp"].min()
    age = (test["timestamp"] - test["user_id"].map(known)).fillna(0).astype(int).tolist()
    assert days(listed(features, features.frozen(features.splits["test"]), Reads(time=True))) == (date, age)
    assert test["user_id"].eq(4).sum() > 1


@pytest.mark.parametrize("split", ["temporal", "random"])
def test_a_row_shown_as_by_a_new_user_knows_the_item_alone(load: Load, split: str) -> None:
    features = load(split)
    rows = features.splits["train"]
    new = torch.arange(len(rows)) % 3 == 0
    shown = by_new_users(features.spec, rows, new)
    inputs, before = listed(features, shown, ALL, hidden_user=new), listed(features, rows, ALL)
    assert lists(inputs, "item") == lists(before, "item")
    seen = zip(lists(inputs, "user"), lists(before, "user"), new.tolist(), strict=True)
    assert all(found == ([] if hidden else known) for found, known, hidden in seen)
    assert inputs.user_own is not None
    assert not inputs.user_own[new].any()
    # These rows are the same as those of user 4, who has no training rating.
    of_user = [field.name.startswith("user_") for field in features.spec.of_kind("history")]
    stranger = history(features, torch.tensor([3]), torch.tensor([0]), torch.tensor([1060]))
    assert shown.history[new][:, of_user].equal(stranger[:, of_user].expand(int(new.sum()), -1))
    assert shown.history[~new].equal(rows.history[~new])
    assert inputs.time is not None
    assert not inputs.time[new, 1].any()


HALF_LIVES = (10 / 86_400, math.inf)  # in days: 10 seconds, and a plain count


def popularity(ratings: pd.DataFrame, item: int, second: int) -> list[float]:
    """Count the ratings of an item before a second, with each half-life."""
    age = second - ratings.loc[ratings["item_id"].eq(item) & ratings["timestamp"].lt(second), "timestamp"]
    return [float((0.5 ** (age / (days * 86_400))).sum()) for days in HALF_LIVES]


@pytest.mark.parametrize("split", SPLITS)
def test_rows_see_how_popular_their_item_was_lately(load: Load, rated: pd.DataFrame, split: str) -> None:
    """A rating in the second of the row is not seen."""
    features = load("temporal")
    found = listed(features, features.splits[split], Reads(half_lives=HALF_LIVES)).lately
    rows = rated[rated["split"] == split]
    expected = [popularity(rated, *pair) for pair in zip(rows["item_id"], rows["timestamp"], strict=True)]
    assert found is not None
    torch.testing.assert_close(found, torch.tensor(expected))
    assert rows.duplicated(["item_id", "timestamp"]).any() or split != "train"


def test_a_grid_sees_how_popular_items_were_lately(load: Load, rated: pd.DataFrame) -> None:
    """Online it sees all ratings before the second of the question, and else those in training."""
    features = load("temporal")
    users, items, asked = torch.tensor([9, 3, 9]), torch.arange(31), torch.tensor([1055, 1060, 1020])
    reads = Reads(half_lives=HALF_LIVES)
    train = rated[rated["split"] == "train"]
    for known, online in ((rated, True), (train, False)):
        some = slice(0, 3 if online else 2)  # frozen questions come after training
        found = grid(features, users[some], items, asked[some], reads, online=online).lately
        assert found is not None
        expected = [[popularity(known, item, second) for item in range(1, 32)] for second in asked[some].tolist()]
        torch.testing.assert_close(found, torch.tensor(expected))


def test_an_online_grid_sees_what_the_user_rated_before_the_second_of_the_question(
    load: Load, rated: pd.DataFrame
) -> None:
    features = load("temporal")
    users, asked = torch.tensor([9, 3, 9]), torch.tensor([1055, 1060, 1020])
    inputs = grid(features, users, torch.arange(31), asked, ALL._replace(item_users=0), online=True)
    assert inputs.users.interactions is not None
    expected = [
        int((rated["user_id"].eq(user + 1) & rated["timestamp"].lt(second)).sum())
        for user, second in zip(users.tolist(), asked.tolist(), strict=True)
    ]
    assert inputs.users.interactions.count.tolist() == expected
    assert expected[0] > expected[2] > 0
