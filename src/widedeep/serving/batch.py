"""Lists of many users as a Parquet file. What was written before a stop is kept and used."""

import json
import shutil
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from widedeep.columns import GENRES, ITEM_ID, PREDICTED, RANK, SCORE, TITLE, USER_ID
from widedeep.files import replacing
from widedeep.serving.recommender import Recommender

PART = 5_000  # users
KINDS = {RANK: pa.int32(), PREDICTED: pa.float32(), SCORE: pa.float32()}
COLUMNS = (USER_ID, RANK, ITEM_ID, TITLE, GENRES, PREDICTED, SCORE)
SCHEMA = pa.schema([(name, KINDS.get(name, pa.string())) for name in COLUMNS])


def write_lists(recommender: Recommender, ids: Sequence[str], n: int, out: Path, penalty: float = 0) -> None:
    """Write the lists of users into `out`, and show the progress.

    The parts lie in a folder beside `out` until all are there. Its name holds a hash of the question, so that parts
    for another model, other users, another length or another popularity penalty are never taken.

    Raises
    ------
    UserError
        A user is not known.
    """
    question = [recommender.version, recommender.last_second, n, penalty, list(ids)]
    asked = sha256(json.dumps(question).encode()).hexdigest()
    parts = out.with_name(f"{out.name}.{asked[:12]}.parts")
    parts.mkdir(parents=True, exist_ok=True)
    files = [parts / f"{first}.parquet" for first in range(0, len(ids), PART)]
    done = next((place for place, file in enumerate(files) if not file.exists()), len(files))
    new = lists_of(recommender, ids[done * PART :], n, penalty)
    with tqdm(total=len(files), initial=done, unit_scale=PART, unit=" users", disable=None) as progress:
        for file, frame in zip(files[done:], new, strict=True):
            with replacing(file) as partial:
                pq.write_table(pa.Table.from_pandas(frame, SCHEMA, preserve_index=False), partial)
            progress.update()
    with replacing(out) as partial, pq.ParquetWriter(partial, SCHEMA) as writer:
        for file in files:
            writer.write_table(pq.read_table(file, schema=SCHEMA))
    shutil.rmtree(parts)


def lists_of(recommender: Recommender, ids: Sequence[str], n: int, penalty: float = 0) -> Iterator[pd.DataFrame]:
    """Yield the lists of `PART` users at a time."""
    for first in range(0, len(ids), PART):
        yield recommender.recommend_many(ids[first : first + PART], n, popularity_penalty=penalty)
