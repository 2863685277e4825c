"""Lists from scores, compared with sorting for one user at a time."""

import math
from collections.abc import Callable, Sequence

import pandas as pd
import pytest
import torch
from torch import Tensor

from tests.small_data import small_recipe
from widedeep.features.context import order_of_ties
from widedeep.features.entities import encode
from widedeep.features.files import FeatureTables
from widedeep.features.ragged import Ragged
from widedeep.features.tensors import FeatureSet, feature_set
from widedeep.models.build import build
from widedeep.scoring import PAD, Lists, penalised, rank, rank_by_penalty, top_items

INF = math.inf
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def user_items(*items: Sequence[int]) -> Ragged:
    pairs = [(user, item) for user, row in enumerate(items) for item in row]
    return user_items_of_pairs(torch.tensor(pairs, dtype=torch.int64).view(-1, 2), len(items))


def user_items_of(matrix: Tensor) -> Ragged:
    """Make lists of rated items from a (U, I) bool matrix."""
    return user_items_of_pairs(matrix.nonzero(), len(matrix))


def user_items_of_pairs(pairs: Tensor, n: int) -> Ragged:
    user, item = pairs.T
    return Ragged.of(user, item, torch.ones(len(user)), torch.zeros_like(user), n)


def top(scores: Tensor, exclude: Ragged, k: int, ties: Sequence[int] | None = None) -> list[list[int]]:
    """List items. `ties` has the place of each item among equal scores; without it, the order is that of the codes."""
    order = torch.arange(scores.shape[1]) if ties is None else torch.tensor(ties)
    lists: list[list[int]] = top_items(scores, exclude, k, order).items.tolist()
    return lists


def by_sorting(scores: Tensor, exclude: Ragged, k: int, ties: Sequence[int]) -> list[list[int]]:
    """Compute `top_items` by its definition, one user at a time."""
    lists = []
    for user, row in enumerate(scores.tolist()):
        left_out = set(exclude.other[exclude.start[user] : exclude.start[user + 1]].tolist())
        candidates = [item for item, score in enumerate(row) if item not in left_out and score > -INF]
        best = sorted(candidates, key=lambda item: (-row[item], ties[item]))[:k]
        lists.append(best + [PAD] * (k - len(best)))
    return lists


def test_top_items_are_best_first() -> None:
    assert top(torch.tensor([[0.1, 0.9, 0.5, 0.7]]), user_items([]), 3) == [[1, 3, 2]]


def test_top_items_leaves_out_excluded_items() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.5], [0.1, 0.9, 0.5]])
    assert top(scores, user_items([1], [2, 0]), 2) == [[2, 0], [1, PAD]]


def test_equal_scores_are_in_the_order_of_ties_also_at_the_border() -> None:
    scores = torch.tensor([[1.0, 2.0, 1.0, 2.0, 1.0, 1.0]])
    assert top(scores, user_items([0]), 4, [0, 5, 4, 1, 3, 2]) == [[3, 1, 5, 4]]


def test_equal_scores_everywhere_give_the_first_items_in_the_order_of_ties() -> None:
    last_first = range(999, -1, -1)
    assert top(torch.zeros(2, 1000), user_items([], [998]), 4, last_first) == [[999, 998, 997, 996],
                                                                               [999, 997, 996, 995]]  # fmt: skip


def test_order_of_ties_depends_on_the_ids_alone() -> None:
    ids = [str(number) for number in range(100)]
    order = order_of_ties(ids)
    assert sorted(order.tolist()) == list(range(100))
    assert order_of_ties(ids[::-1]).flip(0).equal(order)
    some = order_of_ties(ids[40:60])  # with fewer items, each pair keeps its order
    assert some.argsort().equal(order[40:60].argsort())


def test_order_of_ties_is_the_same_in_every_version() -> None:
    assert order_of_ties(["Die Brücke", "7", "A1B2", "0042", "42"]).tolist() == [4, 0, 3, 1, 2]


def test_equal_scores_for_all_items_are_as_good_as_chance() -> None:
    """Lists of equal scores hit as many of the first 50 codes, which publishers like to give to well-known items, as
    lists that are drawn at random: 10 of 100 lists of 10 items of 500, give or take 3 standard deviations."""
    hits = 0
    for catalogue in range(100):
        order = order_of_ties([f"{catalogue}-{item}" for item in range(500)])
        hits += int((top_items(torch.zeros(1, 500), user_items([]), 10, order).items < 50).sum())
    assert abs(hits - 100) < 3 * (1000 * 0.1 * 0.9) ** 0.5


def test_new_items_come_last_among_equal_scores(load: Callable[..., FeatureSet]) -> None:
    known = load("temporal")
    n = len(known.items)
    more = known.context().extended(items=encode(known.spec, "item", {}))
    assert more.tie_order.tolist() == [*known.tie_order.tolist(), n]


def test_list_longer_than_the_catalogue_is_padded() -> None:
    assert top(torch.tensor([[1.0, 2.0]]), user_items([]), 4) == [[1, 0, PAD, PAD]]


def test_item_with_score_minus_infinity_is_no_candidate() -> None:
    assert top(torch.tensor([[-INF, 2.0, -INF, -INF]]), user_items([]), 2) == [[1, PAD]]


def test_user_without_candidates_gets_an_empty_list() -> None:
    assert top(torch.tensor([[1.0, 2.0]]), user_items([0, 1]), 2) == [[PAD, PAD]]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("levels", [1, 3, 20, 10**6])
