"""Traces of requests, as a collector of OpenTelemetry gets them from the server."""

import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.serving.test_server import Running
from widedeep.cli import main

pytestmark = pytest.mark.slow
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"  # the example of the W3C


class Collector:
    """Takes spans over HTTP."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self) -> list[Span]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [
            span for request in requests for of in request.resource_spans for scope in of.scope_spans
            for span in scope.spans
        ]  # fmt: skip


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.server.shutdown()


def attributes(span: Span) -> dict[str, str]:
    return {pair.key: pair.value.string_value or str(pair.value.int_value) for pair in span.attributes}


def test_each_request_is_a_span_without_the_id_of_the_user(folder: Path, tmp_path: Path, collector: Collector) -> None:
    running = Running(folder, tmp_path / "events.sqlite", 1, "--traces", collector.url)
    request = urllib.request.Request(
        f"{running.url}/users/secret-name/recommendations", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
    running.end()  # the spans that are left are sent
    route = "/users/{user_id}/recommendations"
    (span,) = [span for span in collector.spans() if span.name == f"GET {route}"]
    assert attributes(span) == {
        "http.request.method": "GET", "http.route": route, "http.response.status_code": "200",
    }  # fmt: skip
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert span.end_time_unix_nano > span.start_time_unix_nano
    assert b"secret-name" not in b"".join(collector.bodies)


def test_a_collector_that_is_not_there_costs_no_answer(folder: Path, tmp_path: Path) -> None:
    running = Running(folder, tmp_path / "events.sqlite", 1, "--traces", "http://127.0.0.1:9/v1/traces")
    assert running.get("/users/1/recommendations")["items"]
    running.end()


def test_a_collector_must_be_a_url(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(folder), "--port", "0", "--traces", "localhost:4318"]) == 2
    assert "--traces must be a URL that begins with http:// or https://. Got 'localhost:4318' instead." in (
        capsys.readouterr().err
    )
