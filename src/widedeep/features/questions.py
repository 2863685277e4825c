"""What a model reads of a question in order to recommend: what is implicit and in time.

A question is a user who asks for a list at a moment. It is answered from the order in which people rate, and from how
popular each item has been lately. Shapes: B questions, I items of the catalogue, G moments, E neighbours.

Neighbours come from the lists of others. For each of the user's latest items, the anchors, the latest other users who
rated it are the witnesses. A neighbour is an item within `REACH` places of the anchor in a witness's list. People rate
in an order that season, site and taste suggest. So a neighbour is what a user who has just rated the anchor may rate
next. Only what was known a moment before the question counts: ratings of the same second do not see each other.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from widedeep.features.context import Context
from widedeep.features.ragged import RATINGS, Ragged, picked
from widedeep.params import liked_from

ANCHORS = 10
WITNESSES = 50
REACH = 10
NUMBERS = 5


class Neighbours(NamedTuple):
    """E neighbours of the anchors of B questions.

    question, item : (E,) int64
        The question of each neighbour, 0 to B - 1, and its code.
    place : (E,) int64
        Place of the anchor in the user's history; 0 is the latest item.
    recency : (E,) int64
        How many others rated the anchor later than this witness, and the user who asks among them if they did: 0 to
        `WITNESSES`.
    witnesses : (E,) float32
        Number of witnesses of the anchor.
    lag : (E,) int64
        Places from the anchor to the neighbour in the witness's list: 0 to 2 * `REACH`, where `REACH` is the anchor.
    """

    question: Tensor
    item: Tensor
    place: Tensor
    recency: Tensor
    witnesses: Tensor
    lag: Tensor


class Questions(NamedTuple):
    """B questions.

    neighbours : of their anchors
    popularity : (G, I, 2 L) float32
        log(1 + decayed number of ratings) of each item at each moment, for each of L half-lives: of all ratings, then
        of those by users who liked the item (see `liked_from`).
    moment : (B,) int64
        The moment of each question, 0 to G - 1.
    numbers : (B, `NUMBERS`) float32
        Whether a list for the whole time after the moment is asked for (1) or the next item (0), log(1 + items of the
        user), whether the user has none, log(1 + seconds since the latest one), and the product of first and third.
    seen : lists of B
        The items that each user had before, which are not recommended.
    item_index : (I,) int64
        The index of each item's id, 0 without training ratings.
    """

    neighbours: Neighbours
    popularity: Tensor
    moment: Tensor
    numbers: Tensor
    seen: Ragged
    item_index: Tensor


def ask_for_lists(
    context: Context,
    user: Tensor,
    timestamp: Tensor,
    half_lives: tuple[float, ...],
    online: bool,
    period: Tensor | bool,
    popular_at: Tensor | None = None,
) -> Questions:
    """Collect what is known of B questions.

    Parameters
    ----------
    user, timestamp : (B,) int64
        Code, and the second of the question. A user may ask several times.
    half_lives : L half-lives of popularity, in numbers of ratings
    online : whether all interactions before the second of a question are known. If not, what the state knows.
    period : (B,) bool, or one bool for all
        Whether a list for the whole time after the moment is asked for, not only for the next item.
    popular_at : (B,) int64
        The second as of which popularity is counted, with `online`. None: that of the question. Questions that share
        it cost less.
    """
    by_user, state = context.state.by_user, context.state
    known = by_user.seen_before(user, timestamp) if online else state.users.count[user]
    moments, moment = torch.unique(timestamp if popular_at is None else popular_at, return_inverse=True)
    if not online:
        moments, moment = moments[:1], torch.zeros_like(moment)
    popularity = _popularity(context, moments, half_lives, online)
    seen = by_user.pick(user, torch.zeros_like(known), known)
    return _collect(context, user, seen, timestamp, popularity, moment, online, period)


def ask_with_histories(
    context: Context, user: Tensor, seen: Ragged, timestamp: Tensor, popularity: Tensor, period: bool
) -> Questions:
    """Collect what is known of B questions, if the history of each is given. It may be of a user without a code.

    Parameters
    ----------
    user : (B,) int64
        Code, or -1 for a user who is not in the context.
    seen : lists of B
        The interactions of each user; `other` holds codes of items.
    timestamp : (B,) int64
        The second of each question, later than all that the context knows.
    popularity : (1, I, 2 L) float32, from `popularity_now`
    period : whether a list for the whole time after the moment is asked for, not only for the next item
    """
    return _collect(context, user, seen, timestamp, popularity, torch.zeros_like(user), False, period)


def by_someone_new(questions: Questions) -> Questions:
    """Return the same questions as someone would ask of whom nothing is known."""
    known = torch.zeros_like(questions.moment)
    return questions._replace(
        neighbours=_no_neighbours(known),
        numbers=_numbers(known, known, questions.numbers[:, 0]),
        seen=Ragged.empty(len(known)).to(known.device),
    )


def popularity_now(context: Context, half_lives: tuple[float, ...]) -> Tensor:
    """Return `Questions.popularity` after all ratings that the state knows: (1, I, 2 L) float32."""
    return _popularity(context, torch.zeros(1, dtype=torch.int64, device=context.tie_order.device), half_lives, False)


def _collect(
    context: Context,
    user: Tensor,
    seen: Ragged,
    timestamp: Tensor,
    popularity: Tensor,
    moment: Tensor,
    online: bool,
    period: Tensor | bool,
) -> Questions:
    known = seen.count
    last = seen.timestamp[(seen.start[1:] - 1).clamp(min=0)] if len(seen.timestamp) else timestamp
    return Questions(
        _neighbours(context, user, seen, timestamp, online) if context.spec.online else _no_neighbours(user),
        popularity,
        moment,
        _numbers(known, timestamp - last, period),
        seen,
        context.items.index,
    )


def _no_neighbours(user: Tensor) -> Neighbours:
    """Return no neighbours, for data without an order in time."""
    none = user[:0]
    return Neighbours(none, none, none, none, none.float(), none)


def _numbers(known: Tensor, since: Tensor, period: Tensor | bool) -> Tensor:
    new = (known == 0).float()
    asked = torch.as_tensor(period, device=new.device).float().expand_as(new)
    idle = torch.log1p(torch.where(known > 0, since.clamp(min=0), 0).float())
    return torch.stack([asked, torch.log1p(known.float()), new, idle, asked * new], 1)


def _neighbours(context: Context, user: Tensor, seen: Ragged, timestamp: Tensor, online: bool) -> Neighbours:
    by_user, by_item, state = context.state.by_user, context.state.by_item, context.state
    anchors = seen.latest(torch.arange(len(seen), device=user.device), seen.count, ANCHORS)
    question, item = anchors.owner, anchors.other
    place = anchors.start[1:][question] - 1 - torch.arange(len(item), device=item.device)
    at = timestamp[question]
    raters = by_item.seen_before(item, at) if online else state.items.count[item]
    # One more, because the user who asks is among the raters of the anchor, and is no witness.
    witnesses = by_item.latest(item, raters, WITNESSES + 1)
    anchor, witness = witnesses.owner, witnesses.other
    recency = witnesses.start[1:][anchor] - 1 - torch.arange(len(witness), device=item.device)
    kept = (witness != user[question[anchor]]).nonzero()[:, 0]
    anchor, witness, recency = picked(kept, anchor, witness, recency)
    number = torch.bincount(anchor, minlength=len(item)).float()
    middle = by_user.place(witness, item[anchor])
    lags = torch.arange(2 * REACH + 1, device=item.device)
    places = middle[:, None] + lags - REACH
    visible = (by_user.count if online else state.users.count)[witness]
    inside = (places >= 0) & (places < visible[:, None]) & (lags != REACH)
    edge, lag = inside.nonzero(as_tuple=True)
    start = by_user.start[witness] + middle - REACH
    entry = start.index_select(0, edge) + lag
    if online:
        earlier = by_user.timestamp.index_select(0, entry) < at[anchor].index_select(0, edge)
        edge, lag, entry = picked(earlier.nonzero()[:, 0], edge, lag, entry)
    neighbour = by_user.other.index_select(0, entry)
    asked, place, recency, number = picked(edge, question[anchor], place[anchor], recency, number[anchor])
    return Neighbours(asked, neighbour, place, recency, number, lag)


def _popularity(context: Context, moments: Tensor, half_lives: tuple[float, ...], online: bool) -> Tensor:
    log, items = context.state.by_item, torch.arange(len(context.items), device=moments.device)
    if online:
        seen, now = log.counts_before(moments), log.before(moments)
    else:
        seen = context.state.items.count.expand(len(moments), -1)
        now = seen.sum(1)
    counts = [
        log.decayed_at(items, seen, now[:, None], half_lives, RATINGS, least)
        for least in (-torch.inf, liked_from(context.spec.rating_scale))
    ]
    return torch.log1p(torch.cat(counts, -1)).float()
