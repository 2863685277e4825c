"""Get the raw files of a data set: from its publisher, a URL, a zip or a folder."""

import hashlib
import shutil
import stat
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NoReturn
from urllib.parse import unquote, urlsplit

import pooch
import requests
from pooch.utils import unique_file_name

from widedeep.errors import UserError
from widedeep.files import write_json
from widedeep.reading import brief, made_by, read_file, read_mapping, refuse
from widedeep.sources.naming import FORMATS, ROLES, find_roles, is_rows
from widedeep.sources.own import Own
from widedeep.sources.source import DATASET_FILE, GIVEN_FILES, MAX_GIB, Source

CACHE = pooch.os_cache("widedeep")  # keeps archives outside DVC's outputs, which DVC deletes before each run
GIB = 2**30
BLOCK = 2**20  # bytes unpacked at once
GET_AGAIN = "Get it again."
Copy = Callable[[Path, Path], object]
RETRIES = 3  # more attempts after a failed download


def fetch(source: Source, location: str, folder: Path, max_gib: float = MAX_GIB, copy: Copy = shutil.copyfile) -> None:
    """Put the files of `source`, and no others, into an empty folder. Also write dataset.json.

    dataset.json holds the name of the data set and the SHA-256 of each file, and for own files which of them are the
    ratings, the items and the users. It has no path and no time, so the same files give the same bytes.

    Parameters
    ----------
    location : "auto" (download from the publisher), the URL of an archive, an archive (zip or tar) or a folder; for own
        files also a file of ratings or its URL. Paths are relative to the working directory. The content of a URL is
        not checked, because its checksum is unknown.
    folder : an existing, empty folder
    max_gib : an archive may unpack to at most this, in GiB
    copy : puts a file that needs no unpacking into the folder

    Raises
    ------
    UserError
        The location does not exist or does not answer; the archive is broken, unsafe or has the wrong checksum; or a
        needed file is missing, empty or there twice. `folder` may then hold some of the files.
    """
    if location == "auto":
        source.fetch(folder, max_gib)
    elif location.startswith(("http://", "https://")):
        name = PurePosixPath(unquote(urlsplit(location).path)).name
        _take(download(location, None), name, source, folder, max_gib, copy)
    elif (path := _local(location)).is_dir():
        chosen = _choose((entry.name for entry in path.iterdir() if entry.is_file()), source, str(path))
        for name, member in chosen.items():
            copy(path / member, folder / name)
    elif path.is_file():
        _take(path, path.name, source, folder, max_gib, copy)
    else:
        raise UserError(
            f"download.source must be auto, an http or https URL of an archive, an archive (zip or tar)"
            f"{', a file of ratings' if isinstance(source, Own) else ''} or a folder. Got {location!r} "
            f"instead, and there is no such file or folder in {Path.cwd()}."
        )
    _describe(source, folder)


def _take(path: Path, name: str, source: Source, folder: Path, max_gib: float, copy: Copy) -> None:
    """Take one file: unpack an archive, or copy a file of rows. `name` is its name at its owner's."""
    if isinstance(source, Own) and is_rows(name):
        _choose([name], source, name)  # a choice of files may name another one
        copy(path, folder / name)
    elif tarfile.is_tarfile(path):
        _unpack_tar(path, source, folder, max_gib)
    elif isinstance(source, Own) and not zipfile.is_zipfile(path) and not name.lower().endswith(".zip"):
        raise UserError(
            f"download.source: {name} must be a file of rows ({', '.join(FORMATS)}, also with .gz, .zst or .bz2 after "
            "it), a zip or a tar archive. Save a spreadsheet as CSV."
        )
    else:
        unpack(path, source, folder, max_gib)


def original(location: str, raw: Path, name: str) -> str:
    """Say where a file in the raw folder came from, so that an error names the file that its owner can mend."""
    if location == "auto":
        return str(raw / name)
    if location.startswith(("http://", "https://")):
        return f"{location}, {name}"
    path = Path(location).expanduser()
    if path.is_dir():
        return str(path / name)
    return location if path.name == name else f"{location}, {name}"


def _local(location: str) -> Path:
    try:
        path = Path(location).expanduser()
        path.exists()
    except (OSError, RuntimeError) as error:  # a name that is too long, or the home of an unknown user
        raise UserError(f"download.source: {location[:100]!r} cannot be a path here: {error}.") from None
    return path


def _describe(source: Source, folder: Path) -> None:
    digests = {}
    for path in sorted(folder.iterdir()):
        if path.stat().st_size == 0:
            raise UserError(f"{path.name} of {source.name} is empty. Get it again, or change download.source.")
        with path.open("rb") as file:
            digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    about = {"dataset": source.name, "files": digests}
    if isinstance(source, Own):
        about["roles"] = find_roles(digests, source.files_chosen, str(folder))
    write_json(folder / DATASET_FILE, about)


