"""The HTTP server: a `Recommender` behind FastAPI, and a page to look at.

Errors are problem details (RFC 9457). Nothing that is logged or counted holds the id of a user.
"""

import hmac
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any
from weakref import WeakKeyDictionary

import anyio.to_thread
import pandas as pd
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from widedeep.errors import UserError
from widedeep.serving.catalogue import UnknownItemError
from widedeep.serving.events import EventLog
from widedeep.serving.recommender import Recommender
from widedeep.serving.scorer import Horizon

PAGE = Path(__file__).with_name("page.html")
KEY = "WIDEDEEP_API_KEY"
BODY = 2**20  # bytes of a request
AT_ONCE = 32  # requests under way; more are told to come back
CACHED = 10_000  # lists
SECONDS = (0.001, 0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.025, 0.05, 0.1, 0.25, 1)
OPEN = ("/health", "/ready", "/")  # need no API key
LOG = logging.getLogger("widedeep.serving")

Number = Annotated[int, Query(ge=1, le=1000, description="Length of the list.")]
Text = Annotated[str, Field(min_length=1, max_length=200)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Item(BaseModel):
    """An item of a list."""

    rank: int
    item_id: str
    title: str | None
    genres: str
    predicted: float | None = None
    score: float
    reason: str | None = None


class Recommendations(BaseModel):
    """A list, best first. `fallback` is "recent_popularity" if nothing is known of the user."""

    known: bool
    fallback: str | None
    reason: str | None
    at: int
    version: str
    items: list[Item]


class Wish(Strict):
    """Someone new, by ratings or likes. Items are given by id or title."""

    ratings: Annotated[dict[Text, float], Field(max_length=1000)] = {}
    likes: Annotated[list[Text], Field(max_length=1000)] = []
    demographics: Annotated[dict[Text, str | float | None], Field(max_length=50)] = {}
    candidates: Annotated[list[Text], Field(max_length=10_000)] | None = None
    genres: Annotated[list[Text], Field(max_length=50)] = []
    n: Annotated[int, Field(ge=1, le=1000)] = 10
    horizon: Horizon = "period"
    reasons: bool = False


class Pairs(Strict):
    user_id: Text
    items: Annotated[list[Text], Field(min_length=1, max_length=1000)]


class Event(Strict):
    user_id: Text
    item_id: Text
    rating: float
    timestamp: Annotated[int, Field(ge=0, le=2**40)] | None = None


class Events(Strict):
    events: Annotated[list[Event], Field(min_length=1, max_length=1000)]


class Served:
    """The recommender that answers, the one before it, and the lists that were asked for lately.

    Changes wait for each other. Answers do not wait: they go on with the recommender that they began with.
    """

    def __init__(self, folder: Path, log: EventLog | None) -> None:
        self.folder, self.log = folder, log
        self.lists: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()
        self._changing = threading.Lock()
        self._known: WeakKeyDictionary[Recommender, int] = WeakKeyDictionary()  # number of the last event of each
        self.now = self._load()
        self.before: Recommender | None = None

    def reload(self) -> None:
        """Read the folder again, and answer by it from now on. If it is damaged, the present model stays."""
        with self._changing:
            fresh = self._load()
            self.now, self.before = fresh, self.now

    def rollback(self) -> None:
        with self._changing:
            if self.before is None:
                raise UserError("There is no earlier model. POST /reload has not been called.")
            self._catch_up(self.before)
            self.now, self.before = self.before, self.now

    def add(self, events: list[Event]) -> int:
        with self._changing:
            second = max(int(time.time()), self.now.last_second)
            rows = [event.model_dump() for event in events]
            for row in rows:
                row["timestamp"] = second if row["timestamp"] is None else row["timestamp"]
            added = self.now.add(rows, None if self.log is None else self.log.append)
            self._known[self.now] += added
            return added

    def _load(self) -> Recommender:
        fresh = Recommender.load(self.folder)
        self._known[fresh] = 0
        self._catch_up(fresh, fresh.last_second)
        fresh.recommend("")  # the first answer takes longer than later ones
        return fresh

    def _catch_up(self, recommender: Recommender, trained_until: int = -1) -> None:
        """Add the events that this recommender does not know yet. Those that the model was trained on do not count."""
        later = [] if self.log is None else self.log.after(self._known[recommender])
        names, known = ("user_id", "item_id", "rating", "timestamp"), recommender.catalogue.of_id
        # An item may be gone from the data of this model.
        new = [event for _, event in later if event[1] in known and event[3] > trained_until]
        recommender.add([dict(zip(names, event, strict=True)) for event in new])
        if later:
            self._known[recommender] = later[-1][0]


def create_app(folder: Path, events: Path | None = None) -> FastAPI:
    """Make the server of a model folder.

    Parameters
    ----------
    folder : what stage train wrote
    events : SQLite file for new ratings; None: they are kept in memory only

    Raises
    ------
    UserError
        The model or the file of events cannot be read.
    """
    served = Served(folder, None if events is None else EventLog(events))
    registry = CollectorRegistry()
    seconds = Histogram(
        "request_seconds", "Seconds of a request", ["route", "status"], buckets=SECONDS, registry=registry
    )
    taken = Counter("events", "New ratings", registry=registry)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # With more threads than cores, answers would only slow each other down.
        anyio.to_thread.current_default_thread_limiter().total_tokens = os.cpu_count() or 1
        yield
        if served.log is not None:
            served.log.close()

    app = FastAPI(
        title="widedeep",
        version=served.now.version,
        description="Recommendations of a trained Wide & Deep model.",
        lifespan=lifespan,
        docs_url=None,  # its page would load scripts from another host
        redoc_url=None,
        responses={422: {"description": "The request breaks a rule", "content": {"application/problem+json": {}}}},
    )

    @app.exception_handler(UserError)
    async def mistake(request: Request, error: UserError) -> Response:
        return problem(404 if isinstance(error, UnknownItemError) else 422, str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return problem(422, f"{'.'.join(map(str, first['loc'][1:])) or 'body'}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        return problem(error.status_code, str(error.detail))

    @app.exception_handler(OSError)
    async def unwritten(request: Request, error: OSError) -> Response:
        LOG.error("events could not be written: %s", error)
        return problem(507, "The events could not be written. None was taken. Send them again later.")

    app.add_middleware(Limit)
    app.add_middleware(Guard, seconds=seconds)

    def listed(recommender: Recommender, frame: pd.DataFrame, **asker: Any) -> dict[str, Any]:
        items = records(frame)
        if asker:
            for item in items:
                item["reason"] = (
                    recommender.explain(item=item["item_id"], at=frame.attrs["at"], **asker).sentence or None
                )
        return {**frame.attrs, "version": recommender.version, "items": items}

    async def cached(key: tuple[Any, ...], make: Callable[[], dict[str, Any]]) -> Response:
        content = served.lists.get(key)
        if content is None:
            content = bytes(JSONResponse(await anyio.to_thread.run_sync(make)).body)
            served.lists[key] = content
            if len(served.lists) > CACHED:
                served.lists.popitem(last=False)
        return Response(content, media_type="application/json")

    @app.get("/users/{user_id}/recommendations", response_model=Recommendations)
    async def of_user(
        user_id: str, n: Number = 10, horizon: Horizon = "period", genre: str | None = None, reasons: bool = False
    ) -> Response:
        """Recommend items to a user. An unknown user gets what is popular lately, marked as a fallback."""
        recommender = served.now
        genres = [genre] if genre else []

        def make() -> dict[str, Any]:
            frame = recommender.recommend(user_id, n, genres=genres, horizon=horizon)
            return listed(recommender, frame, **({"user_id": user_id, "horizon": horizon} if reasons else {}))

        # What is known is part of the key, so that a late answer cannot replace a newer one.
        key = (recommender.version, recommender.events, user_id, n, horizon, genre, reasons)
        return await cached(key, make)

    @app.post("/recommendations", response_model=Recommendations)
    def of_someone_new(wish: Wish) -> Any:
        """Recommend items to someone new, by ratings, likes or demographics."""
        recommender = served.now
        # Someone of whom nothing is given is served like an unknown user.
        user_id = None if wish.ratings or wish.likes or wish.demographics else ""
        frame = recommender.recommend(
            user_id,
            wish.n,
            ratings=dict(wish.ratings.items()),
            likes=wish.likes,
            demographics=wish.demographics,
            candidates=wish.candidates,
            genres=wish.genres,
            horizon=wish.horizon,
        )
        asker = {"user_id": user_id, "ratings": wish.ratings, "likes": wish.likes, "horizon": wish.horizon}
        explained = wish.reasons and not (wish.demographics and not wish.ratings and not wish.likes)
        return listed(recommender, frame, **(asker if explained else {}))

    @app.get("/users/{user_id}/ratings")
    def ratings_of_user(user_id: str, n: Number = 10) -> list[dict[str, Any]]:
        """Return the latest ratings of a user."""
        return records(served.now.history(user_id, n)) if user_id in served.now.users() else []

    @app.get("/items/{item_id}/similar", response_model=list[Item])
    def similar(item_id: str, n: Number = 10) -> Any:
        """Return the items that the same users rated."""
        return records(served.now.similar_items(item_id, n))

    @app.get("/items")
    def search(search: Annotated[str, Query(max_length=200)], n: Number = 10) -> list[dict[str, Any]]:
        """Find items by title."""
        return records(served.now.search(search, n))

    @app.get("/popular", response_model=Recommendations)
    def popular(n: Number = 10) -> Any:
        """Return what is popular lately."""
        return listed(served.now, served.now.recommend("", n))

    @app.post("/predictions")
    def predictions(pairs: Pairs) -> list[dict[str, Any]]:
        """Predict the ratings of items by a user."""
        return records(served.now.predict(pairs.user_id, pairs.items))

    @app.post("/events")
    def new_events(new: Events) -> dict[str, int]:
        """Take new ratings, all or none. A missing timestamp means now."""
        added = served.add(new.events)
        taken.inc(added)
        return {"added": added}

    @app.post("/reload")
    def reload() -> dict[str, str]:
        """Read the model folder again. If it is damaged, the present model stays."""
        served.reload()
        return {"version": served.now.version}

    @app.post("/rollback")
    def rollback() -> dict[str, str]:
        """Answer by the model before the last reload."""
        served.rollback()
        return {"version": served.now.version}

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/ready")
    async def is_ready() -> dict[str, str]:
        """Answer once the model is loaded and has made its first list. The server does not listen before."""
        return {"status": "ready"}

    @app.get("/version")
    def version() -> dict[str, Any]:
        """Return what is served: the hash of the model, its data and its validation metrics."""
        bundle = served.now.bundle
        return {
            "version": served.now.version,
            "model": bundle.architecture.model,
            "dataset": bundle.context.spec.dataset,
            "data_sha256": bundle.data_sha256,
            "validation": dict(bundle.validation),
            "users": len(served.now.users()),
            "items": len(served.now.catalogue),
            "last_second": served.now.last_second,
        }

    @app.get("/metrics")
    def metrics() -> Response:
        """Return the metrics of Prometheus."""
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4")

    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        policy = "default-src 'self'; img-src data:; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
        return HTMLResponse(PAGE.read_text(encoding="utf-8"), headers={"Content-Security-Policy": policy})

    return app


class Guard:
    """Ask for the API key, refuse more than `AT_ONCE` requests under way, and measure the seconds of each."""

    def __init__(self, app: ASGIApp, seconds: Histogram) -> None:
        self.app, self.seconds, self.under_way = app, seconds, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path, key = scope["path"], os.environ.get(KEY)
        if key and path not in OPEN:
            given = dict(scope["headers"]).get(b"x-api-key", b"")
            if not hmac.compare_digest(given, key.encode()):
                await problem(401, "The header X-API-Key is missing or wrong.")(scope, receive, send)
                return
        if self.under_way >= AT_ONCE and path not in OPEN:
            refusal = problem(503, "Too many requests are under way.", {"Retry-After": "1"})
            await refusal(scope, receive, send)
            return
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        self.under_way += 1
        start = time.perf_counter()
        try:
            await self.app(scope, receive, watched)
        finally:
            self.under_way -= 1
            route = getattr(scope.get("route"), "path", "unknown")
            self.seconds.labels(route, status).observe(time.perf_counter() - start)


class Limit:
    """Refuse a body of more than `BODY` bytes, as soon as so many have come."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":  # the client has gone
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > BODY:
                await problem(413, f"The body must have at most {BODY:,} bytes.")(scope, receive, send)
                return
        whole: Message = {"type": "http.request", "body": body, "more_body": False}
        read = False

        async def again() -> Message:
            nonlocal read
            if read:
                return await receive()
            read = True
            return whole

        await self.app(scope, again, send)


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Make an error answer in the form of RFC 9457."""
    content = {"status": status, "detail": detail}
    return JSONResponse(content, status, headers, media_type="application/problem+json")


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    # For ten rows, each operation on a whole frame takes longer than this.
    rows = zip(*(column.tolist() for _, column in frame.items()), strict=True)
    return [{name: None if value != value else value for name, value in zip(frame, row, strict=True)} for row in rows]
