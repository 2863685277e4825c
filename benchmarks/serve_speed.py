"""Measure `widedeep serve`: start it, load it, and print one line of JSON for each case.

    python -m benchmarks.serve_speed --model models

Requests arrive at a constant rate, whether earlier ones are answered or not (open loop). A latency counts from the
moment at which the request was due, so waiting in a queue counts. One request in ten is of an unknown user. The
generator runs on the same machine as the server, and takes a part of it.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable
from itertools import count, cycle, islice
from pathlib import Path
from statistics import median
from typing import Any
from urllib.request import urlopen

import numpy as np

CONNECTIONS = 200  # at most this many requests are under way
Request = bytes


class Load:
    """Send requests at a constant rate, and collect status and latency of each."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()
        self.seconds: list[float] = []
        self.statuses: Counter[str] = Counter()

    async def run(self, requests: list[Request], rate: float, at: dict[int, Request] | None = None) -> dict[str, Any]:
        """Send `requests`, one every 1 / `rate` seconds. `at`: further requests, before those of these numbers."""
        limit, tasks = asyncio.Semaphore(CONNECTIONS), []
        start = time.perf_counter() + 0.1
        for number, request in enumerate(requests):
            due = start + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            if at and number in at:
                tasks.append(asyncio.create_task(self._send(at[number], time.perf_counter(), limit, counted=False)))
            tasks.append(asyncio.create_task(self._send(request, due, limit)))
        await asyncio.gather(*tasks)
        took = time.perf_counter() - start
        served = np.array(self.seconds or [float("nan")]) * 1000
        return {
            "rate": rate,
            "requests": len(requests),
            "answered": self.statuses["200"],
            "refused": self.statuses["503"],
            "failed": sum(self.statuses.values()) - self.statuses["200"] - self.statuses["503"],
            "p50_ms": round(float(np.percentile(served, 50)), 1),
            "p99_ms": round(float(np.percentile(served, 99)), 1),
            "answered_per_second": round(self.statuses["200"] / took, 1),
        }

    async def _send(self, request: Request, due: float, limit: asyncio.Semaphore, counted: bool = True) -> None:
        async with limit:
            try:
                reader, writer = (
                    self.idle.popleft() if self.idle else await asyncio.open_connection("127.0.0.1", self.port)
                )
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head.lower())
                await reader.readexactly(int(length[1]) if length else 0)
                status = head.split(b" ", 2)[1].decode()
                self.idle.append((reader, writer))
            except (OSError, asyncio.IncompleteReadError) as error:
                status = type(error).__name__
        if counted:
            self.statuses[status] += 1
            if status == "200":
                self.seconds.append(time.perf_counter() - due)

    def close(self) -> None:
        for _, writer in self.idle:
            writer.close()


def get(path: str) -> Request:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def post(path: str, content: Any) -> Request:
    body = json.dumps(content).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def load(port: int, requests: list[Request], rate: float, at: dict[int, Request] | None = None) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        generator = Load(port)
        try:
            return await generator.run(requests, rate, at)
        finally:
            generator.close()

    return asyncio.run(run())


def cases(users: list[str], items: list[str], seconds: int) -> dict[str, Callable[[int], dict[str, Any]]]:
    """Return the cases by name. Each is called with the port, and returns its results."""

    def of_users(n: int, length: int) -> list[Request]:
        known = islice(cycle(users), n)
        return [
            get(f"/users/{'unknown' + str(i) if i % 10 == 9 else user}/recommendations?n={length}")
            for i, user in enumerate(known)
        ]

    length = count(10)

    def uncached(n: int) -> list[Request]:
        """Each list is asked for once: every round of the users asks for a list of another length."""
        rounds = [of_users(len(users), next(length)) for _ in range(n // len(users) + 1)]
        return [request for some in rounds for request in some][:n]

    def new_users(n: int) -> list[Request]:
        rng = np.random.default_rng(0)
        rated = [rng.choice(items, 5, replace=False).tolist() for _ in range(n)]
        return [post("/recommendations", {"ratings": dict.fromkeys(five, 4.0)}) for five in rated]

    def cached(port: int) -> dict[str, Any]:
        some = of_users(500, 9)
        for rate in (100, 100, 300, 300):  # fills the cache of each process: each time other connections ask
            load(port, some, rate)
        return load(port, some * (2 * seconds), 1000)

    def overload(port: int) -> dict[str, Any]:
        result = load(port, uncached(1000 * seconds), 1000)
        time.sleep(5)
        after = load(port, uncached(100), 20)
        return result | {"p99_ms_5_seconds_later": after["p99_ms"], "failed_later": after["failed"]}

    def reload(port: int) -> dict[str, Any]:
        n = 100 * seconds
        return load(port, uncached(n), 100, {n // 3: post("/reload", {})})

    return {
        "not cached": lambda port: load(port, uncached(100 * seconds), 100),
        "new user with five ratings": lambda port: load(port, new_users(100 * seconds), 100),
        "cached": cached,
        "reload": reload,
        "overload": overload,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve_speed", description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models"), help="folder of a model; default: %(default)s")
    parser.add_argument("--seconds", type=int, default=10, help="length of a run; default: %(default)s")
    parser.add_argument("--runs", type=int, default=3, help="runs of a case, whose medians are printed")
    parser.add_argument("--workers", type=int, help="processes of the server; default: that of `widedeep serve`")
    options = parser.parse_args()

    from widedeep.serving.recommender import Recommender

    known = Recommender.load(options.model)
    users, items = known.users(), known.catalogue.ids
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "widedeep.cli", "serve", str(options.model), "--port", "0"]
        command += [] if options.workers is None else ["--workers", str(options.workers)]
        start = time.perf_counter()
        server = subprocess.Popen([*command, "--events", f"{scratch}/events.sqlite"], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline().rpartition(":")[2])
            with urlopen(f"http://127.0.0.1:{port}/ready") as ready:
                assert ready.status == 200
            print(
                json.dumps({"case": "start", "seconds_until_ready": round(time.perf_counter() - start, 2)}), flush=True
            )
            load(port, [get(f"/users/{user}/recommendations?n=8") for user in users[:100]], 50)  # warm up
            for name, case in cases(users, items, options.seconds).items():
                found = [case(port) for _ in range(options.runs)]
                medians = {key: median(result[key] for result in found) for key in found[0]}
                print(json.dumps({"case": name, **medians}), flush=True)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
