"""Ask a trained model: recommendations, predicted ratings, similar items and reasons. It learns from new ratings.

A new rating changes what is known of users and items, not the weights of the model.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pandas as pd
import torch
from torch import Tensor

from widedeep.columns import GENRES, ITEM_ID, PREDICTED, RANK, RATING, SCORE, TIMESTAMP, TITLE, USER_ID
from widedeep.errors import UserError
from widedeep.features.context import Context
from widedeep.features.ragged import Ragged
from widedeep.models.bundle import Bundle
from widedeep.scoring import PAD, Lists, rank, top_items
from widedeep.serving.arguments import brief, number_in, own_id, several, whole_number, year_range
from widedeep.serving.asker import asker_of
from widedeep.serving.catalogue import Catalogue
from widedeep.serving.events import Event
from widedeep.serving.known import Known
from widedeep.serving.lists import ItemList
from widedeep.serving.reasons import Explanation, explained, unexplained
from widedeep.serving.scorer import Horizon, Scorer
from widedeep.serving.similar import similar_to

BLOCK = 256  # users in a part of `recommend_many`
FALLBACK = "recent_popularity"


class Recommender:
    """A trained model with the state of its users and items.

    Frames have one row per item, best first: rank, item_id, title, genres, predicted (rating in rating points, NaN if
    the data have no ratings) and score (higher is better). Ids are text. `frame.attrs` says whether the user is
    `known`, the moment `at`, the `fallback` ("recent_popularity" if nothing is known of the user, else None), and the
    `reason` why a list is empty, else None.

    A horizon says what a list is for: `period`, what the user will like in the coming time, as the lists with knowledge
    `frozen` in reports/recommendations.parquet; or `next`, what the user will rate next, as those with `online`. It has
    no effect on a model that does not learn lists from questions.

    bundle : the model, and what it knew after training
    version : the first 12 characters of the hash of its files
    events : number of events that were added
    """

    def __init__(self, bundle: Bundle, version: str = "", clock: Callable[[], float] = time.time) -> None:
        self.bundle, self.version, self.clock = bundle, version, clock
        self.scorer = Scorer(bundle.model)
        self.catalogue = Catalogue(bundle.context, bundle.names)
        users = {user_id: code for code, user_id in enumerate(bundle.names.user_ids.to_pylist())}
        self._known = Known(bundle.context.settled(), users)
        self.events = 0
        self._adding = threading.Lock()

    @classmethod
    def load(cls, folder: str | Path = "models", clock: Callable[[], float] = time.time) -> Self:
        """Read a folder that stage train wrote.

        Raises
        ------
        UserError
            There is no model, or a file of it is damaged.
        """
        bundle = Bundle.load(folder)
        return cls(bundle, Bundle.version(folder), clock)

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
        years: tuple[int, int] | str | None = None,
        at: int | None = None,
        horizon: Horizon = "period",
        popularity_penalty: float = 0,
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
        years : recommend items of these years only: the first and the last, such as (1990, 1999) or "1990-1999"
        at : second of the question; None: the second after the latest known rating
        popularity_penalty : in [0, 1). Move popular items down: from each score, subtract this share of the score that
            the item has for someone of whom nothing is known. It is `evaluate.popularity_penalty` of the judged lists.

        Raises
        ------
        UserError
            An argument breaks its rule, or an item is unknown or ambiguous.
        """
        return self.best(
            user_id,
            n,
            ratings=ratings,
            likes=likes,
            demographics=demographics,
            exclude_seen=exclude_seen,
            candidates=candidates,
            genres=genres,
            years=years,
            at=at,
            horizon=horizon,
            popularity_penalty=popularity_penalty,
        ).frame()

    @torch.inference_mode()
    def best(
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
        years: tuple[int, int] | str | None = None,
        at: int | None = None,
        horizon: Horizon = "period",
        popularity_penalty: float = 0,
    ) -> ItemList:
        """Recommend as `recommend` does, but do not make a frame, which takes longer than the list itself."""
        n, known = whole_number("n", n, 1), self._known
        penalty = number_in("popularity_penalty", popularity_penalty, 0, 1, below=True)
        second = known.second(at)
        asker = asker_of(known, self.catalogue, second, user_id, ratings, likes, demographics)
        # A model that scores pairs may know a user without ratings by the columns of users.
        by_history = bool(self.bundle.model.half_lives) or not asker.known
        nothing = by_history and not len(asker.seen.other) and not demographics
        scores = self.scorer.scores(known, asker, second, horizon, nothing, penalty)
        excluded = asker.seen if exclude_seen else Ragged.empty(1)
        allowed = self._allowed(candidates, genres, years)
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -torch.inf)
        lists = top_items(scores, excluded, min(n, len(self.catalogue)), asker.context.tie_order)
        reason = None
        if not (lists.items != PAD).any():
            had = allowed is None or bool(allowed.any())
            reason = "The user has had every item that could be recommended." if had else "No item fits the filters."
        columns = self._listed(asker.context, asker.code, lists, second)
        return ItemList(columns, asker.known, second, FALLBACK if nothing else None, reason)

    def recommend_many(
        self,
        user_ids: Iterable[int | str],
        n: int = 10,
        *,
        exclude_seen: bool = True,
        at: int | None = None,
        popularity_penalty: float = 0,
    ) -> pd.DataFrame:
        """Recommend n items to each of several users: a frame as of `recommend`, with user_id first.

        Raises
        ------
        UserError
            A user is not known.
        """
        n, known = min(whole_number("n", n, 1), len(self.catalogue)), self._known
        penalty = number_in("popularity_penalty", popularity_penalty, 0, 1, below=True)
        second = known.second(at)
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
            lists = rank({"": self.bundle.model}, context, user, moment, n, exclude_seen, penalty=penalty)[""]
            frames.append(pd.DataFrame(self._listed(context, user, lists, second)))
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
            An item is unknown or ambiguous, `at` is too early, or the model was trained on data without ratings.
        """
        known = self._known
        if known.context.spec.implicit:
            raise UserError("This model predicts no ratings: its data have none (implicit feedback). Ask for lists.")
        second = known.second(at)
        asker = asker_of(known, self.catalogue, second, user_id)
        codes = self.catalogue.codes(several(item_ids, "item_ids"))
        predicted = self.scorer.predicted(asker.context, asker.code.expand(len(codes)), codes, second)
        return pd.DataFrame(
            {
                ITEM_ID: [self.catalogue.ids[code] for code in codes.tolist()],
                TITLE: [self.catalogue.titles[code] for code in codes.tolist()],
                PREDICTED: predicted.tolist(),
            }
        )

    def similar_items(self, item: int | str, n: int = 10) -> pd.DataFrame:
        """Return the n items that the same users rated: rank, item_id, title, genres and score in [0, 1].

        See `widedeep.serving.similar` for the score. An item without ratings gets items with the same genres.

        Raises
        ------
        UserError
            The item is unknown or ambiguous, or n is below 1.
        """
        n, code = whole_number("n", n, 1), self.catalogue.code(item)
        lists = similar_to(self._known.settled, code, n)
        return pd.DataFrame(self._items(lists, {SCORE: lists.scores[lists.items != PAD].numpy()}))

    def add(
        self,
        events: pd.DataFrame | Sequence[Mapping[str, Any]],
        keep: Callable[[list[Event]], None] | None = None,
        now: float | None = None,
    ) -> int:
        """Take new ratings: what is known of users and items moves on. Return their number.

        Unknown users become known. Either all events are taken or none.

        Parameters
        ----------
        events : user_id, item_id, rating, timestamp (seconds since 1970, UTC). If the data have no ratings, `rating` is
            a strength, such as a count, that is kept but not counted; left out, it is 1.
        keep : called with the events, in these four columns, when all are checked and before they count. If it fails,
            none is taken.
        now : the present second; None: that of the clock

        Raises
        ------
        UserError
            A column is missing, an item is unknown, a rating is outside the scale, or an event is older than the latest
            known rating or lies in the future.
        """
        rows = events.to_dict("records") if isinstance(events, pd.DataFrame) else events
        if not isinstance(rows, Sequence) or not all(isinstance(row, Mapping) for row in rows):
            raise UserError(
                f"events must be a frame, or a list with a mapping for each event. Got {brief(events)} instead."
            )
        with self._adding:
            known, new = self._known.with_ratings(rows, self.catalogue, self.clock() if now is None else now)
            if keep is not None and new:
                keep(new)
            self._known = known
            self.events += len(new)
        return len(new)

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
        second = known.second(at)
        asker = asker_of(known, self.catalogue, second, user_id, ratings, likes)
        code = self.catalogue.code(item)
        model = self.bundle.model
        if not model.half_lives:
            return unexplained(float(self.scorer.scores(known, asker, second, horizon, False)[0, code]))
        asked = self.scorer.question(known, asker, second, horizon)
        return explained(model, asked, code, self.catalogue, known.context.spec.online)

    def search(self, text: str, n: int = 10) -> pd.DataFrame:
        """Find at most n items by title: item_id, title and genres, the best match first."""
        if not isinstance(text, str):
            raise UserError(f"The title to search for must be text. Got {brief(text)} instead.")
        codes = self.catalogue.search(text, whole_number("n", n, 1))
        lists = Lists(torch.tensor(codes, dtype=torch.int64)[None], torch.zeros(1, len(codes)))
        return pd.DataFrame(self._items(lists)).drop(columns=RANK)

    def history(self, user_id: int | str, n: int = 10) -> pd.DataFrame:
        """Return the last n ratings of a user, the latest first: item_id, title, genres, rating and timestamp."""
        known = self._known
        code, n = known.users.get(own_id(user_id, "user_id")), whole_number("n", n, 1)
        if code is None:
            raise UserError(f"No user has the id {str(user_id)!r}.")
        state = known.settled.state
        log = state.by_user.latest(torch.tensor([code]), state.users.count[[code]], n)
        lists = Lists(log.other.flip(0)[None], torch.zeros(1, len(log.other)))
        more = {RATING: log.rating.flip(0).tolist(), TIMESTAMP: log.timestamp.flip(0).tolist()}
        return pd.DataFrame(self._items(lists, more)).drop(columns=RANK)

    def knows(self, user_id: str) -> bool:
        """Say whether a user is one of the data or of the events."""
        return user_id in self._known.users

    def users(self) -> list[str]:
        """Return the ids of all known users."""
        return list(self._known.users)

    def _allowed(
        self, candidates: Sequence[int | str] | None, genres: Sequence[str], years: tuple[int, int] | str | None
    ) -> Tensor | None:
        """Mark the items that fit the filters: (I,) bool; None: all do."""
        if candidates is None and not genres and years is None:
            return None
        allowed = torch.ones(len(self.catalogue), dtype=torch.bool)
        if candidates is not None:
            codes = self.catalogue.codes(several(candidates, "candidates"))
            allowed = torch.zeros_like(allowed).index_fill(0, codes, True)
        if genres:
            allowed &= self.catalogue.with_genres(several(genres, "genres"))
        return allowed if years is None else allowed & self.catalogue.of_years(*year_range(years))

    def _listed(self, context: Context, user: Tensor, lists: Lists, second: int) -> dict[str, Any]:
        """Return the columns of lists. The predicted ratings are missing (NaN) if the data have no ratings."""
        place, rank_of = (lists.items != PAD).nonzero(as_tuple=True)
        if context.spec.implicit:
            predicted = torch.full((len(place),), torch.nan)
        else:
            predicted = self.scorer.predicted(context, user[place], lists.items[place, rank_of], second)
        return self._items(lists, {PREDICTED: predicted.numpy(), SCORE: lists.scores[place, rank_of].numpy()})

    def _items(self, lists: Lists, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the columns of lists, and further ones."""
        place, rank_of = (lists.items != PAD).nonzero(as_tuple=True)
        codes, shown = lists.items[place, rank_of].tolist(), self.catalogue
        return {
            RANK: (rank_of + 1).tolist(),
            ITEM_ID: [shown.ids[code] for code in codes],
            TITLE: [shown.titles[code] for code in codes],
            GENRES: [shown.genres[code] for code in codes],
            **(more or {}),
        }


def recommend_top_n(model: Recommender | str | Path, user_id: int | str, n: int = 10) -> pd.DataFrame:
    """Recommend n items to a user. See `Recommender.recommend`.

    model : a `Recommender`, or the folder of a model
    """
    recommender = model if isinstance(model, Recommender) else Recommender.load(model)
    return recommender.recommend(user_id, n)
