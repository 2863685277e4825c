"""The protocols that measure the quality of the pipeline, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from widedeep.params import Sections
from widedeep.sources.source import GIVEN, GIVEN_FILES

Divide = Callable[[Path], None]  # adds train.csv and test.csv to a folder with the files of the data set


@dataclass(frozen=True)
class Protocol:
    """The settings that make a published number comparable.

    about : what the protocol measures, for readers
    settings : values that replace those of params.yaml
    folds : values of preprocess.fold. Several folds are run one after the other.
    divide : makes a split that the data set does not have
    """

    about: str
    settings: Sections
    folds: tuple[str, ...] = ()
    divide: Divide | None = None


def settings(dataset: str, objective: str, split: str, **preprocess: Any) -> dict[str, dict[str, Any]]:
    """Make the settings of a protocol. `preprocess` has more values of that section."""
    return {
        "download": {"dataset": dataset},
        "preprocess": {"split": split} | preprocess,
        "train": {"objective": objective},
    }


def split_ml_1m(folder: Path) -> None:
    """Write train.csv and test.csv from ratings.dat.

    NumPy's RandomState(0) shuffles the numbers of the rows, from 0. The first tenth of them, rounded down, is for test.
    """
    rows = (folder / "ratings.dat").read_text(encoding="latin-1").splitlines()
    order = np.random.RandomState(0).permutation(len(rows))
    n_test = len(rows) // 10
    for name, part in zip(GIVEN_FILES, (order[n_test:], order[:n_test]), strict=True):
        lines = ["user_id,item_id,rating,timestamp", *(rows[row].replace("::", ",") for row in part)]
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


PROTOCOLS = {
    "ml-100k-u1": Protocol(
        "RMSE on u1.test of ml-100k, trained on u1.base", settings("ml-100k", "rating", "predefined"), ("u1",)
    ),
    "ml-100k-folds": Protocol(
        "mean RMSE over the folds u1 to u5 of ml-100k",
        settings("ml-100k", "rating", "predefined"),
        ("u1", "u2", "u3", "u4", "u5"),
    ),
    "ml-100k-time": Protocol(
        "RMSE on the last 20 % of ml-100k by time, frozen at the cut, with known and unknown users apart",
        settings("ml-100k", "rating", "temporal", test_fraction=0.2),
    ),
    "ml-1m-fold0": Protocol(
        "RMSE on the first tenth of ml-1m's rows, shuffled by RandomState(0)",
        settings("ml-1m", "rating", "predefined"),
        (GIVEN,),
        divide=split_ml_1m,
    ),
    "ml-latest-small-random": Protocol(
        "RMSE on a random tenth of ml-latest-small (preprocess.seed)",
        settings("ml-latest-small", "rating", "random", test_fraction=0.1),
    ),
    "myanimelist-random": Protocol(
        "RMSE on a random fifth of myanimelist-2023 (preprocess.seed)",
        settings("myanimelist-2023", "rating", "random", test_fraction=0.2),
    ),
    "ml-100k-u1-ranking": Protocol(
        "NDCG@10 on u1 of ml-100k, over all items that the user did not rate in training; items with 4 stars or more "
        "are relevant, gains are binary, the mean is over users with a relevant test item",
        settings("ml-100k", "ranking", "predefined") | {"evaluate": {"relevant_rating": 4}},
        ("u1",),
    ),
    "ml-100k-u1-joint": Protocol(
        "RMSE and NDCG@10 of one model on u1 of ml-100k, as in ml-100k-u1 and ml-100k-u1-ranking",
        settings("ml-100k", "joint", "predefined") | {"evaluate": {"relevant_rating": 4}},
        ("u1",),
    ),
}
