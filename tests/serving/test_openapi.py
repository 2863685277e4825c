"""Requests that the OpenAPI document allows, and requests that it forbids: none is answered by a status of 500."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from tests.serving.test_server import Running

SLOW = "/reload"  # reads the model at each request, and takes no input


@pytest.fixture(scope="module")
def api(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    running = Running(folder, tmp_path_factory.mktemp("events") / "events.sqlite", workers=1)
    try:
        yield schemathesis.openapi.from_url(running.url + "/openapi.json").exclude(path=SLOW)
    finally:
        running.end()


@pytest.mark.slow
def test_no_request_is_answered_by_a_failure(api: Any) -> None:
    operations = [found.ok() for found in api.get_all_operations()]
    assert len(operations) > 10
    for operation in operations:
        takes_input = operation.body or list(operation.iter_parameters())
        modes = list(GenerationMode) if takes_input else [GenerationMode.POSITIVE]
        for mode in modes:

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(max_examples=15, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
            def answered(case: Any) -> None:
                case.call_and_validate(checks=[not_a_server_error, response_schema_conformance])

            answered()
