"""Write outputs completely or not at all, write JSON, and hash files and folders."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PARTIAL = ".partial"  # ignored by git and DVC


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and rename it to `path` when the block succeeds.

    The block may make a file or a folder there. If it raises, the temporary path is removed and `path` stays as it
    was. A killed process may leave a temporary path behind; the next run removes it. Enter outputs that belong together
    in one `with` (or ExitStack): then all are written before the first one is renamed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + PARTIAL)
    remove(partial)
    try:
        yield partial
        if path.is_dir():
            # A folder cannot be replaced in one step. Keep the old one, to bring it back if the rename fails.
            old = path.with_name(path.name + ".old" + PARTIAL)
            remove(old)
            path.replace(old)
            try:
                partial.replace(path)
            except OSError:
                old.replace(path)
                raise
            remove(old)
        else:
            partial.replace(path)
    except BaseException:
        remove(partial)
        raise


def remove(path: Path) -> None:
    """Remove a file or a folder if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON. The same value gives the same bytes.

    Raises
    ------
    ValueError
        `value` holds NaN or infinity.
    """
    path.write_text(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def sha256(path: Path) -> str:
    """Return the hex digest of the name and content of a file, or of all files directly in a folder."""
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
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
