"""The HTTP server: answers, mistakes, new ratings, reload, and a kill under load."""

import http.client
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.serving.conftest import SCRIPT
from widedeep.cli import main
from widedeep.errors import UserError
from widedeep.serving import app as server
from widedeep.serving.app import create_app
from widedeep.serving.events import EventLog
from widedeep.serving.recommender import Recommender

RATING = {"user_id": "new", "item_id": "3", "rating": 5}
KILLS = int(os.environ.get("WIDEDEEP_KILLS", "1"))


@pytest.fixture
def models(folder: Path, tmp_path: Path) -> Path:
    """A copy of the model that a test may damage."""
    return Path(shutil.copytree(folder, tmp_path / "models"))


@pytest.fixture
def client(models: Path, tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(models, tmp_path / "events.sqlite"), raise_server_exceptions=False) as client:
        yield client


def test_answers_are_those_of_the_recommender(client: TestClient, folder: Path) -> None:
    recommender = Recommender.load(folder)
    expected = recommender.recommend("2", 5)
    for _ in range(2):  # the second time from the cache
        found = client.get("/users/2/recommendations?n=5&reasons=false").json()
        assert [item["item_id"] for item in found["items"]] == expected["item_id"].tolist()
        assert [item["score"] for item in found["items"]] == pytest.approx(expected["score"].tolist())
        assert (found["known"], found["fallback"], found["version"]) == (True, None, recommender.version)
    wish = {"likes": ["Film 3", "9"], "n": 4, "reasons": True}
    found = client.post("/recommendations", json=wish).json()
    assert [item["item_id"] for item in found["items"]] == recommender.recommend(likes=["Film 3", "9"], n=4)[
        "item_id"
    ].tolist()
    assert any(item["reason"] for item in found["items"])
    assert client.get("/users/nobody/recommendations").json()["fallback"] == "recent_popularity"
    assert client.post("/recommendations", json={}).json()["fallback"] == "recent_popularity"
    similar = client.get("/items/3/similar?n=2").json()
    assert [item["item_id"] for item in similar] == recommender.similar_items("3", 2)["item_id"].tolist()
    predicted = client.post("/predictions", json={"user_id": "2", "items": ["3"]}).json()
    assert predicted[0]["predicted"] == pytest.approx(recommender.predict("2", ["3"])["predicted"].item())
    assert client.get("/items?search=film 3").json()[0]["title"] == "Film 3"
    assert client.get("/users/2/ratings?n=3").json() == json.loads(
        recommender.history("2", 3).to_json(orient="records")
    )
    assert client.get("/version").json()["items"] == len(recommender.catalogue)
    assert client.get("/ready").status_code == client.get("/health").status_code == 200
    assert 'route="/users/{user_id}/recommendations",status="200"' in client.get("/metrics").text
    assert "/users/2" not in client.get("/metrics").text


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/users/1/recommendations?n=0", None, 422),
        ("GET", "/users/1/recommendations?n=-1", None, 422),
        ("GET", "/users/1/recommendations?n=1000000000", None, 422),
        ("GET", "/users/1/recommendations?horizon=week", None, 422),
        ("GET", "/users/1/recommendations?genre=Opera", None, 422),
        ("GET", "/items/x/similar", None, 404),
        ("GET", "/nothing", None, 404),
        ("PUT", "/events", b"{}", 405),
        ("POST", "/recommendations", b'{"ratings": {"1": NaN}}', 422),
        ("POST", "/recommendations", b'{"ratings": {"1": 1e999}}', 422),
        ("POST", "/recommendations", b'{"ratings": {"1": 9}}', 422),
        ("POST", "/recommendations", b'{"likes": ["Film 99"]}', 404),
        ("POST", "/recommendations", b'{"like": ["1"]}', 422),
        ("POST", "/recommendations", b"\xff\xfe", 422),
        ("POST", "/recommendations", b"[" * 100_000, 400),
        ("POST", "/recommendations", b"x" * 2**21, 413),
        ("POST", "/predictions", b'{"user_id": "1", "items": []}', 422),
        ("POST", "/events", b'{"events": []}', 422),
        ("POST", "/events", b'{"events": [{"user_id": "1", "item_id": "x", "rating": 3}]}', 404),
        ("POST", "/events", b'{"events": [{"user_id": "1", "item_id": "1", "rating": 3, "timestamp": 4}]}', 422),
        ("POST", "/events", b'{"events": [{"user_id": "1", "item_id": "1", "rating": 3, "timestamp": 9e9}]}', 422),
        ("POST", "/rollback", b"", 422),
    ],
)  # fmt: skip
def test_a_mistake_is_a_problem_in_one_sentence(
    client: TestClient, method: str, path: str, body: bytes | None, status: int
) -> None:
    answer = client.request(method, path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert "\n" not in answer.json()["detail"]


def test_new_ratings_count_at_once_and_after_a_restart(client: TestClient, models: Path, tmp_path: Path) -> None:
    before = client.get("/users/new/recommendations?n=30").json()
    assert client.post("/events", json={"events": [RATING]}).json() == {"added": 1}
    after = client.get("/users/new/recommendations?n=30").json()
    assert (before["known"], after["known"]) == (False, True)
    assert "3" not in [item["item_id"] for item in after["items"]]
    with TestClient(create_app(models, tmp_path / "events.sqlite")) as again:
        assert again.get("/users/new/recommendations?n=30").json() == after
    out = tmp_path / "ratings.csv"
    assert main(["events", "--events", str(tmp_path / "events.sqlite"), "--out", str(out)]) == 0
    header, row = out.read_text(encoding="utf-8").splitlines()
    assert (header, row.rpartition(",")[0]) == ("user_id,item_id,rating,timestamp", "new,3,5.0")


def test_a_reload_takes_the_new_model_and_a_rollback_the_old_one_with_all_events(
    client: TestClient, models: Path
) -> None:
    old = client.get("/version").json()["version"]
    about = json.loads((models / "model.json").read_text(encoding="utf-8"))
    (models / "model.json").write_text(json.dumps({**about, "best_epoch": 7}), encoding="utf-8")
    new = client.post("/reload").json()["version"]
    assert new != old
    client.post("/events", json={"events": [RATING]})
    assert client.post("/rollback").json() == {"version": old}
    assert client.get("/users/new/recommendations").json()["known"]
    assert client.post("/rollback").json() == {"version": new}
    weights = models / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    answer = client.post("/reload")
    assert answer.status_code == 422
    assert "model.safetensors" in answer.json()["detail"]
    assert client.get("/version").json()["version"] == new


def test_events_that_cannot_be_written_do_not_count(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: EventLog, events: Any) -> None:
        raise OSError("database or disk is full")

    monkeypatch.setattr(EventLog, "append", full)
    answer = client.post("/events", json={"events": [RATING]})
    assert answer.status_code == 507
    assert not client.get("/users/new/recommendations").json()["known"]


def test_an_api_key_is_asked_for_where_one_is_set(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIDEDEEP_API_KEY", "secret")
    assert client.get("/popular").status_code == 401
    assert client.get("/popular", headers={"X-API-Key": "wrong"}).status_code == 401
    assert client.get("/popular", headers={"X-API-Key": "secret"}).status_code == 200
    assert client.get("/health").status_code == 200


def test_too_many_requests_are_told_to_come_back(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "AT_ONCE", 0)
    answer = client.get("/popular")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert client.get("/health").status_code == 200


def test_a_damaged_file_of_events_is_named(models: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.sqlite").write_bytes(b"no database " * 100)
    with pytest.raises(UserError, match=r"bad.sqlite cannot be used as a log of events"):
        create_app(models, tmp_path / "bad.sqlite")


class Running:
    """`widedeep serve` in a process of its own."""

    def __init__(self, models: Path, events: Path) -> None:
        command = [sys.executable, "-m", "widedeep.cli", "serve", str(models), "--port", "0", "--events", str(events)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
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
        threading.Timer(0.3 + 0.05 * kill, lambda process=running.process: process.send_signal(signal.SIGKILL)).start()
        try:
            while True:
                running.post("/events", {"events": [RATING | {"user_id": f"u{sure}"}]})
                sure += 1
        except (OSError, http.client.HTTPException):
            running.process.wait()
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
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(10)


def test_scores_are_finite(client: TestClient) -> None:
    items = client.get("/users/1/recommendations?n=31").json()["items"]
    assert all(math.isfinite(item["score"]) and math.isfinite(item["predicted"]) for item in items)


def test_a_large_body_without_a_length_is_refused(client: TestClient) -> None:
    answer = client.post("/events", content=(b"x" * 2**16 for _ in range(40)))
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
