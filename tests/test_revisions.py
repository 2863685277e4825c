"""Revisions of a small repository: two commits and an experiment, an output in the DVC cache, metrics in git."""

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import Project
from widedeep.commits import WORKSPACE, fetch, resolve
from widedeep.errors import UserError
from widedeep.revisions import Paths, load

pytestmark = pytest.mark.slow
PATHS = Paths(
    metrics=Path("metrics.json"),
    params=Path("params.yaml"),
    data=Path("data.json"),
    tables=Path("tables"),
    per_user=Path("per_user.parquet"),
    lock=Path("dvc.lock"),
)
STAGE = """
import json, pathlib, yaml
import pandas as pd
rate = yaml.safe_load(open("params.yaml"))["train"]["rate"]
pd.DataFrame({"user_id": [1, 2], "n": [2, 1], "loss": [rate, rate]}).to_parquet("per_user.parquet")
pathlib.Path("models").mkdir()
pathlib.Path("models/about.json").write_text(json.dumps({"rate": rate}))
pathlib.Path("metrics.json").write_text(json.dumps({"loss": {"value": rate, "low": 0, "high": 1, "n": 2}}))
"""
PIPELINE = """
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [train]
    outs: [models, per_user.parquet]
    metrics: [metrics.json: {cache: false}]
"""


