"""Run stages for `tests/test_kills.py`, each in a process of its own that need not import anything again.

The arguments are modules to import. Each line of stdin asks for a run: a JSON list of the folder, the arguments of the
stage as in dvc.yaml, the number of renames after which the process kills itself (0: none), and whether the system
cannot exchange two names. The answer is a line with the id of the process, and a line with its exit status when it has
ended.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import stages  # noqa: F401 puts src/ first
from widedeep import files


def counted(rename: Callable[..., object], kill_after: list[int]) -> Callable[..., object]:
    def run(*arguments: object) -> object:
        result = rename(*arguments)
        kill_after[0] -= result is not False
        if kill_after[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return run


def run_stage(folder: str, arguments: list[str], kill_after: int, two_renames: bool) -> None:
    os.chdir(folder)
    for stream in (1, 2):
        os.dup2(os.open("printed", os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    left = [kill_after]
    Path.replace = counted(Path.replace, left)  # type: ignore[assignment, method-assign]
    exchange = (lambda *_: False) if two_renames else files._exchange
    files._exchange = counted(exchange, left)  # type: ignore[assignment]
    sys.argv = arguments
    import_module(arguments[0]).main()


def main() -> None:
    for name in sys.argv[1:]:
        import_module(name)
    sys.modules["mlflow"] = None  # type: ignore[assignment]  # it takes seconds, and a run without it is whole too
    for line in sys.stdin:
        process = os.fork()
        if not process:
            status = 1
            try:
                run_stage(*json.loads(line))
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(status)
        print(process, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
