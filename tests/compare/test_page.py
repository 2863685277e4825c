"""The page of a comparison: its text for given numbers, missing parts, its charts, and its look in a browser."""

import re
from collections.abc import Callable, Mapping
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.report.made_up import windows
from widedeep.cli import main
from widedeep.commits import WORKSPACE
from widedeep.compare.compare import compare
from widedeep.compare.gates import judge
from widedeep.compare.history import Commit
from widedeep.compare.page import OverTime, render_compare_page, verdicts_finding
from widedeep.compare.pictures import history_figures
from widedeep.evaluation.bootstrap import Bootstrap
from widedeep.params import Gate
from widedeep.report.charts import SHADES, Axis, Occasion, Point, Series, heat_map, run_chart
from widedeep.report.policies import policy_figures, policy_finding, policy_table
from widedeep.report.windows import heat_map_figure, heat_map_finding
from widedeep.revisions import Paths, Revision

RMSE, NDCG, NOVELTY = "rating.frozen.rmse", "ranking.frozen.ndcg_at_10", "ranking.frozen.novelty_at_10"
LOOK = Series("one", "#0072B2", "circle")


def revision(tmp_path: Path, rmse: float, ndcg: float, novelty: float, **rest: Any) -> Revision:
    """Make metrics, each with an interval of 0.02 to both sides."""

    def metric(value: float) -> dict[str, float]:
        return {"value": value, "low": value - 0.02, "high": value + 0.02, "n": 9}

    ranking = {"ndcg_at_10": metric(ndcg), "novelty_at_10": metric(novelty)}
    of = {"rating": {"frozen": {"rmse": metric(rmse)}}, "ranking": {"frozen": ranking}}
    paths = Paths(*(tmp_path / name for name in ("metrics", "params", "data", "tables", "per_user", "lock")))
    parts: dict[str, Any] = {
        "params": {"download": {"dataset": "own"}},
        "made_with": {},
        "data": {"test_sha256": "a"},
        "locks": {},
    }
    return Revision(WORKSPACE, None, of, **(parts | rest), paths=paths)


def commits(n: int = 3) -> list[Commit]:
    made = []
    for number in range(n):
        value = 1 - number / 20
        estimate = {"value": value, "low": value - 0.02, "high": value + 0.02, "n": 9}
        changed = {
            "models.wide_deep.wide_learning_rate": (0.0001 * number, 0.0001),
            "models.wide_deep.hidden": ([128, 64], [256, 128, 64]),
        }
        made.append(
            Commit(
                f"{number:040x}",
                "2026-05-04",
                f"Subject {number} <b>&",
                {RMSE: estimate},
                changed,
                True,
                f"{number}.dir",
            )
        )
    return made


def policies(policy: tuple[str, ...] = ("stale", "retrain", "warm_start", "river")) -> pd.DataFrame:
    """Make three windows. After the first, RMSE is 1 (retrain), 1.01 (warm start), 1.2 (stale) in 10, 2, 0 seconds."""
    of = {"stale": (1.2, 0.0), "retrain": (1.0, 10.0), "warm_start": (1.01, 2.0), "river": (1.1, 0.5)}
    rows = [
        {
            "dataset": "own",
            "window": window,
            "start": f"200{window}-01-01T00:00:00",
            "policy": name,
            "metric": metric,
            "value": 5.0 if window == 1 else of[name][0],
            "low": 0.9,
            "high": 1.3,
            "n": 100 * window,
            "seconds": 500.0 if window == 1 else of[name][1],
        }
        for metric in ("rmse", "mae")
        for window in (1, 2, 3)
        for name in policy
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def page(tmp_path: Path) -> Callable[..., str]:
    """Render the page of a comparison in which RMSE falls by 0.1 and NDCG by 0.01."""

    def made(gates: Mapping[str, Gate] | None = None, params: Mapping[str, Any] | None = None, **over_time: Any) -> str:
        new = {"params": params} if params else {}
        place = tmp_path / ("folder" * 10)  # a note names this folder, and no line has room for it
        pair = revision(place, 1, 0.5, 3), revision(place, 0.9, 0.49, 3.2, **new)
        comparison = compare(*pair, None, Bootstrap(100))
        outcomes = judge(gates or {}, {row.metric: row for row in comparison.rows})
        return render_compare_page(comparison, comparison.rows, outcomes, OverTime(**over_time))

    return made


def everything() -> dict[str, Any]:
    numbers = {"ratings": 200, "new_user_rate": 0.25, "psi": {"year": 0.22}}
    return {"commits": commits(), "numbers": numbers, "windows": windows(), "policies": policies()}


def text(page: str) -> str:
    """Return the text that a reader sees, with single spaces."""
    body = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(body).replace("\N{NO-BREAK SPACE}", " "))


