"""Negative sampling: draw, for a user, items without a training interaction, uniformly."""

import torch
from torch import Generator, Tensor


class Negatives:
    """Draws negative items of users, on the device of the training pairs, without rejecting any draw.

    Let p_0 < p_1 < ... be the items of a user's interactions. Then p_k - k negatives have a smaller code than p_k. So
    the r-th negative (from 0) is item r + m, where m is the number of items with p_k - k <= r. A binary search finds m
    for a whole batch.

    has_negative : (n_users,) bool
        False for a user who interacted with the whole catalogue, so that there is nothing to sample.

    Parameters
    ----------
    user, item : (N,) int64
        All training pairs, as codes in [0, n_users) and [0, n_items). Repeated pairs count once.
    n_users, n_items : numbers of users and items, including those without a training pair
    """

    def __init__(self, user: Tensor, item: Tensor, n_users: int, n_items: int) -> None:
        pairs = torch.unique(user * n_items + item)
        count = torch.bincount(pairs // n_items, minlength=n_users)
        self.n_items = n_items
        self.start = count.cumsum(0) - count
        rank = torch.arange(len(pairs), device=pairs.device) - self.start[pairs // n_items]
        self.keys = pairs - rank  # user * n_items + (p_k - k), rising
        self.available = n_items - count
        self.has_negative = self.available > 0

    def sample(self, user: Tensor, n: int, generator: Generator | None = None) -> Tensor:
        """Draw `n` negative items of each user, uniformly and independently: (B, n) int64 codes.

        An item may be drawn more than once.

        Parameters
        ----------
        user : (B,) int64
            Codes of users that have a negative.
        n : draws per user
        generator : source of random numbers, on the same device; None: the default one of torch

        Raises
        ------
        ValueError
            A user has no negative (see `has_negative`).
        """
        if not self.has_negative[user].all():
            without = user[~self.has_negative[user]][0]
            raise ValueError(f"user must hold only users with a negative (see has_negative). Got {without} instead.")
        # The remainder is not exactly uniform, but the error is below n_items / 2^62.
        drawn = torch.randint(2**62, (len(user), n), generator=generator, device=user.device)
        r = drawn % self.available[user, None]
        found = torch.searchsorted(self.keys, user[:, None] * self.n_items + r, right=True)
        return r + found - self.start[user, None]
