"""The log of new ratings, which only grows. What `append` has written survives a crash.

Several processes may use one log, on one machine by an SQLite file, or on several by a PostgreSQL database. The log
also passes on what one process was told and all must do: their turns.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from widedeep.errors import UserError
from widedeep.serving.sqlite import SQLite

Event = tuple[str, str, float, int]  # user_id, item_id, rating, timestamp
TABLES = (
    "events (number INTEGER PRIMARY KEY, user_id TEXT NOT NULL, item_id TEXT NOT NULL, "
    "rating DOUBLE PRECISION NOT NULL, timestamp BIGINT NOT NULL)",
    "turns (number INTEGER PRIMARY KEY, turn TEXT NOT NULL)",
)


class Store(Protocol):
    """A database that several processes may use. Every trouble with it is an OSError that names it.

    SQL has a question mark in the place of each value.
    """

    far: bool
    """Whether another machine may have to be asked, so that even `state` may take a while."""

    def open(self) -> None:
        """Connect, or forget the connections of the process that was forked."""

    def close(self) -> None: ...

    def read(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return rows, as they were written last."""

    def writing(self) -> AbstractContextManager[None]:
        """Keep all others from writing until `write` has written, or the block is left."""

    def write(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Do `sql` for each row inside `writing`, all or none. When this returns, the rows are on the disk."""

    def state(self) -> int:
        """Return a number that changes whenever an event is written, by this process or another. This is fast."""


class EventLog:
    """Ratings in the order in which they came. The first has the number 1, and no number is left out.

    Only one process writes at a time. So a reader that knows all events up to a number never misses one before it.

    Raises
    ------
    UserError
        The file or database cannot be used.
    """

    def __init__(self, where: str | Path) -> None:
        try:
            self.store = _store(str(where))
        except OSError as error:
            raise UserError(f"The log of events cannot be used. {error}. Name another by --events.") from None
        self.far = self.store.far
        self.open, self.close = self.store.open, self.store.close
        self.writing, self.state = self.store.writing, self.store.state

    def append(self, events: Sequence[Event]) -> int:
        """Write events inside `writing`, all or none. Return the number of the last one."""
        return self._append("INSERT INTO events VALUES (?, ?, ?, ?, ?)", "SELECT max(number) FROM events", events)

    def after(self, number: int) -> list[tuple[int, Event]]:
        """Return the events after the one with this number, with their numbers."""
        sql = "SELECT number, user_id, item_id, rating, timestamp FROM events WHERE number > ? ORDER BY number"
        return [(row[0], (row[1], row[2], row[3], row[4])) for row in self.store.read(sql, number)]

    def take_turn(self, turn: str) -> int:
        """Tell all processes what to do. Return the number of the turn."""
        with self.writing():
            return self._append("INSERT INTO turns VALUES (?, ?)", "SELECT max(number) FROM turns", [(turn,)])

    def turns_after(self, number: int) -> list[tuple[int, str]]:
        """Return the turns after the one with this number, with their numbers. The first has the number 1."""
        rows = self.store.read("SELECT number, turn FROM turns WHERE number > ? ORDER BY number", number)
        return [(row[0], row[1]) for row in rows]

    def _append(self, insert: str, largest: str, rows: Sequence[tuple[Any, ...]]) -> int:
        last: int = self.store.read(largest)[0][0] or 0
        self.store.write(insert, [(number, *row) for number, row in enumerate(rows, last + 1)])
        return last + len(rows)


def _store(where: str) -> Store:
    if "://" not in where:
        return SQLite(where, TABLES)
    if where.partition("://")[0] not in ("postgresql", "postgres"):
        raise UserError("The log of events must be a file, or a URL that begins with postgresql://.")
    try:
        from widedeep.serving.postgres import Postgres
    except ImportError as error:
        raise UserError(f"A PostgreSQL log of events needs psycopg ({error}): pip install 'psycopg[binary]'.") from None
    return Postgres(where, TABLES)
