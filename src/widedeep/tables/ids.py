"""From ids to codes: each user and item gets its number once, and every later stage knows it by that number."""

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from widedeep.columns import ITEM, ITEM_ID, USER, USER_ID
from widedeep.tables.files import CODE, ID, external

KEYS = {USER: USER_ID, ITEM: ITEM_ID}


def number_ids(con: ibis.BaseBackend, ratings: ir.Table) -> tuple[ir.Table, dict[str, ir.Table]]:
    """Replace user_id and item_id by user and item, numbers that only tell them apart: to compare and to keep, they
    cost less than text.

    Returns the ratings, and by key the table of numbers with the columns of the id and its number.
    """
    numbers = {}
    for key, name in KEYS.items():
        distinct = ratings.select(name).distinct()
        numbered = distinct.mutate(**{key: ibis.row_number().over(order_by=name)})
        numbers[key] = con.create_table(f"{key}_numbers", numbered)
        ratings = ratings.join(numbers[key], name).drop(name)
    return ratings, numbers


def encode_ids(ratings: ir.Table, numbers: ir.Table, key: str, listed: list[str]) -> tuple[ir.Table, pa.Array]:
    """Replace the numbers of `number_ids` under `key` by codes: 0, 1, 2, ... for each id that is rated or `listed`.

    Returns the ratings, and the id behind each code, in the order of `in_order`.
    """
    rated = ratings.select(key).distinct().join(numbers, key)[KEYS[key]].to_pyarrow()
    ids = in_order(pc.unique(pa.concat_arrays([_array(rated), pa.array(listed, pa.string())])))
    codes = ibis.memtable(pa.table({ID: ids, CODE: np.arange(len(ids))}))
    of_number = numbers.join(codes, numbers[KEYS[key]] == codes[ID]).select(key, CODE)
    return ratings.join(of_number, key).drop(key).rename({key: CODE}), ids


def in_order(ids: pa.Array) -> pa.Array:
    """Sort ids: by number if each is an integer in its only form, else by the bytes of their UTF-8 text."""
    return ids.take(pc.sort_indices(external(ids)))


def _array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return (column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column).cast(pa.string())