def test_page_says_the_verdicts_of_the_comparison(page: Callable[..., str]) -> None:
    said = text(page())
    assert "Drift on own" in said
    assert "against the workspace: 1 better (frozen RMSE), 1 changed, 1 no evidence." in said
    # Two independent intervals of half-width 0.02 give the half-width 0.02 sqrt(2) = 0.0283 for the difference.
    assert "frozen RMSE ▲ better −0.1000 −0.1283 to −0.0717, stored 1.0000 0.9000" in said
    assert "frozen NDCG at 10 ○ no evidence −0.0100 −0.0383 to 0.0183, stored 0.5000 0.4900" in said
    assert "frozen novelty at 10 ◆ changed +0.2000" in said
    assert "The params are the same." in said


def test_gates_changes_and_notes_are_told(page: Callable[..., str]) -> None:
    gate = Gate(relative=0.01, absolute=None, significant=False)
    said = text(page(gates={NDCG: gate}, params={"download": {"dataset": "own"}, "train": {"epochs": 3}}))
    assert "Broken gate: ranking.frozen.ndcg_at_10, 0.0100 worse, at most 0.0050 allowed." in said
    assert "Changed params: 1" in said
    assert "train.epochs – 3" in said
    assert "No gate is broken." in text(page(gates={RMSE: gate}))
    assert "<code>make noise</code>" in page()


def test_sections_without_data_say_which_command_makes_it(page: Callable[..., str]) -> None:
    bare = text(page(history_notes=["No commit has changed reports/metrics.json."]))
    for words in ("Run dvc repro drift to make reports", "Run make policies to make studies/drift/results.csv"):
        assert words in bare
    assert "No commit has changed reports/metrics.json." in bare
    assert "None" not in bare
    full = text(page(**everything()))
    assert "There is no" not in full
    for words in ("ratings 200", "new_user_rate 0.250", "year moved most: PSI 0.22 in 2001-04"):
        assert words in full


def test_page_is_one_file_with_the_same_bytes_every_time_and_escapes_names(page: Callable[..., str]) -> None:
    once = page(**everything())
    assert once == page(**everything())
    assert not re.findall(r"<script|https?://|@import|<link(?! rel=\"icon\" href=\"data:,\")|\bsrc=", once)
    assert "<b>" not in once
    assert "Subject 1 <b>&" in text(once)
    assert once.count("<table>") == once.count("<caption>")
    drawings = re.findall(r"<svg class=\"chart\"[^>]*>", once)
    assert len(drawings) == 3  # a metric, the windows, RMSE of the policies
    assert all('role="img"' in svg and re.search(r'aria-label="[^"]{10,}"', svg) for svg in drawings)


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("months", [4, 60])
def test_in_a_browser_nothing_sticks_out_overlaps_or_fails(
    page: Callable[..., str], browse: Callable[[str, int], tuple[dict[str, Any], str]], months: int, width: int
) -> None:
    shown = everything() | {"commits": commits(20), "windows": windows(months, months - 2)}
    found, console = browse(page(**shown).replace("<details>", "<details open>"), width)
    assert found == {"width": width, "beyond": 0, "out": [], "hit": []}
    assert console == ""


def test_verdicts_finding_names_few_and_counts_many(tmp_path: Path) -> None:
    old, new = revision(tmp_path, 1, 0.5, 3), revision(tmp_path, 2, 0.4, 3)
    rows = compare(old, new, None, Bootstrap(100)).rows
    assert verdicts_finding(rows) == "2 worse (frozen RMSE, frozen NDCG at 10), 1 no evidence"
    assert verdicts_finding([*rows, *rows]) == "4 worse, 2 no evidence"
    assert verdicts_finding([]) == "no metrics"


def test_run_chart_is_broken_at_gaps_and_where_nothing_joins() -> None:
    def one(value: float | None, joined: bool = True) -> Occasion:
        point = None if value is None else Point(LOOK, value, value - 1, value + 1)
        return Occasion("a", ["<i>"], "1", point, joined)

    svg = run_chart([one(1), one(2), one(None), one(3), one(4, joined=False), one(5)], Axis("x"), "value", "alt")
    lines = [len(points.split()) for points in re.findall(r'<polyline points="([^"]+)"', svg)]
    bands = [len(points.split()) for points in re.findall(r'<polygon points="([^"]+)" fill="#0072B2" fill-op', svg)]
    assert lines == [2, 1, 2]
    assert bands == [4, 2, 4]
    assert "<i>" not in svg


def test_heat_map_shades_by_how_many_bounds_a_value_reaches_and_leaves_gaps() -> None:
    svg = heat_map(["a", "b"], ["x", "y"], [[0.0, 0.1], [np.nan, 9.0]], [0.1, 0.2, 0.3, 0.4, 0.5], Axis("w"), "alt")
    cells = re.findall(r'fill="([^"]+)"><title>([^<]+)<', svg)
    assert cells == [(SHADES[0], "a, x: 0.000"), (SHADES[1], "a, y: 0.100"), (SHADES[5], "b, y: 9.000")]
    assert 'viewBox="0 0 360 ' in svg
    wide = heat_map(["a"], [f"{month}" for month in range(90)], [[0.0] * 90], [1, 2, 3, 4, 5], Axis("w"), "alt")
    assert int(re.findall(r"viewBox=\"0 0 (\d+)", wide)[0]) > 800


