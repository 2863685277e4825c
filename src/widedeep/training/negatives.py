"""Negative sampling: for a user, items drawn uniformly from those without an interaction in training."""

import torch
from torch import Generator, Tensor


class Negatives:
    """Draws, on the device of the pairs, items that are never a known positive of the user: no draw is rejected.

    The r-th negative of a user (from 0) is item r + m, where m of the user's positives p_0 < p_1 < ... have
    p_k - k <= r: so many negatives come before each. One binary search finds m for a whole batch.

    `has_negative` (n_users,) bool: False for users who interacted with the whole catalogue, for whom there is nothing
    to rank and nothing to sample.

    Parameters
    ----------
    user, item : (N,) int64, positions of all training pairs in [0, n_users) and [0, n_items); repeated ones count once
    n_users, n_items : number of users and of items, those without a training pair included
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
        """`n` negatives of each user, (B, n) int64 item positions, from user positions (B,) int64.

        Each is drawn uniformly and independently, so one may come twice. The draw follows from the state of `generator`
        (of the same device; default: that of torch.manual_seed).

        Raises
        ------
        ValueError
            A user has no negative (see `has_negative`).
        """
        if not self.has_negative[user].all():
            without = user[~self.has_negative[user]][0]
            raise ValueError(f"user must hold users with a negative only (see has_negative). Got {without} instead.")
        # The remainder prefers small numbers, by less than n_items / 2^62.
        drawn = torch.randint(2**62, (len(user), n), generator=generator, device=user.device)
        r = drawn % self.available[user, None]
        found = torch.searchsorted(self.keys, user[:, None] * self.n_items + r, right=True)
        return r + found - self.start[user, None]
