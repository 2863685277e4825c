"""Ask a trained model: recommendations, predicted ratings, similar items and reasons. It learns from new ratings.

A new rating changes what is known of users and items, not the weights of the model.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import pandas as pd
import torch
from torch import Tensor, nn

from widedeep.columns import GENRES, ITEM_ID, PREDICTED, RANK, RATING, SCORE, TIMESTAMP, TITLE, USER_ID
from widedeep.errors import UserError
from widedeep.features.assemble import ask, grid
from widedeep.features.context import Context
from widedeep.features.entities import Entities, encode
from widedeep.features.questions import Questions, ask_with_histories, popularity_now
from widedeep.features.ragged import Ragged
from widedeep.features.state import latest
from widedeep.files import sha256
from widedeep.models.bundle import Bundle
from widedeep.models.next_items import NextItems
from widedeep.scoring import PAD, Lists, predict, rank, seen_items, top_items
from widedeep.serving.catalogue import Catalogue, UnknownItemError, own_id

Horizon = Literal["period", "next"]
RECENT = 0.05  # half-life of recent popularity, as a share of all ratings
TOGETHER = 20.0  # users added to the number of raters of an item, so that few raters make no similar items
POPULAR = 0.65  # how much a popular item must share to be similar; with 0.5 (cosine) bestsellers are similar to all
BLOCK = 256  # users in a part of `recommend_many`
AHEAD = 60  # seconds that the clock of a sender may be ahead
FALLBACK = "recent_popularity"
OFTEN = {True: "popular lately", False: "popular"}  # what an explanation says, with and without an order in time


class Remembering(nn.Module):
    """A module that keeps its last answer, as long as it is asked about the same tensor.

    The popularity of all items changes with new ratings only, and is read at every question.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.last: tuple[Tensor | None, Tensor] = None, torch.empty(0)

    def forward(self, asked: Tensor) -> Tensor:
        of, answer = self.last  # another thread may replace it, so it is read once
        if of is not asked:
            answer = self.module(asked)
            self.last = asked, answer
        return answer


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


