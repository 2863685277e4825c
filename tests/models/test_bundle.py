"""A model folder is complete and readable in an empty process. A folder with an old format is recognized."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.small_data import bundled, small_recipe
from widedeep.errors import UserError
from widedeep.features.assemble import ask
from widedeep.features.tensors import FeatureSet
from widedeep.models.build import build
from widedeep.models.bundle import Bundle
from widedeep.models.files import FORMAT, read_about
from widedeep.scoring import predict, rank, seen_items

Load = Callable[..., FeatureSet]
FIRST = Path(__file__).with_name("bundle_format_1.zip")  # made by the commit that introduced the format


@pytest.fixture
def made(load: Load) -> tuple[FeatureSet, Bundle]:
    features = load("temporal")
    recipe = small_recipe(factors=2, user_items=5)
    torch.manual_seed(0)
    model = build(features.spec, recipe.architecture)
    model.fit(features)
    return features, bundled(features, model.eval(), recipe.architecture)


def test_a_loaded_bundle_answers_as_the_features_do(made: tuple[FeatureSet, Bundle], tmp_path: Path) -> None:
    features, bundle = made
    bundle.save(tmp_path)
    loaded = Bundle.load(tmp_path)
    rows = features.frozen(features.splits["test"])
    asked = ask(loaded.context, rows.user, rows.item, rows.timestamp)
    expected = predict({"m": bundle.model}, features, rows)["m"]
    torch.testing.assert_close(predict({"m": loaded.model}, loaded.context, asked)["m"], expected, atol=1e-6, rtol=0)
    users, moment = torch.arange(10), torch.full((10,), 1060)
    lists = [rank({"m": one.model}, where, users, moment, 5)["m"] for one, where in
             ((bundle, features), (loaded, loaded.context))]  # fmt: skip
    assert lists[0].items.equal(lists[1].items)
    train = features.splits["train"]
    for user in range(10):
        own = seen_items(loaded.context, torch.tensor([user])).other
        assert sorted(own.tolist()) == sorted(train.item[train.user == user].tolist())
    assert loaded.names == bundle.names
    assert loaded.vocabulary == bundle.vocabulary
    assert (loaded.data_sha256, loaded.best_epoch) == (bundle.data_sha256, bundle.best_epoch)


def test_the_same_bundle_is_the_same_bytes(made: tuple[FeatureSet, Bundle], tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        made[1].save(tmp_path / name)
    Bundle.load(tmp_path / "a").save(tmp_path / "b")
    for file in (tmp_path / "a").iterdir():
        assert (tmp_path / "b" / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """Unpack the folder of a model that an earlier release trained, and its predictions."""
    with zipfile.ZipFile(FIRST) as archive:
        archive.extractall(tmp_path / "first")
    return tmp_path / "first"


def test_a_bundle_of_an_earlier_release_answers_as_it_did(first: Path) -> None:
    bundle = Bundle.load(first / "models")
    expected = json.loads((first / "expected.json").read_text(encoding="utf-8"))
    user, item = (torch.tensor(expected[name]) for name in ("user", "item"))
    asked = ask(bundle.context, user, item, torch.tensor(expected["timestamp"]))
    found = predict({"m": bundle.model}, bundle.context, asked)["m"]
    torch.testing.assert_close(found, torch.tensor(expected["predicted"]), atol=1e-5, rtol=0)
    assert bundle.names.user_ids.to_pylist() == expected["user_ids"]
    assert bundle.names.years.null_count == len(bundle.names.years)  # the files had none yet


def test_knobs_that_are_younger_than_the_files_get_their_defaults(first: Path) -> None:
    about = json.loads((first / "models/model.json").read_text(encoding="utf-8"))
    assert about["architecture"]["config"].pop("noise_variance") == 0
    assert about["architecture"].pop("rating_weight") == 0
    (first / "models/model.json").write_text(json.dumps(about), encoding="utf-8")
    assert Bundle.load(first / "models").architecture.rating_weight == 0


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        ({}, "was written before models had a format.*git checkout 32c3131"),
        ({"format": FORMAT + 1}, f"has format {FORMAT + 1}. This version reads format {FORMAT}"),
    ],
)
def test_other_formats_are_refused_with_what_to_do(first: Path, stored: dict[str, int], told: str) -> None:
    about = json.loads((first / "models/model.json").read_text(encoding="utf-8"))
    about.pop("format")
    (first / "models/model.json").write_text(json.dumps(about | stored), encoding="utf-8")
    for read in (read_about, Bundle.load):
        with pytest.raises(UserError, match=told):
            read(first / "models")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no model: model.json is missing. `dvc repro train` makes one"):
        Bundle.load(tmp_path)


def test_an_empty_process_reads_a_bundle_without_data_dvc_or_mlflow(first: Path, root: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from widedeep.models.bundle import Bundle; b = Bundle.load('models'); "
        "heavy = {'dvc', 'mlflow', 'pytorch_lightning', 'ibis', 'duckdb', 'sklearn'}; "
        "print(len(b.context.users), sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=first, env={"PYTHONPATH": str(root / "src"), "PATH": ""},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "10 []"
