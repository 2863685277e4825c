"""The whole pipeline: real DVC commands in copies of the repository, with small and fast params."""

import itertools
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
import yaml

from tests.conftest import Project

StagesRun = Callable[[str], list[str]]


def append(path: Path, line: str) -> None:
    path.write_text(f"{path.read_text(encoding='utf-8')}{line}\n", encoding="utf-8")


@pytest.fixture(scope="module")
def changed(session_project: Project, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """Run an experiment with another learning rate, and commit. Return the project and what DVC printed.

    DVC writes 1e-05, which is a text in the YAML 1.1 that Python reads.
    """
    project = session_project.copy(tmp_path_factory.mktemp("changed") / "repo")
    printed = project.run("dvc", "exp", "run", "--set-param", "train.learning_rate=1e-5")
    project.commit()
    return project, printed


def test_first_run_runs_every_stage_and_git_sees_only_lock_and_reports(session_project: Project) -> None:
    files = session_project.run("git", "diff", "--name-only", "HEAD~1").split()
    assert {file.split("/")[0] for file in files} == {"dvc.lock", "reports"}
    assert not [file for file in files if file.endswith(".parquet")]
    assert session_project.run("git", "status", "--porcelain") == ""


def test_second_run_runs_nothing(project: Project, stages_run: StagesRun) -> None:
    printed = project.run("dvc", "repro")
    assert stages_run(printed) == []
    assert "Data and pipelines are up to date." in printed


def test_experiment_with_another_learning_rate_runs_train_evaluate_and_report_only(
    changed: tuple[Project, str], stages_run: StagesRun
) -> None:
    assert stages_run(changed[1]) == ["train", "evaluate", "report"]


def test_two_folders_give_the_same_bytes(unrun_project: Project, session_project: Project, tmp_path: Path) -> None:
    other = unrun_project.clone(tmp_path / "another, longer name")
    other.run("dvc", "repro")
    assert other.digests() == session_project.digests()
    # The bytes may differ: train and drift do not need each other, and DVC chooses their order.
    locks = [yaml.safe_load((folder / "dvc.lock").read_bytes()) for folder in (other.path, session_project.path)]
    assert locks[0] == locks[1]


def test_pushed_results_are_pulled_into_a_clone_where_nothing_runs(
    project: Project, tmp_path: Path, stages_run: StagesRun
) -> None:
    project.run("dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    project.commit()
    project.run("dvc", "push")
    clone = project.clone(tmp_path / "clone")
    clone.run("dvc", "pull")
    assert clone.digests() == project.digests()
    assert stages_run(clone.run("dvc", "repro")) == []
    assert clone.run("git", "status", "--porcelain") == ""


def test_commits_are_compared_in_a_clone_without_cache(changed: tuple[Project, str], tmp_path: Path) -> None:
    clone = changed[0].clone(tmp_path / "clone")
    assert not (clone.path / ".dvc/cache").exists()
    params = json.loads(clone.run("dvc", "params", "diff", "HEAD~1", "--json"))
    (difference,) = params["params.yaml"].items()
    assert difference == ("train.learning_rate", {"old": 0.001, "new": 1e-5, "diff": pytest.approx(-0.00099)})
    metrics = json.loads(clone.run("dvc", "metrics", "diff", "HEAD~1", "--json"))
    assert metrics.keys() == {"reports/headline.json"}
    assert "rmse" in metrics["reports/headline.json"]
    assert clone.run("dvc", "metrics", "diff") == ""
    clone.run("dvc", "plots", "diff", "HEAD~1")
    page = (clone.path / "dvc_plots/index.html").read_text(encoding="utf-8")
    for file in (clone.path / "reports/plots").glob("*.csv"):
        assert (f'<div id = "reports_plots_{file.stem}_csv">' in page) is not file.stem.startswith("drift")
    assert "has no network" in page
    assert clone.run("git", "status", "--porcelain") == ""


def test_table_of_experiments_shows_metrics_and_changed_parameters_on_one_screen(project: Project) -> None:
    project.set({"train.learning_rate": 1e-5})
    path = project.path / "reports/headline.json"
    numbers = json.loads(path.read_text(encoding="utf-8"))
    changed = {name: numbers[name] / 2 for name in ("rmse", "frozen_rmse", "ndcg_at_10")}
    path.write_text(json.dumps(numbers | changed), encoding="utf-8")
    shown = project.run("env", "COLUMNS=120", "dvc", "exp", "show", "--only-changed", "--no-pager")
    assert max(map(len, shown.splitlines())) <= 120
    for column in ("rmse", "frozen_rmse", "ndcg_at_10", "train.learning_rate"):
        assert f" {column} " in shown
    assert " 1e-05 " in shown


def test_earlier_parameters_take_their_results_from_the_run_cache(
    changed: tuple[Project, str], session_project: Project, tmp_path: Path, stages_run: StagesRun
) -> None:
    project = changed[0].copy(tmp_path / "repo")
    project.set({"train.learning_rate": 0.001})
    printed = project.run("dvc", "repro")
    for stage in ("train", "evaluate"):
        assert f"Stage '{stage}' is cached" in printed
    assert stages_run(printed) == ["report"]
    assert project.digests() == session_project.digests()


def test_temporary_experiment_runs_its_own_code_and_only_what_depends_on_it(
    project: Project, stages_run: StagesRun
) -> None:
    before = project.digests()
    append(project.path / "src/widedeep/evaluation/rating.py", 'print("marker in", __file__)')
    printed = project.run("dvc", "exp", "run", "--temp")
    assert stages_run(printed) == ["evaluate"]
    places = re.findall("marker in (.*)", printed)
    assert places
    assert all(Path(place).is_relative_to(project.path / ".dvc/tmp/exps") for place in places)
    assert project.digests() == before


def test_queued_experiments_run(project: Project) -> None:
    before = project.digests()
    project.run("dvc", "exp", "run", "--queue", "--name", "queued", "--set-param", "evaluate.seed=5")
    project.run("dvc", "exp", "run", "--run-all")
    shown = json.loads(project.run("dvc", "params", "diff", "HEAD", "queued", "--json"))
    assert shown == {"params.yaml": {"evaluate.seed": {"old": 0, "new": 5, "diff": 5}}}
    assert json.loads(project.run("dvc", "metrics", "diff", "HEAD", "queued", "--json"))
    assert project.digests() == before


def restore(project: Project) -> None:
    project.run("dvc", "checkout", "--force")
    project.run("git", "restore", "reports")


@pytest.fixture(scope="module")
def failing(session_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which every stage fails as on a full disk."""
    project = session_project.copy(tmp_path_factory.mktemp("failing") / "repo")
    for script in (project.path / "stages").glob("[!_]*.py"):
        start = "    with exit_on_user_error():\n"
        text = script.read_text(encoding="utf-8")
        assert start in text
        failure = "        raise OSError(28, 'No space left on device', 'some file')\n"
        script.write_text(text.replace(start, start + failure), encoding="utf-8")
    return project


@pytest.mark.parametrize("stage", ["download", "preprocess", "featurize", "train", "evaluate", "drift", "report"])
def test_earlier_outputs_of_a_failed_stage_come_back_by_the_command_in_its_message(
    failing: Project, session_project: Project, stage: str
) -> None:
    printed = failing.run("dvc", "repro", "--single-item", stage, fails=True)
    assert "error: No space left on device: some file.\n" in printed
    assert "To bring back the earlier outputs: dvc checkout --force; git restore reports\n" in printed
    assert failing.digests() != session_project.digests()
    restore(failing)
    assert failing.digests() == session_project.digests()


def test_killed_training_is_restored_or_goes_on(project: Project, changed: tuple[Project, str]) -> None:
    before = project.digests()
    project.set({"train.learning_rate": 1e-5})
    process = subprocess.Popen(
        # Even on a busy machine, the first checkpoint is seen long before the training ends.
        ["nice", "-n", "19", "dvc", "repro"], cwd=project.path, env=project.environment, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not list(project.path.glob("checkpoints/*/last.ckpt")):
            assert process.poll() is None, "train ended before its first epoch"
            time.sleep(0.01)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    restore(project)
    assert project.digests() == before
    project.run("dvc", "repro")
    assert project.digests() == changed[0].digests()
    assert not list((project.path / "checkpoints").iterdir())


@pytest.mark.parametrize("stage", ["download", "preprocess", "featurize", "train", "evaluate", "report"])
def test_full_disk_is_a_clear_error_and_keeps_earlier_outputs(project: Project, stage: str) -> None:
    """Limit files to 500 bytes, so that a write fails as on a full disk, on any machine and for any user."""
    before = project.digests()
    pipeline = yaml.safe_load((project.path / "dvc.yaml").read_text(encoding="utf-8"))
    done = subprocess.run(
        pipeline["stages"][stage]["cmd"].split(), cwd=project.path, env=project.environment, check=False,
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500)),
    )  # fmt: skip
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert "File too large" in last
    assert "File too large: while" not in last, "the file is not named"
    assert "Traceback" not in done.stderr
    assert project.digests() == before
    assert not list(project.path.glob("**/*.partial"))


def shortened(source: Path, path: Path) -> Path:
    """Copy a zip with at most the first 30,000 lines of each file."""
    with ZipFile(source) as whole, ZipFile(path, "w", ZIP_DEFLATED) as part:
        for name in whole.namelist():
            with whole.open(name) as lines:
                part.writestr(name, b"".join(itertools.islice(lines, 30_000)))
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "file"),
    [
        ("ml-100k", "ml-100k.zip"),
        ("ml-latest-small", "ml-latest-small.zip"),
        ("ml-1m", "ml-1m.zip"),
        ("myanimelist-2023", "myanimelist-2023-sample.zip"),
    ],
)
def test_data_set_runs_end_to_end_by_changing_its_name_and_source(
    unrun_project: Project, shared_data: Path, tmp_path: Path, dataset: str, file: str
) -> None:
    project = unrun_project.clone(tmp_path / "repo")
    source = shortened(shared_data / file, tmp_path / file)
    project.set({"download.dataset": dataset, "download.source": str(source), "train.epochs": 1})
    project.run("dvc", "repro")
    metrics = json.loads((project.path / "reports/metrics.json").read_text(encoding="utf-8"))
    assert metrics["rating"]["frozen"]["rmse"]["n"] > 0


def test_bad_parameter_stops_the_stage(project: Project) -> None:
    before = project.digests()
    project.set({"download.dataset": "ml-100"})
    printed = project.run("dvc", "repro", fails=True)
    assert "Did you mean 'ml-100k'?" in printed
    assert "Traceback" not in printed
    restore(project)
    assert project.digests() == before


def test_stage_uses_this_interpreter(session_project: Project) -> None:
    """The other tests rely on this: `python` in dvc.yaml is the one with the pinned packages."""
    found = session_project.run("python", "-c", "import sys; print(sys.prefix)")
    assert found.strip() == sys.prefix
