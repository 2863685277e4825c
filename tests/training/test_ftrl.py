"""Ftrl against Keras and against a step worked out by hand."""

import importlib
import os
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from widedeep.training.ftrl import Ftrl


@pytest.fixture(scope="module")
def keras(tmp_path_factory: pytest.TempPathFactory) -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    os.environ.setdefault("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))  # else Keras writes into the user's home
    return importlib.import_module("keras")


def starts_and_gradients(steps: int) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Parameters of several shapes, some weights 0, and a gradient of each for every step, some 0."""
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


@pytest.mark.parametrize("accumulator", [0.1, 2.0])
@pytest.mark.parametrize(("lr", "l1", "l2"), [(0.1, 0.0, 0.0), (0.5, 0.3, 0.0), (0.01, 0.0, 0.2), (1.0, 0.5, 2.0)])
def test_weights_are_those_of_keras_after_every_step(
    keras: Any, lr: float, l1: float, l2: float, accumulator: float
) -> None:
    starts, gradients = starts_and_gradients(steps=6)
    weights = parameters(starts)
    ours = Ftrl(weights, lr=lr, l1=l1, l2=l2, initial_accumulator_value=accumulator)
    variables = [keras.Variable(start.numpy()) for start in starts]
    theirs = keras.optimizers.Ftrl(
        learning_rate=lr,
        l1_regularization_strength=l1,
        l2_regularization_strength=l2,
        initial_accumulator_value=accumulator,
    )
    theirs.build(variables)
    for step in gradients:
        train(ours, weights, [step])
        theirs.apply([keras.ops.convert_to_tensor(gradient.numpy()) for gradient in step])
        for weight, variable in zip(weights, variables, strict=True):
            expected = torch.from_numpy(keras.ops.convert_to_numpy(variable))
            torch.testing.assert_close(weight.data, expected, rtol=1e-5, atol=1e-6)


def test_defaults_are_those_of_keras(keras: Any) -> None:
    theirs = keras.optimizers.Ftrl().get_config()
    assert Ftrl([nn.Parameter(torch.zeros(1))]).defaults == {
        "lr": pytest.approx(theirs["learning_rate"]),
        "l1": theirs["l1_regularization_strength"],
        "l2": theirs["l2_regularization_strength"],
        "initial_accumulator_value": theirs["initial_accumulator_value"],
    }


def test_two_steps_worked_out_by_hand() -> None:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = Ftrl([weight], lr=0.5, l1=1.0, l2=0.25, initial_accumulator_value=7.0)
    train(optimizer, [weight], [[torch.tensor([3.0])]])  # n 7 -> 16, z = 3, w = (1 - 3) / (4 / 0.5 + 0.5)
    assert weight.item() == pytest.approx(-2 / 8.5)
    train(optimizer, [weight], [[torch.tensor([-3.0])]])  # n 16 -> 25, z = 0 - (5 - 4) / 0.5 * w = 4 / 8.5 < l1
    assert weight.item() == 0.0


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
