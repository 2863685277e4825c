"""What the README, CONTRIBUTING.md and the pages of docs/ show exists: commands, parameters, numbers, links.

The cheap commands and the Python examples run.
"""

import itertools
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import ROOT, Project
from widedeep.reading import read_json
from widedeep.yaml import parse_yaml

PAGES = {
    path: path.read_text(encoding="utf-8")
    for path in (*(ROOT / name for name in ("README.md", "CONTRIBUTING.md")), *sorted((ROOT / "docs").glob("*.md")))
}
README = PAGES[ROOT / "README.md"]
MODELS = PAGES[ROOT / "docs/model.md"]
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
CHEAP = ("repro", "status", "dag", "metrics", "params", "plots", "exp show")


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def commands(pages: str) -> list[list[str]]:
    """The words of each command, every command once."""
    lines = "".join(blocks(pages, "sh")).replace("\\\n", " ").splitlines()
    found = {line: shlex.split(line, comments=True) for line in lines}
    return [list(words) for words in dict.fromkeys(tuple(words) for words in found.values() if words)]


COMMANDS = commands("\n".join(PAGES.values()))
OF_DVC = [words for words in COMMANDS if words[0] == "dvc"]
# As the arguments of python.
OF_OURS = [["-m", "widedeep.cli", *words[1:]] for words in COMMANDS if words[0] == "widedeep"]
OF_OURS += [words[1:] for words in COMMANDS if words[0] == "python"]


def shown_options(commands: list[list[str]]) -> dict[tuple[str, ...], set[str]]:
    """The options that the pages give to each command."""
    found: dict[tuple[str, ...], set[str]] = {}
    for words in commands:
        of_python = 2 if words[0] == "-m" else 1
        plain = itertools.takewhile(re.compile("[a-z]+").fullmatch, words[of_python : of_python + 2])
        command = (*words[:of_python], *(plain if words[0] == "dvc" or "widedeep.cli" in words else ()))
        options = {word for word in words[of_python:] if word.startswith("-")}
        found.setdefault(command, set()).update(options)
    return found


EXAMPLES = {
    f"{path.name}-{place}": code for path, text in PAGES.items() for place, code in enumerate(blocks(text, "python"))
}


def test_pages_show_commands_of_these_programs_only() -> None:
    assert {words[0] for words in COMMANDS} == {"make", "dvc", "widedeep", "python", "source", "git", "pre-commit"}


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs/pipeline.md"], ids=lambda page: page.name)
def test_no_experiment_starts_from_another_one(page: Path) -> None:
    """An experiment changes the files, unless it is queued or runs in a copy. After it, the page goes back."""
    changed = False
    for line in "".join(blocks(PAGES[page], "sh")).splitlines():
        if line.startswith("dvc exp run") and "--run-all" not in line:
            assert not changed, line
            changed = "--temp" not in line and "--queue" not in line
        elif line.startswith("dvc checkout"):
            changed = False


def test_make_targets_exist_and_have_a_sentence(unrun_project: Project) -> None:
    shown = {words[1] for words in COMMANDS if words[0] == "make" and len(words) > 1}
    assert shown <= set(TARGETS)
    help_lines = unrun_project.run("make").splitlines()
    assert [line.split()[1] for line in help_lines] == TARGETS
    assert all(len(line.split()) > 3 for line in help_lines)


@pytest.mark.parametrize("command", shown_options(OF_DVC), ids=" ".join)
def test_dvc_command_exists_with_its_options(session_project: Project, command: tuple[str, ...]) -> None:
    described = session_project.run(*command, "--help")
    assert shown_options(OF_DVC)[command] <= set(re.findall(r"(?<!\S)--?[A-Za-z][a-z-]*", described))


@pytest.mark.parametrize("command", shown_options(OF_OURS), ids=" ".join)
def test_command_of_ours_exists_with_its_options(unrun_project: Project, command: tuple[str, ...]) -> None:
    described = unrun_project.run("python", *command, "--help")
    assert shown_options(OF_OURS)[command] <= set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", described))


