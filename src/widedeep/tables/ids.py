"""Give each user and item a code: a number from 0 that every later stage uses in place of the id."""

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from widedeep.columns import ITEM, ITEM_ID, USER, USER_ID
from widedeep.tables.files import CODE, ID, external

KEYS = {USER: USER_ID, ITEM: ITEM_ID}


def number_ids(con: ibis.BaseBackend, ratings: ir.Table) -> tuple[ir.Table, dict[str, ir.Table]]:
    """Replace user_id and item_id by provisional numbers, in the columns user and item.

    Numbers take less memory and time than text. The codes are given later, when it is known which ids remain.

    Returns
    -------
    ratings : the ratings with numbers in place of ids
    numbers : for user and for item, a table of the ids and their numbers
    """
    numbers = {}
    for key, name in KEYS.items():
        distinct = ratings.select(name).distinct()
        numbered = distinct.mutate(**{key: ibis.row_number().over(order_by=name)})
        numbers[key] = con.create_table(f"{key}_numbers", numbered)
        ratings = ratings.join(numbers[key], name).drop(name)
    return ratings, numbers


def encode_ids(ratings: ir.Table, numbers: ir.Table, key: str, listed: list[str]) -> tuple[ir.Table, pa.Array]:
    """Replace the provisional numbers in the column `key` by codes 0, 1, 2, ...

    Parameters
    ----------
    numbers : the ids and their numbers, from `number_ids`
    key : user or item
    listed : ids that get a code even if they have no rating

    Returns
    -------
    ratings : the ratings with codes
    ids : the id of each code, sorted by `in_order`
    """
    rated = ratings.select(key).distinct().join(numbers, key)[KEYS[key]].to_pyarrow()
    ids = in_order(pc.unique(pa.concat_arrays([_array(rated), pa.array(listed, pa.string())])))
    codes = ibis.memtable(pa.table({ID: ids, CODE: np.arange(len(ids))}))
    of_number = numbers.join(codes, numbers[KEYS[key]] == codes[ID]).select(key, CODE)
    return ratings.join(of_number, key).drop(key).rename({key: CODE}), ids


def in_order(ids: pa.Array) -> pa.Array:
    """Sort ids: as numbers if each is a plainly written integer ("7", not "007"), else by the bytes of the text."""
    return ids.take(pc.sort_indices(external(ids)))


def _array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return (column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column).cast(pa.string())
