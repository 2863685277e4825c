"""Save, read and check the files of the score tables, from the evaluate stage or from any other system.

predictions.parquet has a row per model, knowledge and test rating. Its columns:
    model : name of the system
    knowledge : `online` or `frozen`
    user_id, item_id : as in the data, integers or text
    predicted : number
    rating, timestamp : optional, those of the data
recommendations.parquet has a row per place in a list. Its columns:
    model, knowledge, user_id, item_id : as above
    timestamp : second of the question, for which `online` lists are made. Needed with `online` lists only.
    rank : place in the list, 1 is best
    score : number
    predicted : optional, the rating that the model predicts for the pair
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from widedeep.columns import (
    FROZEN,
    ITEM_ID,
    KNOWLEDGE,
    MODEL,
    ONLINE,
    PREDICTED,
    RANK,
    RATING,
    SCORE,
    TIMESTAMP,
    USER_ID,
)
from widedeep.errors import UserError
from widedeep.evaluation.background import Background
from widedeep.reading import made_by, refuse
from widedeep.tabular import Column, read_parquet, write_parquet

PREDICTIONS, RECOMMENDATIONS = "predictions.parquet", "recommendations.parquet"
PAIR = [USER_ID, ITEM_ID]
LIST = [USER_ID, TIMESTAMP]  # key of an online list
OF_PREDICTIONS = (MODEL, KNOWLEDGE, USER_ID, ITEM_ID, PREDICTED)
OF_RECOMMENDATIONS = (MODEL, KNOWLEDGE, USER_ID, RANK, ITEM_ID, SCORE)
TYPES = {
    MODEL: pa.string(),
    KNOWLEDGE: pa.string(),
    RATING: pa.float32(),
    TIMESTAMP: pa.int64(),
    PREDICTED: pa.float32(),
    RANK: pa.int32(),
    SCORE: pa.float32(),
}  # ids keep their own type


def save(table: pd.DataFrame, path: Path) -> None:
    """Write a score table."""
    arrow = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata()
    schema = pa.schema([pa.field(field.name, TYPES.get(field.name, field.type)) for field in arrow.schema])
    write_parquet(arrow.cast(schema), path)


def load_scores(
    predictions: Path, recommendations: Path, background: Background, beside: Path | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read and check both score tables. The rows of the folder `beside` follow those of the given files.

    With two systems, only what both have remains: the knowledge, and the users (and seconds) with a list.

    Returns
    -------
    The predictions and the recommendations (see `load_predictions` and `load_recommendations`).

    Raises
    ------
    UserError
        A file breaks a rule, both systems have a model of the same name, or they have no knowledge or no list in
        common.
    """
    scores, lists = load_predictions(predictions, background), load_recommendations(recommendations, background)
    if beside is None:
        return scores, lists
    other_scores = load_predictions(beside / PREDICTIONS, background)
    other_lists = load_recommendations(beside / RECOMMENDATIONS, background)
    same = set(scores[MODEL]) & set(other_scores[MODEL])
    if same:
        raise UserError(
            f"{predictions} and {beside / PREDICTIONS} both have a model {sorted(same)[0]!r}. Rename one of the two."
        )
    only = set(scores[KNOWLEDGE]) & set(other_scores[KNOWLEDGE])
    if not only:
        raise UserError(
            f"{predictions} and {beside / PREDICTIONS} have no knowledge in common, so they cannot be compared."
        )
    asked, also_asked = (pd.MultiIndex.from_frame(table[[KNOWLEDGE, *LIST]]) for table in (lists, other_lists))
    lists, other_lists = lists[asked.isin(also_asked)], other_lists[also_asked.isin(asked)]
    if lists.empty:
        raise UserError(
            f"{recommendations} and {beside / RECOMMENDATIONS} have lists for no user (and second) in common, so they "
            "cannot be compared."
        )
    scores = pd.concat([table[table[KNOWLEDGE].isin(only)] for table in (scores, other_scores)], ignore_index=True)
    return scores, pd.concat([lists, other_lists], ignore_index=True)