def read_dataset(folder: Path, known: Container[str]) -> str:
    """Read the name of the data set in a raw folder. `known` are the names of the data sets of this version.

    Raises
    ------
    UserError
        dataset.json is missing or damaged, or names no known data set.
    """
    mend = made_by("download")
    name = read_mapping(folder / DATASET_FILE, mend).get("dataset")
    if not isinstance(name, str) or name not in known:
        refuse(folder / DATASET_FILE, f"must name a data set. Got {name!r} instead", mend)
    return name


def download(url: str, checksum: str | None) -> Path:
    """Download a file into the user's cache, and return its path there.

    A file with a checksum is downloaded once. Without a checksum it is downloaded each time, because it may have
    changed.

    Parameters
    ----------
    checksum : "md5:..." or "sha256:..." (as in pooch), or None

    Raises
    ------
    UserError
        There is no network, the server answers with an error, or the checksum is wrong, also after `RETRIES` retries.
    """
    name = unique_file_name(url)
    if checksum is None:
        (Path(CACHE) / name).unlink(missing_ok=True)
    store = pooch.create(CACHE, base_url="", registry={name: checksum}, urls={name: url}, retry_if_failed=RETRIES)
    # The default of pooch, 1 KiB at a time, is slow for hundreds of megabytes.
    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), chunk_size=1 << 20)
    try:
        return Path(store.fetch(name, downloader=downloader))
    except requests.RequestException as error:
        raise UserError(
            f"cannot download {url}: {error}. If you can get the data set another way, set download.source in "
            "params.yaml to the zip, or to a folder with its files."
        ) from None
    except ValueError as error:
        raise UserError(
            f"{url} does not serve the file with the published checksum. {error} To use another copy, set "
            "download.source in params.yaml to a zip, or to a folder with its files."
        ) from None


def unpack(archive: Path, source: Source, folder: Path, max_gib: float) -> None:
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
        chosen = _choose((member.filename for member in members), source, str(archive))
        _limit(sum(zipped.getinfo(filename).file_size for filename in chosen.values()), archive, source, max_gib)
        for name, filename in chosen.items():
            _unpack_member(zipped, filename, folder / name, archive)


def _unpack_tar(archive: Path, source: Source, folder: Path, max_gib: float) -> None:
    """Unpack the files of `source` from a tar, packed or not, into `folder`. As `unpack`."""

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
    chosen = _choose(found, source, str(archive))
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

    The checksum in the zip is checked at the end. zipfile stops at the declared size, which `unpack` has checked.
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


def _choose(members: Iterable[str], source: Source, place: str) -> dict[str, str]:
    """Find the files of `source` among the paths `members` of `place`: name -> path. All must lie in one folder."""
    paths = {PurePosixPath(member): member for member in members}
    if isinstance(source, Own):
        wanted = [path for path in paths if is_rows(path.name) and "__MACOSX" not in path.parts]
    else:
        wanted = [path for path in paths if path.name in source.files + source.optional_files + GIVEN_FILES]
    homes = sorted({str(path.parent) for path in wanted})
    if len(homes) > 1:
        raise UserError(
            f"{place}: the files of {source.name} must lie in one folder. Found some in each of {', '.join(homes)}. "
            "Put the right ones in a folder of their own and set download.source to it."
        )
    chosen = {path.name: paths[path] for path in wanted}
    if isinstance(source, Own):
        return _of_roles(chosen, find_roles(chosen, source.files_chosen, place))
    missing = _missing(source, chosen)
    if missing:
        found = ", ".join(sorted(map(str, paths))[:20]) or "no file"
        raise UserError(
            f"{place}: {source.name} needs {source.files[0]} ({' and '.join(GIVEN_FILES)} may replace it); "
            f"missing: {', '.join(missing)}. Found {found}. "
            "Check download.dataset and download.source in params.yaml."
        )
    for what, names in (("items", source.items_files), ("users", source.users_files)):
        if absent := [name for name in names if name not in chosen]:
            print(f"{place} has no {', '.join(absent)}: nothing is known of the {what} but their ratings")
    return chosen


def _of_roles(chosen: Mapping[str, str], roles: Mapping[str, list[str]]) -> dict[str, str]:
    """Keep the files that have a role, and a given split. Print what each is for."""
    for role in ROLES:
        print(f"{role}: {', '.join(roles.get(role, ['none']))}")
    taken = {name for names in roles.values() for name in names}
    if all(name in chosen for name in GIVEN_FILES):
        taken |= set(GIVEN_FILES)
    if left := sorted(chosen.keys() - taken):
        print(f"not used: {', '.join(left)}")
    return {name: chosen[name] for name in sorted(taken)}


def _missing(source: Source, found: Container[str]) -> list[str]:
    describing = source.items_files + source.users_files
    ratings, *others = (name for name in source.files if name not in describing)
    if ratings not in found and any(name in found for name in GIVEN_FILES):
        return [name for name in (*GIVEN_FILES, *others) if name not in found]
    return [name for name in (ratings, *others) if name not in found]
