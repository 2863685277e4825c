"""A negative is never a positive, and every other item has the same probability."""

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from widedeep.training.negatives import Negatives

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")),
]


def pairs(positives: list[list[int]], device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Return (N,) users and items in reverse order, because order must not matter."""
    rows = [(user, item) for user, items in enumerate(positives) for item in items][::-1]
    user, item = torch.tensor(rows, dtype=torch.int64, device=device).reshape(-1, 2).T
    return user, item


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("positives", "negatives"),
    [
        ([], [0, 1, 2, 3, 4, 5, 6, 7]),
        ([0], [1, 2, 3, 4, 5, 6, 7]),
        ([7], [0, 1, 2, 3, 4, 5, 6]),
        ([0, 1, 2, 6, 7], [3, 4, 5]),
        ([0, 2, 4, 6], [1, 3, 5, 7]),
        ([3, 3, 3], [0, 1, 2, 4, 5, 6, 7]),
    ],
)
def test_negatives_are_uniform_over_all_items_that_are_no_positive(
    positives: list[int], negatives: list[int], device: str
) -> None:
    # The neighbours have different positives, so a look-up that runs into the next user would show.
    user, item = pairs([[0, 7], positives, [0, 1, 2]], device)
    torch.manual_seed(0)
    drawn = Negatives(user, item, 3, 8).sample(torch.ones(500, dtype=torch.int64, device=device), 8)
    assert drawn.shape == (500, 8)
    assert drawn.dtype == torch.int64
    counts = torch.bincount(drawn.flatten().cpu(), minlength=8)
    assert counts.nonzero().flatten().tolist() == negatives
    assert chisquare(counts[negatives]).pvalue > 0.001


@pytest.mark.parametrize("device", DEVICES)
def test_no_user_of_a_random_data_set_gets_a_positive(device: str) -> None:
    generator = torch.Generator().manual_seed(0)
    known = torch.rand(50, 40, generator=generator) < torch.rand(50, 1, generator=generator)
    known[:, 0] = False
    user, item = known.nonzero().to(device).T
    asked = torch.arange(50, device=device).repeat(20)
    drawn = Negatives(user, item, 50, 40).sample(asked, 30)
    assert not known.to(device)[asked[:, None], drawn].any()
    reached = torch.zeros(50, 40, dtype=torch.bool, device=device)
    reached[asked[:, None], drawn] = True
    assert reached.cpu().equal(~known)


@pytest.mark.parametrize("device", DEVICES)
def test_draws_of_two_users_and_two_columns_are_independent(device: str) -> None:
    user, item = pairs([[0], [2]], device)
    torch.manual_seed(1)
    drawn = Negatives(user, item, 2, 3).sample(torch.tensor([0, 1], device=device).repeat(1000), 2).cpu()
    columns = torch.bincount(3 * drawn[::2, 0] + drawn[::2, 1], minlength=9)  # user 0 draws 1 or 2
    users = torch.bincount(3 * drawn[::2, 0] + drawn[1::2, 0], minlength=9)  # user 1 draws 0 or 1
    assert chisquare(columns[[4, 5, 7, 8]]).pvalue > 0.001
    assert chisquare(users[[3, 4, 6, 7]]).pvalue > 0.001


@pytest.mark.parametrize("device", DEVICES)
def test_a_seed_gives_the_same_draw(device: str) -> None:
    negatives, asked = Negatives(*pairs([[0, 5]], device), 1, 1000), torch.zeros(4, dtype=torch.int64, device=device)
    torch.manual_seed(3)
    first, second = negatives.sample(asked, 5), negatives.sample(asked, 5)
    torch.manual_seed(3)
    assert negatives.sample(asked, 5).equal(first)
    assert not first.equal(second)
    generators = [torch.Generator(device).manual_seed(4) for _ in range(2)]
    assert negatives.sample(asked, 5, generators[0]).equal(negatives.sample(asked, 5, generators[1]))


@pytest.mark.parametrize("device", DEVICES)
def test_a_user_of_the_whole_catalogue_has_no_negative(device: str) -> None:
    negatives = Negatives(*pairs([[1], [0, 1, 2], []], device), 3, 3)
    assert negatives.has_negative.tolist() == [True, False, True]
    with pytest.raises(ValueError, match=r"^user must .* Got 1 instead\.$"):
        negatives.sample(torch.tensor([0, 1, 2], device=device), 4)
    assert negatives.sample(torch.tensor([0, 2], device=device), 4).shape == (2, 4)


def test_the_only_negative_is_always_drawn() -> None:
    negatives = Negatives(*pairs([[0, 1, 3], [1, 2, 3], [0, 1, 2]]), 3, 4)
    assert negatives.sample(torch.tensor([2, 0, 1]), 2).tolist() == [[3, 3], [2, 2], [0, 0]]


def test_without_pairs_every_item_is_a_negative() -> None:
    empty = torch.zeros(0, dtype=torch.int64)
    drawn = Negatives(empty, empty, 2, 3).sample(torch.tensor([0, 1]), 100)
    assert set(drawn.flatten().tolist()) == {0, 1, 2}


def test_no_users_give_no_negatives() -> None:
    assert Negatives(*pairs([[0]]), 1, 3).sample(torch.zeros(0, dtype=torch.int64), 4).shape == (0, 4)
