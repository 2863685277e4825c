"""Read files that may be damaged: an error is one line with the file, what is wrong with it, and what to do."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from widedeep.errors import UserError

T = TypeVar("T")

AGAIN = "`dvc repro` makes it again."
MODEL_AGAIN = "Copy the whole folder of the model again, or train it again: `dvc repro train`."
_LONGEST = 200  # characters of another program's message
_INT64 = 2**63


def made_by(stage: str) -> str:
    """Say how to make an output of `stage` again. DVC notices that the file has changed, so no option is needed."""
    return f"`dvc repro {stage}` makes it again."


def read_file(path: Path, read: Callable[[Path], T], kind: str, mend: str = AGAIN) -> T:
    """Return `read(path)`, and explain why a file cannot be read.

    Parameters
    ----------
    read : a function that raises an error of any kind if the file is damaged
    kind : what the file must be, such as "a Parquet file"
    mend : a sentence that says what to do

    Raises
    ------
    UserError
        There is no such file, it cannot be opened, or `read` failed.
    """
    try:
        if not path.is_file():
            refuse(path, "is a folder, not a file" if path.is_dir() else "does not exist", mend)
        return read(path)
    except UserError:
        raise
    except PermissionError:
        refuse(path, "may not be read by this user", "Change its permissions.")
    except Exception as error:  # each format has its own errors for damage
        refuse(path, f"is not {kind} ({brief(error)})", mend)


def refuse(path: Path | str, fact: str, mend: str = AGAIN) -> NoReturn:
    """Raise the error of one line that says what is wrong with a file and what to do."""
    raise UserError(f"{path} {fact}. {mend}")


def read_json(path: str | Path, mend: str = AGAIN) -> Any:
    """Read a JSON file in UTF-8.

    Raises
    ------
    UserError
        As in `read_file`, or a number is not finite or beyond 64 bits.
    """
    return read_file(Path(path), lambda path: parse_json(path.read_bytes()), "valid JSON", mend)


def read_mapping(path: Path, mend: str = AGAIN) -> dict[str, Any]:
    """Read a JSON file that holds names and values. For errors see `read_json`."""
    found = read_json(path, mend)
    if not isinstance(found, dict):
        refuse(path, f"must hold names and values. Got {type(found).__name__} instead", mend)
    return found


def parse_json(content: bytes) -> Any:
    """Parse JSON in UTF-8.

    Raises
    ------
    ValueError
        The content is not JSON, or a number is not finite or beyond 64 bits, so that arithmetic with it would fail.
    RecursionError
        The values are nested too deep.
    """
    return json.loads(content.decode("utf-8"), parse_int=_integer, parse_float=_number, parse_constant=_number)


def _integer(text: str) -> int:
    number = int(text) if len(text) <= 20 else _INT64  # 20 with a sign
    if abs(number) >= _INT64:
        raise ValueError(f"the number {text[:20]}... is beyond 64 bits")
    return number


def _number(text: str) -> float:
    number = float(text)
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:20]} is not finite")
    return number


def brief(error: BaseException) -> str:
    """Return the message of another program's error in one line of limited length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
