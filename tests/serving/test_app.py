"""The HTTP server: answers, mistakes, new ratings, reload, and a kill under load."""

import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from widedeep.cli import main
from widedeep.errors import UserError
from widedeep.serving import limits
from widedeep.serving.app import create_app
from widedeep.serving.events import EventLog
from widedeep.serving.recommender import Recommender
from widedeep.serving.served import Served

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
    expected = recommender.recommend("2", 5, popularity_penalty=0.9)
    found = client.get("/users/2/recommendations?n=5&popularity_penalty=0.9").json()
    assert [item["score"] for item in found["items"]] == pytest.approx(expected["score"].tolist())
    found = client.post("/recommendations", json={"likes": ["9"], "n": 4, "popularity_penalty": 0.9}).json()
    expected = recommender.recommend(likes=["9"], n=4, popularity_penalty=0.9)
    assert [item["score"] for item in found["items"]] == pytest.approx(expected["score"].tolist())
    wish = {"likes": ["Film 3", "9"], "n": 4, "reasons": True}
    found = client.post("/recommendations", json=wish).json()
    assert [item["item_id"] for item in found["items"]] == recommender.recommend(likes=["Film 3", "9"], n=4)[
        "item_id"
    ].tolist()
    assert any(item["reason"] for item in found["items"])
    late = recommender.recommend("2", 5, years=(2000, 2010))["item_id"].tolist()
    for answer in (
        client.get("/users/2/recommendations?n=5&years=2000-2010"),
        client.post("/recommendations", json={"likes": ["3"], "n": 31, "years": "2000-2010"}),
    ):
        assert all(2000 <= 1989 + int(item["item_id"]) <= 2010 for item in answer.json()["items"])
    assert [
        item["item_id"] for item in client.get("/users/2/recommendations?n=5&years=2000-2010").json()["items"]
    ] == late
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
        ("GET", "/users/1/recommendations?years=1999-1990", None, 422),
        ("GET", "/users/1/recommendations?popularity_penalty=1", None, 422),
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
    assert main(["events", "export", "--events", str(tmp_path / "events.sqlite"), "--out", str(out)]) == 0
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


def test_two_rollbacks_at_once_leave_all_processes_with_the_same_model(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (Served(models, EventLog(tmp_path / "events.sqlite")) for _ in range(2))
    old = first.now().version
    about = json.loads((models / "model.json").read_text(encoding="utf-8"))
    (models / "model.json").write_text(json.dumps({**about, "best_epoch": 7}), encoding="utf-8")
    new = first.reload()
    second.follow()
    assert first.log is not None
    take_turn = first.log.take_turn

    def late(turn: str) -> int:
        assert second.rollback() == old
        return take_turn(turn)

    monkeypatch.setattr(first.log, "take_turn", late)
    assert first.rollback() == new  # the one before the rollback of the other process
    second.follow()
    assert first.now().version == second.now().version == new
    first.close()
    second.close()


def test_events_of_a_machine_whose_clock_is_ahead_count(client: TestClient, tmp_path: Path) -> None:
    log, ahead = EventLog(tmp_path / "events.sqlite"), int(time.time()) + 3600
    with log.writing():
        log.append([("new", "3", 5.0, ahead)])
    assert client.get("/users/new/recommendations").json()["known"]
    assert client.post("/events", json={"events": [RATING | {"item_id": "4"}]}).json() == {"added": 1}
    assert [rated["timestamp"] for rated in client.get("/users/new/ratings").json()] == [ahead, ahead]
    log.close()


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
    monkeypatch.setattr(limits, "AT_ONCE", 0)
    answer = client.get("/popular")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert client.get("/health").status_code == 200


def test_a_damaged_file_of_events_is_named(models: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.sqlite").write_bytes(b"no database " * 100)
    with pytest.raises(UserError, match=r"The log of events cannot be used. .*bad.sqlite: file is not a database"):
        create_app(models, tmp_path / "bad.sqlite")


def test_scores_are_finite(client: TestClient) -> None:
    items = client.get("/users/1/recommendations?n=31").json()["items"]
    assert all(math.isfinite(item["score"]) and math.isfinite(item["predicted"]) for item in items)


def test_a_large_body_without_a_length_is_refused(client: TestClient) -> None:
    answer = client.post("/events", content=(b"x" * 2**16 for _ in range(40)))
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
