"""The model as MLflow calls it. MLflow finds this module by its name, so the module needs no MLflow."""

from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from widedeep.columns import USER_ID
from widedeep.errors import UserError
from widedeep.serving.recommender import Recommender

N = "n"
DEFAULT = 10  # length of a list if the input does not say it


class ListMaker:
    """Makes the lists of `Recommender.recommend_many`."""

    def __init__(self, recommender: Recommender) -> None:
        self.recommender = recommender

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Recommend items to each user of a frame with the column user_id and, if wanted, n (length of the list).

        The lists stand in the order of the input, a row per item.

        Raises
        ------
        UserError
            There is no column user_id, a user is unknown, or n is not a whole number of at least 1.
        """
        if not isinstance(model_input, pd.DataFrame) or USER_ID not in model_input:
            raise UserError(f"The input must be a frame with the column {USER_ID}, and may have the column {N}.")
        lengths = model_input[N].fillna(DEFAULT) if N in model_input else pd.Series(DEFAULT, model_input.index)
        frames = [self.recommender.recommend_many([], DEFAULT)]
        for n, pairs in groupby(zip(lengths, model_input[USER_ID], strict=True), key=lambda pair: pair[0]):
            whole = int(n) if isinstance(n, float) and n.is_integer() else n  # a gap makes floats of all numbers
            frames.append(self.recommender.recommend_many([user for _, user in pairs], whole))
        return pd.concat(frames[1:], ignore_index=True) if len(frames) > 1 else frames[0]


def _load_pyfunc(path: str) -> ListMaker:
    """Read the model folder that was registered. MLflow calls this function."""
    return ListMaker(Recommender.load(Path(path)))
