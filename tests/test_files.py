"""Outputs are written completely or not at all."""

import errno
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from widedeep import files
from widedeep.errors import UserError
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


def folder_of(path: Path, file: str) -> Path:
    path.mkdir()
    (path / file).touch()
    return path


def replace(path: Path, file: str) -> None:
    with replacing(path) as partial:
        folder_of(partial, file)


@pytest.fixture(params=["exchange", "two renames"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Replace folders as Linux can, and as every system can."""
    if request.param == "two renames":
        monkeypatch.setattr(files, "_exchange", lambda *_: False)
    return str(request.param)


@pytest.mark.usefixtures("way")
def test_folder_is_replaced_in_either_way(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "out", "stale")
    replace(folder, "fresh")
    assert (names(folder), names(tmp_path)) == (["fresh"], ["out"])


@pytest.mark.skipif(not Path("/proc").exists(), reason="only Linux exchanges names")
def test_linux_needs_no_second_name_for_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path / "out", "stale")
    monkeypatch.setattr(Path, "replace", None)
    replace(folder, "fresh")
    assert names(folder) == ["fresh"]


def test_folder_of_a_killed_run_comes_back_and_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run was killed between its two renames."""
    folder_of(tmp_path / "out.old.partial", "stale")
    folder_of(tmp_path / "out.partial", "fresh")
    with pytest.raises(RuntimeError), replacing(tmp_path / "out"):
        raise RuntimeError
    assert (names(tmp_path / "out"), names(tmp_path)) == (["stale"], ["out"])
    assert capsys.readouterr().err == f"{tmp_path / 'out'} is back: an earlier run was killed while it replaced it\n"


def test_folder_of_a_run_killed_after_its_renames_is_removed(tmp_path: Path) -> None:
    folder_of(tmp_path / "out.old.partial", "stale")
    replace(folder_of(tmp_path / "out", "newer"), "fresh")
    assert (names(tmp_path / "out"), names(tmp_path)) == (["fresh"], ["out"])


@pytest.mark.usefixtures("way")
def test_removal_that_fails_does_not_undo_the_replacement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(tmp_path / "out", "stale")

    def refuse(path: Path) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refuse)
        replace(folder, "fresh")
    assert names(folder) == ["fresh"]
    (left,) = (path for path in tmp_path.iterdir() if path != folder)
    assert names(left) == ["stale"]
    warning = capsys.readouterr().err
    assert warning.startswith(f"warning: {left} cannot be removed (Device or resource busy")
    assert warning.count("\n") == 1
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refuse)
        with pytest.raises(UserError, match=r"is left from an earlier run and cannot be removed .* Remove it"):
            replace(folder, "third")
    replace(folder, "third")
    assert names(tmp_path) == ["out"]


@contextmanager
def somebody() -> Iterator[None]:
    """Give up the rights of root, whom no permission stops."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_read_only_folder_is_replaced(tmp_path: Path) -> None:
    home = tmp_path / "home"
    inner = home / "out" / "inner"
    inner.mkdir(parents=True)
    (inner / "stale").touch()
    for folder in (inner, inner.parent):
        folder.chmod(0o555)
    if os.geteuid() == 0:
        for path in (home, *home.rglob("*")):
            os.chown(path, 65534, 65534)
        for parent in tmp_path.parents[:3]:  # pytest-xdist adds one
            parent.chmod(0o755)
        tmp_path.chmod(0o755)
    with somebody():
        replace(home / "out", "fresh")
        assert (names(home / "out"), names(home)) == (["fresh"], ["out"])


def test_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    target, link = folder_of(tmp_path / "big" / "models", "stale"), tmp_path / "models"
    link.symlink_to("big/models")
    replace(link, "fresh")
    assert link.is_symlink()
    assert (names(target), names(tmp_path), names(tmp_path / "big")) == (["fresh"], ["big", "models"], ["models"])


def test_link_to_a_file_is_replaced_so_that_the_cache_of_dvc_does_not_change(tmp_path: Path) -> None:
    (tmp_path / "cached").write_text("old")
    (tmp_path / "out").symlink_to("cached")
    with replacing(tmp_path / "out") as partial:
        partial.write_text("new")
    assert (tmp_path / "cached").read_text() == "old"
    assert not (tmp_path / "out").is_symlink()


def test_link_to_nothing_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("gone")
    with pytest.raises(UserError, match=r"out is a symbolic link to gone, which does not exist"):
        replacing(tmp_path / "out").__enter__()


@pytest.mark.skipif(not Path("/proc").is_mount(), reason="needs a mount point")
def test_mount_point_is_refused_at_once() -> None:
    with pytest.raises(UserError, match=r"/proc is a mount point, which cannot be replaced"):
        replacing("/proc").__enter__()


def test_full_disk_names_the_file_that_was_being_written(tmp_path: Path) -> None:
    """Write two outputs, entered at once. The error of the system has no name of a file."""
    for broken in ("a.csv", "models/b.bin"):
        with pytest.raises(OSError, match="No space") as found, replacing(tmp_path / "a.csv") as a:  # noqa: SIM117, PT012
            with replacing(tmp_path / "models") as models:
                for name, path in (
                    ("a.csv", a),
                    ("models/a.bin", models / "a.bin"),
                    ("models/b.bin", models / "b.bin"),
                ):
                    path.parent.mkdir(exist_ok=True)
                    path.touch()
                    os.utime(path, ns=(0, 1 + (name == "models/b.bin")))
                    if name == broken:
                        raise OSError(errno.ENOSPC, "No space left on device")
        assert found.value.filename == str(tmp_path / broken)
    assert names(tmp_path) == []


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
