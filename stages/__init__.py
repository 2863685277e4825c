"""One short script per stage of dvc.yaml: read the parameters, call the library, write the outputs."""

import os
import select
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

# `dvc exp run --temp` runs a copy of the repository, but an editable install points to the original. Use the copy.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))


def end_with_dvc() -> None:
    """End this process when the DVC that runs it ends, because DVC does not pass a SIGTERM on to its stages."""
    parent = os.getppid()
    # DVC runs a stage in a shell, which most shells replace by the command itself.
    shell = Path(f"/proc/{parent}/cmdline").read_bytes().split(b"\0")
    if any(b"-m stages." in word for word in shell):
        parent = int(Path(f"/proc/{parent}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    dvc = os.pidfd_open(parent)

    def watch() -> None:
        select.select([dvc], [], [])
        print("DVC has ended, so this stage ends too", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


if "DVC_STAGE" in os.environ and sys.platform == "linux":
    with suppress(OSError):  # without /proc or with an old kernel, the stage runs on
        end_with_dvc()
