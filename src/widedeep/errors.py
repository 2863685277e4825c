"""The exception that means "the user can mend this", how it is shown, and the exit statuses of all programs."""

import difflib
import errno
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

FAILED, MISTAKE = 1, 2  # exit statuses: a run that failed or a broken gate; a mistake in the call

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REFUSED = (errno.EACCES, errno.EROFS, errno.EISDIR, errno.ENOTDIR)


class UserError(Exception):
    """Bad input. The message says what is wrong, where (file and row), the rule, the value found and what to do.

    The message is shown without a traceback. Any other exception is a bug of ours and keeps its traceback.
    """


def show(error: Exception, mistake: int = FAILED) -> int:
    """Print an error that the user can mend as one line on stderr, and return the exit status.

    These are a `UserError`, a missing file, a path that is refused (status `mistake`) and a full disk (status
    `FAILED`). Any other error is raised again.
    """
    status = mistake
    if isinstance(error, UserError):
        message = str(error)
    elif isinstance(error, FileNotFoundError):
        message = f"{error.filename} does not exist. `dvc repro` makes what a stage needs."
    elif isinstance(error, OSError) and error.errno in (*FULL, *REFUSED):
        message = f"{error.strerror}: {error.filename or 'while writing an output'}. Earlier outputs are as they were."
        status = FAILED if error.errno in FULL else mistake
    else:
        raise error
    print(f"error: {message}", file=sys.stderr)
    return status


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """End a script with status 1 and one line on stderr where the block raises an error that the user can mend."""
    try:
        yield
    except Exception as error:
        sys.exit(show(error))


def nearest(name: str, known: Iterable[str], otherwise: str = "", most: int = 1, cutoff: float = 0.6) -> str:
    """Hint at the known names that are most like a wrong one: "Did you mean 'epochs'?", or `otherwise`.

    Parameters
    ----------
    most : names in the hint
    cutoff : how like the name they must be, from 0 (not at all) to 1 (equal), as in `difflib`
    """
    near = difflib.get_close_matches(name, known, n=most, cutoff=cutoff)
    return f"Did you mean {' or '.join(repr(one) for one in near)}?" if near else otherwise
