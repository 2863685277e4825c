"""What a recommender needs beside a model: users, items, and the state that ratings have left."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Self

import numpy as np
import torch
from torch import Tensor

from widedeep.features.entities import Entities
from widedeep.features.spec import Spec
from widedeep.features.state import Ratings, State, add, settled

TIES = b"ties"  # seed of the hash that orders items with equal scores


@dataclass(frozen=True)
class Context:
    """Users and items by code, and their state. It has neither the rows nor the splits of the ratings.

    spec : description of the features
    users, items : as a model sees them
    state : what is known from ratings
    tie_order : (I,) int64
        The place of each of the I items among items with equal scores, from a hash of its id (see `order_of_ties`).
    """

    spec: Spec
    users: Entities
    items: Entities
    state: State
    tie_order: Tensor

    def to(self, device: torch.device | str) -> Self:
        parts = ("users", "items", "state", "tie_order")
        return replace(self, **{name: getattr(self, name).to(device) for name in parts})

    def extended(self, users: Entities | None = None, items: Entities | None = None) -> Self:
        """Return a copy with new users and items, which have no ratings. They get the next free codes.

        Among items with equal scores, the new ones come last.
        """
        n_items = len(self.items) + (0 if items is None else len(items))
        last = torch.arange(len(self.items), n_items, device=self.tie_order.device)
        return replace(
            self,
            tie_order=torch.cat([self.tie_order, last]),
            users=self.users if users is None else self.users.extended(users),
            items=self.items if items is None else self.items.extended(items),
            state=self.state.extended(0 if users is None else len(users), 0 if items is None else len(items)),
        )

    def add(self, user: Tensor, item: Tensor, rating: Tensor, at: Tensor) -> Self:
        """Return a copy with B new ratings, in any order, none older than the latest known one.

        The ratings of the latest second do not count yet, because ratings of the same second must not see each other.
        They count when a later rating is added, or after `settled`.

        Parameters
        ----------
        user, item : (B,) int64
            Codes.
        rating : (B,) float32
        at : (B,) int64
            Seconds since 1970.

        Raises
        ------
        ValueError
            A rating is older than the latest known one.
        """
        state = self.state
        for second in at.unique().unbind():
            now = at == second
            ratings = Ratings(user[now], item[now], rating[now], second)
            state = add(state, self.items.bag, self.spec.mean, self.spec.damping, ratings)
        return replace(self, state=state)

    def settled(self) -> Self:
        """Return a copy in which all ratings count, as they do at any time after the latest second."""
        return replace(self, state=settled(self.state, self.items.bag, self.spec.mean, self.spec.damping))


def order_of_ties(item_ids: Sequence[str]) -> Tensor:
    """Order items by a hash of their ids: (I,) int64, the place of each item, from 0.

    Which of two items comes first depends on their two ids alone, not on codes, other items or the device.
    """
    hashes = [blake2b(item_id.encode(), digest_size=8, key=TIES).digest() for item_id in item_ids]
    places = np.empty(len(hashes), dtype=np.int64)
    places[sorted(range(len(hashes)), key=hashes.__getitem__)] = np.arange(len(hashes))
    return torch.from_numpy(places)