@pytest.mark.parametrize("k", [1, 7, 39, 40, 50])
def test_top_items_agrees_with_sorting(k: int, levels: int, device: str) -> None:
    generator = torch.Generator().manual_seed(levels + k)
    scores = torch.randint(levels, (60, 40), generator=generator).float()
    scores[torch.rand(60, 40, generator=generator) < 0.1] = -INF
    exclude = user_items_of(torch.rand(60, 40, generator=generator) < torch.rand(60, 1, generator=generator))
    ties = torch.randperm(40, generator=generator)
    found = top_items(scores.to(device), exclude.to(device), k, ties.to(device))
    assert found.items.dtype == torch.int64
    assert found.items.tolist() == by_sorting(scores, exclude, k, ties.tolist())
    listed = found.items.cpu() != PAD
    assert found.scores.cpu()[listed].equal(scores.gather(1, found.items.cpu().clamp(min=0))[listed])
    assert (found.scores.cpu()[~listed] == -INF).all()


def test_top_items_leaves_the_scores_as_they_are() -> None:
    scores = torch.ones(1, 3)
    top(scores, user_items([1]), 2)
    assert scores.tolist() == [[1, 1, 1]]


def test_nan_score_of_a_candidate_is_an_error() -> None:
    with pytest.raises(ValueError, match="NaN"):
        top(torch.tensor([[1.0, math.nan, 0.5]]), user_items([]), 1)


def test_k_below_1_is_an_error() -> None:
    with pytest.raises(ValueError, match="k must"):
        top(torch.zeros(1, 3), user_items([]), 0)


BLIND = {
    "a change of ratings": lambda late, table: table.assign(rating=table["rating"].mask(late, 5.5 - table["rating"])),
    "a change of users": lambda late, table: table.assign(user_id=table["user_id"].mask(late, 11 - table["user_id"])),
    "a change of times": lambda late, table: table.assign(timestamp=table["timestamp"].mask(late, 1059)),
    "no rating": lambda late, table: table[~late].reset_index(drop=True),
}


@pytest.mark.parametrize("change", BLIND)
def test_online_lists_see_nothing_of_their_second_or_later(
    featurize: Callable[..., FeatureTables], ratings: pd.DataFrame, change: str
) -> None:
    def lists(table: pd.DataFrame, second: int) -> dict[str, Lists]:
        features = feature_set(featurize(ratings=table), "train", "validation", "test")
        models = {}
        for name in ("popularity", "recent_popularity", "ease"):
            models[name] = build(features.spec, small_recipe(model=name).architecture)
            models[name].fit(features)
        user = torch.arange(10)
        return rank(models, features, user, torch.full_like(user, second), 31, online=True)

    second = int(ratings.loc[ratings["split"] == "test", "timestamp"].median())
    before = lists(ratings, second)
    after = lists(BLIND[change](ratings["timestamp"] >= second, ratings), second)
    seen = lists(BLIND[change](ratings["timestamp"] >= second - 1, ratings), second)
    for name, own in before.items():
        assert own.items.equal(after[name].items)
        assert own.scores.equal(after[name].scores)
        if change != "a change of ratings":  # of which these models see nothing at all
            assert not own.scores.equal(seen[name].scores)


@pytest.mark.parametrize(
    ("penalty", "scores", "order"),
    [
        (0.2, [2.6, 1.9, 1.0], [0, 1, 2]),  # 3 - 0.2 * 2, 2 - 0.2 * 0.5, 1 - 0.2 * 0
        (0.5, [2.0, 1.75, 1.0], [0, 1, 2]),
        (0.9, [1.2, 1.55, 1.0], [1, 0, 2]),
    ],
)
def test_a_penalty_by_hand(penalty: float, scores: list[float], order: list[int]) -> None:
    """The model scores three items with 3, 2 and 1, and with 2, 0.5 and 0 for someone of whom nothing is known."""
    found = penalised(torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([[2.0, 0.5, 0.0]]), penalty)
    assert found[0].tolist() == pytest.approx(scores)
    assert top(found, user_items([]), 3) == [order]


@pytest.mark.parametrize("objective", ["joint", "ranking", "rating"])
def test_without_a_penalty_lists_are_the_same_to_the_last_bit(load: Callable[..., FeatureSet], objective: str) -> None:
    features = load("temporal")
    models = {"m": build(features.spec, small_recipe(objective=objective).architecture).eval()}
    models["m"].fit(features)
    asked = torch.arange(10), torch.full((10,), 2000)
    plain = rank(models, features, *asked, 5)["m"]
    found = rank_by_penalty(models, features, *asked, 5, {"m": (0, 0.5)})["m"]
    assert found[0].items.equal(plain.items)
    assert found[0].scores.equal(plain.scores)
    assert found[0.5].items.equal(rank(models, features, *asked, 5, penalty=0.5)["m"].items)
    assert not found[0.5].scores.equal(plain.scores)


def test_a_penalty_leaves_the_order_of_lists_that_are_the_same_for_everybody(load: Callable[..., FeatureSet]) -> None:
    features = load("temporal")
    model = build(features.spec, small_recipe(model="popularity").architecture)
    model.fit(features)
    asked = torch.arange(10), torch.full((10,), 2000)
    found = rank_by_penalty({"m": model}, features, *asked, 5, {"m": (0, 0.9)})["m"]
    assert found[0.9].items.equal(found[0].items)
