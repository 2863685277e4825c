"""A stage that is killed at any moment leaves whole outputs, and the next run ends as if nothing had happened.

Two runs of the pipeline, old and new, differ in every output. Each test starts a stage of the new run on the old
outputs, and kills it. Afterwards, each output is the old or the new one. WIDEDEEP_KILLS sets the number of random
kills. If it is set, they are also done to a real `dvc repro`.
"""

import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.conftest import FAST, ROOT, Project
from widedeep import files

pytestmark = pytest.mark.slow
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
KILLS = int(os.environ.get("WIDEDEEP_KILLS", "0"))


class Server:
    """Runs stages, one at a time (see `stage_server.py`)."""

    def __init__(self) -> None:
        names = [f"stages.{stage}" for stage in STAGES] + ["ibis.backends.duckdb", "pyarrow.dataset", "sklearn.impute"]
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("stage_server.py"), *names], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def start(self, stage: str, folder: Path, kill_after: int = 0, two_renames: bool = False) -> int:
        """Start a stage in a folder and return the id of its process."""
        arguments = shlex.split(STAGES[stage]["cmd"])[2:]
        assert self.process.stdin
        print(json.dumps([str(folder), arguments, kill_after, two_renames]), file=self.process.stdin, flush=True)
        return self._answer()

    def wait(self) -> int:
        """Return the exit status of the stage, or below 0 the signal that killed it."""
        return self._answer()

    def _answer(self) -> int:
        assert self.process.stdout
        return int(self.process.stdout.readline())


def outputs(stage: str) -> list[str]:
    listed = [*STAGES[stage].get("outs", ()), *STAGES[stage].get("metrics", ())]
    return [path for entry in listed for path in ([entry] if isinstance(entry, str) else entry)]


def content(folder: Path, output: str) -> dict[str, bytes]:
    """Read the files of an output, by path."""
    path = folder / output
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {str(file.relative_to(folder)): file.read_bytes() for file in found if file.is_file()}


@dataclass(frozen=True)
class Runs:
    """The folders of two runs, and the seconds of each stage in the second."""

    old: Path
    new: Path
    seconds: dict[str, float]
    server: Server

    def start(self, stage: str, folder: Path, kill_after: int = 0, two_renames: bool = False) -> int:
        """Start a stage of the new run on the outputs of the old one."""
        shutil.copytree(self.new, folder, dirs_exist_ok=True)
        for output in outputs(stage):
            files.remove(folder / output)
            (shutil.copytree if (self.old / output).is_dir() else shutil.copy)(self.old / output, folder / output)
        return self.server.start(stage, folder, kill_after, two_renames)

    def check_whole(self, stage: str, folder: Path) -> None:
        """Check that each output is the old or the new one."""
        for output in outputs(stage):
            found = content(folder, output)
            assert found in (content(self.old, output), content(self.new, output)), f"{output} is not whole"

    def check_next_run(self, stage: str, folder: Path) -> None:
        """Check that the next run makes the new outputs and leaves nothing else."""
        finish(self.server, stage, folder)
        for output in outputs(stage):
            assert content(folder, output) == content(self.new, output)
        assert not list(folder.rglob("*.partial"))
        assert not list(folder.glob("checkpoints/*"))


def finish(server: Server, stage: str, folder: Path) -> None:
    server.start(stage, folder)
    assert server.wait() == 0, (folder / "printed").read_text(encoding="utf-8")


def write_ratings(path: Path, seed: int) -> None:
    """Make 300 ratings of 15 users and 30 items."""
    draw = random.Random(seed)
    path.mkdir()
    lines = [f"{p // 30},{p % 30},{draw.randint(1, 5)},{1_000_000 + draw.randrange(10**7)}" for p in range(450)]
    draw.shuffle(lines)
    text = "\n".join(["user_id,item_id,rating,timestamp", *lines[:300]])
    (path / "ratings.csv").write_text(text + "\n", encoding="utf-8")


def write_params(path: Path, ratings: Path) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    own = {
        "preprocess.rating_scale": [1, 5],
        "download.dataset": "own",
        "download.source": str(ratings),
        "train.epochs": 3,
        "train.batch_size": 64,
    }
    for name, value in (FAST | own).items():
        *sections, key = name.split(".")
        section = params
        for part in sections:
            section = section[part]
        section[key] = value
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    server = Server()
    seconds = {}
    folders = [tmp_path_factory.mktemp(name) for name in ("old", "new")]
    for seed, folder in enumerate(folders):
        write_ratings(folder / "source", seed)
        write_params(folder / "params.yaml", folder / "source")
        for stage in STAGES:
            start = time.monotonic()
            finish(server, stage, folder)
            seconds[stage] = time.monotonic() - start
    differ = [
        content(folders[0], output) != content(folders[1], output) for stage in STAGES for output in outputs(stage)
    ]
    assert sum(differ) > len(differ) / 2
    yield Runs(folders[0], folders[1], seconds, server)
    server.process.kill()


