"""Get the raw files of a data set: from its publisher, a URL, a zip or a folder."""

import hashlib
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable, Container
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import pooch
import requests
from pooch.utils import unique_file_name

from widedeep.errors import UserError
from widedeep.files import write_json
from widedeep.reading import made_by, read_mapping, refuse
from widedeep.sources.archives import unpack_tar, unpack_zip
from widedeep.sources.choose import choose
from widedeep.sources.naming import FORMATS, find_roles, is_rows
from widedeep.sources.own import Own
from widedeep.sources.source import DATASET_FILE, MAX_GIB, Source

CACHE = pooch.os_cache("widedeep")  # keeps archives outside DVC's outputs, which DVC deletes before each run
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
        chosen = choose((entry.name for entry in path.iterdir() if entry.is_file()), source, str(path))
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
        choose([name], source, name)  # a choice of files may name another one
        copy(path, folder / name)
    elif tarfile.is_tarfile(path):
        unpack_tar(path, source, folder, max_gib)
    elif isinstance(source, Own) and not zipfile.is_zipfile(path) and not name.lower().endswith(".zip"):
        raise UserError(
            f"download.source: {name} must be a file of rows ({', '.join(FORMATS)}, also with .gz, .zst or .bz2 after "
            "it), a zip or a tar archive. Save a spreadsheet as CSV."
        )
    else:
        unpack_zip(path, source, folder, max_gib)


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
