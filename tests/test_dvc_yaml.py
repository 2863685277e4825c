"""The dependencies in dvc.yaml are what the stages import."""

import ast
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from widedeep.models.registry import ENTRIES
from widedeep.params import Params

ROOT = Path(__file__).resolve().parents[1]
CODE = (ROOT / "stages", ROOT / "src", ROOT / "studies")
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES: dict[str, Any] = PIPELINE["stages"]

each_stage = pytest.mark.parametrize("stage", STAGES)


def module_files(name: str) -> set[Path]:
    """List the files of this repository that `import name` runs: the module and its packages."""
    files = set()
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        for place in (ROOT, ROOT / "src"):
            path = place.joinpath(*parts[:depth])
            files |= {file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()}
    return {file for file in files if any(file.is_relative_to(folder) for folder in CODE)}


def imported_by(file: Path) -> set[Path]:
    """List the files of this repository that `file` imports, at its top or in a function."""
    # This module imports the class of each model by the text in the registry.
    files = {path for entry in ENTRIES.values() for path in module_files(entry.target.partition(":")[0])}
    files = files if file == ROOT / "src/widedeep/models/build.py" else set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}, line {node.lineno}: import by the full name, so that this test follows it"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            files |= module_files(name)
    return files


def closure(module: str) -> set[Path]:
    """List all files that a module needs: what it imports, directly or not, and the templates beside these files."""
    found: set[Path] = set()
    todo = module_files(module)
    while todo:
        found |= todo
        todo = {file for known in todo for file in imported_by(known)} - found
    folders = {file.parent for file in found}
    folders |= {folder / "templates" for folder in folders}
    return found | {file for folder in folders for file in code_files(folder, deep=False) if file.suffix != ".py"}


def code_files(path: Path, deep: bool = True) -> set[Path]:
    if path.is_file():
        return {path}
    files = path.rglob("*") if deep else path.glob("*")
    return {file for file in files if file.is_file() and file.suffix != ".pyc" and file.name != "py.typed"}


@each_stage
def test_deps_are_the_imports_of_the_stage(stage: str) -> None:
    """A folder stands for its files if the stage imports at least half of them: long lists make DVC slow."""
    listed = {dep: code_files(ROOT / dep) for dep in STAGES[stage]["deps"] if dep.split("/")[0] in ("stages", "src")}
    gone = [f"remove `- {dep}`: there is no such file" for dep, files in listed.items() if not files]
    needed = closure(f"stages.{stage}")
    covered = set().union(*listed.values())
    missing = [f"add `- {file.relative_to(ROOT)}`" for file in sorted(needed - covered)]
    unused = [
        f"remove `- {dep}`: {len(files & needed)} of its {len(files)} files are imported"
        for dep, files in listed.items()
        if 2 * len(files & needed) < len(files)
    ]
    problems = gone + missing + unused
    assert not problems, f"dvc.yaml, deps of {stage}:\n" + "\n".join(problems)


@each_stage
def test_command_runs_the_script_of_the_stage(stage: str) -> None:
    words = shlex.split(STAGES[stage]["cmd"])
    assert words[:3] == ["python", "-m", f"stages.{stage}"]
    assert (ROOT / "stages" / f"{stage}.py").is_file()


@each_stage
def test_command_names_every_dependency_on_data_and_every_output(stage: str) -> None:
    """Only dvc.yaml has the paths, so a stage knows a path only from its command."""
    told = [Path(word) for word in shlex.split(STAGES[stage]["cmd"])[3:]]
    watched = "${download.watch}"  # it may be any file of the user's
    data = [dep for dep in STAGES[stage]["deps"] if dep.split("/")[0] not in ("stages", "src") and dep != watched]
    for path in (*data, *outputs(stage)):
        assert any(Path(path).is_relative_to(place) for place in told), path


@each_stage
def test_params_are_the_section_of_the_stage(stage: str) -> None:
    warm_start = ["train.warm_start_from"]  # the earlier model's vocabulary grows
    # The page says how the lists were judged.
    judged = ["evaluate.ks", "evaluate.relevant_rating", "evaluate.popularity_penalty"]
    of_others = {
        "preprocess": warm_start,
        "featurize": warm_start,
        "train": ["models.${train.model}"],
        "report": judged,
    }
    assert STAGES[stage]["params"] == [stage, *of_others.get(stage, [])]


def test_every_section_of_the_params_belongs_to_a_stage_to_the_models_or_to_the_command_compare() -> None:
    assert [name for name in Params.model_fields if name != "models"] == [*STAGES, "compare"]


@each_stage
def test_reports_but_the_bulky_ones_lie_in_git(stage: str) -> None:
    for path, options in outputs(stage).items():
        in_git = path.startswith("reports/") and not path.endswith(".parquet")
        assert options.get("cache", True) is not in_git, path


@pytest.mark.parametrize("stage", ["download", "preprocess", "featurize", "train", "evaluate"])
def test_run_cache_keeps_the_stages_that_take_long(stage: str) -> None:
    """It leaves out a stage with `persist`, or with an output in git that is neither a metric nor a plot."""
    assert not [path for path, options in outputs(stage).items() if options.get("persist")]
    assert not [path for path, options in listed(stage, "outs") if not options.get("cache", True)]


def test_tables_of_dvc_show_the_headline_only() -> None:
    assert [path for stage in STAGES for path, _ in listed(stage, "metrics")] == ["reports/headline.json"]


def test_every_table_of_the_plots_is_drawn() -> None:
    drawn = {path for stage in STAGES for path, _ in listed(stage, "plots") if path.endswith(".csv")}
    tables = {path for stage in STAGES if stage != "drift" for path in outputs(stage) if path.endswith(".csv")}
    assert drawn == tables
    templates = {path.stem for path in (ROOT / ".dvc/plots").glob("*.json")}
    for stage in STAGES:
        for path, options in listed(stage, "plots"):
            if path in drawn:
                assert {"x", "y", "title"} <= set(options), path
                assert options["template"] in templates, path


def listed(stage: str, kind: str) -> list[tuple[str, dict[str, Any]]]:
    """The outputs of a kind (outs, metrics, plots), with their options."""
    entries = [{entry: {}} if isinstance(entry, str) else entry for entry in STAGES[stage].get(kind, ())]
    return [pair for entry in entries for pair in entry.items()]


def outputs(stage: str) -> dict[str, dict[str, Any]]:
    return dict(pair for kind in ("outs", "metrics", "plots") for pair in listed(stage, kind))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "heavy"),
    [
        ("download", ("torch", "mlflow", "sklearn", "duckdb")),
        ("preprocess", ("torch", "mlflow", "sklearn")),
        ("featurize", ("torch", "mlflow", "sklearn")),
        ("train", ("duckdb", "sklearn")),
        ("evaluate", ("pytorch_lightning", "duckdb", "sklearn")),
        ("report", ("torch", "pytorch_lightning", "mlflow", "duckdb", "ibis", "sklearn")),
    ],
)
def test_stage_starts_without_what_it_does_not_use(stage: str, heavy: tuple[str, ...]) -> None:
    code = f"import stages.{stage}, sys; print(sorted(set(sys.modules).intersection({heavy!r})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
