"""The commands that README.md shows exist, take the options shown, and the cheap ones run."""

import itertools
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import ROOT, Project
from widedeep.files import read_json

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
COMMANDS = [words for block in BLOCKS for line in block.splitlines() if (words := shlex.split(line, comments=True))]
TARGETS = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
CHEAP = ("repro", "status", "dag", "metrics", "params", "plots", "exp show")

of_dvc = [words for words in COMMANDS if words[0] == "dvc"]


def test_readme_shows_commands_of_these_programs_only() -> None:
    assert COMMANDS
    assert {words[0] for words in COMMANDS} <= {"make", "dvc", "source", "cat", "widedeep"}


def test_make_targets_exist_and_have_a_sentence(unrun_project: Project) -> None:
    shown = {words[1] for words in COMMANDS if words[0] == "make" and len(words) > 1}
    assert shown <= set(TARGETS)
    help_lines = unrun_project.run("make").splitlines()
    assert [line.split()[1] for line in help_lines] == TARGETS
    assert all(len(line.split()) > 3 for line in help_lines)


@pytest.mark.parametrize("words", of_dvc, ids=" ".join)
def test_dvc_command_exists_with_its_options(session_project: Project, words: list[str]) -> None:
    subcommands = [word for word in words[1:3] if re.fullmatch("[a-z]+", word)]
    options = {word for word in words if word.startswith("-")}
    described = session_project.run("dvc", *subcommands, "--help")
    assert options <= set(re.findall(r"(?<!\S)--?[A-Za-z][a-z-]*", described))


@pytest.mark.parametrize("words", [words for words in of_dvc if " ".join(words[1:]).startswith(CHEAP)], ids=" ".join)
def test_cheap_dvc_command_runs(project: Project, words: list[str]) -> None:
    project.run(*words)


def test_history_runs_and_drift_shows_the_committed_metrics(project: Project) -> None:
    assert "rating.online.rmse" in project.run("python", "-m", "widedeep.cli", "history")
    assert "the workspace" in project.run("python", "-m", "widedeep.cli", "compare")
    metrics = read_json(ROOT / "reports/metrics.json")
    for knowledge in ("online", "frozen"):
        for name in ("mae", "rmse"):
            value = metrics["rating"][knowledge][name]["value"]
            assert f"{name:<15}  {value:.4f}" in README


def test_parameters_of_the_commands_exist(project: Project) -> None:
    changes = [word for words in of_dvc for option, word in itertools.pairwise(words) if option == "-S"]
    assert changes
    for change in changes:
        name, value = change.split("=")
        project.set({name: value})
    code = "import stages; from widedeep.params import load_params; load_params('params.yaml')"
    project.run("python", "-c", code)


def test_drawing_of_the_stages_is_that_of_dvc(session_project: Project) -> None:
    drawn = [line.rstrip() for line in session_project.run("dvc", "dag", "evaluate").splitlines()]
    assert "\n".join(drawn).strip("\n") in README


def test_results_are_those_of_the_committed_run() -> None:
    for results in ("reports/summary.md", "studies/comparison/results.md"):
        assert (ROOT / results).read_text(encoding="utf-8") in README
    epochs = pd.read_csv(ROOT / "reports/plots/learning_curves.csv")
    for row in (epochs.iloc[0], epochs.iloc[-1]):
        shown = [
            f"epoch {row['epoch']:2.0f}",
            *(f"{name} {value:.4f}" for name, value in row.iloc[1:].dropna().items()),
        ]
        assert "  ".join(shown) in README
    data = read_json(ROOT / "reports/data.json")
    assert f"{data['rows']['read']:,} ratings of MovieLens" in README


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("https://") or Path(ROOT / target).exists(), target
