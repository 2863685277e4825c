"""An SQLite file for the log of events: for the processes of one machine."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

PATIENCE = 10.0  # seconds to wait until other processes have written


class SQLite:
    """A file that SQLite writes ahead (WAL). It waits for the disk (synchronous = FULL).

    So what was written is there after the process is killed or the machine loses power. The methods are those of
    `widedeep.serving.events.Store`.
    """

    far = False

    def __init__(self, path: str, tables: Sequence[str]) -> None:
        self.path, self.tables = path, tables
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self.open()

    def open(self) -> None:
        with self._named():
            # Without `isolation_level`, a transaction is what lies between BEGIN and COMMIT.
            self._writer, self._reader = (
                sqlite3.connect(self.path, PATIENCE, isolation_level=None, check_same_thread=False) for _ in range(2)
            )
            self._writer.execute("PRAGMA journal_mode = WAL")
            self._writer.execute("PRAGMA synchronous = FULL")
            for table in self.tables:
                self._writer.execute(f"CREATE TABLE IF NOT EXISTS {table}")

    def close(self) -> None:
        self._writer.close()
        self._reader.close()

    def read(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._reading, self._named():
            return self._reader.execute(sql, values).fetchall()

    @contextmanager
    def writing(self) -> Iterator[None]:
        with self._writing, self._named():
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                yield
            finally:
                if self._writer.in_transaction:
                    self._writer.rollback()

    def write(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        self._writer.executemany(sql, rows)
        self._writer.commit()

    def state(self) -> int:
        number: int = self.read("PRAGMA data_version")[0][0]
        return number

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise OSError(f"{self.path}: {error}") from None