def test_feature_that_moved_most_is_the_one_furthest_above_chance() -> None:
    table = windows()
    assert heat_map_finding(table) == "year moved most: PSI 0.22 in 2001-04"
    # With few ratings, the PSI by chance is larger.
    noisy = table["feature"].eq("genres") & table["window"].eq("2001-03")
    assert heat_map_finding(table.assign(psi=table["psi"].mask(noisy, 0.5), psi_by_chance=table["psi_by_chance"].mask(
        noisy, 0.45))) == "year moved most: PSI 0.22 in 2001-04"  # fmt: skip
    assert heat_map_finding(table.assign(psi=0.01)) == "No feature moved more than chance alone would move it"
    assert heat_map_finding(table.assign(split="train")) == "No window lies after the training period"


def test_heat_map_orders_windows_by_time_and_features_by_how_far_they_moved() -> None:
    svg = heat_map_figure(windows().sample(frac=1, random_state=0)).svg
    cells = re.findall(r"<title>(\w+), (\S+): ([\d.]+)<", svg)
    assert cells == [
        *(("year", f"2001-0{month}", value) for month, value in enumerate(("0.020", "0.020", "0.120", "0.220"), 1)),
        *(("genres", f"2001-0{month}", "0.020") for month in range(1, 5)),
    ]
    assert "after training →" in svg
    parts = windows().assign(window=windows()["window"].map("part {}".format))
    assert heat_map_finding(parts) == "year moved most: PSI 0.22 in part 2001-04 (from 2001-04)"
    assert "after training" not in heat_map_figure(windows(train=0)).svg
    without_times = windows(train=0).assign(start=np.nan)
    assert len(re.findall("<title>", heat_map_figure(without_times).svg)) == 8
    undefined = windows().assign(psi=lambda table: table["psi"].where(table["window"] != "2001-02"))
    assert len(re.findall("<title>", heat_map_figure(undefined).svg)) == 6


def test_policies_over_the_windows_in_which_they_differ() -> None:
    rmse = policies().query("metric == 'rmse'")
    table = policy_table(rmse)
    assert table["value"].to_dict() == pytest.approx({"retrain": 1, "warm_start": 1.01, "stale": 1.2, "river": 1.1})
    assert table["seconds"].to_dict() == {"retrain": 20, "warm_start": 4, "stale": 0, "river": 1}
    # RMSE is the root of the mean square by rows, sqrt((200 * 1 + 300 * 4) / 500) = 1.6733. Other metrics: 1.6.
    uneven = rmse.assign(value=rmse["value"].mask(rmse["window"] == 3, 2.0))
    assert policy_table(uneven)["value"]["retrain"] == pytest.approx(1.6733, abs=1e-4)
    assert policy_table(uneven.assign(metric="mae"))["value"]["retrain"] == pytest.approx(1.6)
    finding = "Warm start takes 20 % of retrain's seconds, with an RMSE that is 1.0 % higher"
    assert policy_finding(rmse).replace("\N{NO-BREAK SPACE}", " ") == finding
    (figure,) = policy_figures(policies())
    assert figure.title == policy_finding(rmse)
    assert [look.label for look in figure.looks] == ["retrain", "warm start", "stale", "River BiasedMF"]
    assert policy_finding(policies(("stale", "river")).query("metric == 'rmse'")) == (
        "RMSE: stale 1.200, River BiasedMF 1.100"
    )


def test_pictures_of_many_commits_name_the_first_change_and_count_the_others() -> None:
    (figure,) = history_figures(commits(2), [RMSE])
    words = re.findall(r">([^<>]+)</text>", figure.svg)
    assert "wide_learning_rate" in words
    assert "0.0001 → 0.0001" in words
    assert "and 1 more" in words


def test_command_writes_the_page_and_refuses_tables_that_are_none(
    session_project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = session_project.copy(tmp_path / "repo")
    for name, value in project.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(project.path)
    assert main(["compare", "--html", "reports/drift.html"]) == 0
    said = text(Path("reports/drift.html").read_text(encoding="utf-8"))
    assert "Online RMSE: " in said
    assert "moved most: PSI " in said or "No feature moved more than chance" in said
    assert 'href="drift.html"' in Path("reports/report.html").read_text(encoding="utf-8")
    assert project.run("git", "status", "--porcelain") == ""
    Path("reports/plots/drift.csv").write_text("feature,window\nyear,2001\n")
    assert main(["compare", "--html", "reports/drift.html"]) == 2
    assert "reports/plots/drift.csv must have the columns feature, window" in capsys.readouterr().err
