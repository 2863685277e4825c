"""An export answers like the model that it was made from, and takes nothing of anybody's away."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import Project
from widedeep.errors import UserError
from widedeep.serving.export import export
from widedeep.serving.recommender import Recommender


@pytest.fixture
def beside(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "metrics.json").write_text("{}", encoding="utf-8")
    return {"metrics.json": tmp_path / "metrics.json"}


def test_export_answers_like_the_model(folder: Path, beside: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    names = export(folder, beside, out)
    assert sorted(names) == sorted(path.name for path in out.iterdir())
    expected = Recommender.load(folder).recommend_many(["1", "2"], 5)
    found = Recommender.load(out)
    pd.testing.assert_frame_equal(found.recommend_many(["1", "2"], 5), expected)
    assert found.version == Recommender.load(folder).version


def test_a_later_export_replaces_an_earlier_one(folder: Path, beside: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(folder, beside, out)
    beside["metrics.json"].write_text('{"new": 1}', encoding="utf-8")
    export(folder, beside, out)
    assert json.loads((out / "metrics.json").read_text(encoding="utf-8")) == {"new": 1}
    assert not list(tmp_path.glob("*.partial"))


def test_a_folder_with_other_files_stays(folder: Path, beside: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=r"mine\.txt"):
        export(folder, beside, out)
    (out / "mine.txt").unlink()
    export(folder, beside, out)
    (out / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=r"mine\.txt"):
        export(folder, beside, out)
    assert (out / "mine.txt").read_text(encoding="utf-8") == "mine"
    with pytest.raises(UserError, match="is a file"):
        export(folder, beside, out / "mine.txt")
    with pytest.raises(UserError, match="did not write"):
        export(folder, beside, folder)


def test_a_damaged_model_or_a_missing_file_leaves_no_folder(
    folder: Path, beside: dict[str, Path], tmp_path: Path
) -> None:
    models, out = Path(shutil.copytree(folder, tmp_path / "models")), tmp_path / "out"
    (models / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"model\.safetensors"):
        export(models, beside, out)
    beside["metrics.json"].unlink()
    with pytest.raises(UserError, match=r"metrics\.json is missing"):
        export(folder, beside, out)
    assert not out.exists()


def test_the_command_packs_the_outputs_of_one_run(project: Project, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("python", "-m", "widedeep.cli", "export", str(out))
    project.run(*command)
    for name, source in (("README.md", "reports/model_card.md"), ("metrics.json", "reports/metrics.json")):
        assert (out / name).read_bytes() == (project.path / source).read_bytes()
    expected = Recommender.load(project.path / "models")
    user = expected.users()[0]
    assert Recommender.load(out).recommend(user)["item_id"].tolist() == expected.recommend(user)["item_id"].tolist()

    metrics = project.path / "reports/metrics.json"
    metrics.write_text(metrics.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert "reports/metrics.json is not that of the last run" in project.run(*command, fails=True)
    metrics.unlink()
    assert "reports/metrics.json is missing" in project.run(*command, fails=True)
