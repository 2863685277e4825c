"""The names and the format of the files of a model. Imports no torch, so that reading about a model is fast."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from widedeep.errors import UserError
from widedeep.features.vocabulary import MEND
from widedeep.reading import read_mapping
from widedeep.sections import typed

WEIGHTS: Final = "model.safetensors"
ABOUT: Final = "model.json"

# Increase this number when older code would misread the files. A new key with a default does not need it.
FORMAT: Final = 1
_LAST_WITHOUT_FORMAT = "32c3131"


@dataclass(frozen=True)
class _About:
    model: str
    architecture: dict[str, Any]
    data_sha256: str
    best_epoch: int
    validation: dict[str, float]


def read_about(folder: Path) -> dict[str, Any]:
    """Read model.json: format, model, architecture, dataset, data_sha256, best_epoch, validation metrics, number of
    parameters, and shapes of the weights.

    Raises
    ------
    UserError
        There is no model, it has another format, or the file is damaged.
    """
    if not (folder / ABOUT).exists():
        raise UserError(f"{folder} holds no model: {ABOUT} is missing. `dvc repro train` makes one.")
    about = read_mapping(folder / ABOUT, MEND)
    found = about.get("format")
    if found is None:
        raise UserError(
            f"The model in {folder} was written before models had a format. This version reads format {FORMAT}. "
            f"Train it again, or use it with an earlier version: git checkout {_LAST_WITHOUT_FORMAT}."
        )
    if found != FORMAT:
        raise UserError(
            f"The model in {folder} has format {found}. This version reads format {FORMAT}. "
            "Check out the commit that made it, or train it again."
        )
    typed(_About, about, folder / ABOUT, MEND)
    return about
