"""The log of events in a real PostgreSQL: order, several writers, kills, lost connections, mistakes in the URL."""

import subprocess
import sys
import threading
from pathlib import Path
from urllib.error import HTTPError

import psycopg
import pytest
from fastapi.testclient import TestClient

from tests.serving.postgres import PASSWORD, QUOTED, Server
from tests.serving.test_server import RATING, Running, wait_until
from widedeep.cli import main
from widedeep.errors import UserError
from widedeep.serving.app import create_app
from widedeep.serving.events import Event, EventLog

pytestmark = pytest.mark.slow
EVENT: Event = ("ü'\"?%s", "3", 4.5, 2**33)


def append(log: EventLog, *events: Event) -> int:
    with log.writing():
        return log.append(events)


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "SQLite":
        return str(tmp_path / "events.sqlite")
    server: Server = request.getfixturevalue("postgres")
    return server.database()


def test_two_logs_see_each_other_s_events_and_turns(where: str) -> None:
    first, second = EventLog(where), EventLog(where)
    before = second.state()
    assert append(first, EVENT, EVENT) == 2
    assert second.state() != before
    assert append(second, EVENT) == 3
    assert first.after(0) == second.after(0) == [(1, EVENT), (2, EVENT), (3, EVENT)]
    assert first.after(2) == [(3, EVENT)]
    assert (first.take_turn("reload"), second.take_turn("rollback")) == (1, 2)
    assert first.turns_after(1) == [(2, "rollback")]
    with pytest.raises(RuntimeError), first.writing():
        raise RuntimeError
    assert append(second, EVENT) == 4  # the other one gave up its turn to write
    first.close()
    second.close()


def test_a_reader_never_skips_an_event_of_writers_at_once(where: str) -> None:
    logs = [EventLog(where) for _ in range(4)]

    def write(log: EventLog) -> None:
        for size in (1, 3) * 12:
            append(log, *[EVENT] * size)

    writers = [threading.Thread(target=write, args=(log,)) for log in logs]
    for writer in writers:
        writer.start()
    seen: list[int] = []
    reader = EventLog(where)
    while len(seen) < 4 * 48:
        alive = any(writer.is_alive() for writer in writers)
        new = reader.after(seen[-1] if seen else 0)
        assert new or alive
        seen += [number for number, _ in new]
    assert seen == list(range(1, 4 * 48 + 1))
    for log in (*logs, reader):
        log.close()


def test_no_acknowledged_event_is_lost_when_a_server_is_killed(postgres: Server, folder: Path, tmp_path: Path) -> None:
    url = postgres.database()
    other = Running(folder, url, workers=1)
    running = Running(folder, url)
    threading.Timer(0.7, running.kill).start()
    sure = running.post_until_killed(0)
    assert sure > 0
    try:  # the server of another machine knows all of them, and goes on
        assert all(other.get(f"/users/u{number}/recommendations?n=1")["known"] for number in range(sure))
        other.post("/events", {"events": [RATING | {"user_id": "last"}]})
    finally:
        other.end()
    out = tmp_path / "ratings.csv"
    assert main(["events", "export", "--events", url, "--out", str(out)]) == 0
    users = [line.partition(",")[0] for line in out.read_text(encoding="utf-8").splitlines()]
    # The last one before the kill may have been written, but not acknowledged.
    assert [user for user in users if user != f"u{sure}"] == ["user_id", *(f"u{n}" for n in range(sure)), "last"]


def test_a_server_outlives_its_database(postgres: Server, folder: Path) -> None:
    running = Running(folder, postgres.database())
    event = {"events": [RATING]}
    try:
        running.post("/events", event)
        postgres.stop()
        with pytest.raises(HTTPError) as refused:
            running.post("/events", event)
        assert refused.value.code == 507
        assert running.get("/users/new/recommendations")["items"]  # answers go on
        assert running.get("/ready")
        postgres.start()

        def written() -> bool:
            try:
                running.post("/events", {"events": [RATING | {"user_id": "later"}]})
            except HTTPError:
                return False
            return True

        wait_until(written)
        # The other worker may wait a second before it tries the database again.
        wait_until(lambda: all(running.get("/users/later/recommendations")["known"] for _ in range(5)))
        assert running.get("/users/new/ratings")[0]["item_id"] == "3"
    finally:
        running.end()


def test_a_writer_that_stands_still_does_not_stop_the_others(postgres: Server) -> None:
    url = postgres.database()
    EventLog(url).close()
    hanging, log = EventLog(url), EventLog(url)
    with hanging.writing():
        assert append(log, EVENT) == 1
        with pytest.raises(OSError, match=r"postgresql://owner@127.0.0.1"):
            hanging.append([EVENT])
    assert len(log.after(0)) == 1


def test_an_event_that_postgres_cannot_keep_is_a_mistake_in_one_sentence(postgres: Server, folder: Path) -> None:
    with TestClient(create_app(folder, postgres.database())) as client:
        answer = client.post("/events", json={"events": [RATING | {"user_id": "a\0b"}]})
        assert (answer.status_code, "\n" in answer.json()["detail"]) == (422, False)
        assert client.post("/events", json={"events": [RATING]}).json() == {"added": 1}


def test_a_user_who_may_only_write_can_serve(postgres: Server) -> None:
    url = postgres.database()
    EventLog(url).close()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE shop LOGIN PASSWORD '{PASSWORD}'")
        connection.execute("GRANT USAGE ON SCHEMA widedeep TO shop")
        connection.execute("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA widedeep TO shop")
    log = EventLog(url.replace("owner", "shop"))
    assert append(log, EVENT) == 1
    log.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://owner:wr0ng@127.0.0.1:PORT/postgres", "password authentication failed"),
        ("postgresql://owner:wr0ng@127.0.0.1:1/postgres", "Connection refused"),
        (f"postgresql://owner:{QUOTED}@127.0.0.1:PORT/nowhere", 'database "nowhere" does not exist'),
        ("postgresql://owner:wr0ng@x@127.0.0.1/postgres", "must be like postgresql://user@host"),
        ("postgresql://owner:12/wr0ng@127.0.0.1/postgres", "must be like postgresql://user@host"),
        ("postgresql://owner:wr0ng%@127.0.0.1/postgres", "must be like postgresql://user@host"),
        ("postgresql://owner:wr0ng", "must be like postgresql://user@host"),
        ("mysql://owner:wr0ng@127.0.0.1/postgres", "begins with postgresql://"),
    ],
)
def test_a_mistake_in_the_url_is_one_line_without_the_password(
    postgres: Server, url: str, said: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "ratings.csv")
    assert main(["events", "export", "--out", out, "--events", url.replace("PORT", str(postgres.port))]) == 2
    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1
    assert "wr0ng" not in line
    assert QUOTED not in line


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "widedeep.serving.postgres", raising=False)
    with pytest.raises(UserError, match="pip install"):
        EventLog("postgresql://127.0.0.1/x")


def test_the_command_says_in_one_line_that_no_server_is_there(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "widedeep.cli", "serve", str(folder), "--port", "0", "--events", "postgresql://o:wr0ng@127.0.0.1:1/x"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "postgresql://o@127.0.0.1:1/x" in done.stderr
