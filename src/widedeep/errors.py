"""The one exception that means "the user can mend this", and how a stage shows it."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Bad input: the message says what, where (file and row), the rule, the value found and what to do.

    Stages print the message without a traceback and exit with status 1. Any other exception is a bug of ours
    and keeps its traceback.
    """


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Turn a `UserError`, a full disk, a missing or a refused file into one line on stderr and exit status 1."""
    try:
        yield
    except UserError as error:
        message = str(error)
    except FileNotFoundError as error:
        message = f"{error.filename} does not exist. `dvc repro` makes what a stage needs."
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS):
            raise
        message = f"{error.strerror}: {error.filename or 'while writing an output'}. Earlier outputs are as they were."
    else:
        return
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)
