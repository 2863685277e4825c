"""The checks of a change: the GitHub workflows, the scripts that they call, and the hooks of pre-commit."""

import re
import sys
import tomllib
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from tests.conftest import ROOT, Project

WORKFLOWS: dict[str, dict[Any, Any]] = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in (ROOT / ".github/workflows").glob("*.yml")
}
WORKFLOW = WORKFLOWS["drift"]
JOB: dict[str, Any] = WORKFLOW["jobs"]["drift"]
SCRIPT = (ROOT / ".ci/drift").read_text(encoding="utf-8")


@pytest.fixture
def ready(project: Project) -> Project:
    """Copy the project after `dvc repro`, with a .venv that runs the commands of this environment."""
    commands = {"python": f"exec '{sys.executable}'", "widedeep": f"exec '{sys.executable}' -m widedeep.cli"}
    commands["dvc"] = f"exec '{sys.executable}' -m dvc"
    folder = project.path / ".venv/bin"
    folder.mkdir(parents=True)
    for name, command in commands.items():
        (folder / name).write_text(f'#!/bin/sh\n{command} "$@"\n', encoding="utf-8")
        (folder / name).chmod(0o755)
    (project.path / ".venv/.installed").touch()  # so that `make install` has nothing to do
    return project


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_of_a_workflow_are_pinned(name: str) -> None:
    (job,) = WORKFLOWS[name]["jobs"].values()
    used = [step["uses"] for step in job["steps"] if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+\.\d+\.\d+", action) for action in used)


def test_lint_and_tests_run_with_every_supported_python() -> None:
    assert WORKFLOWS["test"][True] == {"push": {"branches": ["main"]}, "pull_request": None}
    job = WORKFLOWS["test"]["jobs"]["test"]
    pythons = SpecifierSet(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"])
    assert job["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(30) if f"3.{minor}" in pythons]
    assert job["steps"][-1]["run"] == ".ci/run"
    commands = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    assert [line for line in commands if line.startswith("make ")] == [
        "make install",
        "make lint",
        "make docs",
        "make test",
    ]


def test_hooks_run_what_make_lint_runs() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lint = re.findall(
        r"^\t(.+?)(?: \.)?$", makefile.partition("\nlint: install\n")[2].partition("\n\n")[0], re.MULTILINE
    )
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert repository["repo"] == "local"  # so that nothing is downloaded
    assert [hook["entry"].removesuffix(" --force-exclude") for hook in repository["hooks"]] == lint


def test_workflow_runs_the_script_against_the_base_with_all_history() -> None:
    assert WORKFLOW[True] == "pull_request"  # YAML 1.1 reads the key `on` as true
    steps = JOB["steps"]
    (checkout,) = (step for step in steps if step.get("uses", "").startswith("actions/checkout@"))
    assert checkout["with"]["fetch-depth"] == 0
    (check,) = (step for step in steps if ".ci/drift" in step.get("run", ""))
    assert check["run"] == '.ci/drift "origin/$BASE"'
    assert check["env"] == {"BASE": "${{ github.base_ref }}"}
    assert not check.get("continue-on-error", False)  # the status of the step is that of the gates
    shown = [step for step in steps if "drift.md" in step.get("run", "")]
    assert len(shown) == 2
    assert all("!cancelled()" in step["if"] for step in shown)  # also when a gate is broken


def test_workflow_leaves_the_commands_to_the_script() -> None:
    run = "\n".join(step.get("run", "") for step in JOB["steps"])
    for command in ("make install", "dvc pull", "make repro", "widedeep compare"):
        assert command in SCRIPT
        assert command not in run


def test_workflow_may_write_comments_and_nothing_else() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read", "pull-requests": "write"}
    # Text from others, such as the name of a branch, is never put into the text of a command.
    assert not any("${{" in step.get("run", "") for step in JOB["steps"])


def test_script_writes_the_table_and_ends_as_the_gates_do(ready: Project) -> None:
    printed = ready.run(".ci/drift", "HEAD")
    table = (ready.path / "drift.md").read_text(encoding="utf-8")
    assert table in printed
    assert "and the workspace are the same: parameters, data and metrics." in table
    assert (ready.path / "reports/drift.html").is_file()
    assert ready.run("git", "status", "--porcelain") == ""

    # A model that hardly learns is worse by more than the gates allow.
    gate = {"relative": 0.0, "absolute": None, "significant": False}
    ready.set(
        {
            "train.learning_rate": 1e-9,
            "models.wide_deep.wide_learning_rate": 1e-9,
            "compare.gates": {"rating.online.rmse": gate},
        }
    )
    assert "broken gate: rating.online.rmse" in ready.run(".ci/drift", "HEAD", fails=True)
    table = (ready.path / "drift.md").read_text(encoding="utf-8")
    assert "| `rating.online.rmse` |" in table
    assert "**BROKEN**" in table

    assert "There is no revision 'nowhere'" in ready.run(".ci/drift", "nowhere", fails=True)
    assert not (ready.path / "drift.md").exists()
    assert "the base revision is missing" in ready.run(".ci/drift", fails=True)


def test_outputs_that_are_not_in_the_cache_fail_make_and_the_script(ready: Project) -> None:
    """`dvc repro` ends with 0 if the disk of its cache is full. Here it does nothing, and a file is missing."""
    dvc = ready.path / ".venv/bin/dvc"
    dvc.write_text(dvc.read_text(encoding="utf-8").replace("exec", '[ "$1" = repro ] && exit\nexec'), encoding="utf-8")
    ready.run("make", "repro")
    largest = max((ready.path / ".dvc/cache/files").rglob("*"), key=lambda file: file.stat().st_size)
    largest.unlink()
    for command in (["make", "repro"], [".ci/drift", "HEAD"]):
        assert "error: DVC's cache lacks outputs" in ready.run(*command, fails=True)
    assert not (ready.path / "drift.md").exists()
