"""Unpack the files of a data set from a zip or a tar archive, which may be damaged or unsafe."""

import shutil
import stat
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NoReturn

from widedeep.errors import UserError
from widedeep.reading import brief, read_file, refuse
from widedeep.sources.choose import choose
from widedeep.sources.source import Source

GIB = 2**30
BLOCK = 2**20  # bytes unpacked at once
GET_AGAIN = "Get it again."


def unpack_zip(archive: Path, source: Source, folder: Path, max_gib: float) -> None:
    """Unpack the files of `source` from a zip into `folder`. They may lie in any one folder of the zip.

    The size to unpack and its limit `max_gib`, in GiB, are printed. If a file is refused, `folder` may hold others.

    Raises
    ------
    UserError
        The file is no zip, or it is damaged or encrypted; a member has no name, points outside the folder or has the
        name of another (then nothing is written); a file of `source` is missing; these files lie in more than one
        folder; or they unpack to more than `max_gib`.
    """
    with _open_zip(archive) as zipped:
        members = [member for member in zipped.infolist() if not member.filename.endswith("/")]
        _refuse_unsafe(members, archive)
        chosen = choose((member.filename for member in members), source, str(archive))
        _limit(sum(zipped.getinfo(filename).file_size for filename in chosen.values()), archive, source, max_gib)
        for name, filename in chosen.items():
            _unpack_member(zipped, filename, folder / name, archive)


def unpack_tar(archive: Path, source: Source, folder: Path, max_gib: float) -> None:
    """Unpack the files of `source` from a tar, packed or not, into `folder`. Like `unpack_zip`."""

    def members(path: Path) -> dict[str, tarfile.TarInfo]:
        with tarfile.open(path) as tar:
            found: dict[str, tarfile.TarInfo] = {}
            for member in tar:
                if member.isfile() and member.name in found:
                    raise ValueError(f"two members have the name {member.name!r}")
                if member.isfile():
                    found[member.name] = member
            return found

    def copy(path: Path) -> None:
        with tarfile.open(path) as tar:
            for name, filename in chosen.items():
                packed = tar.extractfile(filename)
                assert packed is not None  # it is a file
                with packed, (folder / name).open("wb") as file:
                    shutil.copyfileobj(packed, file, BLOCK)

    found = read_file(archive, members, "a whole, readable tar archive", GET_AGAIN)
    chosen = choose(found, source, str(archive))
    _limit(sum(found[filename].size for filename in chosen.values()), archive, source, max_gib)
    read_file(archive, copy, "a whole, readable tar archive", GET_AGAIN)


def _limit(size: int, archive: Path, source: Source, max_gib: float) -> None:
    print(f"{archive.name} unpacks to {size / GIB:,.2f} GiB (download.max_unpacked_gib: {max_gib:g})")
    if size > max_gib * GIB:
        raise UserError(
            f"{archive}: the files of {source.name} unpack to {size / GIB:,.2f} GiB. At most {max_gib:g} GiB are "
            "allowed. Raise download.max_unpacked_gib in params.yaml if you trust the archive."
        )


@contextmanager
def _open_zip(archive: Path) -> Iterator[zipfile.ZipFile]:
    def opened(path: Path) -> zipfile.ZipFile:
        return zipfile.ZipFile(path)

    with read_file(archive, opened, "a whole, readable zip file", GET_AGAIN) as zipped:
        yield zipped


def _unpack_member(zipped: zipfile.ZipFile, filename: str, path: Path, archive: Path) -> None:
    """Unpack one file. Each kind of compression has its own errors for damage, so all but those of writing are caught.

    The checksum in the zip is checked at the end. zipfile stops at the declared size, which `unpack_zip` has checked.
    """
    with path.open("wb") as file:
        try:
            packed = zipped.open(filename)
        except Exception as error:
            _refuse_member(archive, filename, error)
        with packed:
            while True:
                try:
                    block = packed.read(BLOCK)
                except Exception as error:
                    _refuse_member(archive, filename, error)
                if not block:
                    return
                file.write(block)


def _refuse_member(archive: Path, filename: str, error: Exception) -> NoReturn:
    fact = f"is not a whole, readable zip file: the member {filename!r} cannot be unpacked ({brief(error)})"
    refuse(archive, fact, GET_AGAIN)


def _refuse_unsafe(members: Sequence[zipfile.ZipInfo], archive: Path) -> None:
    names = Counter(PurePosixPath(member.filename) for member in members)
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        drive = path.parts[:1] and path.parts[0].endswith(":")
        if path.is_absolute() or ".." in path.parts or drive or stat.S_ISLNK(member.external_attr >> 16):
            problem = "is a link or points outside the archive"
        elif not path.name:
            problem = "has no name"
        elif names[PurePosixPath(member.filename)] > 1:
            problem = "has the name of another member"
        else:
            continue
        raise UserError(
            f"{archive}: the member {member.filename!r} {problem}. Nothing was unpacked. Get the archive from its "
            "publisher."
        )
