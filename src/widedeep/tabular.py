"""Read and write tables as files: Parquet with a checksum in each page, and CSV."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from widedeep.files import PARTIAL
from widedeep.reading import AGAIN, read_file, refuse

# The default pool of Arrow keeps what it frees, up to twice the size of the tables, and takes longer for large tables.
pa.set_memory_pool(pa.system_memory_pool())

_KINDS = {
    "integers": pa.types.is_integer,
    "numbers": lambda kind: pa.types.is_integer(kind) or pa.types.is_floating(kind),
    "text": lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
    "lists of integers": lambda kind: pa.types.is_list(kind) and pa.types.is_integer(kind.value_type),
    "lists of text": lambda kind: pa.types.is_list(kind) and pa.types.is_string(kind.value_type),
    "equally long lists of integers": lambda kind: (
        pa.types.is_fixed_size_list(kind) and pa.types.is_integer(kind.value_type)
    ),
}


@dataclass(frozen=True)
class Column:
    """What a column of a Parquet file must be.

    kind : what its values must be
    below : integers, also those in lists, must lie in [0, below); None: any
    length : length of each list; None: any
    gaps : whether values may be missing
    younger : whether files of earlier versions lack the column
    """

    kind: Literal["integers", "numbers", "text", "lists of integers", "lists of text", "equally long lists of integers"]
    below: int | None = None
    length: int | None = None
    gaps: bool = False
    younger: bool = False


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write a table. Each page has a checksum, by which `read_parquet` finds changed bytes."""
    try:
        pq.write_table(table, path, write_page_checksum=True)
    except OSError as error:  # Arrow removes the file that it could not write, and does not name it
        error.filename = error.filename or str(path).removesuffix(PARTIAL)
        raise


def release_memory() -> None:
    """Give memory that tables have freed back to the system."""
    pa.default_memory_pool().release_unused()


def read_parquet(
    path: Path,
    columns: Mapping[str, Column | None],
    mend: str = AGAIN,
    only: Sequence[str] | None = None,
    filters: Any = None,
) -> pa.Table:
    """Read a Parquet file and check its columns.

    Parameters
    ----------
    columns : what the columns must be, by name; None: they must only exist. The file may have further columns.
    mend : a sentence that says what to do if the file is damaged
    only : the names of the columns to read; None: all
    filters : rows to read, as in `pyarrow.parquet.read_table`

    Raises
    ------
    UserError
        There is no such file, it is damaged, a column is missing or not of its kind, or a value is missing or too
        large.
    """

    def read(path: Path) -> pa.Table:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        names = file.schema_arrow.names
        missing = [name for name, rule in columns.items() if name not in names and not (rule and rule.younger)]
        if missing:
            refuse(path, f"must have the columns {', '.join(columns)}. Missing: {', '.join(missing)}", mend)
        if len(set(names)) < len(names):
            raise ValueError("two columns have the same name")
        table = pq.read_table(
            path,
            columns=None if only is None else list(only),
            filters=filters,
            page_checksum_verification=True,
            partitioning=None,
        )
        table.validate(full=True)
        return table

    table = read_file(path, read, "a whole Parquet file", mend)
    for name in table.column_names:
        if (rule := columns.get(name)) is not None:
            _check(path, name, table[name], rule, mend)
    return table


def read_csv(path: Path, text: Sequence[str], numbers: Sequence[str], mend: str = AGAIN) -> pd.DataFrame:
    """Read a CSV file in UTF-8 with a header line.

    Parameters
    ----------
    text : columns that it must have. Their values stay text, even if they look like numbers or missing values.
    numbers : further columns that it must have. An empty value is missing (NaN).

    Raises
    ------
    UserError
        There is no such file, it is no table, a column is missing, or a number is not a finite number.
    """

    def read(path: Path) -> pd.DataFrame:
        kinds = dict.fromkeys(text, str)
        table = pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values=[""])
        return table.fillna(dict.fromkeys(text, ""))

    table = read_file(path, read, "a table", mend)
    missing = [name for name in (*text, *numbers) if name not in table]
    if missing:
        refuse(path, f"must have the columns {', '.join((*text, *numbers))}. Missing: {', '.join(missing)}", mend)
    for name in numbers:
        numeric = pd.api.types.is_numeric_dtype(table[name]) or table.empty  # without rows pandas knows no type
        if not numeric or (len(table) and np.isinf(table[name]).any()):
            refuse(path, f"must have finite numbers in column {name}", mend)
    return table


def _check(path: Path, name: str, column: pa.ChunkedArray, rule: Column, mend: str) -> None:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not _KINDS[rule.kind](kind):
        refuse(path, f"must have {rule.kind} in column {name}. Got {kind} instead", mend)
    if rule.length is not None and kind.list_size != rule.length:
        refuse(path, f"must have lists of {rule.length} in column {name}. Got lists of {kind.list_size} instead", mend)
    if column.null_count and not rule.gaps:
        refuse(path, f"lacks {column.null_count:,} values in column {name}", mend)
    values = pc.list_flatten(column) if "list" in rule.kind else column
    if values is not column and values.null_count:
        refuse(path, f"lacks {values.null_count:,} values in the lists of column {name}", mend)
    if pa.types.is_floating(kind) and not pc.all(pc.is_finite(column)).as_py():
        refuse(path, f"has numbers in column {name} that are not finite", mend)
    if rule.below is not None and len(values):
        least, most = (value.as_py() for value in pc.min_max(values).values())
        if least is not None and not 0 <= least <= most < rule.below:
            wrong = least if least < 0 else most
            refuse(path, f"must have numbers from 0 to {rule.below - 1} in column {name}. Got {wrong} instead", mend)
