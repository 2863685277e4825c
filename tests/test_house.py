"""The rooms of the package: a room imports only earlier rooms. So there are no circles."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

PACKAGE = ROOT / "src/widedeep"

# A room may import only rooms that stand above it in this list, at the top of a module or in a function.
ROOMS = (
    "errors",
    "columns",
    "files",
    "progress",
    "reading",
    "yaml",
    "tabular",
    "sections",
    "registry",
    "params",
    "engine",
    "sources",
    "tables",
    "features",
    "models",
    "scoring",
    "score_tables",
    "training",
    "evaluation",
    "report",
    "commits",
    "revisions",
    "warm_start",
    "compare",
    "drift",
    "serving",
    "tracking",
    "register",
    "cli",
)
# Earlier rooms that a room must not import, because judging and showing need tables only.
TABLES_ONLY = (
    "torch",
    "pytorch_lightning",
    "dvc",
    "widedeep.features",
    "widedeep.models",
    "widedeep.scoring",
    "widedeep.score_tables",
)
BANNED = {"evaluation": TABLES_ONLY, "report": TABLES_ONLY, "serving": ("dvc", "mlflow", "widedeep.training")}
# For the labels of the models and the facts about the trained one. These modules do not import torch.
ALLOWED = {("report", "widedeep.models.registry"), ("report", "widedeep.models.files")}


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(file): file for file in sorted(PACKAGE.rglob("*.py"))}


def imported(file: Path) -> Iterator[str]:
    """List the modules that a file imports, also in functions. Modules of other packages keep the name as written."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            own = name.startswith("widedeep.") and name not in MODULES
            yield name.rpartition(".")[0] if own else name


def room(module: str) -> str:
    # params.yaml has the knobs of every model, so its reader imports the registry. The registry imports no model.
    if module in ("widedeep.models.knobs", "widedeep.models.registry"):
        return "registry"
    return module.split(".")[1] if "." in module else ""


def wrong(module: str, other: str) -> bool:
    """Whether an import is of a later room, or of a room that this one must not import."""
    own = room(module)
    if (own, other) in ALLOWED:
        return False
    if any(f"{other}.".startswith(f"{name}.") for name in BANNED.get(own, ())):
        return True
    return other in MODULES and room(other) != "" and ROOMS.index(room(other)) > ROOMS.index(own)


def test_every_module_is_in_a_room() -> None:
    unknown = {room(name) for name in MODULES} - {"", *ROOMS}
    assert not unknown, f"give each a place in ROOMS: {', '.join(sorted(unknown))}"


def test_rooms_import_downwards_only() -> None:
    found = [
        (module, other)
        for module, file in MODULES.items()
        for other in imported(file)
        if room(module) and wrong(module, other)
    ]
    told = "\n".join(f"{module} imports {other}" for module, other in found)
    assert not told, f"these imports go against the order of the rooms:\n{told}"


def test_modules_import_each_other_in_no_circle() -> None:
    """There is no circle inside a room either. With a circle, some orders of imports would fail."""
    graph = {name: {other for other in imported(file) if other in MODULES} - {name} for name, file in MODULES.items()}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for other in sorted(graph[module]):
                # A package is imported before its modules. This is no circle, because they need nothing from it.
                if not module.startswith(f"{other}."):
                    visit(other, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_help_of_the_command_imports_nothing_heavy() -> None:
    heavy = ("torch", "pandas", "numpy", "dvc", "ibis", "duckdb", "mlflow", "optuna", "pydantic", "studies", "rich")
    code = f"""
import sys
from widedeep.cli import main
assert main(["--help"]) == 0
print(sorted(set(sys.modules).intersection({heavy!r})))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