def load_columns(
    path: Path, columns: Sequence[str], data: pd.DataFrame, model: str, knowledge: str | None = None
) -> pd.DataFrame:
    """Read some columns of a model's rows in a score table that stage evaluate wrote.

    Parameters
    ----------
    data : canonical ratings, whose ids have the type that the ids of the score table must have
    knowledge : only rows under this knowledge; None: under every knowledge

    Raises
    ------
    UserError
        The file is missing or damaged, or has no row of the model.
    """
    mend = made_by("evaluate")
    rules = {name: Column("numbers") for name in columns if name in TYPES}
    for name in PAIR:
        rules[name] = Column("integers" if pd.api.types.is_integer_dtype(data[name]) else "text")
    own = pc.field(MODEL) == model
    if knowledge is not None:
        own &= pc.field(KNOWLEDGE) == knowledge
    table = read_parquet(path, {MODEL: None, KNOWLEDGE: None, **rules}, mend, columns, own)
    if not table.num_rows:
        refuse(path, f"has no row of the model {model}", mend)
    return table.to_pandas()


def load_predictions(path: Path, background: Background) -> pd.DataFrame:
    """Read and check predictions.

    Returns
    -------
    DataFrame [model, knowledge, user_id, item_id, rating, timestamp, predicted]. Ratings are those of the data. Each
    model and knowledge has all test rows, in their order.

    Raises
    ------
    UserError
        A column is missing or has a wrong type; a value is missing or impossible; a user or item is unknown; a row is
        not a test row, or it stands there twice; a test row is missing; or a model lacks a knowledge that another has.
    """
    read = _read(path, OF_PREDICTIONS, background)
    place = _places(path, read, background)
    found = []
    for (model, knowledge), part in read.groupby([MODEL, KNOWLEDGE], sort=False, observed=True):
        whose = f"of {model}, {knowledge}"
        places = place[part.index]
        _refuse(path, part[pd.Series(places, part.index).duplicated()], f"stands twice among the predictions {whose}")
        missing = np.setdiff1d(np.arange(len(background.test)), places)
        _refuse(path, background.test.iloc[missing], f"is a test row that has no prediction {whose}")
        in_order = part.iloc[np.argsort(places)].reset_index(drop=True)
        in_order[[RATING, TIMESTAMP]] = background.test[[RATING, TIMESTAMP]]
        found.append(in_order[[MODEL, KNOWLEDGE, *PAIR, RATING, TIMESTAMP, PREDICTED]])
    _same_knowledge(path, read)
    return pd.concat(found, ignore_index=True)


def load_recommendations(path: Path, background: Background) -> pd.DataFrame:
    """Read and check recommendations. Lists that no test row can judge are left out.

    These are `frozen` lists of users without a test row, and `online` lists of seconds in which their user has none.

    Returns
    -------
    DataFrame [model, knowledge, user_id, timestamp, rank, item_id, score]. Lists without a timestamp have a null there.

    Raises
    ------
    UserError
        A column is missing or has a wrong type; a value is missing or impossible; a user or item is unknown; a list has
        a rank or an item twice, or leaves a rank out; or no list can be judged.
    """
    read = _read(path, OF_RECOMMENDATIONS, background, optional=TIMESTAMP)
    online = read[KNOWLEDGE] == ONLINE
    if TIMESTAMP not in read:
        read[TIMESTAMP] = pd.array([pd.NA] * len(read), dtype="Int64")
    read[TIMESTAMP] = read[TIMESTAMP].astype("Int64").where(online)
    _refuse(path, read[online & read[TIMESTAMP].isna()], f"is of an online list and must have a {TIMESTAMP}")
    key = [MODEL, KNOWLEDGE, *LIST]
    _refuse(path, read[read.duplicated([*key, RANK])], "has a rank twice", RANK)
    _refuse(path, read[read.duplicated([*key, ITEM_ID])], "has an item twice")
    _refuse(path, read[read[RANK] < 1], "has a rank below 1", RANK)
    of_list = read.groupby(key, observed=True, dropna=False)[RANK]
    longest, length = of_list.transform("max"), of_list.transform("size")
    _refuse(path, read[longest != length], "belongs to a list that leaves ranks out. Ranks must be 1, 2, 3, ...", RANK)
    seconds = pd.MultiIndex.from_frame(background.test[LIST])
    asked = pd.MultiIndex.from_frame(read[LIST]).isin(seconds)
    judged = read[np.where(online, asked, read[USER_ID].isin(background.test[USER_ID]))]
    if judged.empty:
        raise UserError(f"{path}: no list has a test row of its user (and second), so there is nothing to judge.")
    return judged.reset_index(drop=True)


