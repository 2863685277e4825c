"""The commit where a metric got worse, in small repositories: from stored results, and by runs of their pipeline."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Project
from widedeep.cli import main
from widedeep.compare.bisect import Found, bisect, describe
from widedeep.errors import UserError
from widedeep.revisions import Paths

PATHS = Paths(*map(Path, ("metrics.json", "params.yaml", "data.json", "tables", "per_user.parquet", "dvc.lock")))
RMSE, NDCG = "rating.online.rmse", "ranking.frozen.ndcg_at_10"
PIPELINE = """
stages:
  train:
    cmd: python train.py
    deps: [train.py, code.txt]
    params: [train]
    outs: [per_user.parquet]
    metrics: [metrics.json: {cache: false}]
"""
# RMSE is train.rate plus the number in code.txt. Each run is noted in a file outside the repository.
STAGE = """
import json, pathlib, yaml
import pandas as pd
rmse = yaml.safe_load(open("params.yaml"))["train"]["rate"] + float(open("code.txt").read())
with open("RUNS", "a") as runs:
    runs.write("run\\n")
errors = [0.9 * rmse**2, 1.1 * rmse**2]
pd.DataFrame({"user_id": [1, 2], "n": [1, 1], "online_squared_error": errors}).to_parquet("per_user.parquet")
metric = {"value": rmse, "low": rmse - 0.1, "high": rmse + 0.1, "n": 2}
pathlib.Path("metrics.json").write_text(json.dumps({"rating": {"online": {"rmse": metric}}}))
"""


@pytest.fixture
def project(empty: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Enter a repository without commits."""
    for name, value in empty.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(empty.copy(tmp_path / "repo").path)
    return Project(tmp_path / "repo", empty.environment)


def commit(
    project: Project, subject: str, rmse: float | None = None, rows: str = "a", files: Mapping[str, str] | None = None
) -> str:
    """Commit these results, without a run, and files. Return the SHA-1."""
    files = {"notes": subject} | dict(files or {})
    if rmse is not None:
        values = {"rating": {"online": {"rmse": {"value": rmse, "low": rmse - 0.1, "high": rmse + 0.1, "n": 6}}}}
        files |= {"metrics.json": json.dumps(values), "data.json": json.dumps({"test_sha256": rows})}
    for name, text in files.items():
        (project.path / name).write_text(text)
    project.run("git", "add", "--all")
    project.run("git", "commit", "-q", "--message", subject)
    return project.run("git", "rev-parse", "HEAD").strip()


def search(said: list[str], metric: str = RMSE, good: str | None = None, bad: str = "HEAD") -> Found:
    return bisect(metric, good, bad, PATHS, said.append)


def test_stored_results_are_enough_where_every_commit_has_its_own(project: Project) -> None:
    values = [0.80, 0.81, 0.79, 0.80, 0.95, 0.96, 0.94, 0.95]
    shas = [commit(project, f"c{place}", value) for place, value in enumerate(values)]
    said: list[str] = []
    found = search(said, good=shas[0])
    assert found.suspects == (shas[4],)
    assert (found.before.commit, found.after.commit) == (shas[3], shas[4])
    assert len(said) == 2 + 3  # both ends, and log2 of 8
    assert all("stored" in line for line in said)
    assert said[0] == f"{shas[0][:7]} {said[0].split()[1]} c0\n  good, stored: 0.800 [0.700, 0.900]"
    assert describe(found, RMSE).startswith(f"{RMSE} got worse in this commit:\n  {shas[4][:7]} ")
    assert describe(found, RMSE).endswith(" c4\n")


def test_without_a_good_commit_the_best_on_the_same_test_rows_is_taken(project: Project) -> None:
    values = [(0.5, "other rows"), (0.82, "a"), (0.80, "a"), (0.81, "a"), (0.9, "a")]
    shas = [commit(project, f"c{place}", *value) for place, value in enumerate(values)]
    said: list[str] = []
    assert search(said).suspects == (shas[4],)
    assert said[0].startswith(f"{shas[2][:7]} ")


def test_later_commits_without_results_cannot_be_the_cause(project: Project) -> None:
    shas = [commit(project, "good", 0.8), commit(project, "bad", 0.9), commit(project, "note")]
    found = search([], good=shas[0])
    assert found.suspects == (shas[1],)


@pytest.fixture
def lumped(project: Project) -> tuple[Project, list[str], Callable[[], int]]:
    """Make a pipeline whose results were stored after the first commit and after the last: RMSE 0.8 and 0.9.

    The cause is the third of four commits; the fourth changes no input. The last item counts the runs.
    """
    runs = project.path.parent / "runs"
    files = {"dvc.yaml": PIPELINE, "train.py": STAGE.replace("RUNS", str(runs)), "params.yaml": "train: {rate: 0.5}"}
    for name, text in {**files, "code.txt": "0.3"}.items():
        (project.path / name).write_text(text)
    project.run("dvc", "repro", "-q")
    shas = [commit(project, "good"), commit(project, "other way", files={"params.yaml": "train: {rate: 0.6}",
                                                                     "code.txt": "0.2"})]  # fmt: skip
    shas += [commit(project, "cause", files={"code.txt": "0.3"}), commit(project, "a note")]
    project.run("dvc", "repro", "-q")
    shas.append(commit(project, "results"))
    runs.write_text("")
    return project, shas, lambda: len(runs.read_text().splitlines())