@pytest.mark.parametrize("words", [words for words in OF_DVC if " ".join(words[1:]).startswith(CHEAP)], ids=" ".join)
def test_cheap_dvc_command_runs(project: Project, words: list[str]) -> None:
    project.run(*words)


@pytest.mark.parametrize("name", EXAMPLES)
def test_python_example_runs(session_project: Project, name: str) -> None:
    session_project.run("python", "-c", EXAMPLES[name])


def test_history_runs_and_compare_shows_the_committed_metrics(project: Project) -> None:
    assert "rating.online.rmse" in project.run("python", "-m", "widedeep.cli", "history")
    assert "the workspace" in project.run("python", "-m", "widedeep.cli", "compare")
    metrics = read_json(ROOT / "reports/metrics.json")
    for knowledge in ("online", "frozen"):
        for name in ("mae", "rmse"):
            value = metrics["rating"][knowledge][name]["value"]
            assert f"{name:<15}  {value:.4f}" in README


def test_parameters_of_the_commands_exist(project: Project) -> None:
    changes = [word for words in OF_DVC for option, word in itertools.pairwise(words) if option == "-S"]
    assert changes
    for change in changes:
        name, value = change.split("=")
        project.set({name: parse_yaml(value, change)})  # as DVC reads it
    code = "import stages; from widedeep.params import load_params; load_params('params.yaml')"
    project.run("python", "-c", code)


def test_drawing_of_the_stages_is_that_of_dvc(session_project: Project) -> None:
    drawn = session_project.run("dvc", "dag", "--mermaid")
    stages = dict(re.findall(r'(node\d+)\["(\w+)"\]', drawn))  # those of the studies have a path in their name
    edges = [(stages.get(one), stages.get(other)) for one, other in re.findall(r"(node\d+)-->(node\d+)", drawn)]
    expected = {edge for edge in edges if None not in edge}
    (shown,) = blocks(README, "mermaid")
    assert set(re.findall(r"^ +(\w+)\S*.* --> (\w+)", shown, flags=re.MULTILINE)) == expected


def test_results_are_those_of_the_committed_run() -> None:
    assert (ROOT / "reports/summary.md").read_text(encoding="utf-8") in README
    assert (ROOT / "studies/comparison/results.md").read_text(encoding="utf-8") in MODELS
    epochs = pd.read_csv(ROOT / "reports/plots/learning_curves.csv")
    for row in (epochs.iloc[0], epochs.iloc[-1]):
        shown = [
            f"epoch {row['epoch']:2.0f}",
            *(f"{name} {value:.4f}" for name, value in row.iloc[1:].dropna().items()),
        ]
        assert "  ".join(shown) in README
    data = read_json(ROOT / "reports/data.json")
    assert f"{data['rows']['read']:,} ratings of MovieLens" in README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[page]):
        if not target.startswith("https://"):
            name, _, heading = target.partition("#")
            file = page.parent / name if name else page
            assert file.exists(), target
            assert not heading or re.search(f"^#+ {heading.replace('-', ' ')}$", PAGES[file.resolve()], re.I | re.M), (
                target
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_code_exist(page: Path) -> None:
    """A page names files of the repository by their path, and rooms of the library by a path below it."""
    names = re.findall(r"`([\w./-]+\.(?:py|yaml|yml|toml|md|svg))`", PAGES[page])
    below = [ROOT, ROOT / "src/widedeep", ROOT / "docs"]
    missing = [name for name in names if not any((folder / name).exists() for folder in below)]
    assert not [name for name in missing if "/" in name]


def test_documentation_has_every_page() -> None:
    guide = (ROOT / "docs/guide.py").read_text(encoding="utf-8")
    included = re.findall(r"^\.\. include:: (\S+)$", guide, flags=re.MULTILINE)
    assert sorted(included) == sorted(path.name for path in PAGES if path.parent == ROOT / "docs")
