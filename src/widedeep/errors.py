"""Errors that the user can fix, how a terminal shows them and other text, and the exit statuses of all programs."""

import codecs
import difflib
import errno
import io
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

# Exit statuses. FAILED: a run failed, or a gate is broken. MISTAKE: the command was called wrongly.
FAILED, MISTAKE = 1, 2

# What brings back the files in git that DVC removes before it runs a stage of the pipeline, or of a study.
REPORTS = "git restore reports"
STUDIES = "git restore $(git ls-files --deleted studies)"  # not the whole folder: the code in it may be changed

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EBUSY)


class UserError(Exception):
    """Bad input. The message names the place (file and row), the rule, the value found and what to do.

    It is shown without a traceback. Any other exception is a bug in this program and keeps its traceback.
    """


def show(error: Exception, mistake: int = FAILED) -> int:
    """Print an error that the user can fix on stderr, and return the exit status.

    A `UserError`, a missing file and a path without access give the status `mistake`. A full disk gives `FAILED`. Any
    other error is raised again.
    """
    status = mistake
    if isinstance(error, UserError):
        message = str(error)
    elif isinstance(error, FileNotFoundError):
        # Python names the file in `filename`, Arrow in the message.
        message = f"{error.filename or error} does not exist. `dvc repro` makes what a stage needs."
    elif isinstance(error, OSError) and error.errno in (*FULL, *REFUSED):
        message = f"{error.strerror}: {error.filename or 'while writing an output'}."
        status = FAILED if error.errno in FULL else mistake
    else:
        raise error
    print(f"error: {message}", file=sys.stderr)
    return status


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Turn an error that the user can fix into a message on stderr and exit status 1. Let the block print any text.

    If DVC runs the stage, it has removed the earlier outputs. So after any error, say how they come back.
    """
    print_anywhere()
    try:
        yield
    except Exception as error:
        try:
            sys.exit(show(error))
        finally:
            if stage := os.environ.get("DVC_STAGE"):
                in_git = STUDIES if ":" in stage else REPORTS  # the name of a study's stage begins with its dvc.yaml
                print(f"To bring back the earlier outputs: dvc checkout --force; {in_git}", file=sys.stderr)


def print_anywhere() -> None:
    """Let stdout and stderr print any text. What the terminal does not know is replaced by similar ASCII, or by `?`."""
    codecs.register_error("similar", _similar)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="similar")


def _similar(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end].translate(_ASCII)
    plain = [unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode() or "?" for letter in text]
    return "".join(plain), error.end


_ASCII = str.maketrans({"−": "-", "–": "-", "—": "-", "→": "->", "…": "...", "×": "x", "‘": "'", "’": "'"})


def nearest(name: str, known: Iterable[str], otherwise: str = "", most: int = 1, cutoff: float = 0.6) -> str:
    """Suggest the known names that resemble a wrong one, as "Did you mean 'epochs'?".

    Parameters
    ----------
    otherwise : the text to return if no known name is similar enough
    most : the largest number of names to suggest
    cutoff : the least similarity, from 0 (any name) to 1 (equal), as in `difflib`
    """
    near = difflib.get_close_matches(name, known, n=most, cutoff=cutoff)
    return f"Did you mean {' or '.join(repr(one) for one in near)}?" if near else otherwise
