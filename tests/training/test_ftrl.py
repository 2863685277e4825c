"""FTRL, compared with steps worked out by hand, and in use."""

import pytest
import torch
from torch import Tensor, nn

from widedeep.training.ftrl import Ftrl


def starts_and_gradients(steps: int) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Draw parameters of several shapes, and their gradients for every step. Some weights and gradients are 0."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(4, 3), (5,), (2, 1, 2)]
    starts = [torch.randn(shape, generator=generator) for shape in shapes]
    starts[1].zero_()
    gradients = [[torch.randn(shape, generator=generator) for shape in shapes] for _ in range(steps)]
    for step in gradients:
        step[0][1] = 0
    return starts, gradients


def train(optimizer: Ftrl, weights: list[nn.Parameter], gradients: list[list[Tensor]]) -> None:
    for step in gradients:
        for weight, gradient in zip(weights, step, strict=True):
            weight.grad = gradient.clone()
        optimizer.step()


def parameters(starts: list[Tensor]) -> list[nn.Parameter]:
    return [nn.Parameter(start.clone()) for start in starts]


def test_three_steps_worked_out_by_hand() -> None:
    """lr 0.5, l1 1, l2 0.25, so a step is n += g^2, z += g - (sqrt(n') - sqrt(n)) / 0.5 * w, and w is 0 where |z| <= 1,
    else (sign(z) - z) / (sqrt(n) / 0.5 + 2 * 0.25)."""
    weight = nn.Parameter(torch.zeros(1))
    optimizer = Ftrl([weight], lr=0.5, l1=1.0, l2=0.25, initial_accumulator_value=7.0)
    # n = 7 + 9 = 16, z = 0 + 3 - (4 - sqrt(7)) / 0.5 * 0 = 3, w = (1 - 3) / (4 / 0.5 + 0.5)
    train(optimizer, [weight], [[torch.tensor([3.0])]])
    assert weight.item() == pytest.approx(-2 / 8.5)
    # n = 16 + 9 = 25, z = 3 - 3 - (5 - 4) / 0.5 * (-2 / 8.5) = 4 / 8.5, which is not above l1
    train(optimizer, [weight], [[torch.tensor([-3.0])]])
    assert weight.item() == 0.0
    # n = 25 + 144 = 169, z = 4 / 8.5 - 12 - (13 - 5) / 0.5 * 0 = -98 / 8.5, w = (-1 + 98 / 8.5) / (13 / 0.5 + 0.5)
    train(optimizer, [weight], [[torch.tensor([-12.0])]])
    assert weight.item() == pytest.approx((98 / 8.5 - 1) / 26.5)


def test_every_weight_has_a_step_of_its_own() -> None:
    """lr 0.1, no l1 or l2, n = 1 at the start."""
    weight = nn.Parameter(torch.zeros(3))
    optimizer = Ftrl([weight], lr=0.1, initial_accumulator_value=1.0)
    # Squares of the gradients 8, 0 and 3 are added to 1: w = -0.1 * g / [3, 1, 2].
    first = torch.tensor([8**0.5, 0.0, -(3**0.5)])
    train(optimizer, [weight], [[first]])
    torch.testing.assert_close(weight.data, torch.tensor([-0.1 * 8**0.5 / 3, 0.0, 0.1 * 3**0.5 / 2]))
    # n = [9, 4, 4] and z = g + g' - (sqrt(n') - sqrt(n)) / 0.1 * w: only the second weight has a gradient, 3^0.5.
    train(optimizer, [weight], [[torch.tensor([0.0, 3**0.5, 0.0])]])
    torch.testing.assert_close(weight.data, torch.tensor([-0.1 * 8**0.5 / 3, -0.1 * 3**0.5 / 2, 0.1 * 3**0.5 / 2]))


def test_the_more_l1_the_more_weights_are_exactly_zero() -> None:
    generator = torch.Generator().manual_seed(1)
    gradients = [[0.5 * torch.randn(200, generator=generator)] for _ in range(20)]
    zeros = []
    for l1 in (0.0, 1.0, 3.0, 1000.0):
        weight = nn.Parameter(torch.zeros(200))
        train(Ftrl([weight], lr=0.1, l1=l1), [weight], gradients)
        zeros.append(int((weight == 0).sum()))
    assert zeros[0] == 0 < zeros[1] < zeros[2] < zeros[3] == 200


def test_a_weight_that_starts_at_zero_and_has_no_gradient_stays_zero() -> None:
    weight = nn.Parameter(torch.zeros(2))
    train(Ftrl([weight], lr=0.1), [weight], [[torch.tensor([1.0, 0.0])]] * 3)
    assert weight[0] < 0
    assert weight[1] == 0


def test_a_parameter_without_gradient_is_left_alone() -> None:
    weight = nn.Parameter(torch.ones(2))
    Ftrl([weight], lr=0.1).step()
    assert weight.tolist() == [1.0, 1.0]


def test_a_run_resumed_from_the_state_gives_the_same_weights() -> None:
    starts, gradients = starts_and_gradients(steps=6)
    whole = parameters(starts)
    train(Ftrl(whole, lr=0.3, l1=0.1, l2=0.1), whole, gradients)

    first = parameters(starts)
    killed = Ftrl(first, lr=0.3, l1=0.1, l2=0.1)
    train(killed, first, gradients[:3])
    second = parameters([weight.data for weight in first])
    resumed = Ftrl(second)
    resumed.load_state_dict(killed.state_dict())
    train(resumed, second, gradients[3:])
    assert all(a.equal(b) for a, b in zip(second, whole, strict=True))


def test_least_squares_is_solved() -> None:
    generator = torch.Generator().manual_seed(2)
    x, truth = torch.randn(100, 3, generator=generator), torch.tensor([1.0, -2.0, 0.5])
    weight = nn.Parameter(torch.zeros(3))
    optimizer = Ftrl([weight], lr=1.0)

    def closure() -> float:
        optimizer.zero_grad()
        loss = ((x @ weight - x @ truth) ** 2).mean()
        loss.backward()
        return loss.item()

    losses = [optimizer.step(closure) for _ in range(200)]
    assert losses[0] is not None
    assert losses[0] > 1
    torch.testing.assert_close(weight.data, truth, rtol=0, atol=1e-3)


@pytest.mark.parametrize("option", ["lr", "l1", "l2", "initial_accumulator_value"])
@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_options_out_of_range_are_refused(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^{option} must be a float in the range .* Got {value} instead"):
        Ftrl([{"params": [nn.Parameter(torch.zeros(1))], option: value}])