@pytest.mark.parametrize("stage", STAGES)
def test_kill_after_each_rename_leaves_whole_outputs(ran: Runs, tmp_path: Path, stage: str) -> None:
    killed = 0
    while True:
        ran.start(stage, tmp_path / "run", kill_after=killed + 1)
        status = ran.server.wait()
        if status == 0:
            break
        assert status == -signal.SIGKILL
        killed += 1
        ran.check_whole(stage, tmp_path / "run")
        if KILLS:
            ran.check_next_run(stage, tmp_path / "run")
        shutil.rmtree(tmp_path / "run/checkpoints", ignore_errors=True)
    assert killed >= len(outputs(stage))


def test_kill_between_two_renames_is_mended_by_the_next_run(ran: Runs, tmp_path: Path) -> None:
    """Without an exchange of names, a folder is away for a moment."""
    ran.start("download", tmp_path / "run", kill_after=1, two_renames=True)
    assert ran.server.wait() == -signal.SIGKILL
    assert not (tmp_path / "run/data/raw").exists()
    finish(ran.server, "download", tmp_path / "run")
    assert content(tmp_path / "run", "data/raw") == content(ran.new, "data/raw")
    assert "raw is back: an earlier run was killed" in (tmp_path / "run/printed").read_text(encoding="utf-8")


def test_kill_at_a_random_moment_leaves_whole_outputs(ran: Runs, tmp_path: Path) -> None:
    draw = random.Random(0)
    killed = 0
    for number in range(KILLS or len(STAGES)):
        stage = list(STAGES)[number % len(STAGES)]
        process = ran.start(stage, tmp_path / str(number))
        time.sleep(draw.uniform(0, ran.seconds[stage]))
        with suppress(ProcessLookupError):  # it has ended
            os.kill(process, signal.SIGKILL)
        killed += ran.server.wait() == -signal.SIGKILL
        ran.check_whole(stage, tmp_path / str(number))
        ran.check_next_run(stage, tmp_path / str(number))
    print(f"{killed} of {KILLS or len(STAGES)} stages were killed before they ended")
    assert killed


@pytest.mark.skipif(not KILLS, reason="set WIDEDEEP_KILLS to the number of runs of DVC to kill (a minute for each)")
def test_dvc_killed_at_a_random_moment_ends_with_the_same_lock(unrun_project: Project, tmp_path: Path) -> None:
    old = unrun_project.clone(tmp_path / "old")
    for seed in (0, 1):
        write_ratings(old.path / f"source{seed}", seed)
    write_params(old.path / "params.yaml", Path("source0"))
    old.run("dvc", "repro")
    old.commit()
    new = old.copy(tmp_path / "new")
    write_params(new.path / "params.yaml", Path("source1"))
    start = time.monotonic()
    new.run("dvc", "repro")
    seconds = time.monotonic() - start
    lock = (new.path / "dvc.lock").read_bytes()
    every = [output for stage in STAGES for output in outputs(stage)]
    whole = {output: (content(old.path, output), content(new.path, output)) for output in every}
    draw = random.Random(0)
    killed = changed = brought_back = 0
    for number in range(3 * KILLS):
        run = old.copy(tmp_path / str(number))
        write_params(run.path / "params.yaml", Path("source1"))
        start = time.monotonic()
        process = subprocess.Popen(
            ["dvc", "repro"], cwd=run.path, env=run.environment, start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert process.wait(draw.uniform(0, seconds)) == 0
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        else:  # faster than the runs before: kill the next ones earlier
            seconds = time.monotonic() - start
            shutil.rmtree(run.path)
            continue
        killed += 1
        found = {output: content(run.path, output) for output in every}
        changed += found != {output: states[0] for output, states in whole.items()}
        broken = [output for output in every if found[output] not in whole[output]]
        brought_back += bool(broken)
        assert not [output for output in broken if found[output]], "DVC removes an output, but no output is half"
        run.run("git", "restore", "dvc.lock", "reports")  # DVC may have been killed while it wrote dvc.lock
        run.run("dvc", "checkout", "--force")
        assert not [output for output in every if content(run.path, output) not in whole[output]]
        run.run("dvc", "repro")
        assert (run.path / "dvc.lock").read_bytes() == lock
        assert {output: content(run.path, output) for output in every} == {o: states[1] for o, states in whole.items()}
        shutil.rmtree(run.path)
        print(
            f"{number + 1} runs: {killed} killed, {changed} with new outputs, {brought_back} brought back", flush=True
        )
        if killed == KILLS:
            break
    assert killed == KILLS
