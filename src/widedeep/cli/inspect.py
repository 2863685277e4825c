"""The command `widedeep inspect`: what a file of ratings holds, and how the pipeline would read it."""

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from widedeep.errors import UserError
from widedeep.files import replacing

PARAMS = Path("params.yaml")
COMMENT = "found by widedeep inspect"

Named = Annotated[str | None, typer.Option(metavar="NAME", help="Name of this file in PATH. Default: found by names.")]


def inspect(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file, a folder, a zip or tar archive, or a URL.")],
    ratings: Named = None,
    items: Named = None,
    users: Named = None,
    write: Annotated[
        bool,
        typer.Option("--write", help="Write what was found into params.yaml, so that `dvc repro` reads the files."),
    ] = False,
) -> int:
    """Say how ratings of your own would be read, and what is wrong.

    If download.source in params.yaml is PATH, the values there are followed: download.files, and in preprocess columns,
    separator, encoding, timestamp_unit and kinds.

    The exit status is 1 if rows are bad.
    """
    from widedeep.params import load_params
    from widedeep.params.data import NOTHING_SAID, OWN_NAMES
    from widedeep.sources.fetch import fetch, original
    from widedeep.sources.own import OWN
    from widedeep.tables.inspect import inspect

    params = load_params(PARAMS) if PARAMS.exists() else None
    place = path if path.startswith(("http://", "https://")) else str(Path(path).expanduser().resolve())
    known = params is not None and params.download.dataset in OWN_NAMES and params.download.source in (path, place)
    own = params if known else None
    chosen: dict[str, str | None] = {"ratings": ratings, "items": items, "users": users}
    if own is not None:
        chosen = {role: name or getattr(own.download.files, role) for role, name in chosen.items()}
    reading = NOTHING_SAID if own is None else own.preprocess
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source = replace(OWN, files_chosen=chosen, reading=reading, original=partial(original, path, folder))
        fetch(source, path, folder, copy=_link)
        found = inspect(source, folder)
    for line in found.lines:
        print(line)
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if write:
        files = {f"download.files.{role}": name for role, name in chosen.items()}
        watched = {} if "://" in place else {"download.watch": place}
        _write({"download.dataset": "own", "download.source": place, **watched, **files, **found.answers})
    elif not found.warnings:
        print("To use these ratings: the same command with --write, then dvc repro")
    return 1 if found.bad_rows else 0


def _link(path: Path, target: Path) -> None:
    """Put a file into the scratch folder without a copy of its bytes."""
    target.symlink_to(path.resolve())


def _comment(section: Any, key: str) -> None:
    """Put the comment behind a value. The comment above the next key belongs to the same token of the parser."""
    token = section.ca.items.get(key, [None, None, None, None])[2]
    if token is None:
        section.yaml_add_eol_comment(COMMENT, key)
    elif token.value.startswith("\n"):
        token.value = f"# {COMMENT}{token.value}"


def _write(answers: Mapping[str, Any]) -> None:
    """Change values in params.yaml. Comments stay, and each changed value gets one."""
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedSeq

    from widedeep.params import load_params

    if not PARAMS.exists():
        raise UserError(f"There is no {PARAMS} here. Run the command in the root of the repository.")
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    sections = yaml.load(PARAMS)
    changed = []
    for name, value in answers.items():
        *path, key = name.split(".")
        section = sections
        for part in path:
            section = section[part]
        if section[key] == value:
            continue
        section[key] = CommentedSeq(value) if isinstance(value, list) else value
        _comment(section, key)
        changed.append(f"{name}: {'null' if value is None else value}")
    with replacing(PARAMS) as out:
        yaml.dump(sections, out)
    load_params(PARAMS)
    print(f"{PARAMS}: " + (f"wrote {', '.join(changed)}" if changed else "has these values already"))
    print("Next: dvc repro")
