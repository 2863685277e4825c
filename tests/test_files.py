"""Outputs are written completely or not at all."""

import math
from pathlib import Path

import pytest

from widedeep.files import replacing, write_json
from widedeep.reading import read_json


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_new_file_appears_with_its_parents(tmp_path: Path) -> None:
    with replacing(tmp_path / "a" / "b.txt") as partial:
        partial.write_text("new")
        assert not (tmp_path / "a" / "b.txt").exists()
    assert (tmp_path / "a" / "b.txt").read_text() == "new"


def test_exception_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "b.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as partial:  # noqa: PT012
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["b.txt"]


def test_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "stale").touch()
    with replacing(folder) as partial:
        partial.mkdir()
        (partial / "fresh").touch()
    assert names(folder) == ["fresh"]
    assert names(tmp_path) == ["out"]


def test_exception_keeps_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(RuntimeError), replacing(folder) as partial:  # noqa: PT012
        partial.mkdir()
        raise RuntimeError
    assert names(folder) == ["old"]
    assert names(tmp_path) == ["out"]


def test_leftover_of_a_killed_process_is_cleared(tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "half").touch()
    with replacing(tmp_path / "out") as partial:
        partial.mkdir()
    assert names(tmp_path / "out") == []
    assert names(tmp_path) == ["out"]


def test_json_comes_back_as_it_was(tmp_path: Path) -> None:
    value = {"title": "Amélie", "n": 1, "x": 0.1, "none": None, "list": [1, 2]}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert "Amélie" in (tmp_path / "a.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_refuses_what_is_not_finite_and_keeps_the_old_file(tmp_path: Path, value: float) -> None:
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"x": value})
    assert read_json(tmp_path / "a.json") == {"x": 1}
    assert names(tmp_path) == ["a.json"]
