"""pyproject.toml, environment.yml and constraints.txt name the same versions, and these are installed.

The version of this project is the same everywhere, too.
"""

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

Pins = dict[str, str]


def pins(lines: list[str]) -> Pins:
    """Read the version of each package. Every line must name exactly one."""
    found: Pins = {}
    for line in lines:
        requirement = Requirement(line)
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", line
        assert canonicalize_name(requirement.name) not in found, line
        found[canonicalize_name(requirement.name)] = specifier.version
    return found


def requirements() -> list[str]:
    return [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]


def of_constraints() -> Pins:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    return pins([line for line in text.splitlines() if line and not line.startswith("#")])


def of_conda() -> tuple[str, list[str]]:
    """Read the Python requirement and the lines for pip."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python, pip, section = environment["dependencies"]
    assert pip == "pip"
    return python.removeprefix("python"), section["pip"]


def installed(name: str) -> str | None:
    try:
        return re.sub(r"\+.*", "", version(name))  # torch adds the kind of build, as in 2.13.0+cpu
    except PackageNotFoundError:
        return None


def test_conda_has_the_pins_of_the_project() -> None:
    _, lines = of_conda()
    assert {"-c constraints.txt", "-e ."} <= set(lines)
    packages = [line for line in lines if not line.startswith("-")]
    assert pins(packages) == pins(requirements())
    assert set(packages) == set(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]), (
        "a requirement with another extra, as in ibis-framework[duckdb]"
    )


def test_conda_has_the_python_of_the_project() -> None:
    assert of_conda()[0] == PROJECT["requires-python"]
    assert sys.version_info[:2] in ((3, 11), (3, 12))


def test_constraints_have_the_pins_of_the_project() -> None:
    constraints = of_constraints()
    assert {name: constraints.get(name) for name in pins(requirements())} == pins(requirements())


def test_constraints_are_what_is_installed() -> None:
    there = {name: found for name in of_constraints() if (found := installed(name)) is not None}
    assert there == {name: pin for name, pin in of_constraints().items() if name in there}
    assert set(pins(requirements())) <= set(there)


def test_constraints_have_every_package_that_the_project_needs() -> None:
    todo = [Requirement(line) for line in requirements()]
    needed = {canonicalize_name(requirement.name) for requirement in todo}
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if name == "torch":
            continue  # a build for GPUs needs their libraries
        for line in requires(name) or ():
            further = Requirement(line)
            extras = requirement.extras or {""}
            wanted = further.marker is None or any(further.marker.evaluate({"extra": extra}) for extra in extras)
            if wanted and (further.extras or canonicalize_name(further.name) not in needed):
                needed.add(canonicalize_name(further.name))
                todo.append(further)
    assert needed <= set(of_constraints())


def test_version_of_the_project_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    released = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert citation["version"] == PROJECT["version"] == released[0]
