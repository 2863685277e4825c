"""Find a git commit by its name, and read its files.

Files in git are read from git, and outputs of the pipeline from DVC's cache or a remote. Nothing is checked out. Paths
are relative to the root of the repository.
"""

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from widedeep.errors import UserError, nearest
from widedeep.files import replacing

if TYPE_CHECKING:
    from dvc.api import DVCFileSystem

WORKSPACE = "workspace"  # the name for the current files, committed or not
EXPERIMENT = r"exps/\w{2}/\w{38}"  # DVC's refs of experiments, below refs/: the hash is of the commit they started from


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


def names() -> list[str]:
    """Return every name that `resolve` knows, except hashes: the workspace, HEAD, branches, tags and experiments."""
    refs = git("for-each-ref", "--format=%(refname)").splitlines()
    found = (re.fullmatch(rf"refs/(?:heads|tags|remotes|{EXPERIMENT})/(.+)", ref) for ref in refs)
    return [WORKSPACE, "HEAD", *sorted({match[1] for match in found if match})]


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


def read_bytes(commit: str | None, path: Path) -> bytes:
    """Read a file of a commit, or of the workspace if `commit` is None. FileNotFoundError: it has no such file."""
    if commit is None:
        return path.read_bytes()
    content: bytes = _files(_root().resolve(), commit).read_bytes(path.as_posix())
    return content


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
