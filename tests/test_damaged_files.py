"""Damage files of every kind at random. A reader must tell it in one line, or its result must be right.

`FUZZ=2000 pytest tests/test_damaged_files.py` tries 2,000 files and 2,000 zips; a usual run tries 60 of each, always
the same ones. `FUZZ_SEED=1` draws others.
"""

import json
import os
import random
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from stages import drift, evaluate, featurize, preprocess, report
from tests.small_data import small_recipe
from widedeep.commits import WORKSPACE
from widedeep.compare.compare import compare
from widedeep.compare.noise import read_noise
from widedeep.compare.table import as_values
from widedeep.errors import UserError, exit_on_user_error
from widedeep.evaluation.bootstrap import Bootstrap
from widedeep.features.files import FeatureTables
from widedeep.features.tensors import load_features
from widedeep.models.build import build
from widedeep.models.bundle import Bundle
from widedeep.revisions import Paths, load
from widedeep.sources import SOURCES
from widedeep.sources.fetch import fetch
from widedeep.tables.files import Tables
from widedeep.training.callbacks import CURVES

CASES = int(os.environ.get("FUZZ", "60"))
SEED = os.environ.get("FUZZ_SEED", "0")
DEEP = b"[" * 100_000
LONG = b'{"a": ' + b"9" * 400 + b"}"
ODD: tuple[Any, ...] = (None, "x", [], {}, -1, 0, 10**12, 10**400, 1e300, True, [[]], {"value": None})


@dataclass(frozen=True)
class Pipeline:
    """The outputs of a tiny pipeline in a folder, and the stages that read them."""

    folder: Path

    def run(self, stage: str) -> str | None:
        """Run a stage. Return its message if it ends with an error that the user can fix."""
        params, out = ["--params", str(self.folder / "params.yaml")], str(self.folder / "again")
        data, reports = self.folder / "data", str(self.folder / "reports")
        raw, tables, features, model = (
            str(path) for path in (data / "raw", data / "interim", data / "features", self.folder / "models")
        )
        curves = str(self.folder / "reports/plots/learning_curves.csv")
        calls: dict[str, tuple[Callable[..., None], list[str]]] = {
            "preprocess": (preprocess.main, ["--raw", raw, "--out", out, "--report", f"{out}.json", "--model", model]),
            "featurize": (featurize.main, ["--tables", tables, "--out", out, "--model", model]),
            "evaluate": (
                evaluate.main,
                ["--tables", tables, "--features", features, "--model", model, "--out", out],
            ),
            "report": (
                report.main,
                [
                    *("--tables", tables, "--data-report", f"{reports}/data.json", "--model", model),
                    *("--results", reports, "--curves", curves),
                    *("--drift", f"{reports}/plots/drift.csv", "--out", out),
                ],
            ),
            "drift": (drift.main, ["--features", features, "--out", out]),
        }
        main, arguments = calls[stage]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [stage, *params, *arguments])  # read by each main without arguments
            return told(main)

    def compare(self) -> str | None:
        """Compare the results with themselves, as `widedeep compare` does."""
        reports = Path("reports")
        paths = Paths(
            metrics=reports / "metrics.json", params=Path("params.yaml"), data=reports / "data.json",
            tables=Path("data/interim"), per_user=reports / "per_user.parquet", lock=Path("dvc.lock"),
        )  # fmt: skip

        def act() -> None:
            one = load(WORKSPACE, paths)
            as_values(compare(one, load(WORKSPACE, paths), read_noise(reports / "noise.json"), Bootstrap(20, 0)), [])

        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            return told(act)


def told(act: Callable[[], Any]) -> str | None:
    """Return the message of an error that the user can fix, None if there is no error. Other errors are raised."""
    with redirect_stderr(StringIO()) as printed, redirect_stdout(StringIO()):
        try:
            with exit_on_user_error():
                act()
        except SystemExit:
            lines = [line for line in printed.getvalue().splitlines() if line.startswith("error: ")]
            return printed.getvalue()[printed.getvalue().index(lines[0]) :].strip()
    return None


