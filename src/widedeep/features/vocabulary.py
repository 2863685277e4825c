"""The vocabulary of a model: which value each index stands for. Stored with the weights, for use without the data."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from widedeep.columns import ITEM_ID, USER_ID
from widedeep.features.files import load_spec
from widedeep.features.spec import Spec
from widedeep.files import write_json
from widedeep.reading import MODEL_AGAIN, read_json, refuse
from widedeep.sections import typed

IDS = "vocabulary.json"


@dataclass(frozen=True)
class _Stored:
    user_id: list[str]
    item_id: list[str]
    trained_until: int | None


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
        write_json(folder / IDS, asdict(_Stored(self.user_ids, self.item_ids, self.trained_until)))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote, and the spec in the same folder.

        Raises
        ------
        UserError
            A file is missing or damaged.
        """
        path = folder / IDS
        stored: _Stored = typed(_Stored, read_json(path, MODEL_AGAIN), path, MODEL_AGAIN)
        spec = load_spec(folder, MODEL_AGAIN)
        for ids, name in ((stored.user_id, USER_ID), (stored.item_id, ITEM_ID)):
            if 1 + len(ids) != spec.cardinality(name):
                refuse(
                    path, f"has {len(ids):,} values of {name} for {spec.cardinality(name) - 1:,} indices", MODEL_AGAIN
                )
        return cls(spec, stored.user_id, stored.item_id, stored.trained_until)
