"""Read the results of a git revision: metrics, parameters, data counts and outputs of the pipeline.

Files in git are read from git, and outputs of the pipeline from DVC's cache or a remote. Nothing is checked out. Paths
are relative to the root of the repository.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from widedeep.errors import UserError, nearest
from widedeep.files import replacing
from widedeep.reading import brief, parse_json, refuse
from widedeep.yaml import parse_yaml

if TYPE_CHECKING:
    import pandas as pd
    from dvc.api import DVCFileSystem

WORKSPACE = "workspace"  # the name for the current files, committed or not
EXPERIMENT = r"exps/\w{2}/\w{38}"  # DVC's refs of experiments, below refs/: the hash is of the commit they started from


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
class _Output:
    path: str
    md5: str | None = None


@dataclass(frozen=True)
class _Stage:
    params: dict[str, dict[str, Any]] = field(default_factory=dict)
    outs: list[_Output] = field(default_factory=list)


@dataclass(frozen=True)
class _Lock:
    """The part of dvc.lock that is read here."""

    stages: dict[str, _Stage] = field(default_factory=dict)


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


def resolve(name: str) -> str | None:
    """Return the full SHA-1 of a git revision or DVC experiment; None for the workspace.

    If several things have the name, `WORKSPACE` comes first, then git, then DVC.

    Raises
    ------
    UserError
        git is not installed, there is no repository, or the name is unknown (similar names are suggested) or
        ambiguous.
    """
    if name == WORKSPACE:
        return None
    git("rev-parse", "--git-dir")
    if not name:
        raise UserError(f"The name of a revision must not be empty. Give a commit, tag, branch or '{WORKSPACE}'.")
    try:
        return git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except UserError:
        if not git("rev-list", "--all", "--max-count=1"):
            raise UserError(f"There is no commit yet, so there is no revision but '{WORKSPACE}'.") from None
        commit = _experiment(name)
    if commit is None:
        raise UserError(f"There is no revision '{name}': no commit, tag, branch or DVC experiment. {_hint(name)}")
    return commit


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
    from widedeep.sections import typed  # imports pydantic, which takes time

    lock: _Lock = typed(_Lock, _parsed(name, commit, paths.lock), f"{paths.lock} of {name}", _mend(commit, paths.lock))
    params, data = (_parsed(name, commit, path) for path in (paths.params, paths.data))
    made_with: dict[str, Any] = {}
    for stage in lock.stages.values():
        made_with |= stage.params.get(paths.params.as_posix(), {})
    locks = {out.path: out.md5 for stage in lock.stages.values() for out in stage.outs if out.md5 is not None}
    altered = [path for path in (paths.metrics, paths.data) if _is_altered(commit, path, locks)]
    return Revision(name, commit, metrics, params, made_with, data, locks, paths, altered)


def fetch(name: str, path: str | Path, into: Path) -> Path:
    """Copy a file or folder of a revision to the path `into`, and return that path.

    It comes from git, from DVC's cache or from a remote. An existing `into` is replaced, completely or not at all.

    Raises
    ------
    UserError
        `resolve` raises it, the revision has no such path, or neither the cache nor a remote has the output.
    """
    commit, path = resolve(name), Path(path)
    with replacing(into) as partial:
        if commit is None:
            if not path.exists():
                raise UserError(f"{path} does not exist. `dvc repro` makes it.")
            (shutil.copytree if path.is_dir() else shutil.copyfile)(path, partial)
        else:
            _download(name, commit, path, partial)
    return into


def git(*arguments: str) -> str:
    """Run git in the repository and return what it prints, without surrounding space.

    Raises
    ------
    UserError
        git is not installed, there is no repository, or the command fails. Then the message is that of git.
    """
    try:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=_root(), capture_output=True, encoding="utf-8", check=True)
    except FileNotFoundError:
        raise UserError(f"git is not installed. Without it there is no revision but '{WORKSPACE}'.") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().removeprefix("fatal: ")
        if said.startswith("not a git repository"):
            said = f"{_root().resolve()} is not in a git repository, so there is no revision but '{WORKSPACE}'."
        raise UserError(said or f"`{' '.join(command)}` ended with status {error.returncode}.") from None
    return done.stdout.strip()


def _root() -> Path:
    # `dvc exp run --temp` works in a copy without tags, branches and experiments. DVC_ROOT names the original folder.
    return Path(os.environ.get("DVC_ROOT", "."))


def names() -> list[str]:
    """Return every name that `resolve` knows, except hashes: the workspace, HEAD, branches, tags and experiments."""
    refs = git("for-each-ref", "--format=%(refname)").splitlines()
    found = (re.fullmatch(rf"refs/(?:heads|tags|remotes|{EXPERIMENT})/(.+)", ref) for ref in refs)
    return [WORKSPACE, "HEAD", *sorted({match[1] for match in found if match})]


def _experiment(name: str) -> str | None:
    """Return the commit of a DVC experiment. If several have the name, take the one that started from HEAD."""
    refs = (line.split(" ", 1) for line in git("for-each-ref", "--format=%(objectname) %(refname)").splitlines())
    found = {ref: commit for commit, ref in refs if re.fullmatch(rf"refs/{EXPERIMENT}/{re.escape(name)}", ref)}
    if len(found) > 1:
        head = git("rev-parse", "HEAD")
        found = {ref: commit for ref, commit in found.items() if ref == f"refs/exps/{head[:2]}/{head[2:]}/{name}"}
        if not found:
            raise UserError(
                f"Several DVC experiments are called '{name}'. Give the commit of one: dvc exp list --all-commits --sha"
            )
    return next(iter(found.values()), None)


def _hint(name: str) -> str:
    known = names()
    ends = [repr(one) for one in known if one.endswith(f"/{name}")]
    listed = "List them: git branch --all, git tag, dvc exp list -A"
    hint = f"Did you mean {' or '.join(ends)}?" if ends else nearest(name, known, listed, most=3)
    if git("rev-parse", "--is-shallow-repository") == "true":
        hint += "\nThis clone is shallow: it lacks the older commits. Bring them: git fetch --unshallow"
    return hint


def _parsed(name: str, commit: str | None, path: Path) -> dict[str, Any]:
    """Read a JSON or YAML file of the revision; {} if the revision has no such file."""
    try:
        content = _content(commit, path)
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


def _content(commit: str | None, path: Path) -> bytes:
    if commit is None:
        return path.read_bytes()
    content: bytes = _files(_root().resolve(), commit).read_bytes(path.as_posix())
    return content


def _is_altered(commit: str | None, path: Path, locks: Mapping[str, str]) -> bool:
    """Say whether a file of the revision differs from the one that the pipeline made, as far as dvc.lock knows it."""
    locked = locks.get(path.as_posix())
    try:
        return locked is not None and hashlib.md5(_content(commit, path)).hexdigest() != locked
    except FileNotFoundError:
        return False


@cache
def _files(root: Path, commit: str) -> "DVCFileSystem":
    """Open the files of a commit: those in git, and the outputs that DVC's cache or a remote has."""
    from dvc.api import DVCFileSystem  # takes a second to import

    return DVCFileSystem(str(root), rev=commit)


def _download(name: str, commit: str, path: Path, into: Path) -> None:
    files = _files(_root().resolve(), commit)
    if not files.exists(path.as_posix()):
        raise UserError(f"{name} has no {path}, neither in git nor among the outputs of its dvc.lock.")
    try:
        files.get(path.as_posix(), str(into), recursive=True)
    except Exception as error:  # each kind of storage raises its own errors
        raise UserError(
            f"{path} of {name} is neither in the DVC cache nor in a remote (DVC: {error}). On the machine that made "
            f"it, run `dvc push --all-commits`. Or make it again: check out {commit[:7]} and run `dvc repro`."
        ) from None
