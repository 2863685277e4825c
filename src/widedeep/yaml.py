"""Read YAML as DVC does, so that a value means the same to a stage as in dvc.lock.

DVC reads YAML 1.2 with ruamel.yaml. PyYAML reads YAML 1.1, in which `010` is 8, `1:30` is 90, `yes` is true and `1e-4`
is text.
"""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from widedeep.errors import UserError

# A file of sections may have at most this many characters, nested values, and values with those of its aliases. The
# parser needs seconds for a longer file, and aliases of aliases can make billions of values from a few lines.
LONGEST, DEEPEST, MOST = 100_000, 50, 10_000


class _Constructor(SafeConstructor):
    """Make the values, and name the line of a value that cannot be made."""

    def construct_document(self, node: Any) -> Any:
        todo, n = [node], 1
        while todo:
            below = todo.pop().value
            if isinstance(below, list):  # of nodes, or of pairs of nodes; the value of a scalar is text
                n += len(below)
                if n > MOST:
                    raise YAMLError(f"it has more than {MOST} values, counting each value of an alias (*name)")
                todo += [part for one in below for part in (one if isinstance(one, tuple) else (one,))]
        return super().construct_document(node)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
            str(value if isinstance(value, int) else "")  # fails for thousands of digits, also if written as 0xfff...
            return value
        except YAMLError:
            raise
        except Exception as error:  # int(), float(), datetime() and tags such as !!bool each raise their own
            told = f"{str(node.value)[:20]!r} is no value: {error}"
            raise ConstructorError(problem=told, problem_mark=node.start_mark) from None


def parse_yaml(text: str, where: str) -> Any:
    """Convert the text of one YAML document to dicts, lists, texts, numbers, bools, dates and None.

    Raises
    ------
    UserError
        The text is not valid YAML, has a key twice, or has more than `MOST` values or `DEEPEST` levels. The message is
        one line, and starts with `where`.
    """
    reader = YAML(typ="safe", pure=True)
    reader.Constructor = _Constructor
    reader.max_depth = DEEPEST
    try:
        return reader.load(text)
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{where} is not valid YAML{line}: {_line(error.problem or error.context)}.") from None
    except (YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise UserError(f"{where} is not valid YAML: {_line(error)}.") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of sections with keys.

    Raises
    ------
    UserError
        The file does not exist, is longer than `LONGEST` characters, does not hold a mapping, or `parse_yaml` raises
        it.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LONGEST + 1)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist. Run from the repository root.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not valid YAML: {error}.") from None
    if len(text) > LONGEST:
        raise UserError(f"{path} must have at most {LONGEST} characters. It has more: check that it is the right file.")
    raw = parse_yaml(text, str(path))
    if not isinstance(raw, dict):
        raise UserError(f"{path} must hold sections with keys. Got {type(raw).__name__} instead.")
    return raw


def _line(told: object) -> str:
    """Join the lines of a message of the parser, and leave the dot at its end to the caller."""
    return " ".join(str(told).split())[:300].rstrip(".")
