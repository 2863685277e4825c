"""Commands that serve a model over HTTP, and hand the ratings that it got to the pipeline."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from widedeep.serving.papers import Papers

LOG = "events.sqlite"
LOCAL = "127.0.0.1"
Served = Annotated[Path, typer.Argument(metavar="FOLDER", help="The model that stage train wrote.")]


def serve(
    models: Annotated[Path, typer.Argument(metavar="FOLDER", help="The model that stage train wrote.")] = Path(
        "models"
    ),
    host: Annotated[
        str, typer.Option(help="Address to listen on. The default can be reached from here only.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 8000,
    events: Annotated[
        str,
        typer.Option(
            metavar="FILE|URL",
            help="What keeps new ratings: an SQLite file, or postgresql://user@host/database for several machines.",
        ),
    ] = LOG,
    traces: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Send a trace of each request to this OpenTelemetry collector, such as http://localhost:4318/v1/traces.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Processes that answer. Default: one per core, at most 4.")
    ] = None,
) -> None:
    """Answer over HTTP, and show a page at /.

    The page shows the model card and the report as well, if they are of the same run as the model, or in an export.
    If WIDEDEEP_API_KEY is set, requests need this key in the header X-API-Key.
    """
    import os
    import socket
    import tempfile

    import torch

    from widedeep.errors import UserError

    torch.set_num_threads(1)  # requests run side by side, so more threads for each would only wait for each other
    number = workers or min(4, os.cpu_count() or 1)
    with socket.socket() as server, tempfile.TemporaryDirectory() as metrics:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((host, port))
        except OSError as error:
            raise UserError(f"{host}:{port} is not free ({error.strerror}). Choose another --port.") from None
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics  # read when prometheus_client is imported

        import uvicorn

        from widedeep.serving.app import app_of
        from widedeep.serving.events import EventLog
        from widedeep.serving.served import Served
        from widedeep.serving.workers import run_workers

        if traces:
            if not traces.startswith(("http://", "https://")):
                raise UserError(f"--traces must be a URL that begins with http:// or https://. Got {traces!r} instead.")
            try:
                from widedeep.serving.traces import Traces
            except ImportError as error:
                raise UserError(
                    f"--traces needs a package that is not installed ({error}): "
                    "pip install -c constraints.txt '.[traces]'"
                ) from None

        served = Served(models, EventLog(events))
        papers = _papers(models, served.now().version)
        served.close()
        server.listen(2048)  # so that nobody who reads the next line is turned away
        print(f"http://{host}:{server.getsockname()[1]}", flush=True)

        def answer() -> None:
            served.open()
            app = app_of(served, papers)
            if traces:
                app.add_middleware(Traces, collector=traces, version=served.now().version)
            config = uvicorn.Config(app, log_level="warning", access_log=False, loop="uvloop", http="httptools")
            uvicorn.Server(config).run([server])

        run_workers(number, answer)


def _papers(models: Path, version: str) -> "Papers | None":
    """Find the model card and the report that belong to the model of this repository."""
    import sys

    from widedeep.cli.release import CARD, MODELS, REPORT, check_one_run
    from widedeep.errors import UserError
    from widedeep.serving.papers import Papers

    if models.resolve() != MODELS.resolve():
        return None
    try:
        check_one_run()
    except UserError as error:
        print(f"The page shows no model card: {error}", file=sys.stderr)
        return None
    return Papers(CARD, REPORT, version)


def events(
    out: Annotated[Path, typer.Option(metavar="FILE", help="Write this CSV file.")],
    action: Annotated[Literal["export"], typer.Argument(help="What to do. There is nothing else yet.")] = "export",
    log: Annotated[str, typer.Option("--events", metavar="FILE|URL", help="The same as for `widedeep serve`.")] = LOG,
) -> None:
    """Write the ratings that the server got as CSV.

    Its columns are user_id, item_id, rating and timestamp. Add the rows to your ratings to train on them.
    """
    import csv

    from widedeep.files import replacing
    from widedeep.serving.events import EventLog

    if "://" not in log and not Path(log).exists():
        raise FileNotFoundError(2, "No such file", log)
    rows = [event for _, event in EventLog(log).after(0)]
    with replacing(out) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("user_id", "item_id", "rating", "timestamp"))
        writer.writerows(rows)
    print(f"{out}: {len(rows):,} ratings")
