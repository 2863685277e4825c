"""Users, items and what is known of them: all that answering needs besides a model."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from widedeep.features.entities import Entities
from widedeep.features.spec import Spec
from widedeep.features.state import Ratings, State, add, settled


@dataclass(frozen=True)
class Context:
    """Users and items by code, and what ratings have left behind of them.

    It needs neither the rows of the ratings nor their splits.
    """

    spec: Spec
    users: Entities
    items: Entities
    state: State

    def to(self, device: torch.device | str) -> Self:
        return replace(self, **{name: getattr(self, name).to(device) for name in ("users", "items", "state")})

    def extended(self, users: Entities | None = None, items: Entities | None = None) -> Self:
        """With further users and items, of whom there are no ratings. Their codes follow those that are there."""
        return replace(
            self,
            users=self.users if users is None else self.users.extended(users),
            items=self.items if items is None else self.items.extended(items),
            state=self.state.extended(0 if users is None else len(users), 0 if items is None else len(items)),
        )

    def add(self, user: Tensor, item: Tensor, rating: Tensor, at: Tensor) -> Self:
        """With further ratings (B,), in any order, none of them older than what is known.

        `user`, `item` are int64 codes, `rating` is float32, `at` is int64 seconds. The ratings of the latest second
        count from the next second on: what is tied in time is not visible to each other. `settled` makes them count.

        Raises
        ------
        ValueError
            A rating is older than what is known.
        """
        state = self.state
        for second in at.unique().unbind():
            now = at == second
            ratings = Ratings(user[now], item[now], rating[now], second)
            state = add(state, self.items.bag, self.spec.mean, self.spec.damping, ratings)
        return replace(self, state=state)

    def settled(self) -> Self:
        """As seen from any time after the latest second: all ratings count."""
        return replace(self, state=settled(self.state, self.items.bag, self.spec.mean, self.spec.damping))
