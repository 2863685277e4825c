"""What a recommender needs beside a model: users, items, and the state that ratings have left."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from widedeep.features.entities import Entities
from widedeep.features.spec import Spec
from widedeep.features.state import Ratings, State, add, settled


@dataclass(frozen=True)
class Context:
    """Users and items by code, and their state. It has neither the rows nor the splits of the ratings.

    spec : description of the features
    users, items : as a model sees them
    state : what is known from ratings
    """

    spec: Spec
    users: Entities
    items: Entities
    state: State

    def to(self, device: torch.device | str) -> Self:
        return replace(self, **{name: getattr(self, name).to(device) for name in ("users", "items", "state")})

    def extended(self, users: Entities | None = None, items: Entities | None = None) -> Self:
        """Return a copy with new users and items, which have no ratings. They get the next free codes."""
        return replace(
            self,
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
