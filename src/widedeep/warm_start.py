"""Find the earlier model for a warm start: a folder, or the model of a git revision."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from widedeep.commits import WORKSPACE, fetch
from widedeep.errors import UserError
from widedeep.models.files import read_about


@contextmanager
def earlier_model(source: str, params: Path, model: Path) -> Iterator[Path]:
    """Yield the folder of the earlier model, for the block to read.

    Parameters
    ----------
    source : the value of train.warm_start_from: a folder, relative to the folder of params.yaml, or a git revision
    params : the path of params.yaml
    model : where the pipeline writes its model, also in a git revision

    Raises
    ------
    UserError
        `source` is neither a folder nor a revision, it is the folder `model` itself (which training replaces), it
        holds no model, or a file of the model is damaged.
    """
    folder = params.parent / source
    with TemporaryDirectory(prefix="widedeep-") as temporary:
        if source == WORKSPACE or folder.resolve() == model.resolve():
            raise UserError(
                f"train.warm_start_from: {source} is the folder of the new model, so the run could not be repeated. "
                "Copy the model elsewhere, or name the commit that made it."
            )
        if not _is_folder(folder):
            folder = fetch(source, model, Path(temporary, "model"))
        try:
            read_about(folder)
            yield folder
        except UserError as error:
            text = str(error)
            if str(folder) not in text:
                raise
            raise UserError(f"train.warm_start_from: {text.replace(str(folder), source)}") from None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # the name is too long for the file system
        return False
