"""Column names and dtypes of the tables between stages, written once."""

from typing import Final

import pyarrow as pa

USER: Final = "user_id"
ITEM: Final = "item_id"
RATING: Final = "rating"
TIMESTAMP: Final = "timestamp"
SPLIT: Final = "split"
TITLE: Final = "title"
YEAR: Final = "year"
GENRES: Final = "genres"

TRAIN: Final = "train"
VALIDATION: Final = "validation"
TEST: Final = "test"
SPLITS: Final = (TRAIN, VALIDATION, TEST)

# What a prediction may know of the past: all before its own moment, or all up to the training cut-off.
ONLINE: Final = "online"
FROZEN: Final = "frozen"

# Of the score tables, with some of the columns above (see evaluation/files.py).
MODEL: Final = "model"
KNOWLEDGE: Final = "knowledge"
PREDICTED: Final = "predicted"
RANK: Final = "rank"
SCORE: Final = "score"

# Ordered by (timestamp, user_id, item_id); a data set without timestamps by (user_id, item_id).
RATINGS_SCHEMA: Final = pa.schema(
    [
        pa.field(USER, pa.int64(), nullable=False),
        pa.field(ITEM, pa.int64(), nullable=False),
        pa.field(RATING, pa.float32(), nullable=False),
        pa.field(TIMESTAMP, pa.int64()),  # seconds since 1970-01-01 UTC; null where the data set has none
        pa.field(SPLIT, pa.string(), nullable=False),
    ]
)