class Recommender:
    """A trained model with the state of its users and items.

    Frames have one row per item, best first: rank, item_id, title, genres, predicted (rating in rating points) and
    score (higher is better). Ids are text. `frame.attrs` says whether the user is `known`, the moment `at`, the
    `fallback` ("recent_popularity" if nothing is known of the user, else None), and the `reason` why a list is empty,
    else None.

    A horizon says what a list is for: `period`, what the user will like in the coming time, as the lists with knowledge
    `frozen` in reports/recommendations.parquet; or `next`, what the user will rate next, as those with `online`. It has
    no effect on a model that does not learn lists from questions.

    bundle : the model, and what it knew after training
    version : the first 12 characters of the hash of the folder
    events : number of events that were added
    """

    def __init__(self, bundle: Bundle, version: str = "", clock: Callable[[], float] = time.time) -> None:
        self.bundle, self.version, self.clock = bundle, version, clock
        for part in list(bundle.model.modules()):
            if isinstance(part, NextItems) and not isinstance(part.popularity, Remembering):
                part.register_module("popularity", Remembering(part.popularity))
        self.catalogue = Catalogue(bundle.context, bundle.names)
        users = {user_id: code for code, user_id in enumerate(bundle.names.user_ids.to_pylist())}
        self._known = Known(bundle.context.settled(), users)
        self.events = 0
        self._adding = threading.Lock()
        self._popular: tuple[Context, Tensor] = bundle.context, torch.empty(0)

    @classmethod
    def load(cls, folder: str | Path = "models", clock: Callable[[], float] = time.time) -> Self:
        """Read a folder that stage train wrote.

        Raises
        ------
        UserError
            There is no model, or a file of it is damaged.
        """
        bundle = Bundle.load(folder)
        return cls(bundle, sha256(Path(folder))[:12], clock)

    @property
    def last_second(self) -> int:
        """The second of the latest rating that is known; -1 without one."""
        return self._known.latest

    def recommend(
        self,
        user_id: int | str | None = None,
        n: int = 10,
        *,
        ratings: Mapping[int | str, float] | None = None,
        likes: Sequence[int | str] = (),
        demographics: Mapping[str, Any] | None = None,
        exclude_seen: bool = True,
        candidates: Sequence[int | str] | None = None,
        genres: Sequence[str] = (),
        at: int | None = None,
        horizon: Horizon = "period",
    ) -> pd.DataFrame:
        """Recommend n items to a user, or to someone new by their ratings, likes or demographics.

        Parameters
        ----------
        user_id : an unknown user, and "", is served like someone new
        ratings : rating of each item, by id or title, the latest item last
        likes : ids or titles, or one of them. A like counts as the highest rating.
        demographics : by column of the users of the data set, such as {"gender": "F"}
        exclude_seen : leave out what the user has rated
        candidates : recommend among these items only
        genres : recommend items that have at least one of these genres only
        at : second of the question; None: the second after the latest known rating

        Raises
        ------
        UserError
            An argument breaks its rule, or an item is unknown or ambiguous.
        """
        n = _whole("n", n, 1)
        known = self._known
        second = self._second(known, at)
        context, user, seen, is_known = self._asker(known, second, user_id, ratings, likes, demographics)
        allowed = torch.ones(len(self.catalogue), dtype=torch.bool)
        if candidates is not None:
            allowed = torch.zeros_like(allowed).index_fill(
                0, self.catalogue.codes(several(candidates, "candidates")), True
            )
        if genres:
            allowed &= self.catalogue.with_genres(several(genres, "genres"))
        # A model that scores pairs may know a user without ratings by the columns of users.
        by_history = bool(self.bundle.model.half_lives) or not is_known
        nothing = by_history and not len(seen.other) and not demographics
        scores = self._scores(known, context, user, seen, second, horizon, nothing)
        scores = scores.masked_fill(~allowed, -torch.inf)
        excluded = seen if exclude_seen else Ragged.empty(1)
        lists = top_items(scores, excluded, min(n, len(self.catalogue)), context.tie_order)
        frame = self._frame(context, user, lists, second)
        reason = None
        if frame.empty:
            had = bool(allowed.any())
            reason = "The user has had every item that could be recommended." if had else "No item fits the filters."
        frame.attrs = {"known": is_known, "at": second, "fallback": FALLBACK if nothing else None, "reason": reason}
        return frame

    def recommend_many(
        self, user_ids: Iterable[int | str], n: int = 10, *, exclude_seen: bool = True, at: int | None = None
    ) -> pd.DataFrame:
        """Recommend n items to each of several users: a frame as of `recommend`, with user_id first.

        Raises
        ------
        UserError
            A user is not known.
        """
        n, known = _whole("n", n, 1), self._known
        second = self._second(known, at)
        ids = [own_id(user_id, "user_id") for user_id in user_ids]
        for user_id in ids:
            if user_id not in known.users:
                raise UserError(f"No user has the id {user_id!r}. `recommend` also serves unknown users.")
        frames = []
        for first in range(0, len(ids), BLOCK):
            some = ids[first : first + BLOCK]
            context = known.at(second)
            user = torch.tensor([known.users[user_id] for user_id in some])
            moment = torch.full_like(user, second)
            lists = rank({"": self.bundle.model}, context, user, moment, min(n, len(self.catalogue)), exclude_seen)[""]
            frames.append(self._frame(context, user, lists, second))
            owner = (lists.items != PAD).nonzero()[:, 0].tolist()
            frames[-1].insert(0, USER_ID, [some[place] for place in owner])
        empty = pd.DataFrame(columns=[USER_ID, RANK, ITEM_ID, TITLE, GENRES, PREDICTED, SCORE])
        return pd.concat(frames, ignore_index=True) if frames else empty

    def predict(self, user_id: int | str, item_ids: Sequence[int | str], at: int | None = None) -> pd.DataFrame:
        """Predict the ratings of items by a user: item_id, title and predicted, in the order of `item_ids`.

        An unknown user is served like someone new.

        Raises
        ------
        UserError
            An item is unknown or ambiguous, or `at` is too early.
        """
        known = self._known
        second = self._second(known, at)
        context, user, _, _ = self._asker(known, second, user_id, None, (), None)
        codes = self.catalogue.codes(several(item_ids, "item_ids"))
        predicted = self._predicted(context, user.expand(len(codes)), codes, second)
        return pd.DataFrame(
            {
                ITEM_ID: [self.catalogue.ids[code] for code in codes.tolist()],
                TITLE: [self.catalogue.titles[code] for code in codes.tolist()],
                PREDICTED: predicted.tolist(),
            }
        )

    def similar_items(self, item: int | str, n: int = 10) -> pd.DataFrame:
        """Return the n items that the same users rated: rank, item_id, title, genres and score in [0, 1].

        The score is 0.9 c / (n_i^p n^(1 - p)) + 0.1 g. c is the number of users of both items beyond what chance gives,
        n_i and n are the users of the two plus `TOGETHER`, p is `POPULAR`, and g is the overlap of the genres. So an
        item without ratings gets items with the same genres.

        Raises
        ------
        UserError
            The item is unknown or ambiguous, or n is below 1.
        """
        n, code = _whole("n", n, 1), self.catalogue.code(item)
        state = self._known.settled.state
        raters = state.by_item.lists(torch.tensor([code])).other
        both = torch.bincount(state.by_user.lists(raters).other, minlength=len(self.catalogue)).float()
        chance = state.items.count * len(raters) / max(len(state.users.count), 1)
        damped = state.items.count + TOGETHER
        norm = damped**POPULAR * damped[code] ** (1 - POPULAR)
        scores = 0.9 * (both - chance).clamp(min=0) / norm + 0.1 * _overlap(self._known.settled.items.bag, code)
        own = Ragged.of(torch.zeros(1, dtype=torch.int64), torch.tensor([code]), torch.ones(1), torch.zeros(1), 1)
        order = self._known.settled.tie_order
        lists = top_items(scores[None], own, min(n, len(self.catalogue)), order)
        frame = self._items(lists)
        frame[SCORE] = lists.scores[lists.items != PAD].tolist()
        return frame

    def add(
        self,
        events: pd.DataFrame | Sequence[Mapping[str, Any]],
        keep: Callable[[list[tuple[str, str, float, int]]], None] | None = None,
    ) -> int:
        """Take new ratings: what is known of users and items moves on. Return their number.

        Unknown users become known. Either all events are taken or none.

        Parameters
        ----------
        events : user_id, item_id, rating, timestamp (seconds since 1970, UTC)
        keep : called with the events, in these four columns, when all are checked and before they count. If it fails,
            none is taken.

        Raises
        ------
        UserError
            A column is missing, an item is unknown, a rating is outside the scale, or an event is older than the latest
            known rating or lies in the future.
        """
        rows = events.to_dict("records") if isinstance(events, pd.DataFrame) else events
        if not isinstance(rows, Sequence) or not all(isinstance(row, Mapping) for row in rows):
            raise UserError(
                f"events must be a frame, or a list with a mapping for each event. Got {_brief(events)} instead."
            )
        with self._adding:
            known = self._known
            users, columns = dict(known.users), []
            for number, row in enumerate(rows, 1):
                columns.append(self._event(number, row, users, known.latest))
            if not rows:
                return 0
            context, new = known.context, len(users) - len(known.users)
            if new:
                person = encode(context.spec, "user", {})
                many = Entities(*(getattr(person, part).expand(new, -1) for part in ("categories", "numbers", "bag")))
                context = context.extended(users=many)
            user, item, rating, second = zip(*columns, strict=True)
            context = context.add(torch.tensor(user), torch.tensor(item), torch.tensor(rating), torch.tensor(second))
            if keep is not None:
                own = ([own_id(row[name], name) for row in rows] for name in (USER_ID, ITEM_ID))
                keep(list(zip(*own, rating, second, strict=True)))
            self._known = Known(context, users)
            self.events += len(rows)
        return len(rows)

    def explain(
        self,
        user_id: int | str | None,
        item: int | str,
        *,
        ratings: Mapping[int | str, float] | None = None,
        likes: Sequence[int | str] = (),
        at: int | None = None,
        horizon: Horizon = "period",
    ) -> "Explanation":
        """Say why an item has its score in the list of a user. For the arguments see `recommend`.

        Raises
        ------
        UserError
            An argument breaks its rule, or an item is unknown or ambiguous.
        """
        known = self._known
        second = self._second(known, at)
        context, user, seen, _ = self._asker(known, second, user_id, ratings, likes, None)
        code = self.catalogue.code(item)
        model = self.bundle.model
        if not model.half_lives:
            score = float(self._scores(known, context, user, seen, second, horizon, False)[0, code])
            return Explanation(pd.DataFrame({"part": ["model"], ITEM_ID: [None], TITLE: [None], "value": [score]}), "")
        asked = self._question(known, user, seen, second, horizon)
        with torch.no_grad():
            popular, near = model.explain(asked, code)
        anchors = asked.seen.latest(torch.zeros(1, dtype=torch.int64), asked.seen.count, len(near)).other.flip(0)
        shown = self.catalogue
        rest = OFTEN[context.spec.online]
        parts: list[tuple[str, str | None, str | None, float]] = [(rest, None, None, float(popular))]
        for anchor, value in zip(anchors.tolist(), near.tolist(), strict=False):
            if value:
                parts.append(("history", shown.ids[anchor], shown.titles[anchor], value))
        frame = pd.DataFrame(parts, columns=["part", ITEM_ID, TITLE, "value"])
        return Explanation(frame, self._sentence(near, anchors, code, asked.popularity[0, :, 0]))

    def search(self, text: str, n: int = 10) -> pd.DataFrame:
        """Find at most n items by title: item_id, title and genres, the best match first."""
        if not isinstance(text, str):
            raise UserError(f"The title to search for must be text. Got {_brief(text)} instead.")
        codes = self.catalogue.search(text, _whole("n", n, 1))
        lists = Lists(torch.tensor(codes, dtype=torch.int64)[None], torch.zeros(1, len(codes)))
        return self._items(lists).drop(columns=RANK)

    def history(self, user_id: int | str, n: int = 10) -> pd.DataFrame:
        """Return the last n ratings of a user, the latest first: item_id, title, genres, rating and timestamp."""
        known = self._known
        code, n = known.users.get(own_id(user_id, "user_id")), _whole("n", n, 1)
        if code is None:
            raise UserError(f"No user has the id {str(user_id)!r}.")
        state = known.settled.state
        log = state.by_user.latest(torch.tensor([code]), state.users.count[[code]], n)
        lists = Lists(log.other.flip(0)[None], torch.zeros(1, len(log.other)))
        frame = self._items(lists).drop(columns=RANK)
        return frame.assign(**{RATING: log.rating.flip(0).tolist(), TIMESTAMP: log.timestamp.flip(0).tolist()})

    def users(self) -> list[str]:
        """Return the ids of all known users."""
        return list(self._known.users)

    def _second(self, known: Known, at: int | None) -> int:
        if at is None:
            return known.latest + 1
        at = _whole("at", at, 0)
        if at < known.latest:
            raise UserError(
                f"at must not be before the latest known rating, second {known.latest}: what was known earlier is not "
                f"kept. Got {at} instead."
            )
        return at

    def _asker(
        self,
        known: Known,
        second: int,
        user_id: int | str | None,
        ratings: Mapping[int | str, float] | None,
        likes: Sequence[int | str],
        demographics: Mapping[str, Any] | None,
    ) -> tuple[Context, Tensor, Ragged, bool]:
        """Return the context to score in, the code of the user there (1,), what the user had, and if they are known."""
        context = known.at(second)
        given = ratings or likes or demographics
        if user_id is not None and given:
            raise UserError("Give either a user_id, or ratings, likes and demographics of someone new. Got both.")
        if user_id is None and not given:
            raise UserError("Give a user_id, or ratings, likes or demographics of someone new. Got none.")
        code = None if user_id in (None, "") else known.users.get(own_id(user_id, "user_id"))
        if code is not None:
            user = torch.tensor([code])
            return context, user, seen_items(context, user), True
        low, high = context.spec.rating_scale
        if ratings is not None and not isinstance(ratings, Mapping):
            raise UserError(
                f"ratings must map items to ratings, such as {{'Heat (1995)': 5}}. Got {_brief(ratings)} instead."
            )
        rated = {**(ratings or {}), **dict.fromkeys(several(likes, "likes"), high)}
        for item, rating in rated.items():
            _rating(f"The rating of {item!r}", rating, low, high)
        items = self.catalogue.codes(list(rated))
        if len(items) != len(items.unique()):
            raise UserError("An item is given more than once. Give each item once.")
        try:
            person = encode(context.spec, "user", demographics or {})
        except (ValueError, TypeError) as error:
            raise UserError(f"demographics: {error}") from None
        values = torch.tensor(list(rated.values()), dtype=torch.float32)
        alone = context.of_new_user(person, items, values, torch.tensor(max(second - 1, 0)))
        # In the order given: the latest item comes last.
        seen = Ragged(torch.tensor([0, len(items)]), items, values, torch.full_like(items, max(second - 1, 0)))
        return alone, torch.zeros(1, dtype=torch.int64), seen, False

    @torch.no_grad()
    def _scores(
        self, known: Known, context: Context, user: Tensor, seen: Ragged, second: int, horizon: str, nothing: bool
    ) -> Tensor:
        """Score the catalogue: (1, I) float32."""
        model = self.bundle.model
        if model.half_lives:
            answered: Tensor = model.answer(self._question(known, user, seen, second, horizon))
            return answered.float()
        if nothing:  # the model knows nothing to go by
            half_life = max(1.0, RECENT * len(known.settled.state.by_item.other))
            return popularity_now(known.settled, (half_life,))[:, :, 0]
        moment, everything = torch.tensor([second]), torch.arange(len(self.catalogue))
        inputs = grid(context, user, everything, moment, model.reads, model.ranks_with_history)
        scored: Tensor = model(inputs).ranking
        return scored.float().expand(1, len(self.catalogue))

    def _question(self, known: Known, user: Tensor, seen: Ragged, second: int, horizon: str) -> Questions:
        if horizon not in ("period", "next"):
            raise UserError(f"horizon must be period or next. Got {horizon!r} instead.")
        context = known.at(second)
        of, popularity = self._popular  # another thread may replace it, so it is read once
        if of is not context or not len(popularity):
            popularity = popularity_now(context, self.bundle.model.half_lives)
            self._popular = context, popularity
        return ask_with_histories(context, user, seen, torch.tensor([second]), popularity, horizon == "period")

    def _predicted(self, context: Context, user: Tensor, item: Tensor, second: int) -> Tensor:
        asked = ask(context, user, item, torch.tensor(second))
        return predict({"": self.bundle.model}, context, asked)[""]

    def _frame(self, context: Context, user: Tensor, lists: Lists, second: int) -> pd.DataFrame:
        place, rank_of = (lists.items != PAD).nonzero(as_tuple=True)
        predicted = self._predicted(context, user[place], lists.items[place, rank_of], second)
        return self._items(lists, {PREDICTED: predicted.numpy(), SCORE: lists.scores[place, rank_of].numpy()})

    def _items(self, lists: Lists, more: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Make a frame of lists, with further columns."""
        place, rank_of = (lists.items != PAD).nonzero(as_tuple=True)
        codes, shown = lists.items[place, rank_of].tolist(), self.catalogue
        return pd.DataFrame(
            {
                RANK: (rank_of + 1).tolist(),
                ITEM_ID: [shown.ids[code] for code in codes],
                TITLE: [shown.titles[code] for code in codes],
                GENRES: [shown.genres[code] for code in codes],
                **(more or {}),
            }
        )

    def _event(
        self, number: int, row: Mapping[str, Any], users: dict[str, int], newest: int
    ) -> tuple[int, int, float, int]:
        for column in (USER_ID, ITEM_ID, RATING, TIMESTAMP):
            if column not in row or row[column] is None:
                raise UserError(f"Event {number} has no {column}.")
        user_id, item_id = (own_id(row[name], f"Event {number}: {name}") for name in (USER_ID, ITEM_ID))
        item = self.catalogue.of_id.get(item_id)
        if item is None:
            raise UnknownItemError(f"Event {number}: no item has the id {item_id!r}.")
        low, high = self.bundle.context.spec.rating_scale
        rating = _rating(f"Event {number}: rating", row[RATING], low, high)
        second = _whole(f"Event {number}: timestamp", row[TIMESTAMP], 0)
        if second < newest:
            raise UserError(
                f"Event {number}: timestamp must not be before the latest known rating, second {newest}. Got {second} "
                "instead. Add ratings in order of time."
            )
        if second > self.clock() + AHEAD:
            raise UserError(f"Event {number}: timestamp must not be in the future. Got {second} instead.")
        return users.setdefault(user_id, len(users)), item, rating, second

    def _sentence(self, near: Tensor, anchors: Tensor, code: int, lately: Tensor) -> str:
        """Say in words what lifts the score: the two items of the history that do most, and popularity."""
        reasons = []
        best = [place for place in near.argsort(descending=True).tolist() if near[place] > 0.02 * near.sum()][:2]
        if best:
            reasons.append(
                "because you had " + " and ".join(self.catalogue.name(int(anchors[place])) for place in best)
            )
        if lately[code] > 0 and float((lately < lately[code]).float().mean()) > 0.95:
            reasons.append(OFTEN[self.bundle.context.spec.online])
        sentence = "; ".join(reasons)
        return f"{sentence[0].upper()}{sentence[1:]}." if sentence else ""


@dataclass(frozen=True)
class Explanation:
    """Why an item has its score.

    parts : part, item_id, title and value. The values add up to the score.
    sentence : the strongest parts in words; "" if none stands out
    """

    parts: pd.DataFrame
    sentence: str


def recommend_top_n(model: Recommender | str | Path, user_id: int | str, n: int = 10) -> pd.DataFrame:
    """Recommend n items to a user. See `Recommender.recommend`.

    model : a `Recommender`, or the folder of a model
    """
    recommender = model if isinstance(model, Recommender) else Recommender.load(model)
    return recommender.recommend(user_id, n)


def several(values: Any, name: str) -> list[Any]:
    """Return the values of an argument as a list. A text or a number is one value, not its letters.

    Raises
    ------
    UserError
        The argument is neither.
    """
    if isinstance(values, str | int | float):
        return [values]
    if isinstance(values, Mapping) or not isinstance(values, Iterable):
        raise UserError(f"{name} must be a list. Got {_brief(values)} instead.")
    return list(values)


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _overlap(bag: Tensor, code: int) -> Tensor:
    """Return the Jaccard similarity of the genres of each item with those of one item: (I,) float32."""
    own = bag[code][bag[code] > 0]
    common = (torch.isin(bag, own) & (bag > 0)).sum(1).float()
    either = (bag > 0).sum(1) + len(own) - common
    return torch.where(either > 0, common / either.clamp(min=1), 0)


def _whole(name: str, value: Any, low: int) -> int:
    try:
        number = int(value)
        if isinstance(value, bool) or number != value:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        number = low - 1
    if not low <= number < 2**62:
        raise UserError(f"{name} must be a whole number of at least {low}. Got {value!r} instead.")
    return number


def _rating(name: str, value: Any, low: float, high: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not low <= number <= high or isinstance(value, bool):
        raise UserError(f"{name} must be a number in [{low:g}, {high:g}]. Got {value!r} instead.")
    return number
