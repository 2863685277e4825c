"""What the HTTP server refuses before it looks at a request, and the seconds that each request took.

Errors are problem details (RFC 9457). Nothing that is counted holds the id of a user.
"""

import hmac
import os
import time

from fastapi.responses import JSONResponse
from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

KEY = "WIDEDEEP_API_KEY"
BODY = 2**20  # bytes of a request
AT_ONCE = 32  # requests under way in one process; more are told to come back
OPEN = ("/health", "/ready", "/")  # need no API key


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
