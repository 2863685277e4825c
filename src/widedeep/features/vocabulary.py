"""What a model knows by index: it lies beside the weights, so that a model can be used and grown without its data."""

from dataclasses import dataclass
from pathlib import Path

from widedeep.columns import ITEM_ID, USER_ID
from widedeep.features.spec import Spec
from widedeep.files import read_json, write_json

SPEC = "features.json"
IDS = "vocabulary.json"
_UNTIL = "trained_until"


@dataclass(frozen=True)
class Vocabulary:
    """The description of the features, and the ids behind the indices 1, 2, ... of users and items, as their owner
    writes them: codes change from one version of the data to the next, ids do not.

    trained_until: second of the last training rating; None but in a temporal split, where training ends at a moment.
    """

    spec: Spec
    user_ids: list[str]
    item_ids: list[str]
    trained_until: int | None

    def save(self, folder: Path) -> None:
        """Write features.json and vocabulary.json into an existing folder."""
        write_json(folder / SPEC, self.spec.as_dict())
        write_json(folder / IDS, {USER_ID: self.user_ids, ITEM_ID: self.item_ids, _UNTIL: self.trained_until})

    @classmethod
    def load(cls, folder: Path) -> "Vocabulary":
        stored = read_json(folder / IDS)
        return cls(Spec.load(folder / SPEC), stored[USER_ID], stored[ITEM_ID], stored[_UNTIL])
