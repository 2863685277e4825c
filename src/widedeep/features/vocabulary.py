"""What a model knows by index: it lies beside the weights, so that a model can be used and grown without its data."""

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
    """The description of the features, and the ids behind the indices 1, 2, ... of users and items.

    Ids are as their owner writes them: codes change from one version of the data to the next, ids do not.

    trained_until : second of the last training rating; None but in a temporal split, where training ends at a moment
    """

    spec: Spec
    user_ids: list[str]
    item_ids: list[str]
    trained_until: int | None

    def save(self, folder: Path) -> None:
        """Write the ids into an existing folder, where the spec lies already."""
        write_json(folder / _IDS, {USER_ID: self.user_ids, ITEM_ID: self.item_ids, _UNTIL: self.trained_until})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the spec and what `save` wrote."""
        stored = read_json(folder / _IDS)
        return cls(load_spec(folder), stored[USER_ID], stored[ITEM_ID], stored[_UNTIL])
