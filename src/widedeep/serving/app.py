"""The HTTP server: a `Recommender` behind FastAPI, and a page to look at.

Errors are problem details (RFC 9457). Nothing that is logged or counted holds the id of a user.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.exceptions import HTTPException

from widedeep.errors import UserError
from widedeep.serving.catalogue import UnknownItemError
from widedeep.serving.events import EventLog
from widedeep.serving.limits import Guard, Limit, problem
from widedeep.serving.lists import ItemList, records
from widedeep.serving.papers import Papers, card_as_html, papers_of_export
from widedeep.serving.recommender import Recommender
from widedeep.serving.schemas import Events, Item, Number, Pairs, Penalty, Recommendations, Wish
from widedeep.serving.scorer import Horizon
from widedeep.serving.served import Served

PAGE = Path(__file__).with_name("page.html")
SECONDS = (0.001, 0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.025, 0.05, 0.1, 0.25, 1)
METRICS = "PROMETHEUS_MULTIPROC_DIR"  # the folder in which several processes count together
TURN = 0.5  # seconds after which a process looks whether another was told to reload
NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"description": "There is none", "content": {"application/problem+json": {}}}
}
LOG = logging.getLogger("widedeep.serving")


def create_app(folder: Path, events: str | Path | None = None, papers: Papers | None = None) -> FastAPI:
    """Make the server of a model folder.

    Parameters
    ----------
    folder : what stage train wrote
    events : SQLite file for new ratings, or the URL of a PostgreSQL database; None: they are kept in memory only
    papers : the model card and the report; None: those in the folder, if it is an export

    Raises
    ------
    UserError
        The model or the log of events cannot be read.
    """
    return app_of(Served(folder, None if events is None else EventLog(events)), papers)


def app_of(served: Served, papers: Papers | None = None) -> FastAPI:
    """Make the server of a model that is loaded."""
    registry = CollectorRegistry()
    seconds = Histogram(
        "request_seconds", "Seconds of a request", ["route", "status"], buckets=SECONDS, registry=registry
    )
    taken = Counter("events", "New ratings", registry=registry)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # With more threads than cores, answers would only slow each other down.
        anyio.to_thread.current_default_thread_limiter().total_tokens = os.cpu_count() or 1
        following = asyncio.create_task(follow())
        yield
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        served.close()

    async def follow() -> None:
        while True:
            await asyncio.sleep(TURN)
            await asyncio.to_thread(served.follow)  # not one of the threads that answer

    app = FastAPI(
        title="widedeep",
        version=served.now().version,
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
        LOG.error("the log of events cannot be used: %s", error)
        return problem(507, "The events could not be written. Send them again later.")

    app.add_middleware(Limit)
    app.add_middleware(Guard, seconds=seconds)

    def listed(recommender: Recommender, found: ItemList, **asker: Any) -> Response:
        items = found.rows()
        if asker:
            for item in items:
                item["reason"] = recommender.explain(item=item["item_id"], at=found.at, **asker).sentence or None
        # The items are as the schema says, so they need not be checked against it again.
        return JSONResponse({**found.about, "version": recommender.version, "items": items})

    @app.get("/users/{user_id}/recommendations", response_model=Recommendations)
    async def of_user(
        user_id: str,
        n: Number = 10,
        horizon: Horizon = "period",
        genre: str | None = None,
        years: Annotated[str | None, Query(description="Such as 1990-1999.")] = None,
        reasons: bool = False,
        popularity_penalty: Penalty = 0,
    ) -> Response:
        """Recommend items to a user. An unknown user gets what is popular lately, marked as a fallback."""
        recommender = await anyio.to_thread.run_sync(served.now) if served.behind() else served.now()
        # What is known is part of the key, so that a late answer cannot replace a newer one.
        asked = (user_id, n, horizon, genre, years, reasons, popularity_penalty)
        key = (recommender.version, recommender.events, *asked)
        content = served.cached(key)
        if content is None:

            def make() -> bytes:
                found = recommender.best(
                    user_id,
                    n,
                    genres=[genre] if genre else [],
                    years=years,
                    horizon=horizon,
                    popularity_penalty=popularity_penalty,
                )
                asker = {"user_id": user_id, "horizon": horizon} if reasons else {}
                return bytes(listed(recommender, found, **asker).body)

            content = await anyio.to_thread.run_sync(make)
            served.keep(key, content)
        return Response(content, media_type="application/json")

    @app.post("/recommendations", response_model=Recommendations)
    def of_someone_new(wish: Wish) -> Response:
        """Recommend items to someone new, by ratings, likes or demographics."""
        recommender = served.now()
        # Someone of whom nothing is given is served like an unknown user.
        user_id = None if wish.ratings or wish.likes or wish.demographics else ""
        found = recommender.best(
            user_id,
            wish.n,
            ratings=dict(wish.ratings.items()),
            likes=wish.likes,
            demographics=wish.demographics,
            candidates=wish.candidates,
            genres=wish.genres,
            years=wish.years,
            horizon=wish.horizon,
            popularity_penalty=wish.popularity_penalty,
        )
        asker = {"user_id": user_id, "ratings": wish.ratings, "likes": wish.likes, "horizon": wish.horizon}
        explained = wish.reasons and not (wish.demographics and not wish.ratings and not wish.likes)
        return listed(recommender, found, **(asker if explained else {}))

    @app.get("/users/{user_id}/ratings")
    def ratings_of_user(user_id: str, n: Number = 10) -> list[dict[str, Any]]:
        """Return the latest ratings of a user."""
        recommender = served.now()
        return records(recommender.history(user_id, n)) if recommender.knows(user_id) else []

    @app.get("/users")
    def users(search: Annotated[str, Query(max_length=200)] = "", n: Number = 10) -> list[str]:
        """Return ids of known users that start with a text."""
        return list(islice((name for name in served.now().users() if name.startswith(search)), n))

    @app.get("/items/{item_id}/similar", response_model=list[Item])
    def similar(item_id: str, n: Number = 10) -> Any:
        """Return the items that the same users rated."""
        return records(served.now().similar_items(item_id, n))

    @app.get("/items")
    def search(search: Annotated[str, Query(max_length=200)], n: Number = 10) -> list[dict[str, Any]]:
        """Find items by title."""
        return records(served.now().search(search, n))

    @app.get("/popular", response_model=Recommendations)
    def popular(n: Number = 10) -> Response:
        """Return what is popular lately."""
        recommender = served.now()
        return listed(recommender, recommender.best("", n))

    @app.post("/predictions")
    def predictions(pairs: Pairs) -> list[dict[str, Any]]:
        """Predict the ratings of items by a user."""
        return records(served.now().predict(pairs.user_id, pairs.items))

    @app.post("/events")
    def new_events(new: Events) -> dict[str, int]:
        """Take new ratings, all or none. A missing timestamp means now."""
        added = served.add(new.events)
        taken.inc(added)
        return {"added": added}

    @app.post("/reload")
    async def reload() -> dict[str, str]:
        """Read the model folder again. If it is damaged, the present model stays."""
        return {"version": await asyncio.to_thread(served.reload)}  # not one of the threads that answer

    @app.post("/rollback")
    def rollback() -> dict[str, str]:
        """Answer by the model before the last reload."""
        return {"version": served.rollback()}

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
        recommender = served.now()
        bundle = recommender.bundle
        return {
            "version": recommender.version,
            "model": bundle.architecture.model,
            "dataset": bundle.context.spec.dataset,
            "data_sha256": bundle.data_sha256,
            "validation": dict(bundle.validation),
            "users": len(recommender.users()),
            "items": len(recommender.catalogue),
            "last_second": recommender.last_second,
        }

    @app.get("/metrics")
    def metrics() -> Response:
        """Return the metrics of Prometheus, of all processes."""
        counted = registry
        if METRICS in os.environ:
            counted = CollectorRegistry()
            MultiProcessCollector(counted)
        return Response(generate_latest(counted), media_type="text/plain; version=0.0.4")

    def about_the_model() -> Papers:
        found = papers_of_export(served.folder) or papers
        if found is None or found.version != served.now().version:
            raise HTTPException(404, "There is no model card and no report of this model here.")
        return found

    @app.get("/card", response_class=HTMLResponse, responses=NOT_FOUND)
    def card() -> str:
        """Return the model card, as a part of a page."""
        return card_as_html(about_the_model().card.read_text(encoding="utf-8"))

    @app.get("/report", response_class=HTMLResponse, responses=NOT_FOUND)
    def report() -> str:
        """Return the report, as a page."""
        return about_the_model().report.read_text(encoding="utf-8")

    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        policy = "default-src 'self'; img-src data:; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
        return HTMLResponse(PAGE.read_text(encoding="utf-8"), headers={"Content-Security-Policy": policy})

    return app
