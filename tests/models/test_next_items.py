"""The part that recommends, against its formula written out by hand."""

import math

import pytest
import torch

from widedeep.features.questions import ANCHORS, REACH, WITNESSES, Neighbours, Questions
from widedeep.features.ragged import Ragged
from widedeep.models.next_items import CHANNELS, SHARES, NextItems

QUESTIONS, ITEMS, MOMENTS, EDGES = 4, 6, 3, 60


@pytest.fixture
def model() -> NextItems:
    """A part with random weights."""
    model = NextItems()
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn_like(weight) / 2)
    return model


def made_up() -> Questions:
    neighbours = Neighbours(
        question=torch.randint(QUESTIONS - 1, (EDGES,)),  # the last question has none
        item=torch.randint(ITEMS, (EDGES,)),
        place=torch.randint(ANCHORS, (EDGES,)),
        recency=torch.randint(WITNESSES + 1, (EDGES,)),
        witnesses=torch.randint(1, WITNESSES, (EDGES,)).float(),
        lag=torch.randint(2 * REACH + 1, (EDGES,)),
    )
    return Questions(
        neighbours,
        popularity=torch.rand(MOMENTS, ITEMS, 2 * len(SHARES)) * 5,
        moment=torch.tensor([2, 0, 1, 2]),
        numbers=torch.rand(QUESTIONS, 5) * 3,
        seen=Ragged.empty(QUESTIONS),
        item_index=torch.arange(ITEMS) + 1,
    )


@torch.no_grad()
def test_scores_are_those_of_the_formula(model: NextItems) -> None:
    asked = made_up()
    scores = model(asked)
    near = torch.zeros(QUESTIONS, ITEMS)
    for question, item, place, recency, witnesses, lag in zip(*(part.tolist() for part in asked.neighbours),
                                                              strict=True):  # fmt: skip
        # Buckets of recency: 0, then 1 and 2, then 3 to 6, 7 to 14, 15 to 30, 31 and more.
        bucket = sum(recency >= first for first in (1, 3, 7, 15, 31))
        weight = float(model.place[place] + model.recency[bucket] + model.lag[lag])
        near[question, item] += math.exp(weight) / (witnesses + 5) ** float(model.norm)
    for question in range(QUESTIONS):
        *gates, of_near = model.gate(asked.numbers[question]).tolist()
        for item in range(ITEMS):
            popular = model.popularity(asked.popularity[int(asked.moment[question]), item]).tolist()
            expected = sum(gate * channel for gate, channel in zip(gates, popular, strict=True))
            expected += of_near * math.log1p(float(near[question, item]) / math.exp(float(model.tau)))
            assert float(scores[question, item]) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_each_weight_of_a_neighbour_learns_from_its_own_neighbours_alone(model: NextItems) -> None:
    """The one table of all combinations must not mix up its parts."""
    asked = made_up()
    model(asked).sum().backward()
    bucket = (asked.neighbours.recency + 1).float().log2().floor().long()
    parts = ((model.place, asked.neighbours.place), (model.recency, bucket), (model.lag, asked.neighbours.lag))
    for weights, index in parts:
        assert weights.grad is not None
        assert weights.grad.nonzero()[:, 0].tolist() == index.unique().tolist()


def test_at_the_start_all_questions_have_the_same_gates() -> None:
    model = NextItems()
    gates = model.gate(torch.randn(7, 5) * 100)
    assert gates.tolist() == [[1] + [0] * (CHANNELS - 1) + [1]] * 7


def test_at_the_start_late_anchors_and_near_neighbours_count_most() -> None:
    model = NextItems()
    assert (model.place.diff() < 0).all()
    assert (model.lag[: REACH + 1].diff() > 0).all()
    assert model.lag.equal(model.lag.flip(0))
    assert model.recency.count_nonzero() == 0


def test_questions_do_not_change_each_other(model: NextItems) -> None:
    asked = made_up()
    together = model(asked)
    for question in range(QUESTIONS):
        own = asked.neighbours.question == question
        neighbours = Neighbours(*(part[own] for part in asked.neighbours))
        alone = asked._replace(
            neighbours=neighbours._replace(question=neighbours.question * 0),
            popularity=asked.popularity[asked.moment[question]][None],
            moment=torch.zeros(1, dtype=torch.int64),
            numbers=asked.numbers[question][None],
        )
        torch.testing.assert_close(model(alone)[0], together[question])


def test_half_lives_are_shares_of_the_training_ratings() -> None:
    model = NextItems()
    model.ratings.fill_(2000)
    assert model.half_lives == pytest.approx((6, 25, 100, 400, math.inf))
    again = NextItems()
    again.load_state_dict(model.state_dict())
    assert again.half_lives == model.half_lives
