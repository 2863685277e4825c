"""The names and the format of the files of a model. Imports no torch, so that reading about a model is fast."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from widedeep.errors import UserError
from widedeep.models.registry import Architecture
from widedeep.reading import MODEL_AGAIN, read_mapping, refuse
from widedeep.sections import typed

WEIGHTS: Final = "model.safetensors"
ABOUT: Final = "model.json"

# Increase this number when older code would misread the files. A new key with a default does not need it.
FORMAT: Final = 1
_LAST_WITHOUT_FORMAT = "32c3131"


@dataclass(frozen=True)
class About:
    """What model.json says of a model. It also holds the number of parameters and the shapes of the weights.

    data_sha256 : hash of the features that it was trained on
    best_epoch : the epoch whose weights were kept
    validation : metrics of this epoch
    weights_sha256 : checksum of the file of weights; None in models of earlier versions
    """

    architecture: Architecture
    dataset: str
    data_sha256: str
    best_epoch: int
    validation: dict[str, float]
    weights_sha256: str | None


@dataclass(frozen=True)
class _Stored:
    architecture: dict[str, Any]
    dataset: str
    data_sha256: str
    best_epoch: int
    validation: dict[str, float]
    weights_sha256: str | None = None


def read_about(folder: Path) -> About:
    """Read model.json of a model's folder. A knob that is newer than the file gets its default.

    Raises
    ------
    UserError
        There is no model, it has another format, or the file is damaged.
    """
    path = folder / ABOUT
    if not path.exists():
        raise UserError(f"{folder} holds no model: {ABOUT} is missing. `dvc repro train` makes one.")
    about = read_mapping(path, MODEL_AGAIN)
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
    stored: _Stored = typed(_Stored, about, path, MODEL_AGAIN)
    try:
        architecture = Architecture.load(stored.architecture)
    except (KeyError, TypeError, ValidationError) as error:
        told = error.errors()[0]["msg"] if isinstance(error, ValidationError) else repr(error)
        refuse(path, f"describes no model of this version ({told})", MODEL_AGAIN)
    return About(
        architecture, stored.dataset, stored.data_sha256, stored.best_epoch, stored.validation, stored.weights_sha256
    )
