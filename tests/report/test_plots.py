"""`dvc plots` draws every table of the evaluation. The tests call it and look into its pictures."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.report import made_up
from widedeep.training.callbacks import CURVES

DVC = [sys.executable, "-m", "dvc"]


@pytest.fixture
def show(root: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Make the Vega specification of each plot, from made-up tables and the plots of the stages in dvc.yaml."""
    folder = tmp_path / "repo"
    shutil.copytree(root / ".dvc" / "plots", folder / ".dvc" / "plots")
    stages = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    listed = [pair for stage in stages.values() for plot in stage.get("plots", ()) for pair in plot.items()]
    plots = [{path: {key: value for key, value in look.items() if key != "cache"}} for path, look in listed]
    drawn = [plot for plot in plots if any("template" in look for look in plot.values())]
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"plots": drawn}), encoding="utf-8")
    (folder / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n", encoding="utf-8")

    def run(curves: pd.DataFrame = made_up.CURVES, **changes: Any) -> dict[str, Any]:
        tables = made_up.plots(made_up.metrics(), **changes)
        tables["learning_curves"] = curves.reindex(columns=["epoch", *CURVES])  # as the train stage writes them
        (folder / "reports" / "plots").mkdir(parents=True)
        for name, table in tables.items():
            table.to_csv(folder / "reports" / "plots" / f"{name}.csv", index=False)
        done = subprocess.run([*DVC, "plots", "show"], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "WARNING" not in done.stderr
        page = (folder / "dvc_plots" / "index.html").read_text(encoding="utf-8")
        found = re.findall(r'<div id = "(.+?)">.*?var spec = (\{.*?\});\n', page, re.DOTALL)
        return {name.removeprefix("reports_plots_").removesuffix("_csv"): json.loads(spec) for name, spec in found}

    return run


def test_every_plot_has_its_rows_of_every_model(show: Callable[..., dict[str, Any]]) -> None:
    specs = show()
    assert list(specs) == [
        "learning_curves", "calibration", "rmse_by_month", "rmse_by_user_activity", "rmse_by_item_popularity",
        "rmse_by_genre", "ranking_by_k", "by_known_ratings", "by_popularity_penalty",
    ]  # fmt: skip
    for name, spec in specs.items():
        rows = spec["data"]["values"]
        assert rows
        assert "<DVC_METRIC" not in json.dumps(spec)
        if name.startswith("rmse_by"):
            assert {row["model"] for row in rows} == {"wide_deep", "bias", "popularity", "global_mean"}
            assert spec["encoding"]["y"]["field"] == "group"
            assert [layer["encoding"]["x"]["field"] for layer in spec["layer"]] == ["low", "rmse"]
            assert {"group", "rmse", "low", "high"} <= set(rows[0])
    ranking = specs["ranking_by_k"]
    ranked = {"wide_deep", "bias", "popularity", "recent_popularity", "ease"}
    assert {row["model"] for row in ranking["data"]["values"]} == ranked
    assert ranking["spec"]["encoding"]["x"]["field"] == "k"
    assert specs["by_popularity_penalty"]["spec"]["encoding"]["x"]["field"] == "popularity_penalty"
    assert {row["model"] for row in specs["by_popularity_penalty"]["data"]["values"]} == {"wide_deep", "liked"}
    assert learning(specs) == {"train_rmse", "validation_rmse"}


@pytest.mark.parametrize(
    "measured",
    [
        {"train_ranking_loss", "validation_ndcg_at_10"},
        {"train_ranking_loss", "validation_ndcg_at_10", "train_rmse", "validation_rmse"},
        {"validation_rmse"},
    ],
)
def test_learning_curves_are_drawn_as_far_as_the_objective_has_them(
    show: Callable[..., dict[str, Any]], measured: set[str]
) -> None:
    assert learning(show(pd.DataFrame({"epoch": [0, 1]} | {name: [1.0, 0.9] for name in measured}))) == measured


def learning(specs: dict[str, Any]) -> set[str]:
    """List the columns that the plot of the learning curves shows: those in which it finds a number."""
    spec = specs["learning_curves"]
    assert spec["transform"][1] == {"filter": "datum.text !== ''"}
    columns = spec["transform"][0]["fold"]
    return {column for row in spec["data"]["values"] for column in columns if row[column] != ""}


def test_tables_without_rows_leave_their_plots_empty(show: Callable[..., dict[str, Any]]) -> None:
    specs = show(months=False, genres=False)
    assert [name for name, spec in specs.items() if not spec] == ["rmse_by_month", "rmse_by_genre"]
