"""Several processes that answer at one port. They are forked, so they share the memory of what was loaded before."""

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

REST = 1.0  # seconds before a process that has died is replaced


def run_workers(number: int, work: Callable[[], None]) -> None:
    """Do `work` in several processes until this one gets SIGTERM or SIGINT. A process that dies is replaced.

    If this process is killed, its workers end too.
    """
    workers: set[int] = set()
    ending = False
    lives, parent = os.pipe()  # the workers see its end if this process is gone

    def end(signum: int, frame: FrameType | None) -> None:
        nonlocal ending
        ending = True
        for worker in workers:
            os.kill(worker, signal.SIGTERM)

    def start() -> None:
        if worker := os.fork():
            workers.add(worker)
            return
        status = 1
        try:
            for signum in (signal.SIGTERM, signal.SIGINT):
                signal.signal(signum, signal.SIG_DFL)
            os.close(parent)
            threading.Thread(target=_end_with_parent, args=(lives,), daemon=True).start()
            work()
            status = 0
        finally:
            os._exit(status)

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, end)
    for _ in range(number):
        start()
    while workers:
        worker, _ = os.wait()
        workers.discard(worker)
        if not ending:
            time.sleep(REST)
        if not ending:
            start()


def _end_with_parent(lives: int) -> None:
    os.read(lives, 1)  # nothing is ever written, so this returns when the other end is closed
    os.kill(os.getpid(), signal.SIGTERM)
