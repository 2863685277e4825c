"""The log of new ratings: an append-only SQLite file. What `append` has written survives a crash.

Several processes may use one file. It also passes on what one process was told and all must do: their turns.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from widedeep.errors import UserError

Event = tuple[str, str, float, int]  # user_id, item_id, rating, timestamp
PATIENCE = 10.0  # seconds to wait until other processes have written


class EventLog:
    """Ratings in the order in which they came.

    SQLite writes ahead (WAL) and waits for the disk (synchronous = FULL). So an event that was acknowledged is there
    after the process is killed or the machine loses power.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._reading, self._writing = path, threading.Lock(), threading.Lock()
        self.open()

    def open(self) -> None:
        """Connect to the file. A process that was forked must do so, because a connection belongs to one process.

        Raises
        ------
        UserError
            The file is no SQLite file, or cannot be opened.
        """
        try:
            # Without `isolation_level`, a transaction is what lies between BEGIN and COMMIT.
            self._writer, self._reader = (
                sqlite3.connect(self.path, PATIENCE, isolation_level=None, check_same_thread=False) for _ in range(2)
            )
            self._writer.execute("PRAGMA journal_mode = WAL")
            self._writer.execute("PRAGMA synchronous = FULL")
            self._writer.execute(
                "CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, user_id TEXT NOT NULL, "
                "item_id TEXT NOT NULL, rating REAL NOT NULL, timestamp INTEGER NOT NULL)"
            )
            self._writer.execute("CREATE TABLE IF NOT EXISTS turns (number INTEGER PRIMARY KEY, turn TEXT NOT NULL)")
        except sqlite3.Error as error:
            raise UserError(f"{self.path} cannot be used as a log of events ({error}). Name another file.") from None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep all others from writing until `append` has written, or the block is left.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        with self._writing:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                yield
            except sqlite3.Error as error:
                raise OSError(f"{self.path}: {error}") from None
            finally:
                if self._writer.in_transaction:
                    self._writer.rollback()

    def append(self, events: Sequence[Event]) -> int:
        """Write events inside `writing`, all or none. Return the number of the last one."""
        self._writer.executemany("INSERT INTO events (user_id, item_id, rating, timestamp) VALUES (?, ?, ?, ?)", events)
        number: int = self._writer.execute("SELECT max(number) FROM events").fetchone()[0]
        self._writer.commit()
        return number

    def after(self, number: int) -> list[tuple[int, Event]]:
        """Return the events after the one with this number, with their numbers. The first has the number 1."""
        with self._reading:
            found = self._reader.execute(
                "SELECT number, user_id, item_id, rating, timestamp FROM events WHERE number > ? ORDER BY number",
                (number,),
            )
            return [(row[0], row[1:]) for row in found]

    def state(self) -> int:
        """Return a number that changes whenever something is written, by this process or another. This is fast."""
        with self._reading:
            number: int = self._reader.execute("PRAGMA data_version").fetchone()[0]
        return number

    def take_turn(self, turn: str) -> int:
        """Tell all processes what one of them did. Return the number of the turn."""
        with self.writing():
            number = self._writer.execute("INSERT INTO turns (turn) VALUES (?)", (turn,)).lastrowid
            self._writer.commit()
        assert number is not None
        return number

    def turns_after(self, number: int) -> list[tuple[int, str]]:
        """Return the turns after the one with this number, with their numbers. The first has the number 1."""
        with self._reading:
            found = self._reader.execute("SELECT number, turn FROM turns WHERE number > ? ORDER BY number", (number,))
            return found.fetchall()

    def close(self) -> None:
        self._writer.close()
        self._reader.close()
