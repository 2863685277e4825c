"""What a recommender needs beside a model: users, items, and the state that ratings have left."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Self

import numpy as np
import torch
from torch import Tensor

from widedeep.features.entities import Entities
from widedeep.features.ragged import Ragged
from widedeep.features.spec import Spec
from widedeep.features.state import Ratings, State, Sums, add, settled

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

    def of_new_user(self, user: Entities, item: Tensor, rating: Tensor, at: Tensor) -> Self:
        """Return a context whose only user to ask for, with the code 0, is a new one. The model needs no training.

        It costs little, because what is known of the others is not copied. What is known of items stays as it is, so
        the new ratings do not count for them.

        Parameters
        ----------
        user : the new user, from `widedeep.features.entities.encode`
        item : (N,) int64
            Codes of the items that the user rated.
        rating : (N,) float32
        at : () int64
            The second of these ratings.
        """
        state = self.state
        width = state.genre_count.shape[1], state.moment_count.shape[1]
        none = [torch.zeros(1, size, dtype=torch.int64, device=item.device) for size in width]
        empty = Sums(*(none[0][:, 0] - missing for missing in (0, 0, 1)))
        own = replace(
            state,
            users=empty,
            genre_count=none[0],
            genre_total=none[0],
            moment_count=none[1],
            moment_total=none[1],
            by_user=Ragged.empty(1).to(item.device),
            by_item=Ragged.empty(len(self.items)).to(item.device),
            pending=Ratings(torch.zeros_like(item), item, rating, at) if len(item) else None,
        )
        known = replace(self, state=own).settled().state
        # The other users follow, as the users that interactions of items point to.
        known = replace(known, items=state.items, by_item=state.by_item.behind_one)
        return replace(self, users=user.extended(self.users), state=known)

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