@pytest.fixture(scope="module")
def small(unrun_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Tag `first` (rate 1), branch `topic/two` (rate 2, checked out) and experiment `three` (rate 3)."""
    project = Project(tmp_path_factory.mktemp("small") / "repo", unrun_project.environment)
    project.path.mkdir()
    for name, text in (("train.py", STAGE), ("dvc.yaml", PIPELINE), ("params.yaml", "train: {rate: 1}\n")):
        (project.path / name).write_text(text)
    for command in ("git init -q -b main", "dvc init -q", "dvc repro -q"):
        project.run(*command.split())
    project.commit()
    project.run("git", "tag", "first")
    project.run("git", "checkout", "-q", "-b", "topic/two")
    (project.path / "params.yaml").write_text("train: {rate: 2}\n")
    project.run("dvc", "repro", "-q")
    project.commit()
    project.run("dvc", "exp", "run", "-q", "-n", "three", "-S", "train.rate=3")
    project.run("git", "reset", "-q", "--hard")
    project.run("dvc", "checkout", "-q")
    return project


@pytest.fixture
def inside(small: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Enter the small repository. Tests must not change it."""
    for name, value in small.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(small.path)
    return small


@pytest.fixture
def clone(inside: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Enter a clone of the small repository, which has no cache."""
    project = inside.clone(tmp_path / "clone")
    monkeypatch.chdir(project.path)
    return project


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize(
    ("name", "rate"),
    [
        *(("first", 1), ("HEAD~1", 1), ("main", 1)),
        *(("topic/two", 2), ("HEAD", 2), (WORKSPACE, 2)),
        ("three", 3),
    ],
)
def test_results_of_every_kind_of_revision(name: str, rate: int) -> None:
    revision = load(name, PATHS)
    assert (revision.commit is None) is (name == WORKSPACE)
    assert revision.metrics == {"loss": {"value": rate, "low": 0, "high": 1, "n": 2}}
    assert revision.params == revision.made_with == {"train": {"rate": rate}}
    assert revision.data == {}
    assert revision.per_user is not None
    assert revision.per_user["loss"].tolist() == [rate, rate]
    assert set(revision.locks) == {"models", "per_user.parquet", "metrics.json"}


def test_metrics_that_are_not_those_of_the_lock_are_found(clone: Project) -> None:
    assert [load(name, PATHS).altered for name in ("HEAD", "first", WORKSPACE)] == [[]] * 3
    (clone.path / "metrics.json").write_text('{"loss": 0}')
    assert [load(name, PATHS).altered for name in ("HEAD", WORKSPACE)] == [[], [Path("metrics.json")]]
    clone.commit()
    assert load("HEAD", PATHS).altered == [Path("metrics.json")]


@pytest.mark.usefixtures("inside")
def test_short_and_full_commits_are_one_revision() -> None:
    commit = resolve("first")
    assert commit is not None
    assert len(commit) == 40
    assert resolve(commit) == resolve(commit[:7]) == commit


@pytest.mark.usefixtures("inside")
def test_params_that_were_not_run_are_told_from_those_that_were(clone: Project) -> None:
    (clone.path / "params.yaml").write_text("train: {rate: 5}\n")
    revision = load(WORKSPACE, PATHS)
    assert (revision.params, revision.made_with) == ({"train": {"rate": 5}}, {"train": {"rate": 2}})


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize(("name", "rate"), [("first", 1), ("three", 3), (WORKSPACE, 2)])
def test_fetch_brings_a_folder_and_replaces_what_was_there(name: str, rate: int, tmp_path: Path) -> None:
    into = tmp_path / "earlier"
    into.mkdir()
    (into / "left.over").touch()
    assert fetch(name, "models", into) == into
    assert {path.name: path.read_text() for path in into.iterdir()} == {"about.json": json.dumps({"rate": rate})}


@pytest.mark.usefixtures("inside")
def test_fetch_brings_files_of_git_and_of_the_cache(tmp_path: Path) -> None:
    assert fetch("first", "params.yaml", tmp_path / "params.yaml").read_text() == "train: {rate: 1}\n"
    assert pd.read_parquet(fetch("first", "per_user.parquet", tmp_path / "some"))["n"].tolist() == [2, 1]


def test_copy_of_the_tree_sees_the_revisions_of_the_original(
    small: Project, inside: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dvc exp run --temp` works in a copy without tags, and names the original in DVC_ROOT."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(small.path))
    assert fetch("first", "models", tmp_path / "models").is_dir()


def test_without_cache_outputs_come_from_the_remote_or_are_missed(
    inside: Project, clone: Project, tmp_path: Path
) -> None:
    assert load("HEAD", PATHS).metrics["loss"]["value"] == 2
    assert load("HEAD", PATHS).per_user is None
    for path in ("models", "per_user.parquet"):
        with pytest.raises(UserError, match=rf"^{path} of HEAD is neither in the DVC cache nor in a remote .*dvc push"):
            fetch("HEAD", path, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    inside.run("dvc", "remote", "add", "-q", "--local", "-f", "-d", "store", str(tmp_path / "store"))
    inside.run("dvc", "push", "-q", "--all-commits")
    inside.run("dvc", "remote", "remove", "--local", "store")
    clone.run("dvc", "remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    clone.commit()
    per_user = load("HEAD", PATHS).per_user
    assert per_user is not None
    assert per_user["loss"].tolist() == [2, 2]


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("frist", "There is no revision 'frist': no commit, tag, branch or DVC experiment. Did you mean 'first'?"),
        ("thre", "Did you mean 'three'?"),
        ("two", "Did you mean 'topic/two'?"),
        ("HEAD~7", "Did you mean 'HEAD'?"),
        ("qqqqqq", "List them: git branch --all, git tag, dvc exp list"),
        ("--help", "There is no revision '--help'"),
        ("HEAD:params.yaml", "There is no revision 'HEAD:params.yaml'"),
        ("", "The name of a revision must not be empty"),
    ],
)
def test_revision_that_does_not_exist(name: str, said: str) -> None:
    with pytest.raises(UserError) as raised:
        resolve(name)
    assert said in str(raised.value)
    assert "shallow" not in str(raised.value)


def test_shallow_clone_says_how_to_bring_the_rest(
    inside: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside.run("git", "clone", "-q", "--depth", "1", f"file://{inside.path}", str(tmp_path / "shallow"))
    monkeypatch.chdir(tmp_path / "shallow")
    assert load("HEAD", PATHS).params == {"train": {"rate": 2}}
    with pytest.raises(UserError, match=r"This clone is shallow.*git fetch --unshallow"):
        resolve("HEAD~1")


def test_without_git_there_is_only_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "metrics.json").write_text('{"loss": 1}')
    assert load(WORKSPACE, PATHS).metrics == {"loss": 1}
    assert load(WORKSPACE, PATHS).per_user is None
    with pytest.raises(UserError, match=f"^{tmp_path} is not in a git repository, so there is no revision but"):
        load("HEAD", PATHS)
    subprocess.run(["git", "init", "-q"], check=True)
    with pytest.raises(UserError, match=r"^There is no commit yet"):
        load("HEAD", PATHS)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"^git is not installed"):
        load("HEAD", PATHS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "workspace has no metrics: metrics.json is missing or empty. `dvc repro` makes it."),
        ("{}", "workspace has no metrics: metrics.json is missing or empty"),
        ("", "metrics.json of workspace is not valid (Expecting value: line 1 column 1"),
        ('{"loss": 1', "metrics.json of workspace is not valid (Expecting ',' delimiter"),
        ("[1]", "metrics.json of workspace must hold names and values. Got list instead."),
    ],
)
def test_bad_metrics(text: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(UserError) as raised:
        load(WORKSPACE, PATHS)
    assert said in str(raised.value)


def test_commit_without_metrics(clone: Project) -> None:
    clone.run("git", "rm", "-q", "metrics.json")
    clone.commit()
    with pytest.raises(
        UserError, match=r"^HEAD has no metrics: metrics.json is missing or empty. Compare with a commit"
    ):
        load("HEAD", PATHS)
    with pytest.raises(UserError, match=r"^HEAD has no nothing, neither in git nor among the outputs of its dvc.lock"):
        fetch("HEAD", "nothing", clone.path / "into")


def test_of_several_experiments_with_one_name_that_of_the_present_commit_counts(clone: Project) -> None:
    commits = [clone.run("git", "rev-parse", name).strip() for name in ("HEAD", "HEAD~1")]
    for commit in commits:
        clone.run("git", "update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/same", commit)
    assert resolve("same") == commits[0]
    (clone.path / "more").touch()
    clone.commit()
    with pytest.raises(UserError, match=r"^Several DVC experiments are called 'same'. Give the commit of one"):
        resolve("same")
