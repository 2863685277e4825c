"""Write outputs completely or not at all, write JSON, and hash files and folders."""

import ctypes
import errno
import hashlib
import json
import os
import shutil
import stat
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from widedeep.errors import UserError

PARTIAL = ".partial"  # ignored by git and DVC
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux
_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)  # the system or the file system cannot exchange names


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and rename it to `path` when the block succeeds.

    The block may make a file or a folder there. If it raises, the temporary path is removed and `path` stays as it
    was. A killed process may leave a temporary path behind; the next run removes it. Enter outputs that belong together
    in one `with` (or ExitStack): then all are written before the first one is renamed. Enter them in the order in which
    they are written: then an error of a full disk names the file that was being written.

    A link to a folder stays, and the folder behind it is replaced. A link to a file is replaced by a file, because DVC
    may have linked the file to its cache, which must not change.

    Raises
    ------
    UserError
        `path` is a mount point or a link to nothing, or an earlier temporary path cannot be removed. It is raised
        before the block starts.
    """
    path = _followed(Path(path))
    if path.is_mount():
        raise UserError(
            f"{path} is a mount point, which cannot be replaced as a whole. Mount the file system elsewhere, and make "
            f"{path} a symbolic link to a folder in it."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, old = (path.with_name(path.name + ending) for ending in (PARTIAL, f".old{PARTIAL}"))
    if os.path.lexists(old) and not os.path.lexists(path):
        old.replace(path)
        print(f"{path} is back: an earlier run was killed while it replaced it", file=sys.stderr)
    for leftover in (partial, old):
        try:
            remove(leftover)
        except OSError as error:
            raise UserError(
                f"{leftover} is left from an earlier run and cannot be removed ({error.strerror}: {error.filename}). "
                "Remove it."
            ) from None
    try:
        yield partial
        _put(partial, path, old)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None and os.path.lexists(partial):
            error.filename = str(path / _newest(partial))
        _remove_or_say(partial)
        raise
    for replaced in (partial, old):
        _remove_or_say(replaced)


def _followed(path: Path) -> Path:
    """Return the folder behind a link, or the path itself."""
    if not path.is_symlink():
        return path
    if not path.exists():
        raise UserError(
            f"{path} is a symbolic link to {path.readlink()}, which does not exist. Make a folder there, or remove the "
            "link."
        )
    return path.resolve() if path.is_dir() else path


def _put(partial: Path, path: Path, old: Path) -> None:
    """Rename `partial` to `path`. What was there before is afterwards at `partial` or `old`."""
    if not path.is_dir() and not (path.exists() and partial.is_dir()):
        partial.replace(path)
    elif not _exchange(partial, path):
        # Without an exchange there is a moment without `path`. If the process is killed then, the next run ends it.
        path.replace(old)
        try:
            partial.replace(path)
        except OSError:
            old.replace(path)
            raise


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step. Return False if the system cannot do it."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if rename is None:
        return False
    if rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(other))


def _newest(path: Path) -> Path:
    """Find the file of a folder that was written last, relative to the folder. Of a file it is `.`."""
    files = [file for file in path.rglob("*") if file.is_file()]
    return max(files, key=lambda file: file.stat().st_mtime_ns, default=path).relative_to(path)


def remove(path: Path) -> None:
    """Remove a file or a folder if it exists, also a folder that is read-only."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except PermissionError:
        _unlock(path)
        shutil.rmtree(path)


def _unlock(folder: Path) -> None:
    """Let the owner change a folder and the folders in it."""
    with suppress(OSError):  # another owner; the caller's error says what cannot be removed
        folder.chmod(folder.stat().st_mode | stat.S_IRWXU)
    for inner in folder.iterdir():
        if inner.is_dir() and not inner.is_symlink():
            _unlock(inner)


def _remove_or_say(path: Path) -> None:
    """Remove a temporary path. If that fails, only say so, because it is no reason to lose what was made."""
    try:
        remove(path)
    except OSError as error:
        print(f"warning: {path} cannot be removed ({error.strerror}: {error.filename}). Remove it.", file=sys.stderr)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON. The same value gives the same bytes.

    Raises
    ------
    ValueError
        `value` holds NaN or infinity.
    """
    path.write_text(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def sha256(path: Path, names: Collection[str] | None = None) -> str:
    """Return the hex digest of the name and content of a file, or of the files directly in a folder.

    names : of the files of the folder that count; None: all
    """
    digest = hashlib.sha256()
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    for file in files if names is None else (file for file in files if file.name in names):
        with file.open("rb") as opened:
            digest.update(file.name.encode() + hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def dvc_md5(folder: Path) -> str:
    """Hash a folder as DVC does in dvc.lock: the MD5 of a list of file names and their MD5s, followed by `.dir`."""
    entries = []
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        with file.open("rb") as opened:
            md5 = hashlib.file_digest(opened, "md5").hexdigest()
        entries.append({"md5": md5, "relpath": file.relative_to(folder).as_posix()})
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"
