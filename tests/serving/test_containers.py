"""Dockerfile, compose.yaml and nginx.conf: they name what exists, and nginx shares requests among the replicas.

Docker itself is not needed: a name server stands in for that of Docker, and two processes for the replicas.
"""

import json
import re
import shutil
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from tests.conftest import ROOT
from tests.serving.postgres import Server
from tests.serving.test_server import RATING, Running, wait_until
from widedeep.cli import APP

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
NGINX = (ROOT / "nginx.conf").read_text(encoding="utf-8")
ADDRESSES = ("127.0.0.2", "127.0.0.3")


def parsed(call: list[str]) -> dict[str, Any]:
    """Read the arguments of `widedeep`, as the command does."""
    command = typer.main.get_command(APP).commands[call[0]]  # type: ignore[attr-defined]
    found: dict[str, Any] = command.make_context(call[0], call[1:]).params
    return found


def test_commands_of_the_containers_are_right() -> None:
    (default,) = re.findall(r"^CMD (.*)$", DOCKERFILE, re.MULTILINE)
    assert re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE) == ['["widedeep"]']
    calls = [parsed(call) for call in (json.loads(default), COMPOSE["server"]["command"])]
    (mount,) = COMPOSE["server"]["volumes"]
    for call in calls:
        assert call["host"] == "0.0.0.0"
        assert call["models"].is_relative_to(mount.split(":")[1])
    database = COMPOSE["database"]["environment"]
    assert calls[1]["events"] == f"postgresql://{database['POSTGRES_USER']}@database/widedeep"
    assert COMPOSE["server"]["environment"]["PGPASSWORD"] == database["POSTGRES_PASSWORD"]


def test_the_image_is_made_of_files_that_exist() -> None:
    sent = set(re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    copied = {name for line in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()}
    assert copied == sent
    assert all((ROOT / name).exists() for name in copied)
    assert "USER widedeep" in DOCKERFILE
    assert "[postgres]" in DOCKERFILE


@contextmanager
def name_server(addresses: tuple[str, ...]) -> Iterator[int]:
    """Answer every question about a name by these addresses. Yield the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def answer() -> None:
            while (received := server.recvfrom(512))[0]:
                question, asker = received
                end = question.index(b"\0", 12) + 5
                counts = b"\0\1" + len(addresses).to_bytes(2, "big") + bytes(4)
                records = [b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(address) for address in addresses]
                server.sendto(question[:2] + b"\x81\x80" + counts + question[12:end] + b"".join(records), asker)

        thread = threading.Thread(target=answer)
        thread.start()
        port = server.getsockname()[1]
        yield port
        server.sendto(b"", ("127.0.0.1", port))
        thread.join()


@pytest.mark.slow
def test_the_proxy_shares_requests_and_a_replica_may_go(postgres: Server, folder: Path, tmp_path: Path) -> None:
    if (nginx := shutil.which("nginx") or shutil.which("/usr/sbin/nginx")) is None:
        pytest.skip("needs nginx (Debian: apt-get install nginx-light)")
    url = postgres.database()
    first = Running(folder, url, 1, "--host", ADDRESSES[0])
    replica = first.url.rpartition(":")[2]
    second = Running(folder, url, 1, "--host", ADDRESSES[1], "--port", replica)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with name_server(ADDRESSES) as names:
        config = NGINX.replace("/tmp/", f"{tmp_path}/").replace("server:8000", f"server:{replica}")
        config = config.replace("127.0.0.11", f"127.0.0.1:{names}").replace("8080", f"127.0.0.1:{port}")
        (tmp_path / "nginx.conf").write_text(config, encoding="utf-8")
        proxy = subprocess.Popen([nginx, "-c", str(tmp_path / "nginx.conf"), "-g", "daemon off;"])
        try:

            def get(path: str, body: Any = None) -> Any:
                headers = {"Content-Type": "application/json"}
                request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers)
                with urllib.request.urlopen(request, timeout=10) as answer:
                    return json.load(answer)

            def ready() -> bool:
                try:
                    return bool(get("/ready"))
                except OSError:
                    return False

            wait_until(ready)
            for number in range(6):  # whoever takes the rating, the next one knows it
                event = {"events": [RATING | {"user_id": f"u{number}"}]}
                assert get("/events", json.dumps(event).encode()) == {"added": 1}
                assert get(f"/users/u{number}/recommendations?n=1")["known"]
            counted = []
            for server in (first, second):
                with urllib.request.urlopen(server.url + "/metrics", timeout=10) as answer:
                    counted.append('route="/events",status="200"' in answer.read().decode())
            assert counted == [True, True]
            first.end()
            assert all(get("/popular?n=3")["items"] for _ in range(6))
        finally:
            proxy.terminate()
            proxy.wait()
            for server in (first, second):
                server.kill()
