"""The names and the format of the files of a model. Imports no torch, so that reading about a model is fast."""

from pathlib import Path
from typing import Any, Final

from widedeep.errors import UserError
from widedeep.files import read_json

WEIGHTS: Final = "model.safetensors"
ABOUT: Final = "model.json"

# Increase this number when older code would misread the files. A new key with a default does not need it.
FORMAT: Final = 1
_LAST_WITHOUT_FORMAT = "32c3131"


def read_about(folder: Path) -> dict[str, Any]:
    """Read model.json: format, model, architecture, dataset, data_sha256, best_epoch, validation metrics, number of
    parameters, and shapes of the weights.

    Raises
    ------
    UserError
        There is no model, or it has another format.
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
