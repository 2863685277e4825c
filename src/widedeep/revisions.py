"""Read the results of a git revision: metrics, parameters, data counts, and what dvc.lock says of them."""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from widedeep.commits import WORKSPACE, fetch, read_bytes, resolve
from widedeep.errors import UserError
from widedeep.reading import brief, parse_json, refuse
from widedeep.yaml import parse_yaml

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Paths:
    """The paths of a revision's results, as in dvc.yaml. Only the file `metrics` must exist."""

    metrics: Path
    params: Path
    data: Path
    tables: Path
    per_user: Path
    lock: Path


@dataclass(frozen=True)
class LockedFile:
    """A file or folder in dvc.lock. Files that DVC only passes by have no MD5."""

    path: str
    md5: str | None = None


@dataclass(frozen=True)
class LockedStage:
    """What a stage was run with, and what it made."""

    params: dict[str, dict[str, Any]] = field(default_factory=dict)
    deps: list[LockedFile] = field(default_factory=list)
    outs: list[LockedFile] = field(default_factory=list)


@dataclass(frozen=True)
class Lock:
    """The part of dvc.lock that is read here: the stages by name."""

    stages: dict[str, LockedStage] = field(default_factory=dict)


@dataclass(frozen=True)
class Revision:
    """The results of a git revision or of the workspace. A mapping is empty if the revision lacks its file.

    name : the revision as the user named it
    commit : full SHA-1; None for the workspace
    metrics : nested content of reports/metrics.json; never empty
    params : content of params.yaml
    made_with : the parameters in dvc.lock, with which the results were made
    data : content of reports/data.json
    locks : MD5 in dvc.lock of each output, by path
    altered : paths of metrics and data whose content differs from dvc.lock
    """

    name: str
    commit: str | None
    metrics: Mapping[str, Any]
    params: Mapping[str, Any]
    made_with: Mapping[str, Any]
    data: Mapping[str, Any]
    locks: Mapping[str, str]
    paths: Paths
    altered: Sequence[Path] = ()

    @cached_property
    def per_user(self) -> "pd.DataFrame | None":
        """reports/per_user.parquet, one row per test user. None if neither the cache nor a remote has it."""
        with tempfile.TemporaryDirectory(prefix="widedeep-") as folder:
            try:
                file = fetch(self.commit or WORKSPACE, self.paths.per_user, Path(folder) / "per_user.parquet")
            except UserError:
                return None
            from widedeep.tabular import read_parquet  # slow to import, and not needed to resolve or complete a name

            return read_parquet(file, {}).to_pandas()


def load(name: str, paths: Paths) -> Revision:
    """Read the results of a revision. `name` is a name that `resolve` knows.

    Raises
    ------
    UserError
        `resolve` raises it, the revision has no metrics, or a file is not valid JSON or YAML or holds no mapping.
    """
    commit = resolve(name)
    metrics = _parsed(name, commit, paths.metrics)
    if not metrics:
        mend = (
            "`dvc repro` makes it." if commit is None else "Compare with a commit that has results (git log --oneline)."
        )
        raise UserError(f"{name} has no metrics: {paths.metrics} is missing or empty. {mend}")
    lock = read_lock(paths.lock, name, commit)
    params, data = (_parsed(name, commit, path) for path in (paths.params, paths.data))
    made_with: dict[str, Any] = {}
    for stage in lock.stages.values():
        made_with |= stage.params.get(paths.params.as_posix(), {})
    locks = {out.path: out.md5 for stage in lock.stages.values() for out in stage.outs if out.md5 is not None}
    altered = [path for path in (paths.metrics, paths.data) if _is_altered(commit, path, locks)]
    return Revision(name, commit, metrics, params, made_with, data, locks, paths, altered)


def read_lock(path: Path, name: str = WORKSPACE, commit: str | None = None) -> Lock:
    """Read dvc.lock of a revision, which has the name `name`. It is empty if the revision has no such file.

    Raises
    ------
    UserError
        The file is damaged.
    """
    from widedeep.sections import typed  # imports pydantic, which takes time

    lock: Lock = typed(Lock, _parsed(name, commit, path), f"{path} of {name}", _mend(commit, path))
    return lock


def _parsed(name: str, commit: str | None, path: Path) -> dict[str, Any]:
    """Read a JSON or YAML file of the revision; {} if the revision has no such file."""
    try:
        content = read_bytes(commit, path)
        if path.suffix == ".json":
            parsed = parse_json(content)
        else:
            parsed = parse_yaml(content.decode("utf-8"), f"{path} of {name}")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        refuse(f"{path} of {name}", f"is not valid ({brief(error)})", _mend(commit, path))
    if not isinstance(parsed, dict):
        fact = f"must hold names and values. Got {type(parsed).__name__} instead"
        refuse(f"{path} of {name}", fact, _mend(commit, path))
    return parsed


def _mend(commit: str | None, path: Path) -> str:
    if commit is None:
        return f"Bring back the committed one: git restore {path}"
    return "Name another commit (git log --oneline)."


def _is_altered(commit: str | None, path: Path, locks: Mapping[str, str]) -> bool:
    """Say whether a file of the revision differs from the one that the pipeline made, as far as dvc.lock knows it."""
    locked = locks.get(path.as_posix())
    try:
        return locked is not None and hashlib.md5(read_bytes(commit, path)).hexdigest() != locked
    except FileNotFoundError:
        return False