@pytest.fixture(scope="module")
def whole(
    root: Path,
    tmp_path_factory: pytest.TempPathFactory,
    ratings: pd.DataFrame,
    items: pd.DataFrame,
    users: pd.DataFrame,
) -> Iterator[Pipeline]:
    """Run a tiny pipeline. Its model is not trained."""
    folder = tmp_path_factory.mktemp("whole")
    for name in ("given", "data/raw", "reports/plots", "models"):
        (folder / name).mkdir(parents=True)
    ratings.drop(columns="split").to_csv(folder / "given/ratings.csv", index=False)
    items.assign(genres=items["genres"].str.join("|")).to_csv(folder / "given/items.csv", index=False)
    users.assign(age=range(10)).to_csv(folder / "given/users.csv", index=False)
    params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    params["download"] |= {"dataset": "own", "source": str(folder / "given")}
    params["preprocess"] |= {"rating_scale": [0.5, 5], "split": "temporal"}
    params["evaluate"] |= {"bootstrap_replicates": 100, "ks": [5, 10]}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    fetch(SOURCES["own"], str(folder / "given"), folder / "data/raw")
    pipeline = Pipeline(folder)
    again = folder / "again"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "log_metrics", lambda *_: None)
        assert pipeline.run("preprocess") is None
        again.rename(folder / "data/interim")
        (folder / "again.json").rename(folder / "reports/data.json")
        assert pipeline.run("featurize") is None
        again.rename(folder / "data/features")
        features = load_features(folder / "data/features", "train", "validation")
        recipe = small_recipe()
        Bundle(
            build(features.spec, recipe.architecture), recipe.architecture, features.context(), features.names,
            features.vocabulary(), "0" * 64, 1, {"validation_rmse": 1.0},
        ).save(folder / "models")  # fmt: skip
        curves = [{"epoch": epoch, **dict.fromkeys(CURVES, 1.0 - epoch / 10)} for epoch in range(3)]
        pd.DataFrame(curves).to_csv(folder / "reports/plots/learning_curves.csv", index=False)
        assert pipeline.run("evaluate") is None
        shutil.copytree(again, folder / "reports", dirs_exist_ok=True)
        metrics = json.loads((folder / "reports/metrics.json").read_text(encoding="utf-8"))["rating"]["online"]
        noise = {"seeds": 3, "params": {}, "metrics": {name: {"deviation": 0.1} for name in metrics}}
        (folder / "reports/noise.json").write_text(json.dumps(noise), encoding="utf-8")
        out = {"path": "data/interim", "md5": "0" * 32, "hash": "md5"}
        stage = {"cmd": "x", "params": {"params.yaml": {"train.epochs": 3}}, "outs": [out]}
        lock = {"schema": "2.0", "stages": {"preprocess": stage}}
        (folder / "dvc.lock").write_text(yaml.safe_dump(lock), encoding="utf-8")
        assert pipeline.run("drift") is None
        shutil.copytree(again, folder / "reports", dirs_exist_ok=True)
        assert pipeline.run("report") is None
        assert pipeline.compare() is None
        yield pipeline


# The files of the pipeline, and who reads them.
READERS = {
    "data/raw": ("preprocess",),
    "data/interim": ("featurize", "report"),
    "data/features": ("drift", "evaluate"),
    "models": ("evaluate",),
    "reports": ("report", "compare"),
    "reports/plots": ("report",),
    ".": ("compare",),
}


def damaged_bytes(content: bytes, draw: random.Random) -> bytes:
    """Cut a file, flip bits, or put other bytes in its place."""
    changed = bytearray(content)
    kind = draw.choice(("cut", "flip", "flip", "flips", "other", "middle"))
    if kind == "cut":
        return content[: draw.randrange(len(content))]
    if kind == "middle":
        at = draw.randrange(len(content))
        return content[:at] + content[at + draw.randrange(1, 50) :]
    if kind == "other":
        others = (b"", b"null", b"[]", b"{}", b"1", b"\xff\xfe", DEEP, LONG, b"a: [", b"\0" * 100, b"PAR1" * 20)
        return draw.choice(others)
    for _ in range(1 if kind == "flip" else 20):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def damaged_values(value: Any, draw: random.Random) -> Any:
    """Remove a key, or change a value, somewhere in what a JSON or YAML file holds."""
    if isinstance(value, dict | list) and value and draw.random() < 0.8:
        key = draw.choice(list(value) if isinstance(value, dict) else range(len(value)))
        changed = dict(value) if isinstance(value, dict) else list(value)
        if draw.random() < 0.3:
            del changed[key]
        else:
            changed[key] = damaged_values(value[key], draw)
        return changed
    return draw.choice(ODD)


