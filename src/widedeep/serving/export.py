"""Pack a model with its metrics and its card into one folder, which `widedeep serve` reads like the model's own."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from widedeep.errors import UserError
from widedeep.files import replacing, sha256, write_json
from widedeep.models.bundle import Bundle
from widedeep.reading import read_mapping

CONTENTS: Final = "export.json"  # lists the files of the folder; without it a folder is no export


def export(models: Path, beside: Mapping[str, Path], out: Path) -> list[str]:
    """Write the folder `out`, completely or not at all, and return the names of its files.

    Parameters
    ----------
    models : what stage train wrote
    beside : further files, by the name that they get in `out`
    out : a new or empty folder, or an earlier export, which is replaced

    Raises
    ------
    UserError
        The model or a further file is missing or damaged, or `out` holds something else.
    """
    _check_replaceable(out)
    Bundle.load(models)  # a damaged model is refused before anything is written
    sources = {file.name: file for file in sorted(models.iterdir())} | dict(beside)
    for name, file in sources.items():
        if not file.is_file():
            raise UserError(f"{file} is missing, so there is no {name} to export. `dvc repro` makes it.")
    with replacing(out) as partial:
        partial.mkdir()
        for name, file in sources.items():
            shutil.copyfile(file, partial / name)
        hashes = {name: sha256(file) for name, file in sources.items()}
        write_json(partial / CONTENTS, {"model": Bundle.version(models), "files": hashes})
    return [*sources, CONTENTS]


def _check_replaceable(out: Path) -> None:
    """Refuse a file, and a folder with something that no export put there."""
    if not out.exists():
        return
    if not out.is_dir():
        raise UserError(f"{out} is a file. Name a new folder.")
    contents = out / CONTENTS
    listed = read_mapping(contents, f"Remove {out}, or name a new folder.").get("files") if contents.exists() else {}
    names = {CONTENTS, *listed} if isinstance(listed, dict) else set()
    others = sorted(path.name for path in out.iterdir() if path.name not in names)
    if others:
        raise UserError(
            f"{out} holds {others[0]}, which `widedeep export` did not write. Name a new folder, or an earlier export."
        )
