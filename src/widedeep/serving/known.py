"""What is known of users and items at one moment, and how new ratings move it on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from widedeep.columns import ITEM_ID, RATING, TIMESTAMP, USER_ID
from widedeep.errors import UserError
from widedeep.features.context import Context
from widedeep.features.entities import Entities, encode
from widedeep.features.state import latest
from widedeep.serving.arguments import number_in, own_id, whole_number
from widedeep.serving.catalogue import Catalogue, UnknownItemError
from widedeep.serving.events import Event

AHEAD = 60  # seconds that the clock of a sender may be ahead
LARGEST = 1e9  # strength of an event of implicit feedback


@dataclass(frozen=True)
class Known:
    """What is known at one moment. New ratings make a new object, so that a reader never sees half of a change.

    context : its latest second may be pending
    users : code of each user id
    """

    context: Context
    users: Mapping[str, int]

    @cached_property
    def settled(self) -> Context:
        return self.context.settled()

    @cached_property
    def latest(self) -> int:
        return latest(self.context.state)

    def at(self, second: int) -> Context:
        """Return what is known at a second: ratings of the same second do not count yet."""
        return self.settled if second > self.latest else self.context

    def second(self, at: int | None) -> int:
        """Return the second of a question; None: the one after the latest known rating.

        Raises
        ------
        UserError
            It is no whole number, or before the latest known rating.
        """
        if at is None:
            return self.latest + 1
        at = whole_number("at", at, 0)
        if at < self.latest:
            raise UserError(
                f"at must not be before the latest known rating, second {self.latest}: what was known earlier is not "
                f"kept. Got {at} instead."
            )
        return at

    def with_ratings(
        self, rows: Sequence[Mapping[str, Any]], catalogue: Catalogue, now: float
    ) -> tuple["Known", list[Event]]:
        """Return what is known after new ratings, and these ratings as events. For the rules see `Recommender.add`.

        now : seconds since 1970
        """
        users, spec = dict(self.users), self.context.spec
        scale = None if spec.implicit else spec.rating_scale
        events = [_event(number, row, catalogue, scale) for number, row in enumerate(rows, 1)]
        for number, (*_, second) in enumerate(events, 1):
            if second < self.latest:
                raise UserError(
                    f"Event {number}: timestamp must not be before the latest known rating, second {self.latest}. Got "
                    f"{second} instead. Add ratings in order of time."
                )
            if second > max(now + AHEAD, self.latest):
                raise UserError(f"Event {number}: timestamp must not be in the future. Got {second} instead.")
        if not events:
            return self, events
        user_id, item_id, rating, at = zip(*events, strict=True)
        user = torch.tensor([users.setdefault(name, len(users)) for name in user_id])
        item = torch.tensor([catalogue.of_id[name] for name in item_id])
        context, new = self.context, len(users) - len(self.users)
        if new:
            person = encode(spec, "user", {})
            many = Entities(*(getattr(person, part).expand(new, -1) for part in ("categories", "numbers", "bag")))
            context = context.extended(users=many)
        counted = torch.ones(len(rating)) if spec.implicit else torch.tensor(rating)
        return Known(context.add(user, item, counted, torch.tensor(at)), users), events


def _event(number: int, row: Mapping[str, Any], catalogue: Catalogue, scale: tuple[float, float] | None) -> Event:
    """Check an event. Without a scale (implicit feedback) the rating is a strength, and 1 if it is left out."""
    needed = (USER_ID, ITEM_ID, TIMESTAMP) if scale is None else (USER_ID, ITEM_ID, RATING, TIMESTAMP)
    for column in needed:
        if row.get(column) is None:
            raise UserError(f"Event {number} has no {column}.")
    user_id, item_id = (own_id(row[name], f"Event {number}: {name}") for name in (USER_ID, ITEM_ID))
    if item_id not in catalogue.of_id:
        raise UnknownItemError(f"Event {number}: no item has the id {item_id!r}.")
    given = row.get(RATING)
    rating = number_in(f"Event {number}: rating", 1 if given is None else given, *(scale or (0, LARGEST)))
    return user_id, item_id, rating, whole_number(f"Event {number}: timestamp", row[TIMESTAMP], 0)
