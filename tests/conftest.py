"""Fixtures for tests of several rooms."""

import hashlib
import importlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from widedeep.cli import main
from widedeep.errors import exit_on_user_error

pytest_plugins = ["tests.browser", "tests.serving.postgres", "tests.small_data"]

ROOT = Path(__file__).resolve().parents[1]

# Small and fast values. The tests do not depend on the quality of the model.
FAST = {
    "train.epochs": 2,
    "train.learning_rate": 0.001,
    "train.batch_size": 8192,
    "models.wide_deep.embedding_size": 8,
    "models.wide_deep.hidden": [16],
    "evaluate.bootstrap_replicates": 100,
    "evaluate.ranked_questions": 300,
    "evaluate.ks": [10],
}
OUTPUTS = ("data/raw", "data/interim", "data/features", "models", "reports")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use the run of the pipeline, real data or a browser: they are slow.

    The files that use the run of the pipeline come first. They take longest, so at the end no worker waits for another.
    """
    long = set()
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if any(name in fixtures for name in ("session_project", "shared_data", "browse")):
            item.add_marker(pytest.mark.slow)
        if "session_project" in fixtures:
            long.add(item.path)
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with zips of real data sets, which may not be redistributed with this repository."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the real data sets in {folder}")
    return folder


@dataclass(frozen=True)
class Project:
    """A copy of the repository in a folder of its own, with its own git history and DVC cache."""

    path: Path
    environment: dict[str, str]

    def run(self, *command: str, fails: bool = False) -> str:
        """Run a command, check its exit status, and return what it prints on stdout and stderr."""
        done = subprocess.run(
            command, cwd=self.path, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) is fails, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def set(self, changes: dict[str, Any]) -> None:
        """Change values of params.yaml, named as in `dvc exp run -S`."""
        path = self.path / "params.yaml"
        params = yaml.safe_load(path.read_text(encoding="utf-8"))
        for name, value in changes.items():
            *sections, key = name.split(".")
            section = params
            for part in sections:
                section = section[part]
            section[key] = value
        path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")

    def commit(self) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "State")

    def copy(self, path: Path) -> "Project":
        """Copy everything, with outputs and cache."""
        shutil.copytree(self.path, path, symlinks=True)
        return Project(path, self.environment)

    def clone(self, path: Path) -> "Project":
        """Copy only what is in git, without cache."""
        self.run("git", "clone", "--quiet", str(self.path), str(path))
        return Project(path, self.environment)

    def digests(self) -> dict[str, str]:
        """Hash every file in the outputs of the pipeline: SHA-256 by path."""
        files = [file for out in OUTPUTS for file in (self.path / out).rglob("*") if file.is_file()]
        return {str(file.relative_to(self.path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="session", autouse=True)
def clean_environment() -> Iterator[None]:
    """Remove what the surroundings could change: a tracking server, GIT_DIR of a git hook, MAKELEVEL of `make test`."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("MLFLOW_", "GIT_", "DVC_", "MAKE", "MFLAGS", "PYTHONPATH", "PYTHONSAFEPATH")):
                patch.delenv(name)
        # Programs that tests start use one thread: with data this small, and a test beside this one, more only wait.
        patch.setenv("OMP_NUM_THREADS", "1")
        # `python -m widedeep.cli` is the command of this tree, wherever else the package may be installed from.
        patch.setenv("PYTHONPATH", str(ROOT / "src"))
        yield


@pytest.fixture(scope="session")
def unrun_project(clean_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Copy the repository as it is now, with uncommitted changes and fast params, and without results."""
    home = tmp_path_factory.mktemp("home")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),  # for the .gitconfig in it: pygit2, with which DVC commits, reads no GIT_CONFIG_GLOBAL
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "DVC_NO_ANALYTICS": "1",
        "DVC_GLOBAL_CONFIG_DIR": str(home),
        "DVC_SYSTEM_CONFIG_DIR": str(home),
        "DVC_SITE_CACHE_DIR": str(home / "site"),
        # Wide lines, because tests compare tables by their text.
        "COLUMNS": "1000",
    }
    (home / ".gitconfig").write_text("[user]\n    name = Test\n    email = test@example.org\n", encoding="utf-8")
    project = Project(tmp_path_factory.mktemp("unrun") / "repo", environment)
    project.path.mkdir()
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in names:
        if (ROOT / name).is_file() and not name.startswith(("reports/", "dvc.lock")):
            (project.path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, project.path / name)
    project.set(FAST)
    project.run("git", "init", "--quiet")
    project.commit()
    return project


@pytest.fixture(scope="session")
def session_project(unrun_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project after `dvc repro`, with committed results. Tests must not change it."""
    project = unrun_project.clone(tmp_path_factory.mktemp("ran") / "repo")
    project.run("dvc", "repro")
    project.commit()
    return project


@pytest.fixture
def project(session_project: Project, tmp_path: Path) -> Project:
    """A copy of the project after `dvc repro`, for one test."""
    return session_project.copy(tmp_path / "repo")


@pytest.fixture
def run_stage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[Project, str], str]:
    """Run one stage of a project by its command in dvc.yaml, and return what it prints on stderr.

    It runs in this process, because a new one would need seconds to import torch.
    """

    def run(project: Project, stage: str) -> str:
        for name, value in project.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(project.path)
        command = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]["cmd"]
        _, _, module, *arguments = shlex.split(command)
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        with suppress(SystemExit), exit_on_user_error():
            importlib.import_module(module).main()
        return capsys.readouterr().err

    return run


@pytest.fixture
def inspected(
    unrun_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Path], tuple[Project, str]]:
    """Make a project with the answers of `widedeep inspect PATH --write`, and return it and what was printed."""

    def inspect(source: Path) -> tuple[Project, str]:
        project = unrun_project.clone(tmp_path / "repo")
        (project.path / "data").mkdir(exist_ok=True)
        monkeypatch.chdir(project.path)
        assert main(["inspect", str(source), "--write"]) == 0
        return project, capsys.readouterr().out

    return inspect


@pytest.fixture(scope="session")
def stages_run() -> Callable[[str], list[str]]:
    """List the stages that ran, from the output of `dvc repro`."""

    def parse(printed: str) -> list[str]:
        lines = [line.strip() for line in printed.splitlines()]
        return [line.split("'")[1] for line in lines if line.startswith("Running stage")]

    return parse
