"""Tables of weights with a posterior, compared with torch's divergence and the exact posterior of a linear model."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from widedeep.models.table import Part, Table

ONE: list[tuple[Part, int]] = [("field", 0)]


def random_table(parts: list[tuple[Part, int]] = ONE, padding_idx: int | None = None) -> Table:
    table = Table(5, 2, parts, padding_idx, uncertain=True)
    assert table.log_deviation is not None
    with torch.no_grad():
        table.log_deviation.normal_(-1, 0.5)
    return table


@torch.no_grad()
def test_divergence_is_from_the_nearest_normal_prior_of_each_field_and_column() -> None:
    table = random_table([("a", 0), ("b", 3)])
    assert table.log_deviation is not None
    expected = 0.0
    for field in (slice(0, 3), slice(3, 5)):
        for column in range(2):
            posterior = Normal(table.weight[field, column], table.log_deviation[field, column].exp())
            scales = torch.linspace(0.01, 5, 5000)[:, None]
            expected += float(kl_divergence(posterior, Normal(0, scales)).sum(1).min())
    assert float(table.divergence()) == pytest.approx(expected, rel=1e-4)
    assert float(Table(5, 2, ONE).divergence()) == 0


@torch.no_grad()
def test_training_draws_and_afterwards_the_mean_counts() -> None:
    torch.manual_seed(0)
    table = random_table(padding_idx=0)
    assert table.log_deviation is not None
    index = torch.arange(5)
    draws = torch.stack([table(index) for _ in range(20_000)])
    assert draws[:, 0].eq(0).all()
    torch.testing.assert_close(draws.mean(0)[1:], table.weight[1:], atol=0.02, rtol=0)
    torch.testing.assert_close(draws.std(0)[1:], table.log_deviation[1:].exp(), atol=0, rtol=0.05)
    twice = table(torch.tensor([1, 1]))
    assert not twice[0].equal(twice[1])
    assert not table.draw().equal(table.draw())
    table.eval()
    assert table(index).equal(table.weight)
    assert table.draw().equal(table.weight)


def test_points_draw_nothing() -> None:
    state = torch.get_rng_state()
    table = Table(5, 2, ONE)
    after = torch.get_rng_state()
    assert table(torch.arange(5)).equal(table.weight)
    assert torch.get_rng_state().equal(after)
    assert not after.equal(state)  # the first weights are drawn


@pytest.mark.slow
def test_posterior_of_user_biases_is_the_exact_one() -> None:
    """y = b_u + noise of variance 0.5. Given the prior's variance v, b_u has mean sum(y) / (n_u + 0.5 / v) and variance
    0.5 / (n_u + 0.5 / v); v is the mean of their squares plus variances."""
    torch.manual_seed(1)
    noise, counts = 0.5, torch.tensor([1, 2, 5, 20, 60])
    user = torch.arange(5).repeat_interleave(counts)
    rating = torch.tensor([1.0, -1.0, 0.8, -0.6, 0.5])[user] + torch.randn(len(user)) * math.sqrt(noise)
    table = Table(5, 1, ONE, uncertain=True).eval()  # the mean, and below the variance in closed form
    assert table.log_deviation is not None
    optimizer = torch.optim.Adam(table.parameters(), lr=0.01)
    with torch.no_grad():
        table.weight.normal_(std=0.1)
    for _ in range(4000):
        error = (rating - table(user)[:, 0]).square() + (2 * table.log_deviation[user, 0]).exp()
        loss = error.mean() + 2 * noise / len(user) * table.divergence()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    mean, deviation = table.weight.detach()[:, 0], table.log_deviation.detach()[:, 0].exp()
    precision = counts + noise / float((mean.square() + deviation.square()).mean())
    torch.testing.assert_close(mean, torch.zeros(5).index_add(0, user, rating) / precision, atol=2e-3, rtol=0)
    torch.testing.assert_close(deviation, (noise / precision).sqrt(), atol=2e-3, rtol=0)
