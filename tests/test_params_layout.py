"""`dvc exp run -S` changes values of params.yaml and nothing else: every comment stays where it was."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides  # with which `dvc exp run -S` writes the file

from tests.conftest import ROOT

TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")
# Two values for each kind of value. A list may become longer, shorter, empty and null.
LISTS = (("[1,5]", "[0.5,2,5]"), ("[]", "[1]"), ("null", "[1,2]"), ("[[a,b],[c]]", "null"))
OTHERS = (("7", "0.001"), ("null", "text"), ("true", "1e-5"))
LIKE_LISTS = ("preprocess.rating_scale",)  # null here, but a list for other data


def leaves(params: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in params.items():
        if isinstance(value, dict) and value:
            if "." not in name:  # -S splits the name of a gate at its dots
                yield from leaves(value, f"{prefix}{name}.")
        elif value != {}:
            yield prefix + name, value


LEAVES = dict(leaves(yaml.safe_load(TEXT)))


def comments(text: str) -> list[tuple[str, str]]:
    """Each comment, with the key that follows it."""
    found, waiting = [], []
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("#"):
            waiting.append(line)
        else:
            found += [(comment, line.split(":")[0]) for comment in waiting]
            waiting = []
    return [*found, *((comment, "") for comment in waiting)]


def test_a_change_of_one_value_changes_one_line(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT, encoding="utf-8")
    apply_overrides(path, ["train.learning_rate=0.003"])
    old, new = TEXT.splitlines(), path.read_text(encoding="utf-8").splitlines()
    assert [pair for pair in zip(old, new, strict=True) if pair[0] != pair[1]] == [
        (f"  learning_rate: {LEAVES['train.learning_rate']}", "  learning_rate: 0.003")
    ]


@pytest.mark.parametrize("values", [*LISTS, *OTHERS], ids=" ".join)
def test_two_changes_of_every_value_keep_every_comment(values: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT, encoding="utf-8")
    is_list = [isinstance(value, list) or name in LIKE_LISTS for name, value in LEAVES.items()]
    names = [name for name, listed in zip(LEAVES, is_list, strict=True) if listed is (values in LISTS)]
    assert len(names) > 5
    for value in values:
        apply_overrides(path, [f"{name}={value}" for name in names])
        assert comments(path.read_text(encoding="utf-8")) == comments(TEXT)