@pytest.mark.slow
def test_commits_without_results_are_run_and_the_tree_of_the_user_stays(
    lumped: tuple[Project, list[str], Callable[[], int]],
) -> None:
    project, shas, runs = lumped
    (project.path / "code.txt").write_text("an edit that is not committed")
    before = {path: path.read_bytes() for path in project.path.iterdir() if path.is_file()}
    said: list[str] = []
    found = search(said, good=shas[0])
    assert found.suspects == (shas[2],)
    assert found.before.metrics["rating"]["online"]["rmse"]["value"] == pytest.approx(0.8)
    assert found.after.metrics["rating"]["online"]["rmse"]["value"] == pytest.approx(0.9)
    assert found.after.per_user is not None  # so that the interval of the difference is paired
    assert [line.splitlines()[1].split(":")[0] for line in said[2:]] == ["  bad, run", "  good, run"]
    assert runs() == 1  # DVC's run cache has the results of the cause, because the last commit has the same inputs
    assert {path: path.read_bytes() for path in project.path.iterdir() if path.is_file()} == before
    assert project.run("git", "status", "--porcelain") == " M code.txt\n"
    assert project.run("git", "branch", "--format=%(refname:short)") == "main\n"
    assert len(project.run("git", "worktree", "list").splitlines()) == 1


@pytest.mark.slow
def test_commit_whose_pipeline_fails_is_passed_over(lumped: tuple[Project, list[str], Callable[[], int]]) -> None:
    project, shas, _ = lumped
    project.run("git", "reset", "-q", "--hard", shas[1])
    broken = [commit(project, "typo", files={"code.txt": "O.3"})]
    (project.path / "code.txt").write_text("0.3")
    project.run("dvc", "repro", "-q")
    broken.append(commit(project, "mended"))
    said: list[str] = []
    found = search(said, good=shas[0])
    assert found.suspects == tuple(broken)
    assert any("typo\n  cannot be judged: `dvc repro` failed: " in line for line in said)
    assert describe(found, RMSE).startswith(f"{RMSE} got worse in one of these commits.")
    assert len(project.run("git", "worktree", "list").splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"metric": "rating.online.rsme"},
            "HEAD has no metric 'rating.online.rsme'. Did you mean 'rating.online.rmse'",
        ),
        ({"good": "HEAD", "bad": "HEAD~1"}, "rating.online.rmse is not worse in HEAD~1 (0.8) than in HEAD (0.9)."),
        ({"good": "HEAD~1", "bad": "workspace"}, "BAD must be a commit, tag or branch."),
        ({"good": "workspace"}, "GOOD must be a commit, tag or branch, not the workspace."),
        ({"good": "side"}, "GOOD must come before BAD, along first parents."),
        ({"good": "nowhere"}, "There is no revision 'nowhere'"),
        ({"bad": "HEAD~1"}, "is not worse in HEAD~1 (0.8) than in HEAD~1 (0.8)."),
    ],
)
def test_mistake_says_what_to_do(project: Project, arguments: dict[str, Any], message: str) -> None:
    commit(project, "good", 0.8)
    project.run("git", "checkout", "-q", "-b", "side")
    commit(project, "aside", 0.7)
    project.run("git", "checkout", "-q", "main")
    commit(project, "bad", 0.9)
    with pytest.raises(UserError) as raised:
        search([], **arguments)
    assert message in str(raised.value)


def test_metric_without_a_good_direction_needs_a_good_commit(project: Project) -> None:
    coverage = "ranking.frozen.coverage_at_10"

    def stored(value: float) -> str:
        return json.dumps({"ranking": {"frozen": {"coverage_at_10": {"value": value, "low": value, "high": value}}}})

    shas = [commit(project, f"c{value}", files={"metrics.json": stored(value)}) for value in (0.3, 0.3001, 0.1)]
    with pytest.raises(UserError, match=r"Give a GOOD commit: ranking.frozen.coverage_at_10 has no good direction"):
        search([], coverage)
    assert search([], coverage, good=shas[0]).suspects == (shas[2],)


@pytest.mark.slow
def test_command_prints_steps_commit_values_and_changed_params(
    unrun_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = unrun_project.copy(tmp_path / "copy")
    for name, value in project.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(project.path)

    def store(rmse: float) -> None:
        values = {"rating": {"online": {"rmse": {"value": rmse, "low": rmse - 0.01, "high": rmse + 0.01, "n": 6}}}}
        (project.path / "reports/metrics.json").write_text(json.dumps(values))
        project.commit()

    (project.path / "reports").mkdir(exist_ok=True)
    store(0.8)
    store(0.801)
    project.set({"train.epochs": 7})
    store(0.9)
    assert main(["bisect", "--metric", RMSE, "HEAD~2"]) == 0
    printed = capsys.readouterr().out
    assert printed.count(", stored: 0.") == 3
    assert f"\n{RMSE} got worse in this commit:\n" in printed
    assert "train.epochs  2 -> 7" in printed
    assert "more metrics" not in printed
    assert "rmse  0.8010  0.9000  +0.0990  [0.0849, 0.1131]  stored" in printed
