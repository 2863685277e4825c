"""A stage ends when the DVC that runs it ends."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STAGE = """\
import os, time
from pathlib import Path
Path("began").write_text(str(os.getpid()))
Path("began").rename("pid")
time.sleep(60)
"""


def wait_until(done: object, seconds: float = 30) -> None:
    assert callable(done)
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


def runs(pid: int) -> bool:
    """Say whether a process runs. One that has ended may wait for its parent to notice (state Z)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a stage watches DVC on Linux only")
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("command", ["python -m stages.wait", "python -m stages.wait; true"])
def test_stage_ends_with_dvc(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, ending: signal.Signals
) -> None:
    """With something after the command, the shell stays between DVC and the stage."""
    (tmp_path / "stages").mkdir()
    shutil.copy(root / "stages/__init__.py", tmp_path / "stages")
    (tmp_path / "stages/wait.py").write_text(STAGE)
    (tmp_path / "dvc.yaml").write_text(f"stages: {{wait: {{cmd: '{command}'}}}}")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.chdir(tmp_path)
    subprocess.run(["dvc", "init", "--quiet", "--no-scm"], check=True)
    with Path("printed").open("w") as printed:
        dvc = subprocess.Popen(["dvc", "repro"], stdout=printed, stderr=printed)
    try:
        wait_until(lambda: Path("pid").exists())
    finally:
        dvc.send_signal(ending)
        dvc.wait()
    stage = int(Path("pid").read_text())
    try:
        wait_until(lambda: not runs(stage), 10)
    finally:
        if runs(stage):
            os.kill(stage, signal.SIGKILL)
    assert "DVC has ended, so this stage ends too" in Path("printed").read_text()


def test_stage_by_hand_does_not_watch_its_parent(root: Path) -> None:
    """A stage that `nohup` started goes on when its terminal closes."""
    code = "import stages, threading; print(threading.active_count())"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
