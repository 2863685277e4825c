"""The stage `report`, in a copy of the project: the changes that make it run, and the files that it needs."""

import json
import shutil
from collections.abc import Callable

import pandas as pd

from tests.conftest import Project
from tests.report.conftest import text
from widedeep.tables.files import load_named


def changed_stages(project: Project) -> set[str]:
    """List the stages that `dvc repro` would run if no output changed."""
    status = json.loads(project.run("dvc", "status", "--json"))
    return {name for name in status if not name.startswith("studies/")}


def test_another_colour_of_a_chart_runs_report_only(project: Project, stages_run: Callable[[str], list[str]]) -> None:
    path = project.path / "src/widedeep/report/charts/canvas.py"
    path.write_text(path.read_text(encoding="utf-8").replace("#0072B2", "#123456"), encoding="utf-8")
    assert changed_stages(project) == {"report"}
    before = project.digests()
    assert stages_run(project.run("dvc", "repro")) == ["report"]
    after = project.digests()
    assert {name for name in after if after[name] != before[name]} == {"reports/report.html"}
    page = (project.path / "reports/report.html").read_text(encoding="utf-8")
    assert "#123456" in page
    assert "#0072B2" not in page.partition("</style>")[2]


def test_report_needs_neither_features_nor_weights(project: Project) -> None:
    before = project.digests()
    shutil.rmtree(project.path / "data/features")
    (project.path / "models/model.safetensors").unlink()
    for name in ("report.html", "summary.md", "model_card.md"):
        (project.path / "reports" / name).unlink()
    project.run("dvc", "repro", "--single-item", "report")
    after = project.digests()
    for name in ("reports/report.html", "reports/summary.md", "reports/model_card.md"):
        assert after[name] == before[name]


def test_examples_are_those_of_the_score_tables(project: Project) -> None:
    said = text((project.path / "reports/report.html").read_text(encoding="utf-8"))
    lists = pd.read_parquet(project.path / "reports/recommendations.parquet")
    items = load_named(project.path / "data/interim")[1].set_index("item_id")
    user = int(said.partition("User ")[2].partition(" ")[0])
    frozen = lists[(lists["knowledge"] == "frozen") & (lists["user_id"] == user)].sort_values("rank")
    recommended, _, beside = said.partition("Recommended by Recent popularity, best first")
    recommended = recommended.partition("Recommended by Wide & Deep, best first")[2]
    beside = beside.partition("User ")[0]
    own, other = (frozen[frozen["model"] == name].head(10) for name in ("wide_deep", "recent_popularity"))
    assert len(own) == len(other) == 10
    for item, predicted in own[["item_id", "predicted"]].itertuples(index=False):
        assert items.loc[item, "title"] in recommended
        assert f"{predicted:.2f}" in recommended
    assert all(items.loc[item, "title"] in beside for item in other["item_id"])


def test_number_of_examples_is_a_parameter_of_the_report(
    project: Project, stages_run: Callable[[str], list[str]]
) -> None:
    project.set({"report.examples": 1})
    assert stages_run(project.run("dvc", "repro")) == ["report"]

    assert "This part shows 1 user:" in text((project.path / "reports/report.html").read_text(encoding="utf-8"))
