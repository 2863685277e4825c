"""A PostgreSQL server of its own: Debian's package, in a temporary folder, at a free port."""

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

PASSWORD = "a b@c/d"
QUOTED = "a%20b%40c%2Fd"


class Server:
    """PostgreSQL as another user, because it refuses to run as root."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.data, self.socket = programs, folder / "data", folder
        self.as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        self.numbers = itertools.count()
        secret = folder / "password"
        secret.write_text(PASSWORD, encoding="utf-8")
        if self.as_user:
            for path in (folder, secret):
                shutil.chown(path, "postgres", "postgres")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._run("initdb", "--username=owner", "--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8")
        self.start()

    def start(self) -> None:
        options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories={self.socket}"
        self._run("pg_ctl", "start", "--wait", "--options", options, f"--log={self.socket / 'log'}")

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "--wait", "--mode=immediate")

    def database(self) -> str:
        """Make a new database, and return its URL."""
        name = f"test{next(self.numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, name: str) -> str:
        return f"postgresql://owner:{QUOTED}@127.0.0.1:{self.port}/{name}"

    def _run(self, program: str, *options: str) -> None:
        command = [*self.as_user, str(self.programs / program), f"--pgdata={self.data}", *options]
        subprocess.run(command, check=True, cwd=self.socket, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        pytest.skip("needs PostgreSQL (Debian: apt-get install postgresql)")
    with tempfile.TemporaryDirectory(prefix="widedeep-postgres") as folder:
        server = Server(programs[-1].parent, Path(folder))
        yield server
        server.stop()
