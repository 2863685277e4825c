"""The rooms of the package: later ones may import earlier ones, never the other way. So there is no circle."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

PACKAGE = ROOT / "src/widedeep"

# From the ground up. A room may import from the rooms above it in this list, at the top of a module or in a function.
ROOMS = (
    "errors",
    "columns",
    "files",
    "sections",
    "registry",
    "params",
    "engine",
    "sources",
    "tables",
    "features",
    "models",
    "scoring",
    "training",
    "evaluation",
    "report",
    "revisions",
    "warm_start",
    "compare",
    "drift",
    "serving",
    "tracking",
    "cli",
)
# What a room must not import although it comes earlier. Judging and showing need tables only.
TABLES_ONLY = ("torch", "pytorch_lightning", "dvc", "widedeep.features", "widedeep.models", "widedeep.scoring")
BANNED = {"evaluation": TABLES_ONLY, "report": TABLES_ONLY, "serving": ("dvc", "mlflow", "widedeep.training")}
ALLOWED = {("report", "widedeep.models.registry")}  # the labels of the models; it imports no torch


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(file): file for file in sorted(PACKAGE.rglob("*.py"))}


def imported(file: Path) -> Iterator[str]:
    """The modules that a file imports, in functions too: of ours the module itself, of others the name as written."""
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
    # params.yaml has the knobs of every model, so its reader knows their registry, which knows no model.
    if module == "widedeep.models.registry":
        return "registry"
    return module.split(".")[1] if "." in module else ""


def wrong(module: str, other: str) -> bool:
    """Whether an import goes upwards, or into a room that this one must not know."""
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
    """Inside a room, too: else it depends on the order of imports whether a module can be imported at all."""
    graph = {name: {other for other in imported(file) if other in MODULES} - {name} for name, file in MODULES.items()}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for other in sorted(graph[module]):
                # A package that gathers its modules is imported with each of them, before anything in it is needed.
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
