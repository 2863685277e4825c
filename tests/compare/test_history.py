"""The history of a small repository that is made commit by commit. After a real run it agrees with MLflow."""

import json
import re
import sys
from collections.abc import Callable, Mapping
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import Project
from widedeep.cli import main
from widedeep.cli.versions import PATHS
from widedeep.compare.history import Commit, as_table, chosen, headline_metrics, history, remarks, render_history
from widedeep.compare.pictures import history_figures, history_finding
from widedeep.errors import UserError
from widedeep.reading import read_json
from widedeep.report.labels import metric_label
from widedeep.tracking import MODEL_LOCK

RMSE, NDCG = "rating.online.rmse", "ranking.frozen.ndcg_at_10"
Past = Callable[..., list[Commit]]


def entered(made: Project, path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Copy a repository, and go there."""
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    project = made.copy(path)
    monkeypatch.chdir(project.path)
    return project


@pytest.fixture(scope="module")
def without_results(empty: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Make a repository of git and DVC without results."""
    copy = empty.copy(tmp_path_factory.mktemp("history") / "repo")
    (copy.path / "reports").mkdir()
    # A fixed day, because a test at midnight could see two days.
    return Project(copy.path, copy.environment | {"GIT_COMMITTER_DATE": "2026-05-04T12:00:00Z"})


@pytest.fixture
def project(without_results: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Enter a repository of git and DVC without results."""
    return entered(without_results, tmp_path / "repo", monkeypatch)


def commit(
    project: Project,
    subject: str,
    metrics: Mapping[str, Any] | str | None = None,
    train: Mapping[str, Any] | None = None,
    test_rows: str = "a",
) -> None:
    """Commit these metrics and parameters. Without both, commit a note."""
    path = project.path
    if metrics is not None:
        text = metrics if isinstance(metrics, str) else json.dumps(nested(metrics))
        (path / "reports/metrics.json").write_text(text)
        (path / "reports/data.json").write_text(json.dumps({"test_sha256": test_rows}))
    if train is not None:
        (path / "params.yaml").write_text(json.dumps({"train": train}))
    with (path / "notes").open("a") as notes:
        notes.write(f"{subject}\n")
    project.run("git", "add", "--all")
    project.run("git", "commit", "-q", "--message", subject)


def nested(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Nest `{"rating.online.rmse": 0.9}` as in reports/metrics.json, with an interval of 0.01 to each side."""
    found: dict[str, Any] = {}
    for name, value in metrics.items():
        *place, last = name.split(".")
        inner = found
        for part in place:
            inner = inner.setdefault(part, {})
        inner[last] = {"value": value, "low": round(value - 0.01, 6), "high": round(value + 0.01, 6), "n": 50}
    return found


def past(last: int = 20, since: str | None = None) -> list[Commit]:
    return history(PATHS, "models", last, since)


@pytest.fixture(scope="module")
def made_three(without_results: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Make three commits that changed the metrics, and two that did not."""
    project = without_results.copy(tmp_path_factory.mktemp("three") / "repo")
    commit(project, "First", {RMSE: 0.9}, {"epochs": 1, "rate": 0.1})
    commit(project, "Only words")
    commit(project, "Longer", {RMSE: 0.85, NDCG: 0.2}, {"epochs": 20, "rate": 0.1})
    project.run("git", "tag", "v1")
    commit(project, "Params without results", train={"epochs": 30, "rate": 0.1})
    commit(project, "Third", {RMSE: 0.84, NDCG: 0.21}, {"epochs": 30, "rate": 0.1, "size": 8})
    return project


@pytest.fixture
def three(made_three: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Enter a repository with three commits that changed the metrics, and two that did not."""
    return entered(made_three, tmp_path / "repo", monkeypatch)


@pytest.mark.usefixtures("three")
def test_commits_that_changed_the_metrics_oldest_first_with_what_changed_before() -> None:
    commits = past()
    assert [one.subject for one in commits] == ["First", "Longer", "Third"]
    assert [one.estimates[RMSE]["value"] for one in commits] == [0.9, 0.85, 0.84]
    assert [dict(one.changed) for one in commits] == [
        {}, {"train.epochs": (1, 20)}, {"train.epochs": (20, 30), "train.size": (None, 8)}
    ]  # fmt: skip
    assert all(one.comparable and not one.problem for one in commits)
    assert remarks(commits) == []


def test_terminal_table_by_hand(three: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", "--last", "2"]) == 0
    shas = [one.sha[:7] for one in past(2)]
    assert capsys.readouterr().out == (
        "commit   date        rating.online.rmse    ranking.frozen.ndcg_at_10  subject\n"
        f"{shas[0]}  2026-05-04  0.850 [0.840, 0.860]  0.200 [0.190, 0.210]       Longer\n"
        "         train.epochs 1 → 20\n"
        f"{shas[1]}  2026-05-04  0.840 [0.830, 0.850]  0.210 [0.200, 0.220]       Third\n"
        "         train.epochs 20 → 30\n"
        "         1 new parameter\n"
    )


@pytest.mark.usefixtures("three")
def test_last_and_since_bound_it_and_changes_are_still_those_since_the_commit_before() -> None:
    assert [one.subject for one in past(2)] == ["Longer", "Third"]
    assert past(2)[0].changed == {"train.epochs": (1, 20)}
    assert [one.subject for one in past(since="v1")] == ["Longer", "Third"]
    assert [one.subject for one in past(last=1, since="v1")] == ["Third"]
    with pytest.raises(UserError, match="no revision 'v2'"):
        past(since="v2")
    with pytest.raises(UserError, match="Got 'workspace' instead"):
        past(since="workspace")


def test_of_a_branch_only_the_merge_counts(three: Project) -> None:
    three.run("git", "checkout", "-q", "-b", "topic")
    commit(three, "Tried", {RMSE: 0.8})
    commit(three, "Tried more", {RMSE: 0.7})
    three.run("git", "checkout", "-q", "main")
    commit(three, "Meanwhile")
    three.run("git", "checkout", "-q", "topic", "--", "notes")  # no conflict there
    three.run("git", "commit", "-q", "--message", "Same notes")
    three.run("git", "merge", "-q", "--no-ff", "--strategy-option=theirs", "--message", "Merge topic", "topic")
    assert [one.subject for one in past()] == ["First", "Longer", "Third", "Merge topic"]
    assert past()[-1].estimates[RMSE]["value"] == 0.7


def test_a_metric_that_a_commit_lacks_leaves_a_gap(three: Project) -> None:
    commit(three, "Fourth", {RMSE: 0.83})
    commit(three, "Fifth", {RMSE: 0.82, NDCG: 0.3})
    commits = past()
    table = as_table(commits, [NDCG])
    assert table["value"].tolist() == [0.2, 0.21, 0.3]
    assert table["subject"].tolist() == ["Longer", "Third", "Fifth"]
    assert [len(line) for line in drawn(commits, NDCG)] == [2, 1]
    assert [len(line) for line in drawn(commits, RMSE)] == [5]


def drawn(commits: list[Commit], metric: str) -> list[list[str]]:
    """List the points of each line of a picture."""
    (picture,) = history_figures(commits, [metric])
    return [points.split() for points in re.findall(r'<polyline points="([^"]+)"', picture.svg)]


def test_lines_break_where_the_test_rows_change_and_titles_speak_of_the_present_ones(three: Project) -> None:
    commit(three, "Other data", {RMSE: 0.7}, test_rows="b")
    assert history_finding(past(), RMSE) == "Online RMSE: 0.700, measured by one commit only"
    commit(three, "Same data", {RMSE: 0.69}, test_rows="b")
    commits = past()
    assert [one.comparable for one in commits] == [True, True, True, False, True]
    assert [len(line) for line in drawn(commits, RMSE)] == [3, 2]
    assert "different test rows" in render_history(commits, [RMSE])
    assert history_finding(commits, RMSE) == "Online RMSE: 0.700 to 0.690 in 2 commits; the intervals overlap"
    assert history_finding(commits, NDCG) == "Frozen NDCG at 10: not measured on the current test rows"
    commit(three, "Better", {RMSE: 0.5}, test_rows="b")
    assert history_finding(past(), RMSE).endswith("0.700 to 0.500 in 3 commits; the intervals do not overlap")


def test_metrics_of_another_shape_and_files_that_cannot_be_read(three: Project) -> None:
    commit(three, "Plain numbers", json.dumps({"rating": {"online": {"rmse": 0.8}}, "words": "none", "odd": [1]}))
    commit(three, "Broken", "{")
    commit(three, "A list", "[1]")
    commits = past()
    assert dict(commits[3].estimates) == {RMSE: {"value": 0.8}}
    assert "0.800  " in render_history(commits, [RMSE])
    assert [dict(one.estimates) for one in commits[4:]] == [{}, {}]
    said = remarks(commits)
    assert len(said) == 2
    assert said[0].startswith(f"{commits[4].sha[:7]} shows no metrics: reports/metrics.json of {commits[4].sha} is not")
    assert len(as_table(commits, [RMSE])) == 4
    assert [len(line) for line in drawn(commits, RMSE)] == [4]


def test_metrics_that_are_not_those_of_the_lock_are_noted(three: Project) -> None:
    lock = f"stages: {{evaluate: {{outs: [{{path: reports/metrics.json, md5: {'a' * 32}}}]}}}}\n"
    (three.path / "dvc.lock").write_text(lock, encoding="utf-8")
    commit(three, "Edited", {RMSE: 0.1})
    commits = past()
    assert remarks(commits) == [f"the metrics of {commits[-1].sha[:7]} are not those of its dvc.lock"]


def test_a_commit_that_took_the_metrics_away_is_left_out(three: Project) -> None:
    (three.path / "reports/metrics.json").unlink()
    commit(three, "Gone")
    assert [one.subject for one in past()] == ["First", "Longer", "Third"]


def test_one_commit_and_none(project: Project) -> None:
    commit(project, "Without results")
    with pytest.raises(UserError, match=r"No commit has changed reports/metrics.json"):
        past()
    commit(project, "First", {RMSE: 0.9})
    commits = past()
    assert [one.subject for one in commits] == ["First"]
    assert history_finding(commits, RMSE) == "Online RMSE: 0.900, measured by one commit only"
    assert [len(line) for line in drawn(commits, RMSE)] == [1]


def test_shallow_clone_says_so(three: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    three.run("git", "clone", "-q", "--depth", "1", f"file://{three.path}", str(tmp_path / "shallow"))
    monkeypatch.chdir(tmp_path / "shallow")
    commits = past()
    assert [one.subject for one in commits] == ["Third"]
    assert remarks(commits)[-1].endswith("`git fetch --unshallow`")


def test_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert main(["history"]) == 2
    assert "is not in a git repository" in capsys.readouterr().err


@pytest.mark.usefixtures("three")
def test_csv_has_every_metric_unless_some_are_named(tmp_path: Path) -> None:
    assert main(["history", "--csv", "all.csv", "--svg", "all.svg"]) == 0
    table = pd.read_csv("all.csv")
    assert table[["metric", "value", "low", "n"]].to_numpy().tolist() == [
        [RMSE, 0.9, 0.89, 50],
        [RMSE, 0.85, 0.84, 50],
        [NDCG, 0.2, 0.19, 50],
        [RMSE, 0.84, 0.83, 50],
        [NDCG, 0.21, 0.2, 50],
    ]
    assert table["changed"].iloc[-1] == "train.epochs 20 → 30; train.size – → 8"
    picture = Path("all.svg").read_text(encoding="utf-8")
    assert picture.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert picture.count('class="chart"') == 2
    assert main(["history", "--metric", "ranking.*", "--csv", "some.csv"]) == 0
    assert set(pd.read_csv("some.csv")["metric"]) == {NDCG}


@pytest.mark.usefixtures("three")
def test_metrics_are_chosen_by_name_or_pattern_and_a_wrong_one_gets_the_nearest() -> None:
    commits = past()
    assert chosen(commits, ["ranking.*", RMSE, "*.rmse"]) == [NDCG, RMSE]
    assert headline_metrics(commits) == [RMSE, NDCG]
    with pytest.raises(UserError, match=r"has a metric 'rating.online.rsme'. Did you mean 'rating.online.rmse'\?"):
        chosen(commits, ["rating.online.rsme"])


def test_online_lists_are_among_the_main_metrics(project: Project) -> None:
    online = NDCG.replace("frozen", "online")
    commit(project, "First", {RMSE: 0.9, NDCG: 0.2, online: 0.04, online.replace("ndcg", "map"): 0.03})
    assert headline_metrics(past()) == [RMSE, NDCG, online]


def test_other_repositories_show_their_first_metrics(project: Project) -> None:
    commit(project, "First", json.dumps({"auc": 0.7, "loss": 1, "f1": 0.5, "time": 9}))
    assert headline_metrics(past()) == ["auc", "loss", "f1"]
    assert metric_label("auc") == "auc"


def test_history_and_mlflow_agree(session_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run that trained the model of a commit is found by the hash in its dvc.lock, and has the same numbers."""
    from mlflow.tracking import MlflowClient

    monkeypatch.chdir(session_project.path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", session_project.environment["GIT_CONFIG_GLOBAL"])
    (one,) = past()
    client = MlflowClient(tracking_uri=f"sqlite:///{session_project.path}/mlflow.db")
    experiment = client.get_experiment_by_name("movielens-small")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], f"tags.{MODEL_LOCK} = '{one.model_md5}'")

    final = {name: value for name, value in run.data.metrics.items() if "." in name}
    assert {RMSE, "rating.frozen.mae", NDCG, "bias.rating.online.rmse"} <= final.keys()
    for name, value in final.items():
        known = one.estimates.get(name) or one.estimates[f"baselines.{name}"]
        assert value == known["value"], name
    assert one.estimates[RMSE]["value"] == read_json("reports/metrics.json")["rating"]["online"]["rmse"]["value"]
    # The model is trained before its results are committed.
    parent = session_project.run("git", "rev-parse", "HEAD~1").strip()
    assert run.data.tags["mlflow.source.git.commit"] == parent


def test_history_is_printed_where_the_terminal_knows_ascii_only(
    three: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(three, "Café → bar", {RMSE: 0.83})
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(BytesIO(), encoding="ascii"))
    assert main(["history"]) == 0
    sys.stdout.seek(0)
    printed = sys.stdout.read()
    assert "  Cafe -> bar\n" in printed
    assert "epochs 20 -> 30" in printed
