"""Write outputs whole or not at all (to a temporary name, then renamed), read JSON, and hash files and folders."""

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
    """Yield a temporary path beside `path`; rename it to `path` when the block ends without an exception.

    The block may make a file or a folder there. On an exception the temporary path is removed and what stood at
    `path` before is untouched. A leftover of a killed process is cleared at the next try. Several outputs that belong
    together are entered in one `with` (or ExitStack): none is renamed before all are written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + PARTIAL)
    remove(partial)
    try:
        yield partial
        if path.is_dir():
            # A folder cannot be replaced in one step: move the old one aside so that a failed rename can undo it.
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
    """Remove a file or a folder, whichever is there, if any."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON in a stable form. NaN and infinity are refused (`ValueError`)."""
    path.write_text(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def sha256(path: Path) -> str:
    """Hex digest of a file, or of the names and contents of the files in a folder."""
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        with file.open("rb") as opened:
            digest.update(file.name.encode() + hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def dvc_md5(folder: Path) -> str:
    """The hash of a folder as in dvc.lock: the MD5 of the list of its files' names and MD5s, ending in `.dir`."""
    entries = []
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        with file.open("rb") as opened:
            md5 = hashlib.file_digest(opened, "md5").hexdigest()
        entries.append({"md5": md5, "relpath": file.relative_to(folder).as_posix()})
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"
