"""The model that answers, the one before it, and what other processes did to the log of events."""

import logging
import math
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from widedeep.errors import UserError
from widedeep.serving.events import EventLog
from widedeep.serving.recommender import Recommender
from widedeep.serving.schemas import Event

CACHED = 10_000  # lists
LOG = logging.getLogger("widedeep.serving")


class Served:
    """The recommender that answers, the one before it, and the lists that were asked for lately.

    Changes wait for each other. Answers do not wait: they go on with the recommender that they began with. Several
    processes may share a log. Each adds the events of the others before it answers, and follows their turns.
    """

    def __init__(self, folder: Path, log: EventLog | None) -> None:
        self.folder, self.log = folder, log
        self.lists: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()
        self._changing, self._adding = threading.Lock(), threading.Lock()
        self._known: WeakKeyDictionary[Recommender, int] = WeakKeyDictionary()  # number of the last event of each
        self._seen: int | None = None  # the state of the log when its events were read last
        self._reached = True  # whether the log could be read when this was tried last
        self._turn = max((number for number, _ in log.turns_after(0)), default=0) if log is not None else 0
        self._now = self._load()
        self._before: Recommender | None = None

    def open(self) -> None:
        """Connect to the log. A process that was forked must do so."""
        if self.log is not None:
            self.log.open()
            self._seen = None

    def close(self) -> None:
        if self.log is not None:
            self.log.close()

    def behind(self) -> bool:
        """Say whether `now` may take a while: another process has added events, or another machine must be asked."""
        return self.log is not None and (self.log.far or self.log.state() != self._seen)

    def now(self) -> Recommender:
        """Return the recommender that answers. It knows every event that any process has acknowledged.

        While the log cannot be reached, it answers by what it knows.
        """
        try:
            if self.log is not None and self.log.state() != self._seen:
                with self._adding:
                    seen = self.log.state()
                    self._catch_up(self._now)
                    self._seen = seen
            self._reached = True
        except OSError as error:
            if self._reached:
                LOG.error("new events cannot be read, so answers lack them: %s", error)
            self._reached = False
        return self._now

    def reload(self) -> str:
        """Read the folder again, and answer by it from now on. If it is damaged, the present model stays.

        Return the version of the model.
        """
        return self._take_turn("reload")

    def rollback(self) -> str:
        """Answer by the model before the last reload. Return its version."""
        return self._take_turn("rollback")

    def follow(self) -> None:
        """Do what other processes were told. While the log cannot be reached, do nothing."""
        with self._changing, suppress(OSError):
            self._follow()

    def add(self, events: list[Event]) -> int:
        """Take new ratings, all or none."""
        rows, log = [event.model_dump() for event in events], self.log
        with self._adding:
            now = self._now
            if log is None:
                return now.add(self._dated(rows))

            def keep(new: list[tuple[str, str, float, int]]) -> None:
                self._known[now] = log.append(new)

            with log.writing():
                self._catch_up(now)
                return now.add(self._dated(rows), keep)

    def cached(self, key: tuple[Any, ...]) -> bytes | None:
        return self.lists.get(key)

    def keep(self, key: tuple[Any, ...], content: bytes) -> None:
        """Keep a list, and forget the oldest if there are too many."""
        self.lists[key] = content
        if len(self.lists) > CACHED:
            self.lists.popitem(last=False)

    def _dated(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Give rows without a timestamp the present second, or that of the latest rating if this is later."""
        second = max(int(time.time()), self._now.last_second)
        return [{**row, "timestamp": second if row["timestamp"] is None else row["timestamp"]} for row in rows]

    def _take_turn(self, turn: str) -> str:
        """Tell all processes, then do what they were told, in the same order as all others do."""
        with self._changing:
            self._follow()
            self._check(turn)
            fresh = self._load() if turn == "reload" else None  # a damaged model is told to nobody
            if self.log is None:
                self._do(turn, fresh)
            else:
                own = self.log.take_turn(turn)
                self._follow(own, fresh)
            return self._now.version

    def _follow(self, own: int | None = None, fresh: Recommender | None = None) -> None:
        """Do the turns that are new. `fresh` was loaded for the turn with the number `own`."""
        for number, turn in [] if self.log is None else self.log.turns_after(self._turn):
            try:
                self._do(turn, fresh if number == own else None)
            except UserError as error:
                LOG.error("another process did a %s, but here it failed: %s", turn, error)
            self._turn = number

    def _check(self, turn: str) -> None:
        if turn == "rollback" and self._before is None:
            raise UserError("There is no earlier model. POST /reload has not been called.")

    def _do(self, turn: str, fresh: Recommender | None) -> None:
        self._check(turn)
        after = self._before if turn == "rollback" else fresh or self._load()
        assert after is not None
        with self._adding:
            self._catch_up(after)
            self._now, self._before = after, self._now

    def _load(self) -> Recommender:
        fresh = Recommender.load(self.folder)
        self._catch_up(fresh)
        fresh.recommend("")  # the first answer takes longer than later ones
        return fresh

    def _catch_up(self, recommender: Recommender) -> None:
        """Add the events that this recommender does not know yet. Those that the model was trained on do not count."""
        if self.log is None:
            return
        known = recommender.catalogue.of_id
        later = self.log.after(self._known.get(recommender, 0))
        least = recommender.last_second + (recommender not in self._known)
        names = ("user_id", "item_id", "rating", "timestamp")
        # An item may be gone from the data of this model.
        new = [event for _, event in later if event[1] in known and event[3] >= least]
        # They were checked when they came, by a clock that may be ahead of the one here.
        recommender.add([dict(zip(names, event, strict=True)) for event in new], now=math.inf)
        self._known[recommender] = later[-1][0] if later else self._known.get(recommender, 0)
