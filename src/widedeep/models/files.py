"""The files of a trained model, and how old they may be. Imports no torch, for those who only ask what a model is."""

from pathlib import Path
from typing import Any, Final

from widedeep.errors import UserError
from widedeep.files import read_json

WEIGHTS: Final = "model.safetensors"
ABOUT: Final = "model.json"

# Raised when an older reader would misread the files. Keys that are merely new have a default and leave it as it is.
FORMAT: Final = 1
_LAST_WITHOUT_FORMAT = "32c3131"


def read_about(folder: Path) -> dict[str, Any]:
    """Read model.json: format, model, architecture, dataset, data_sha256, best_epoch, what validation measured, the
    number of parameters and the shapes of the weights.

    Raises
    ------
    UserError
        There is no model, or it is of another format.
    """
    if not (folder / ABOUT).exists():
        raise UserError(f"{folder} holds no model: {ABOUT} is missing. `dvc repro train` makes one.")
    about = read_json(folder / ABOUT)
    found = about.get("format") if isinstance(about, dict) else None
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
    return dict(about)
