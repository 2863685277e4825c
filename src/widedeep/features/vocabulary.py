"""The vocabulary of a model: which value each index stands for. Stored with the weights, for use without the data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from widedeep.columns import ITEM_ID, USER_ID
from widedeep.features.files import load_spec
from widedeep.features.spec import Spec
from widedeep.files import read_json, write_json

_IDS = "vocabulary.json"
_UNTIL = "trained_until"


@dataclass(frozen=True)
class Vocabulary:
    """The meaning of a model's indices. It holds ids and not codes, because codes change when the data change.

    spec : description of the features
    user_ids, item_ids : ids of the indices 1, 2, ...
    trained_until : second of the last training rating in a temporal split; None in other splits
    """

    spec: Spec
    user_ids: list[str]
    item_ids: list[str]
    trained_until: int | None

    def save(self, folder: Path) -> None:
        """Write the ids and `trained_until` into an existing folder. The spec is not written."""
        write_json(folder / _IDS, {USER_ID: self.user_ids, ITEM_ID: self.item_ids, _UNTIL: self.trained_until})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote, and the spec in the same folder."""
        stored = read_json(folder / _IDS)
        return cls(load_spec(folder), stored[USER_ID], stored[ITEM_ID], stored[_UNTIL])