def _read(path: Path, columns: Sequence[str], background: Background, optional: str = RATING) -> pd.DataFrame:
    """Read the needed columns and the optional one, and check types, names and ids."""
    arrow = read_parquet(path, dict.fromkeys(columns), "Write it again.")
    arrow = arrow.select([*columns, *({optional} & set(arrow.column_names))])
    ids = {USER_ID: background.users, ITEM_ID: background.catalogue}
    arrays = []
    for name in arrow.column_names:
        column = arrow[name]
        if column.null_count and name != TIMESTAMP:
            raise UserError(f"{path}, column {name}: {column.null_count:,} values are missing (null).")
        arrays.append(_typed(path, name, column, ids.get(name)))
    if not arrow.num_rows:
        raise UserError(f"{path} has no rows.")
    table = pa.table(arrays, names=arrow.column_names).to_pandas()
    for name in (PREDICTED, SCORE, RATING):
        if name in table:
            _refuse(path, table[~np.isfinite(table[name])], f"must have a finite number in column {name}", name)
    for name in table[MODEL].unique():
        if not re.fullmatch(r"[\w-]+", name):
            raise UserError(f"{path}: a model's name must consist of letters, digits, _ and -. Got {name!r} instead.")
    wrong = set(table[KNOWLEDGE].unique()) - {ONLINE, FROZEN}
    if wrong:
        raise UserError(f"{path}, column {KNOWLEDGE}: must be {ONLINE} or {FROZEN}. Got {sorted(wrong)[0]!r} instead.")
    for name, known in ids.items():
        _refuse(path, table[~table[name].isin(known)], f"has an unknown {name}")
    return table


def _typed(path: Path, name: str, column: pa.ChunkedArray, known: pd.Index | None) -> pa.ChunkedArray:
    """Cast a column to the type that belongs to its name. Refuse a cast that could lose something."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    of_ids = pa.int64() if pd.api.types.is_integer_dtype(known) else pa.string()
    wanted = TYPES[name] if known is None else of_ids
    number = pa.types.is_integer(kind) or (pa.types.is_floating(kind) and not pa.types.is_integer(wanted))
    if not (text if pa.types.is_string(wanted) else number or pa.types.is_null(kind)):
        raise UserError(f"{path}, column {name}: must be of type {wanted}. Got {kind} instead.")
    return column.cast(wanted)


def _places(path: Path, read: pd.DataFrame, background: Background) -> pd.Series:
    """Find the number of the test row to which each row belongs."""
    rows = pd.MultiIndex.from_frame(background.test[PAIR])
    place = pd.Series(rows.get_indexer(pd.MultiIndex.from_frame(read[PAIR])), read.index)
    _refuse(path, read[place < 0], "is not a test row")
    if RATING in read:
        differs = read[RATING].to_numpy() != background.test[RATING].to_numpy()[place]
        _refuse(path, read[differs], "has another rating than the test row", RATING)
    return place


def _same_knowledge(path: Path, read: pd.DataFrame) -> None:
    """Check that all models have the same kinds of knowledge, because their metrics stand side by side."""
    by_model = read.groupby(MODEL, sort=False)[KNOWLEDGE].unique().map(set)
    for model, own in by_model.items():
        for other in set().union(*by_model) - own:
            raise UserError(f"{path}: {model} has no {other} predictions, but another model has some.")


def _refuse(path: Path, rows: pd.DataFrame, problem: str, *shown: str) -> None:
    """Raise an error if there are any such rows. The error shows the first row and the number of rows."""
    if rows.empty:
        return
    first = ", ".join(f"{name} {rows[name].iloc[0]}" for name in (*PAIR, *shown))
    more = "" if len(rows) == 1 else f" (the first of {len(rows):,} such rows)"
    raise UserError(f"{path}: the row with {first} {problem}{more}.")