def damaged_table(table: pa.Table, draw: random.Random) -> pa.Table:
    """Change the columns, types, values or rows of a table."""
    place = draw.randrange(table.num_columns)
    name, column = table.column_names[place], table.column(place)
    kind = draw.choice(
        ("drop", "rename", "text", "nulls", "one", "large", "negative", "half", "empty", "twice", "flat")
    )
    if kind == "drop":
        return table.drop_columns([name])
    if kind == "rename":
        return table.rename_columns([f"{one}x" if one == name else one for one in table.column_names])
    if kind in ("half", "empty", "twice"):
        rows = {"half": table.num_rows // 2, "empty": 0}.get(kind)
        return pa.concat_tables([table, table]) if rows is None else table.slice(0, rows)
    values = column.to_pylist()
    if kind in ("text", "flat"):
        new: Any = [str(value) for value in values] if kind == "text" else [1] * len(values)
        return table.set_column(place, name, pa.array(new))
    some = draw.randrange(len(values))
    number = {"nulls": None, "one": None, "large": 10**6, "negative": -5}[kind]
    if kind == "nulls":
        values = [None] * len(values)
    elif isinstance(values[some], list):
        values[some] = [str(number) if number and isinstance(one, str) else number for one in values[some]]
    elif not isinstance(values[some], str) or number is None:
        values[some] = number
    return table.set_column(place, name, pa.array(values, column.type))


def damage(path: Path, draw: random.Random) -> bool:
    """Damage a file. Return whether only a check of its bytes can tell that it is another."""
    kind = draw.choice(("bytes", "bytes", "values", "values", "place"))
    if kind == "place":
        path.unlink()
        if draw.random() < 0.5:
            path.mkdir()
    elif kind == "values" and path.suffix in (".json", ".lock"):
        text = yaml.safe_load if path.suffix == ".lock" else json.loads
        value = damaged_values(text(path.read_text(encoding="utf-8")), draw)
        path.write_text(yaml.safe_dump(value) if path.suffix == ".lock" else json.dumps(value), encoding="utf-8")
    elif kind == "values" and path.suffix == ".parquet":
        pq.write_table(damaged_table(pq.read_table(path), draw), path)
    elif kind == "values" and path.suffix == ".csv":
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        if draw.random() < 0.5:
            table = table.drop(columns=draw.choice(list(table)))
        else:
            table.iloc[draw.randrange(len(table)), draw.randrange(table.shape[1])] = draw.choice(("x", "", "inf", "-1"))
        table.to_csv(path, index=False)
    else:
        path.write_bytes(damaged_bytes(path.read_bytes(), draw))
        return path.suffix in (".parquet", ".safetensors")
    return False


def content_of(folder: Path) -> Any:
    """Load a folder whose files have checksums."""
    if folder.name == "interim":
        tables = Tables.load(folder)
        return tables.ratings, tables.items.to_json(), tables.users.to_json(), tables.item_ids, tables.user_ids
    if folder.name == "features":
        features = FeatureTables.load(folder)
        return features.rows, features.users, features.items
    bundle = Bundle.load(folder)
    return {name: value.tolist() for name, value in bundle.model.state_dict().items()}, bundle.names


FILES = [
    *("data/raw/dataset.json", "dvc.lock", "models/model.json", "models/model.safetensors", "models/vocabulary.json"),
    *(f"models/{name}" for name in ("users.parquet", "items.parquet", "rows.parquet", "features.json")),
    *(f"data/interim/{name}.parquet" for name in ("ratings", "items", "users", "item_ids", "user_ids")),
    "data/interim/tables.json",
    *(f"data/features/{name}" for name in ("rows.parquet", "users.parquet", "items.parquet", "features.json")),
    *(f"reports/{name}" for name in ("metrics.json", "data.json", "noise.json", "per_user.parquet")),
    *(f"reports/{name}.parquet" for name in ("predictions", "recommendations")),
    *(f"reports/plots/{name}.csv" for name in ("calibration", "ranking_by_k", "learning_curves", "rmse_by_genre")),
    *(f"reports/plots/{name}.csv" for name in ("by_popularity_penalty", "drift")),
]


@pytest.mark.parametrize("name", FILES)
def test_damage_to_a_file_is_told_in_one_line(whole: Pipeline, name: str) -> None:
    path = whole.folder / name
    kept, checked = path.read_bytes(), name.startswith(("data/interim", "data/features", "models"))
    before = content_of(path.parent) if checked else None
    for case in range(max(CASES // len(FILES), 1)):
        draw = random.Random(f"{SEED} {name} {case}")
        try:
            silent = damage(path, draw)
            if silent and checked:
                with suppress(UserError):
                    assert content_of(path.parent) == before, f"{name}, case {case}: read wrongly in silence"
            for reader in READERS[str(Path(name).parent)]:
                if reader == "compare" or draw.random() < 0.5 or len(READERS[str(Path(name).parent)]) == 1:
                    check(name, case, whole.compare() if reader == "compare" else whole.run(reader))
        finally:
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)
            path.write_bytes(kept)


def check(name: str, case: int, message: str | None) -> None:
    """A message has one line and names the file or another of its folder, or the folder."""
    if message is not None:
        assert "\n" not in message, f"{name}, case {case}: {message}"
        assert len(message) < 1000, f"{name}, case {case}: {message}"
        assert Path(name).parent.name in message or Path(name).name in message, f"{name}, case {case}: {message}"


METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def made_zip(path: Path, files: Mapping[str, str], draw: random.Random) -> None:
    """Pack files as publishers do, and damage the zip, or give it odd members."""
    prefix = draw.choice(("", "a/", "a/b/"))
    method = draw.choice(METHODS)
    odd = draw.choice(("", "", "", "twice", "nameless", "other", "dot"))
    with zipfile.ZipFile(path, "w", method) as zipped:
        if prefix and draw.random() < 0.5:
            zipped.writestr(prefix, "")
        for name, text in files.items():
            zipped.writestr(prefix + name, text)
        if odd == "nameless":
            zipped.writestr(zipfile.ZipInfo(""), "x")
        elif odd == "dot":
            zipped.writestr(f"{prefix}./ratings.csv", "x")
        elif odd == "other":
            zipped.writestr(f"{prefix}README", "x")
    content = path.read_bytes()
    if odd == "twice":
        with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as zipped:
            zipped.writestr(f"{prefix}ratings.csv", "x")
        content = path.read_bytes()
    elif draw.random() < 0.2:  # the flag of encryption, in the directory and in front of each member
        for mark, at in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
            place = content.find(mark)
            content = content[: place + at] + bytes([content[place + at] | 1]) + content[place + at + 1 :]
    elif odd != "dot" and draw.random() < 0.8:  # else damage to the name of one would leave the other
        content = damaged_bytes(content, draw)
    path.write_bytes(content)


def test_damage_to_a_zip_is_told_in_one_line_or_does_not_matter(tmp_path: Path) -> None:
    draw = random.Random(1)
    rows = "".join(f"{draw.randrange(100)},{draw.randrange(100)},{draw.randrange(6)}\n" for _ in range(100))
    files = {"ratings.csv": f"user_id,item_id,rating\n{rows}", "items.csv": "item_id,title\n1,A\n"}
    for case in range(CASES):
        draw = random.Random(f"{SEED} {case}")
        archive, out = tmp_path / f"{case}.zip", tmp_path / f"out {case}"
        out.mkdir()
        made_zip(archive, files, draw)
        message = told(lambda archive=archive, out=out: fetch(SOURCES["own"], str(archive), out))  # type: ignore[misc]
        if message is None:
            for name, text in files.items():
                read = (out / name).read_text() if (out / name).exists() or name == "ratings.csv" else text
                assert read == text, f"case {case}: {name} was read wrongly in silence"
        else:
            assert "\n" not in message, f"case {case}: {message}"
            assert archive.name in message or "ratings.csv" in message, f"case {case}: {message}"
        archive.unlink()
        shutil.rmtree(out)
