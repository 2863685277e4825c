"""The column names and dtypes of the tables that stages exchange."""

from typing import Final

import pyarrow as pa

# Columns of codes. A code is the row of a user or an item in its table, counted from 0.
USER: Final = "user"
ITEM: Final = "item"
# Columns of ids, as the data set has them. Files for people and other programs hold ids. A model's fields have these
# names as well.
USER_ID: Final = "user_id"
ITEM_ID: Final = "item_id"
RATING: Final = "rating"
TIMESTAMP: Final = "timestamp"
SPLIT: Final = "split"
TITLE: Final = "title"
YEAR: Final = "year"  # of the items' tables. In features, a field of this name is the index of a range of years.
ITEM_YEAR: Final = "item_year"  # in features, the year itself
GENRES: Final = "genres"

TRAIN: Final = "train"
VALIDATION: Final = "validation"
TEST: Final = "test"
SPLITS: Final = (TRAIN, VALIDATION, TEST)

# What a prediction may know. online: everything before its own second. frozen: everything up to the training cut-off.
ONLINE: Final = "online"
FROZEN: Final = "frozen"

# The rating scale of implicit feedback, where a row only says that a user had an item. Features and metrics take every
# rating as 1; the tables keep the numbers of the files.
IMPLICIT: Final = (1.0, 1.0)

# Columns of the score tables, beside some of the above (see evaluation/files.py).
MODEL: Final = "model"
KNOWLEDGE: Final = "knowledge"
PREDICTED: Final = "predicted"
RANK: Final = "rank"
SCORE: Final = "score"
PENALTY: Final = "popularity_penalty"

# The rows are sorted by (timestamp, user, item); without timestamps by (user, item).
RATINGS_SCHEMA: Final = pa.schema(
    [
        pa.field(USER, pa.int64(), nullable=False),
        pa.field(ITEM, pa.int64(), nullable=False),
        pa.field(RATING, pa.float32(), nullable=False),
        pa.field(TIMESTAMP, pa.int64()),  # seconds since 1970-01-01 UTC; null if the data set has none
        pa.field(SPLIT, pa.string(), nullable=False),
    ]
)
