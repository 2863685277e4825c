"""A PostgreSQL database for the log of events: for the processes of several machines."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from widedeep.errors import UserError

REST = 1.0  # seconds before a server that cannot be reached is tried again, so that requests do not wait for it in turn
# What the URL may change. With these, a server that is gone is noticed within seconds.
DEFAULTS = {"connect_timeout": 5, "tcp_user_timeout": 10_000, "application_name": "widedeep"}
LOCK = int.from_bytes(b"widedeep", "big")  # any number that other programs do not take
# A process that stands still in the midst of writing loses its lock before the others give up waiting for it. What it
# has not committed is undone.
SETTINGS = """
    SET search_path = widedeep;
    SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '5s';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""

Connection = psycopg.Connection[tuple[Any, ...]]
T = TypeVar("T")


class Postgres:
    """The schema `widedeep` of a database, which is made if it is missing. A connection that breaks is made anew.

    Writers wait for a lock that is theirs until the commit can be seen. So numbers are visible in their order. The
    methods are those of `widedeep.serving.events.Store`.
    """

    far = True

    def __init__(self, url: str, tables: Sequence[str]) -> None:
        self._options = _options(url)
        self.name = _name(self._options)
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._lost: float | None = None  # when the server was tried in vain; None if it could be reached
        self.open()
        if self.read("SELECT to_regclass('turns')") == [(None,)]:
            with self.writing(), self._named():  # two servers may start at once
                made = "".join(f"CREATE TABLE IF NOT EXISTS {table};" for table in tables)
                self._connections["writer"].execute(f"CREATE SCHEMA IF NOT EXISTS widedeep; {made} COMMIT")

    def open(self) -> None:
        self._connections: dict[str, Connection] = {}  # made when they are needed

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self.open()

    def read(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        if self._lost is not None and self._reading.locked():
            raise OSError(f"{self.name}: the server is being tried again")
        with self._reading, self._named():
            return self._by("reader", lambda reader: reader.execute(_marked(sql), values).fetchall())

    @contextmanager
    def writing(self) -> Iterator[None]:
        with self._writing:
            try:
                with self._named():
                    self._by("writer", lambda writer: writer.execute(f"BEGIN; SELECT pg_advisory_xact_lock({LOCK})"))
                yield
            finally:
                with suppress(KeyError, psycopg.Error):
                    self._connections["writer"].rollback()  # does nothing after a commit

    def write(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        with self._named():
            writer = self._connections["writer"]
            writer.cursor().executemany(_marked(sql), rows)
            writer.execute("COMMIT")

    def state(self) -> int:
        number: int | None = self.read("SELECT max(number) FROM events")[0][0]
        return number or 0

    def _by(self, role: str, work: Callable[[Connection], T]) -> T:
        """Do some work by the connection of this role. If it has broken meanwhile, do it by a new one."""
        connection = self._connections.get(role)
        if connection is not None:
            try:
                return work(connection)
            except psycopg.Error:
                if not connection.closed:
                    raise
        self._connections[role] = self._connect()
        return work(self._connections[role])

    def _connect(self) -> Connection:
        if self._lost is not None and time.monotonic() < self._lost + REST:
            raise OSError(f"{self.name}: the server could not be reached a moment ago")
        try:
            connection = psycopg.connect(**self._options, autocommit=True)
            connection.execute(SETTINGS)
        except psycopg.Error:
            self._lost = time.monotonic()
            raise
        self._lost = None
        return connection

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except psycopg.DataError as error:
            raise UserError(f"PostgreSQL cannot keep this event: {_line(error)}.") from None
        except psycopg.Error as error:
            raise OSError(f"{self.name}: {_line(error)}") from None


def _options(url: str) -> dict[str, Any]:
    """Read a URL. An error shows nothing of it, because any part may be one of a password."""
    host, _, rest = url.partition("://")[2].partition("/")
    try:
        if host.count("@") > 1 or "@" in rest:
            raise psycopg.ProgrammingError
        options = {**DEFAULTS, **conninfo_to_dict(url)}
        if not all(port.isdecimal() for port in str(options.get("port") or 0).split(",")):
            raise psycopg.ProgrammingError  # a password without a host is read as a port
        return options
    except psycopg.ProgrammingError:
        raise UserError(
            "The URL of the log of events must be like postgresql://user@host:5432/database. In a user or password, "
            "write %40 for @, %2F for /, %3A for : and %25 for %."
        ) from None


def _name(options: dict[str, Any]) -> str:
    """Return the URL without its password."""
    user, host, port, name = (options.get(key) for key in ("user", "host", "port", "dbname"))
    return f"postgresql://{f'{user}@' if user else ''}{host or ''}{f':{port}' if port else ''}/{name or ''}"


def _line(error: psycopg.Error) -> str:
    """Return the first line of an error, in which PostgreSQL says what is wrong."""
    return (str(error).splitlines() or ["the connection broke"])[0].strip().rstrip(".")


def _marked(sql: str) -> str:
    return sql.replace("?", "%s")
