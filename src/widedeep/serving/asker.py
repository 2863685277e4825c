"""Who asks for a list: a user of the data, or someone new by ratings, likes or demographics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from widedeep.errors import UserError
from widedeep.features.context import Context
from widedeep.features.entities import encode
from widedeep.features.ragged import Ragged
from widedeep.scoring import seen_items
from widedeep.serving.arguments import brief, number_in, own_id, several
from widedeep.serving.catalogue import Catalogue
from widedeep.serving.known import Known


@dataclass(frozen=True)
class Asker:
    """The user of a question.

    context : what to score pairs of this user in
    code : (1,) int64, the code of the user there
    seen : what the user had, the latest item last
    known : whether the user is one of the data or of the events
    """

    context: Context
    code: Tensor
    seen: Ragged
    known: bool


def asker_of(
    known: Known,
    catalogue: Catalogue,
    second: int,
    user_id: int | str | None,
    ratings: Mapping[int | str, float] | None = None,
    likes: Sequence[int | str] = (),
    demographics: Mapping[str, Any] | None = None,
) -> Asker:
    """Find a user, or fold someone new in. For the arguments see `Recommender.recommend`.

    Raises
    ------
    UserError
        An argument breaks its rule, or an item is unknown or ambiguous.
    """
    context = known.at(second)
    given = ratings or likes or demographics
    if user_id is not None and given:
        raise UserError("Give either a user_id, or ratings, likes and demographics of someone new. Got both.")
    if user_id is None and not given:
        raise UserError("Give a user_id, or ratings, likes or demographics of someone new. Got none.")
    code = None if user_id in (None, "") else known.users.get(own_id(user_id, "user_id"))
    if code is not None:
        user = torch.tensor([code])
        return Asker(context, user, seen_items(context, user), True)
    low, high = context.spec.rating_scale
    if ratings is not None and not isinstance(ratings, Mapping):
        raise UserError(
            f"ratings must map items to ratings, such as {{'Heat (1995)': 5}}. Got {brief(ratings)} instead."
        )
    rated = {**(ratings or {}), **dict.fromkeys(several(likes, "likes"), high)}
    for item, rating in rated.items():
        number_in(f"The rating of {item!r}", rating, low, high)
    items = catalogue.codes(list(rated))
    if len(items) != len(items.unique()):
        raise UserError("An item is given more than once. Give each item once.")
    try:
        person = encode(context.spec, "user", demographics or {})
    except (ValueError, TypeError) as error:
        raise UserError(f"demographics: {error}") from None
    values = torch.tensor(list(rated.values()), dtype=torch.float32)
    at = torch.tensor(max(second - 1, 0))
    # In the order given: the latest item comes last.
    seen = Ragged(torch.tensor([0, len(items)]), items, values, at.expand(len(items)))
    return Asker(context.of_new_user(person, items, values, at), torch.zeros(1, dtype=torch.int64), seen, False)
