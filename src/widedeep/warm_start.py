"""The earlier model that a warm start goes on from: a folder, or an output of a git revision."""

from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors import SafetensorError

from widedeep.errors import UserError
from widedeep.models.files import read_about
from widedeep.revisions import WORKSPACE, fetch


@contextmanager
def earlier_model(source: str, params: Path, model: Path) -> Iterator[Path]:
    """The folder of the model that `source`, of train.warm_start_from in the file `params`, names: a folder relative to
    that file, or a git revision, of which `model` is the output. The block reads it.

    Raises
    ------
    UserError
        It is neither; the folder holds no model, or one that the block cannot read, or is `model` itself, which the
        training replaces.
    """
    folder = params.parent / source
    with TemporaryDirectory(prefix="widedeep-") as temporary:
        if source == WORKSPACE or (folder.is_dir() and folder.resolve() == model.resolve()):
            raise UserError(
                f"train.warm_start_from: {source} is where the new model is written, so nobody could repeat the run. "
                "Copy the model elsewhere, or name the commit that made it."
            )
        if not folder.is_dir():
            folder = fetch(source, model, Path(temporary, "model"))
        try:
            read_about(folder)
        except UserError as error:
            text = str(error).replace(str(folder), source)
            raise UserError(f"train.warm_start_from: {text}") from None
        try:
            yield folder
        except (FileNotFoundError, JSONDecodeError, SafetensorError) as error:
            raise UserError(
                f"train.warm_start_from: the model of {source} cannot be read: a file is missing or damaged ({error}). "
                "Copy the whole folder again."
            ) from None
