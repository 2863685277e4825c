"""What a model knows by index: it lies beside the weights, so that a model can be used and grown without its data."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from widedeep.columns import ITEM, USER
from widedeep.features.spec import Spec
from widedeep.files import write_json

SPEC = "features.json"
IDS = "vocabulary.safetensors"
_UNTIL = "trained_until"


@dataclass(frozen=True)
class Vocabulary:
    """The description of the features, and the ids behind the indices 1, 2, ... of users and items, int64.

    trained_until: second of the last training rating; None but in a temporal split, where training ends at a moment.
    """

    spec: Spec
    user_ids: NDArray[np.int64]
    item_ids: NDArray[np.int64]
    trained_until: int | None

    def save(self, folder: Path) -> None:
        """Write features.json and vocabulary.safetensors into an existing folder."""
        write_json(folder / SPEC, self.spec.as_dict())
        ids = {USER: self.user_ids, ITEM: self.item_ids}
        until = {} if self.trained_until is None else {_UNTIL: np.array(self.trained_until)}
        (folder / IDS).write_bytes(save(ids | until))

    @classmethod
    def load(cls, folder: Path) -> "Vocabulary":
        stored = load_file(folder / IDS)
        until = int(stored[_UNTIL]) if _UNTIL in stored else None
        return cls(Spec.load(folder / SPEC), stored[USER], stored[ITEM], until)
