from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from stages.download import main

Run = Callable[[str, str], None]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "data" / "raw"


@pytest.fixture
def run(root: Path, tmp_path: Path, out: Path) -> Run:
    """Run the stage with the repository's params.yaml and another download section."""

    def run_with(dataset: str, source: str) -> None:
        params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
        params["download"] |= {"dataset": dataset, "source": source}
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
        main(["--params", str(tmp_path / "params.yaml"), "--out", str(out)])

    return run_with


def write_ratings(folder: Path, rows: str) -> Path:
    folder.mkdir()
    (folder / "ratings.csv").write_text(f"user_id,item_id,rating\n{rows}")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_default_data_set_needs_no_network(run: Run, out: Path) -> None:
    run("movielens-small", "auto")
    assert sorted(content(out)) == ["dataset.json", "movies.csv", "ratings.csv"]


def test_new_run_replaces_the_folder(run: Run, tmp_path: Path, out: Path) -> None:
    first, second = write_ratings(tmp_path / "a", "1,1,1\n"), write_ratings(tmp_path / "b", "2,2,2\n")
    (first / "items.csv").write_text("item_id,title\n1,A\n")
    run("own", str(first))
    run("own", str(second))
    assert sorted(content(out)) == ["dataset.json", "ratings.csv"]
    assert b"2,2,2" in content(out)["ratings.csv"]


def test_failure_is_one_line_and_leaves_the_earlier_folder(
    run: Run, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("own", str(write_ratings(tmp_path / "a", "1,1,1\n")))
    before = content(out)
    (tmp_path / "broken.zip").write_bytes(b"PK")
    with pytest.raises(SystemExit, match="1"):
        run("own", str(tmp_path / "broken.zip"))
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "broken.zip is not a whole, readable zip file" in error
    assert error.count("\n") == 1
    assert content(out) == before
    assert [path.name for path in out.parent.iterdir()] == ["raw"]


def test_killed_fetch_leaves_the_earlier_folder(
    run: Run, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_ratings(tmp_path / "a", "1,1,1\n")
    run("own", str(folder))
    before = content(out)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("widedeep.sources.fetch.write_json", interrupted)  # the last step
    with pytest.raises(KeyboardInterrupt):
        run("own", str(folder))
    assert content(out) == before
