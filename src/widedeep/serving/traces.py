"""Traces of OpenTelemetry: one span for each request, sent to a collector. No span holds the id of a user."""

from opentelemetry import propagate
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Traces:
    """Measure each request as a span, and send the spans in the background.

    Spans follow the conventions of OpenTelemetry for HTTP servers: the name is method and route, such as
    `GET /users/{user_id}/recommendations`. A caller's header `traceparent` makes the span a part of its trace. If the
    collector cannot be reached, spans are lost and answers are not.

    Make this in the process that answers: its thread does not survive a fork.

    collector : URL of OTLP over HTTP, such as http://localhost:4318/v1/traces
    version : of the model, an attribute of all spans
    """

    def __init__(self, app: ASGIApp, collector: str, version: str) -> None:
        self.app = app
        resource = Resource.create({"service.name": "widedeep", "service.version": version})
        self.provider = TracerProvider(resource=resource)
        self.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=collector)))
        self.tracer = self.provider.get_tracer("widedeep")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            self.provider.shutdown()  # sends what is left
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        method = scope["method"]
        with self.tracer.start_as_current_span(
            method, propagate.extract(headers), SpanKind.SERVER, {"http.request.method": method}
        ) as span:

            async def watched(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(Status(StatusCode.ERROR))
                await send(message)

            await self.app(scope, receive, watched)
            if route := getattr(scope.get("route"), "path", None):
                span.set_attribute("http.route", route)
                span.update_name(f"{method} {route}")
