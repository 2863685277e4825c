"""Commands that serve a model over HTTP, and hand the ratings that it got to the pipeline."""

from pathlib import Path
from typing import Annotated

import typer

LOG = Path("events.sqlite")
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
    events: Annotated[Path, typer.Option(metavar="FILE", help="SQLite file that keeps new ratings.")] = LOG,
) -> None:
    """Answer over HTTP, and show a page at /.

    If WIDEDEEP_API_KEY is set, requests need this key in the header X-API-Key.
    """
    import socket

    import torch
    import uvicorn

    from widedeep.errors import UserError
    from widedeep.serving.app import create_app

    torch.set_num_threads(1)  # requests run side by side, so more threads for each would only wait for each other
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((host, port))
        except OSError as error:
            raise UserError(f"{host}:{port} is not free ({error.strerror}). Choose another --port.") from None
        app = create_app(models, events)
        server.listen(2048)  # so that nobody who reads the next line is turned away
        print(f"http://{host}:{server.getsockname()[1]}", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, loop="uvloop", http="httptools")).run(
            [server]
        )


def events(
    out: Annotated[Path, typer.Option(metavar="FILE", help="Write this CSV file.")],
    log: Annotated[Path, typer.Option("--events", metavar="FILE", help="SQLite file of `widedeep serve`.")] = LOG,
) -> None:
    """Write the ratings that the server got as CSV.

    Its columns are user_id, item_id, rating and timestamp. Add the rows to your ratings to train on them.
    """
    import csv

    from widedeep.files import replacing
    from widedeep.serving.events import EventLog

    if not log.exists():
        raise FileNotFoundError(2, "No such file", str(log))
    rows = [event for _, event in EventLog(log).after(0)]
    with replacing(out) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("user_id", "item_id", "rating", "timestamp"))
        writer.writerows(rows)
    print(f"{out}: {len(rows):,} ratings")
