"""What is known of a question, against plain loops over a log of ratings."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from widedeep.features import questions
from widedeep.features.context import Context
from widedeep.features.questions import Questions, ask_for_lists, by_someone_new
from widedeep.features.ragged import Ragged
from widedeep.features.tensors import FeatureSet
from widedeep.params import liked_from

USERS, ITEMS = 10, 31
HALF_LIVES = (7.0, math.inf)


@dataclass(frozen=True)
class Log:
    """Ratings in order of time; those of a second in the order of user, then item."""

    user: Tensor
    item: Tensor
    rating: Tensor
    timestamp: Tensor

    def rows(self) -> list[tuple[int, int, float, int]]:
        return list(
            zip(self.user.tolist(), self.item.tolist(), self.rating.tolist(), self.timestamp.tolist(), strict=True)
        )

    def __getitem__(self, rows: Tensor) -> "Log":
        return Log(self.user[rows], self.item[rows], self.rating[rows], self.timestamp[rows])


def drawn(rows: int, seconds: int) -> Log:
    pair = torch.randperm(USERS * ITEMS)[:rows]
    user, item, timestamp = pair // ITEMS, pair % ITEMS, torch.randint(1000, 1000 + seconds, (rows,))
    order = (timestamp * USERS * ITEMS + pair).argsort()
    return Log(user, item, torch.randint(1, 11, (rows,)) / 2, timestamp)[order]


@pytest.fixture
def base(load: Callable[..., FeatureSet]) -> Context:
    return load("temporal").context()


def context_of(base: Context, log: Log, trained: int | None = None) -> Context:
    """A context that holds the log. Its state knows the first `trained` rows, or all."""
    known = log[torch.arange(len(log.user) if trained is None else trained)]
    state = replace(
        base.state,
        users=replace(base.state.users, count=torch.bincount(known.user, minlength=USERS)),
        items=replace(base.state.items, count=torch.bincount(known.item, minlength=ITEMS)),
        by_user=Ragged.of(log.user, log.item, log.rating, log.timestamp, USERS),
        by_item=Ragged.of(log.item, log.user, log.rating, log.timestamp, ITEMS),
    )
    return replace(base, state=state)


def found(asked: Questions) -> list[tuple[int, ...]]:
    """The neighbours, sorted."""
    columns = [part.long().tolist() for part in asked.neighbours]
    return sorted(zip(*columns, strict=True))


def by_loops(log: Log, user: int, known: Callable[[int, int], bool], most: int) -> list[tuple[int, ...]]:
    """The neighbours of one user by their definition. `known` takes the number of a row, and its second."""
    rows = [row for number, row in enumerate(log.rows()) if known(number, row[3])]
    lists: dict[int, list[int]] = {}
    for who, item, _, _ in rows:
        lists.setdefault(who, []).append(item)
    neighbours: list[tuple[int, ...]] = []
    for place, anchor in enumerate(reversed(lists.get(user, [])[-10:])):
        raters = [who for who, item, _, _ in reversed(rows) if item == anchor][: most + 1]
        witnesses = [(recency, who) for recency, who in enumerate(raters) if who != user]
        for recency, who in witnesses:
            middle = lists[who].index(anchor)
            for at, item in enumerate(lists[who]):
                if at != middle and abs(at - middle) <= 10:
                    neighbours.append((item, place, recency, len(witnesses), at - middle + 10))
    return neighbours


@pytest.mark.parametrize("most", [50, 3])
@pytest.mark.parametrize("online", [True, False])
def test_neighbours_are_those_of_a_plain_loop(
    base: Context, monkeypatch: pytest.MonkeyPatch, online: bool, most: int
) -> None:
    monkeypatch.setattr(questions, "WITNESSES", most)
    log = drawn(220, 60)
    # The state knows whole seconds, as after a temporal split.
    trained = int((log.timestamp < 1040).sum())
    user, second = torch.arange(USERS).repeat(3), torch.tensor([1000, 1031, 1057]).repeat_interleave(USERS)
    asked = ask_for_lists(context_of(base, log, trained), user, second, HALF_LIVES, online, period=False)
    expected = []
    for question, (who, at) in enumerate(zip(user.tolist(), second.tolist(), strict=True)):

        def known(number: int, timestamp: int, at: int = at) -> bool:
            return timestamp < at if online else number < trained

        expected += [(question, *neighbour) for neighbour in by_loops(log, who, known, most)]
    assert len(expected) > 1000
    assert found(asked) == sorted(expected)


def test_who_asks_is_no_witness_and_the_anchor_no_neighbour(base: Context) -> None:
    """User 0 rated items 1, 2 and 3. Only user 1 rated one of these too, then item 4."""
    log = Log(torch.tensor([0, 0, 0, 1, 1]), torch.tensor([1, 2, 3, 2, 4]), torch.ones(5), torch.arange(5))
    asked = ask_for_lists(context_of(base, log), torch.tensor([0]), torch.tensor([9]), HALF_LIVES, True, period=False)
    # Item 4 is one place after item 2, which is one place before the latest; user 1 rated it last, alone.
    assert found(asked) == [(0, 4, 1, 0, 1, 11)]


def test_someone_without_ratings_has_no_neighbours_and_has_seen_nothing(base: Context) -> None:
    log = drawn(100, 60)
    asked = ask_for_lists(context_of(base, log), torch.arange(3), torch.full((3,), 1000), HALF_LIVES, True, True)
    assert found(asked) == []
    assert asked.seen.count.tolist() == [0, 0, 0]
    assert asked.popularity.count_nonzero() == 0


@pytest.mark.parametrize("online", [True, False])
def test_the_questions_of_someone_new_are_those_of_a_user_without_ratings(base: Context, online: bool) -> None:
    context = context_of(base, drawn(220, 60))
    context = context.extended(users=context.users)  # as many again, without ratings
    old, new = torch.arange(USERS), torch.arange(USERS, 2 * USERS)
    asked, expected = (
        ask_for_lists(context, user, torch.full((USERS,), 1060), HALF_LIVES, online, period=True) for user in (old, new)
    )
    by_new = by_someone_new(asked)
    assert found(asked)
    assert found(by_new) == found(expected) == []
    assert by_new.numbers.equal(expected.numbers)
    assert by_new.popularity.equal(expected.popularity)
    assert by_new.seen.count.tolist() == expected.seen.count.tolist()


@pytest.mark.parametrize("seed", range(5))
def test_nothing_from_the_second_of_the_question_on_is_known(base: Context, seed: int) -> None:
    torch.manual_seed(seed)
    log = drawn(240, 30)
    at = int(log.timestamp[torch.randint(60, 200, (1,))])
    later = log.timestamp >= at
    assert 0 < int(later.sum()) < 240
    user, second = torch.arange(USERS), torch.full((USERS,), at)
    expected = ask_for_lists(context_of(base, log), user, second, HALF_LIVES, True, period=False)
    other_ratings = replace(log, rating=torch.where(later, 5.5 - log.rating, log.rating))
    later_still = replace(log, timestamp=torch.where(later, log.timestamp + torch.randint(50, (240,)), log.timestamp))
    swapped = log.item.clone()
    for who in range(USERS):
        own = (later & (log.user == who)).nonzero()[:, 0]
        unrated = torch.tensor(sorted(set(range(ITEMS)) - set(log.item[(log.user == who) & ~later].tolist())))
        swapped[own] = unrated[torch.randperm(len(unrated))[: len(own)]]
    changed = {
        "removed": log[~later],
        "some removed": log[~later | (torch.rand(240) < 0.5)],
        "other ratings": other_ratings,
        "other items": replace(log, item=swapped),
        "later still": later_still,
    }
    for name, other in changed.items():
        asked = ask_for_lists(context_of(base, other), user, second, HALF_LIVES, True, period=False)
        assert found(asked) == found(expected), name
        for part in ("popularity", "moment", "numbers"):
            assert getattr(asked, part).equal(getattr(expected, part)), (name, part)
        assert asked.seen.other.equal(expected.seen.other), name


@pytest.mark.parametrize("online", [True, False])
def test_popularity_is_that_of_a_plain_loop_in_the_clock_of_ratings(base: Context, online: bool) -> None:
    """The age of a rating is the number of ratings from its second until the moment."""
    log = drawn(200, 40)
    trained = int((log.timestamp < 1030).sum())
    second = torch.tensor([1035, 1000, 1012, 1035])
    asked = ask_for_lists(context_of(base, log, trained), torch.arange(4), second, HALF_LIVES, online, period=False)
    moments = [1000, 1012, 1035] if online else [1030]
    assert asked.moment.tolist() == ([2, 0, 1, 2] if online else [0] * 4)
    seconds = log.timestamp.tolist()
    expected = torch.zeros(len(moments), ITEMS, 4, dtype=torch.float64)
    for number, moment in enumerate(moments):
        now = sum(one < moment for one in seconds)
        for _, item, rating, timestamp in log.rows():
            if timestamp < moment:
                age = now - sum(one < timestamp for one in seconds)
                for place, half_life in enumerate(HALF_LIVES):
                    expected[number, item, place] += 0.5 ** (age / half_life)
                    expected[number, item, 2 + place] += 0.5 ** (age / half_life) * (
                        rating >= liked_from(base.spec.rating_scale)
                    )
    torch.testing.assert_close(asked.popularity, expected.log1p().float())


def test_popularity_may_be_counted_before_the_question(base: Context) -> None:
    context, user = context_of(base, drawn(200, 40)), torch.arange(2)
    early, late = torch.tensor([1010, 1010]), torch.tensor([1020, 1030])
    asked = ask_for_lists(context, user, late, HALF_LIVES, True, period=False, popular_at=early)
    assert asked.moment.tolist() == [0, 0]
    assert asked.popularity.equal(ask_for_lists(context, user, early, HALF_LIVES, True, period=False).popularity)
    assert found(asked) == found(ask_for_lists(context, user, late, HALF_LIVES, True, period=False))


def test_a_user_likes_from_three_quarters_up_the_scale() -> None:
    assert liked_from((1.0, 5.0)) == 4
    assert liked_from((0.5, 5.0)) == 3.875


@pytest.mark.parametrize("online", [True, False])
def test_numbers_say_what_is_asked_and_how_much_is_known(base: Context, online: bool) -> None:
    """User 0 rated at 5 and 9 seconds, user 1 at 9, user 2 never. The state knows the first rating."""
    log = Log(torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2]), torch.ones(3), torch.tensor([5, 9, 9]))
    user, second = torch.tensor([0, 0, 1, 2]), torch.tensor([9, 12, 9, 12])
    period = torch.tensor([False, True, True, True])
    numbers = ask_for_lists(context_of(base, log, 1), user, second, HALF_LIVES, online, period).numbers
    latest = math.log1p(3) if online else math.log1p(7)
    expected = [
        [0, math.log(2), 0, math.log1p(4), 0],
        [1, math.log(3) if online else math.log(2), 0, latest, 0],
        [1, 0, 1, 0, 1],
        [1, 0, 1, 0, 1],
    ]
    torch.testing.assert_close(numbers, torch.tensor(expected, dtype=torch.float32))
