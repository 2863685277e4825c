"""The output and the exit status of the command `widedeep`, in a repository with results."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import Project
from widedeep.cli import main
from widedeep.files import write_json
from widedeep.reading import read_json

GATED = ("rating.online.rmse", "rating.frozen.rmse", "ranking.frozen.ndcg_at_10", "ranking.online.ndcg_at_10")


@pytest.fixture
def here(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Enter a copy of the project after `dvc repro`."""
    for name, value in project.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(project.path)
    return project


@pytest.fixture
def worse(here: Project) -> Project:
    """Make the model 4 % worse for every user, by changing its squared errors and RMSE."""
    metrics = read_json("reports/metrics.json")
    per_user = pd.read_parquet("reports/per_user.parquet")
    for knowledge in ("online", "frozen"):
        per_user[f"{knowledge}_squared_error"] *= 1.04**2
        for rmse in (metrics["rating"][knowledge][name] for name in ("rmse", "user_mean_rmse")):
            rmse |= {name: 1.04 * rmse[name] for name in ("value", "low", "high")}
    Path("reports/per_user.parquet").unlink()  # a link into the cache, which must not change
    per_user.to_parquet("reports/per_user.parquet")
    write_json(Path("reports/metrics.json"), metrics)
    return here


def result(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    status = main(["compare", *arguments, "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("here")
def test_nothing_changed_since_the_last_commit(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = result(capsys)
    assert status == 0
    assert (found["old"]["name"], found["new"]["name"]) == ("HEAD", "workspace")
    assert (found["params"], found["data"]) == ({}, {})
    assert {metric["verdict"] for metric in found["metrics"].values()} == {"no evidence"}
    assert {metric["difference"] for metric in found["metrics"].values()} == {0}
    assert list(found["gates"]) == list(GATED)
    assert [metric["interval"] for name, metric in found["metrics"].items() if name in GATED] == ["paired"] * len(GATED)


@pytest.mark.usefixtures("worse")
def test_worse_model_breaks_the_gates_and_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare"]) == 1
    printed = capsys.readouterr()
    assert "BROKEN  rating.online.rmse" in printed.out
    assert "ok      ranking.frozen.ndcg_at_10" in printed.out
    assert [line.split(": ")[1] for line in printed.err.splitlines()] == list(GATED[:2])
    assert main(["compare", "--md"]) == 1
    assert "| **BROKEN** | `rating.frozen.rmse` |" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_metrics_beside_results_by_user_of_another_run_pass_no_gate(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = read_json("reports/metrics.json")
    metrics["rating"]["online"]["rmse"]["value"] = 9.9
    write_json(Path("reports/metrics.json"), metrics)
    assert main(["compare"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        "error: reports/per_user.parquet of workspace and its reports/metrics.json are not of one run: "
        "rating.online.rmse is 9.9 there, but "
    )
    assert error.count("\n") == 1


def test_worse_model_within_the_noise_of_training_passes(worse: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert worse.run("python", "-m", "widedeep.cli", "noise", "--seeds", "2").count("seed ") == 2
    noise = read_json("reports/noise.json")
    assert noise["seeds"] == 2
    assert noise["test_sha256"] == read_json("reports/data.json")["test_sha256"]
    assert not any(name.startswith("baselines.") for name in noise["metrics"])
    _, found = result(capsys)
    for name in GATED:  # t of 1 degree of freedom is 12.7062
        deviation = noise["metrics"][name]["deviation"]
        assert deviation > 0
        assert found["metrics"][name]["noise"] == pytest.approx(12.7062 * 2**0.5 * deviation, abs=1e-5)
    assert not any("noise" in note for note in found["notes"])

    for name in GATED:
        noise["metrics"][name]["deviation"] = 0.1
    noise["params"]["train"]["epochs"] = 99
    write_json(Path("reports/noise.json"), noise)
    status, found = result(capsys)
    assert status == 0
    assert {found["metrics"][name]["verdict"] for name in GATED} == {"no evidence"}
    assert "noise was measured with other values of train.epochs: `make noise` measures it again" in found["notes"]


def test_missing_metric_of_a_gate_breaks_it(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    here.set({"compare.gates": {"rating.online.rsme": {"relative": 0.1, "absolute": None, "significant": True}}})
    assert main(["compare"]) == 1
    assert (
        capsys.readouterr().err
        == "broken gate: rating.online.rsme: missing in both versions. Did you mean 'rating.online.rmse'?\n"
    )


def test_other_test_rows_are_not_comparable(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    report = read_json("reports/data.json")
    write_json(Path("reports/data.json"), report | {"test_sha256": "0" * 64})
    status, found = result(capsys)
    assert status == 1
    assert {metric["verdict"] for metric in found["metrics"].values()} == {"not comparable"}
    assert list(found["data"]) == ["test_sha256"]
    assert "the test rows differ" in found["notes"][0]
    assert main(["compare"]) == 1
    assert "different test rows" in capsys.readouterr().out


def test_commit_without_results_and_mistakes_end_with_2(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        (["HEAD~1"], "error: HEAD~1 has no metrics: reports/metrics.json is missing or empty."),
        (["HAED"], "error: There is no revision 'HAED': no commit, tag, branch or DVC experiment. Did you mean"),
    ):
        assert main(["compare", *arguments]) == 2
        assert capsys.readouterr().err.startswith(said)
    for call in (["compare", "--md", "--json"], ["compare", "--alle"], ["drfit"], []):
        capsys.readouterr()
        assert main(call) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("error: ")
        assert printed.err.count("\n") == 1
    here.set(
        {"compare.gates": {"ranking.frozen.coverage_at_10": {"relative": 1, "absolute": None, "significant": True}}}
    )
    capsys.readouterr()
    assert main(["compare"]) == 2
    assert "cannot have a gate" in capsys.readouterr().err


def test_gates_are_checked(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    for gate, said in (
        ({"relative": None, "absolute": None, "significant": True}, "a gate needs a limit"),
        ({"relative": -1, "absolute": None, "significant": True}, "greater than or equal to 0. Got -1"),
        ({"relatve": 1, "relative": 1, "absolute": None, "significant": True}, "Did you mean 'relative'?"),
        ({"relative": 1, "significant": True}, "'compare.gates.rating.online.rmse.absolute' is missing"),
    ):
        here.set({"compare.gates": {"rating.online.rmse": gate}})
        assert main(["compare"]) == 2
        assert said in capsys.readouterr().err


def test_more_metrics_on_demand(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    main(["compare"])
    assert "baselines" not in capsys.readouterr().out
    main(["compare", "HEAD", "workspace", "--all"])
    assert "baselines.bias.rating.frozen\n" in capsys.readouterr().out


def test_pipe_that_closes_early_costs_no_traceback(here: Project) -> None:
    assert "Traceback" not in here.run("bash", "-c", "python -m widedeep.cli compare --json --all 2>&1 | head -n 1")
