"""The engine that reads, checks and sorts ratings: DuckDB, within limits that the user sets."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import ibis
from ibis.backends.duckdb import Backend

from widedeep.errors import UserError


@contextmanager
def engine(memory_gib: float, threads: int | None = None, spill_folder: str | None = None) -> Iterator[Backend]:
    """Open a database in memory. What does not fit into it goes to files, which are removed at the end.

    Parameters
    ----------
    memory_gib : limit of DuckDB's memory, in GiB
    threads : limit of threads; None: the number of cores
    spill_folder : where to put the files; None: the folder of temporary files

    Raises
    ------
    UserError
        The folder cannot be used or is full, or the memory is too small.
    """
    where = spill_folder or tempfile.gettempdir()
    another = "name another folder: preprocess.spill_folder, or TMPDIR if that is null."
    try:
        spill = tempfile.TemporaryDirectory(prefix="widedeep-", dir=where)
    except OSError as error:
        raise UserError(f"{where} cannot hold files of the engine ({error.strerror}). Make it, or {another}") from None
    with spill as folder:
        limits = {"threads": threads} if threads else {}
        con = ibis.duckdb.connect(memory_limit=f"{memory_gib}GiB", temp_directory=folder, **limits)
        try:
            yield con
        except duckdb.OutOfMemoryException:
            raise UserError(
                f"preprocess.memory_gib: {memory_gib:g} GiB are too small for these ratings, even with files in "
                f"{where}. Raise it, or set preprocess.threads to 1, which takes less memory."
            ) from None
        except duckdb.IOException as error:
            if not is_about_limits(error):
                raise
            reason = str(error).splitlines()[0]
            raise UserError(
                f"{where} cannot hold files of the engine ({reason}). Free some space, or {another}"
            ) from None
        finally:
            con.disconnect()


def is_about_limits(error: duckdb.Error) -> bool:
    """Return whether memory or the spill folder are too small. Else the error is about the data."""
    return isinstance(error, duckdb.OutOfMemoryException) or "duckdb_temp" in str(error)
