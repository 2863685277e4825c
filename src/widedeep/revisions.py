"""States of the repository by name, and the results that each holds: metrics, parameters, data, outputs.

What lies in git is read from git, the outputs of the pipeline from the cache or a remote of DVC; nothing is checked
out. Paths are relative to the root of the repository.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from widedeep.errors import UserError, nearest
from widedeep.files import replacing

if TYPE_CHECKING:
    import pandas as pd
    from dvc.api import DVCFileSystem

WORKSPACE = "workspace"  # the files as they are now, committed or not
EXPERIMENT = r"exps/\w{2}/\w{38}"  # below refs/: where DVC keeps experiments, by the commit they began at


@dataclass(frozen=True)
class Paths:
    """Where a revision keeps its results, as in dvc.yaml. All but `metrics` may be missing in it."""

    metrics: Path
    params: Path
    data: Path
    tables: Path
    per_user: Path
    lock: Path


@dataclass(frozen=True)
class Revision:
    """The results of one state of the repository.

    name: as the user gave it. commit: full SHA-1, None for the workspace. metrics: nested, as in reports/metrics.json.
    params: of params.yaml. made_with: those of them by which the results were made, of dvc.lock. data: of
    reports/data.json. locks: MD5 of each output by path, of dvc.lock. All but metrics are {} where the revision lacks
    the file.
    """

    name: str
    commit: str | None
    metrics: Mapping[str, Any]
    params: Mapping[str, Any]
    made_with: Mapping[str, Any]
    data: Mapping[str, Any]
    locks: Mapping[str, str]
    paths: Paths

    @cached_property
    def per_user(self) -> "pd.DataFrame | None":
        """reports/per_user.parquet, a row per test user, or None where neither the cache nor a remote has it."""
        with tempfile.TemporaryDirectory(prefix="widedeep-") as folder:
            try:
                file = fetch(self.commit or WORKSPACE, self.paths.per_user, Path(folder) / "per_user.parquet")
            except UserError:
                return None
            import pandas as pd  # a name can be resolved, and completed, without it

            return pd.read_parquet(file)


def resolve(name: str) -> str | None:
    """The full SHA-1 of a git revision, tag, branch or DVC experiment; None for the workspace.

    A name of git goes before one of DVC, `WORKSPACE` before both.

    Raises
    ------
    UserError
        There is no git, no repository or no such revision (the nearest names are given), or it is ambiguous.
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
    """The results of a revision, named as for `resolve`.

    Raises
    ------
    UserError
        `resolve` does; the revision has no metrics; a file is not valid JSON or YAML, or does not hold an object.
    """
    commit = resolve(name)
    metrics = _parsed(name, commit, paths.metrics)
    if not metrics:
        mend = (
            "`dvc repro` makes it." if commit is None else "Compare with a commit that has results (git log --oneline)."
        )
        raise UserError(f"{name} has no metrics: {paths.metrics} is missing or empty. {mend}")
    stages = _parsed(name, commit, paths.lock).get("stages", {}).values()
    params, data = (_parsed(name, commit, path) for path in (paths.params, paths.data))
    made_with: dict[str, Any] = {}
    for stage in stages:
        made_with |= stage.get("params", {}).get(paths.params.as_posix(), {})
    locks = {out["path"]: out["md5"] for stage in stages for out in stage.get("outs", ()) if "md5" in out}
    return Revision(name, commit, metrics, params, made_with, data, locks, paths)


def fetch(name: str, path: str | Path, into: Path) -> Path:
    """Copy a file or folder of a revision, of git or of DVC's cache or remotes, to the path `into`, which it returns.

    What stood at `into` is replaced, whole or not at all.

    Raises
    ------
    UserError
        `resolve` does; the revision has no such path; it is an output that neither the cache nor a remote has.
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
    """What git prints in the repository, stripped.

    Raises
    ------
    UserError
        git is not installed, there is no repository, or the command fails; the last with git's own words.
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
    # `dvc exp run --temp` works in a copy without tags, branches and experiments; DVC names the original in DVC_ROOT.
    return Path(os.environ.get("DVC_ROOT", "."))


def names() -> list[str]:
    """Every name that `resolve` knows, but for commits: branches, tags and DVC experiments."""
    refs = git("for-each-ref", "--format=%(refname)").splitlines()
    found = (re.fullmatch(rf"refs/(?:heads|tags|remotes|{EXPERIMENT})/(.+)", ref) for ref in refs)
    return [WORKSPACE, "HEAD", *sorted({match[1] for match in found if match})]


def _experiment(name: str) -> str | None:
    """The commit of a DVC experiment; of several with one name that which began at HEAD."""
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
    """What a JSON or YAML file of the revision holds, {} where it has no such file."""
    try:
        if commit is None:
            text = path.read_text(encoding="utf-8")
        else:
            text = _files(_root().resolve(), commit).read_text(path.as_posix(), encoding="utf-8")
        parsed = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except FileNotFoundError:
        return {}
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} of {name} is not valid: {error}") from None
    if not isinstance(parsed, dict):
        raise UserError(f"{path} of {name} must hold names and values. Got {type(parsed).__name__} instead.")
    return parsed


@cache
def _files(root: Path, commit: str) -> "DVCFileSystem":
    """The files of a commit: those of git, and the outputs of DVC as far as its cache and remotes have them."""
    from dvc.api import DVCFileSystem  # takes a second to import

    return DVCFileSystem(str(root), rev=commit)


def _download(name: str, commit: str, path: Path, into: Path) -> None:
    files = _files(_root().resolve(), commit)
    if not files.exists(path.as_posix()):
        raise UserError(f"{name} has no {path}, neither in git nor among the outputs of its dvc.lock.")
    try:
        files.get(path.as_posix(), str(into), recursive=True)
    except Exception as error:  # a remote fails in as many ways as there are kinds of storage
        raise UserError(
            f"{path} of {name} is neither in the DVC cache nor in a remote (DVC: {error}). Where it was made, run "
            f"`dvc push --all-commits`; or make it again: check {commit[:7]} out and run `dvc repro`."
        ) from None
