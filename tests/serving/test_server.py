"""The server as people start it: several processes, killed, stopped and reloaded while they answer."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.serving.conftest import SCRIPT
from widedeep.serving.events import EventLog

RATING = {"user_id": "new", "item_id": "3", "rating": 5}
KILLS = int(os.environ.get("WIDEDEEP_KILLS", "1"))


class Running:
    """`widedeep serve` in processes of its own."""

    def __init__(self, models: Path, events: str | Path, workers: int = 2, *options: str) -> None:
        command = [sys.executable, "-m", "widedeep.cli", "serve", str(models), "--port", "0", "--events", str(events)]
        self.process = subprocess.Popen(
            [*command, "--workers", str(workers), *options], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        for _ in range(200):
            try:
                self.get("/ready")
                return
            except OSError:
                time.sleep(0.05)
        raise TimeoutError

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def workers(self) -> list[int]:
        tasks = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(worker) for worker in tasks.read_text(encoding="utf-8").split()]

    def kill(self) -> None:
        """Kill all processes at once, if they live."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == 0

    def post_until_killed(self, number: int) -> int:
        """Send an event of user u<number>, and of those after it. Return the number of the first that fails."""
        with suppress(OSError, http.client.HTTPException):
            while True:
                self.post("/events", {"events": [RATING | {"user_id": f"u{number}"}]})
                number += 1
        self.process.wait()
        return number

    def post(self, path: str, body: Any) -> Any:
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


@pytest.mark.slow
def test_no_acknowledged_event_is_lost_when_the_server_is_killed(folder: Path, tmp_path: Path) -> None:
    events, sure = tmp_path / "events.sqlite", 0
    for kill in range(KILLS):
        running = Running(folder, events)
        threading.Timer(0.3 + 0.05 * kill, running.kill).start()
        sure = running.post_until_killed(sure)
        kept = [event[0] for _, event in EventLog(events).after(0)]
        # The last one may have been written, but not acknowledged.
        assert kept[:sure] == [f"u{number}" for number in range(sure)]
        assert len(kept) <= sure + 1
        sure = len(kept)
    assert sure > 0


@pytest.mark.slow
def test_a_running_server_drops_no_request_while_it_reloads_and_its_page_shows_text_as_text(
    folder: Path, tmp_path: Path
) -> None:
    running = Running(folder, tmp_path / "events.sqlite")
    try:
        answered: list[int] = []
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                answered.append(len(running.get("/users/1/recommendations?n=5")["items"]))

        askers = [threading.Thread(target=ask) for _ in range(2)]
        for asker in askers:
            asker.start()
        for _ in range(3):
            running.post("/reload", {})
        stop.set()
        for asker in askers:
            asker.join()
        assert len(answered) > 10
        assert set(answered) == {5}
        second = subprocess.run(
            [sys.executable, "-m", "widedeep.cli", "serve", str(folder), "--port", running.url.rpartition(":")[2]],
            capture_output=True, text=True, cwd=tmp_path, check=False,
        )  # fmt: skip
        assert second.returncode == 2
        assert "is not free" in second.stderr
        if (browser := shutil.which("chromium")) is None:
            pytest.skip("needs chromium")
        shown = subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000", "--dump-dom",
             f"--user-data-dir={tmp_path / 'browser'}", running.url + "/"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert shown.count("<li>") == 10
        assert SCRIPT not in shown
        assert "Film " in shown
    finally:
        running.end()


@contextmanager
def stopped(process: int) -> Iterator[None]:
    """Keep a process from running, so that the others answer."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
def test_what_one_worker_was_told_all_know(folder: Path, tmp_path: Path) -> None:
    models = Path(shutil.copytree(folder, tmp_path / "models"))
    running = Running(models, tmp_path / "events.sqlite")
    try:
        first, second = running.workers()
        old = running.get("/version")["version"]
        for number, (answering, waiting) in enumerate([(first, second), (second, first)]):
            with stopped(waiting):
                running.post("/events", {"events": [RATING | {"user_id": f"u{number}"}]})
            with stopped(answering):  # an event that was acknowledged is known to all at once
                assert running.get(f"/users/u{number}/recommendations")["known"]
                assert running.get(f"/users/u{number}/ratings")[0]["item_id"] == "3"

        about = json.loads((models / "model.json").read_text(encoding="utf-8"))
        (models / "model.json").write_text(json.dumps({**about, "best_epoch": 7}), encoding="utf-8")
        with stopped(second):
            new = running.post("/reload", {})["version"]
        assert new != old
        with stopped(first):  # a reload takes a moment
            wait_until(lambda: running.get("/version")["version"] == new)
            assert running.get("/users/u0/recommendations")["known"]
            assert running.post("/rollback", {})["version"] == old
        with stopped(second):
            wait_until(lambda: running.get("/version")["version"] == old)

        with stopped(first):
            for _ in range(3):
                running.get("/popular")
        with stopped(second):
            for _ in range(4):
                running.get("/popular")

        def all_are_counted() -> bool:
            with urllib.request.urlopen(running.url + "/metrics", timeout=10) as answer:
                return 'request_seconds_count{route="/popular",status="200"} 7.0' in answer.read().decode()

        wait_until(all_are_counted)  # a request is counted after its answer was sent
    finally:
        running.end()


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_and_none_outlives_the_server(folder: Path, tmp_path: Path) -> None:
    running = Running(folder, tmp_path / "events.sqlite")
    first, second = running.workers()
    running.post("/events", {"events": [RATING]})
    os.kill(first, signal.SIGKILL)
    assert running.get("/users/new/recommendations")["known"]
    wait_until(lambda: len(running.workers()) == 2)
    (third,) = set(running.workers()) - {second}
    with stopped(second):
        assert running.get("/users/new/recommendations")["known"]
    running.process.kill()  # the parent only
    running.process.wait()
    wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in (second, third)))
