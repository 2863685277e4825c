"""The log of new ratings: an append-only SQLite file. What `append` has written survives a crash."""

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

from widedeep.errors import UserError

Event = tuple[str, str, float, int]  # user_id, item_id, rating, timestamp


class EventLog:
    """Ratings in the order in which they came.

    SQLite writes ahead (WAL) and waits for the disk (synchronous = FULL). So an event that was acknowledged is there
    after the process is killed or the machine loses power.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, threading.Lock()
        try:
            self._file = sqlite3.connect(path, check_same_thread=False)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = FULL")
            self._file.execute(
                "CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, user_id TEXT NOT NULL, "
                "item_id TEXT NOT NULL, rating REAL NOT NULL, timestamp INTEGER NOT NULL)"
            )
        except sqlite3.Error as error:
            raise UserError(f"{path} cannot be used as a log of events ({error}). Name another file.") from None

    def append(self, events: Sequence[Event]) -> None:
        """Write events, all or none.

        Raises
        ------
        OSError
            They cannot be written, for instance because the disk is full.
        """
        try:
            with self._lock, self._file:
                self._file.executemany(
                    "INSERT INTO events (user_id, item_id, rating, timestamp) VALUES (?, ?, ?, ?)", events
                )
        except sqlite3.Error as error:
            raise OSError(f"{self.path}: {error}") from None

    def after(self, number: int) -> list[tuple[int, Event]]:
        """Return the events after the one with this number, with their numbers. The first has the number 1."""
        with self._lock:
            found = self._file.execute(
                "SELECT number, user_id, item_id, rating, timestamp FROM events WHERE number > ? ORDER BY number",
                (number,),
            )
            return [(row[0], row[1:]) for row in found]

    def close(self) -> None:
        self._file.close()
