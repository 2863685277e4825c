"""The benchmark of the server runs, and counts every request."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_each_case_is_a_line_that_counts_every_request(folder: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.serve_speed", "--model", str(folder), "--seconds", "1", "--runs", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    start, *cases = map(json.loads, done.stdout.splitlines())
    assert start["seconds_until_ready"] > 0
    assert [case["case"] for case in cases] == [
        "not cached",
        "new user with five ratings",
        "cached",
        "reload",
        "overload",
    ]
    for case in cases:
        assert case["answered"] + case["refused"] + case["failed"] == case["requests"]
        assert case["answered"] > 0
        assert case["failed"] == 0
    assert cases[-1]["failed_later"] == 0
