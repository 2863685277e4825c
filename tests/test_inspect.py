"""The command `widedeep inspect`."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT
from widedeep.cli import main
from widedeep.params import load_params

ROWS = "".join(f"{i % 7};B{i % 5};{1 + i % 9},5;2020-01-{1 + i % 28:02} 10:00:00\n" for i in range(60))
TEXT = f"reviewerID;ASIN;Stars;Date\n{ROWS}"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "mine.txt").write_text(TEXT)
    return tmp_path


def test_what_is_understood_is_printed(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "mine.txt"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.splitlines() == [
        "ratings: mine.txt",
        "items: none",
        "users: none",
        "mine.txt: text, UTF-8; fields between semicolons; line 1 names the columns",
        "mine.txt: columns user = 'reviewerID', item = 'ASIN', rating = 'Stars', timestamp = 'Date'",
        "rating: decimals are written with a comma",
        "timestamp: dates and times of ISO 8601, UTC where there is no zone",
        "ids: users are integers, items are text",
        "size: 60 ratings of 5 items by 7 users; 100.00% of all pairs are rated",
        "duplicates: 25 ratings of a pair that is rated again; the latest counts",
        "rating: 1.5 to 9.5; 1.5 (11.7%), 2.5 (11.7%), 3.5 (11.7%), 4.5 (11.7%), 5.5 (11.7%), 6.5 (11.7%), "
        "7.5 (10.0%), 8.5 (10.0%), 9.5 (10.0%)",
        "times: 2020-01-01 to 2020-01-28 UTC",
        "split: temporal, as there are times",
        "items: no file",
        "users: no file",
        "To use these ratings: the same command with --write, then dvc repro",
    ]
    assert load_params(work / "params.yaml").download.dataset == "movielens-small"


def test_write_puts_the_answers_into_params_and_keeps_every_comment(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (work / "params.yaml").read_text()
    assert main(["inspect", "mine.txt", "--write"]) == 0
    assert "Next: dvc repro" in capsys.readouterr().out
    params = load_params(work / "params.yaml")
    assert (params.download.dataset, params.download.source) == ("own", str(work / "mine.txt"))
    assert params.download.watch == params.download.source  # dvc repro notices another row
    preprocess = params.preprocess
    assert preprocess.columns.model_dump() == {
        "user": "reviewerID", "item": "ASIN", "rating": "Stars", "timestamp": "Date",
    }  # fmt: skip
    assert (preprocess.separator, preprocess.encoding, preprocess.timestamp_unit) == (";", "utf-8", "iso")
    assert (preprocess.rating_scale, preprocess.split) == ((1.5, 9.5), "temporal")
    after = (work / "params.yaml").read_text()
    comments = [line for line in before.splitlines() if line.strip().startswith("#")]
    assert [line for line in after.splitlines() if line.strip().startswith("#")] == comments
    assert "separator: ;  # found by widedeep inspect" in after.replace("';'", ";")
    assert main(["inspect", "mine.txt", "--write"]) == 0  # again: nothing changes
    assert (work / "params.yaml").read_text() == after


def test_values_in_params_are_followed_for_this_source_only(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "mine.txt", "--write"]) == 0
    (work / "other.csv").write_text("user,item,rating\n1,2,3\n1,3,4\n")
    assert main(["inspect", "other.csv"]) == 0
    (work / "mine.txt").write_text(TEXT.replace("ASIN", "what"))
    assert main(["inspect", "mine.txt"]) == 2
    assert "mine.txt has no column 'ASIN'. It has: reviewerID, what, Stars, Date." in capsys.readouterr().err


def test_bad_rows_are_shown_with_the_name_of_the_users_file(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (work / "mine.txt").write_text(TEXT + "8;B1;many;2020-01-01\n8;B1\n")
    assert main(["inspect", "mine.txt"]) == 1
    printed = capsys.readouterr().err
    assert "warning: 2 of 62 rows are bad:" in printed
    assert "  mine.txt, line 62: the rating must be a finite number. Got '8;B1;many;2020-01-01' instead." in printed
    assert "  mine.txt, line 63: a line must have 4 fields between semicolons. Got '8;B1' instead." in printed


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("user,item,rating\n1,2,1600000000\n2,2,1600000005\n", "The ratings look like seconds since 1970."),
        ("user,item,rating\n1,2,0\n2,2,0\n1,3,5\n2,3,10\n", "50% of the ratings are 0. If 0 means that there is no"),
        ("user,item,rating,time\n1,2,3,99\n2,2,4,99\n", "All ratings have the same time"),
        ("user,item,rating\n1.58E+18,2,3\n2,2,4\n", "user_id: 1 ids look like 1.58E+18. A spreadsheet has rounded"),
    ],
)
def test_what_may_be_wrong_is_a_warning(
    work: Path, capsys: pytest.CaptureFixture[str], text: str, warning: str
) -> None:
    (work / "mine.txt").write_text(text)
    assert main(["inspect", "mine.txt"]) == 0
    assert f"warning: {warning}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("user,item\n1,2\n2,2\n", "as no column has a known name for the rating ("),
        ("1,2\n2,2\n2,3\n", "as no column has a known name for the rating"),
        ("user,item,stars\n1,2,4\n2,2,4\n", "as all ratings are 4"),
        ("user,item,plays\n1,2,4\n2,2,9\n", "as 'plays' is a count and not a rating"),
    ],
)
def test_feedback_without_ratings_is_said_and_written(
    work: Path, capsys: pytest.CaptureFixture[str], text: str, why: str
) -> None:
    (work / "mine.csv").write_text(text)
    assert main(["inspect", "mine.csv", "--write"]) == 0
    printed = capsys.readouterr()
    assert f"feedback: implicit, {why}" in printed.out
    assert printed.err == ""
    preprocess = load_params(work / "params.yaml").preprocess
    assert (preprocess.feedback, preprocess.rating_scale) == ("implicit", None)


def test_matrix_is_described_and_runs_without_names_of_columns(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"{u},{u % 5 + 1},,{u % 3 + 1},2,,{u % 2 + 1}\n" for u in range(20))
    (work / "mine.csv").write_text(f"userId,Heat,Alien,Solaris,Stalker,Brazil,Ran\n{rows}")
    assert main(["inspect", "mine.csv", "--write"]) == 0
    printed = capsys.readouterr().out
    assert "mine.csv: a matrix: each row is a user (named in 'userId'), each of 6 columns is an item" in printed
    assert "size: 80 ratings of 4 items by 20 users" in printed
    columns = load_params(work / "params.yaml").preprocess.columns
    assert columns.model_dump() == {"user": "userId", "item": None, "rating": None, "timestamp": None}
    assert main(["inspect", "mine.csv", "--write"]) == 0
    assert "params.yaml: has these values already" in capsys.readouterr().out


def test_side_files_are_described(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = work / "mine"
    folder.mkdir()
    (folder / "rating.csv").write_text('"userId","movieId","rating"\n"1","10","4"\n"1","11","5"\n')
    (folder / "movie.csv").write_text('"movieId","title","genres"\n"10","Heat (1995)","Crime|Drama"\n')
    (folder / "link.csv").write_text("movieId,imdbId\n10,113277\n")
    assert main(["inspect", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "not used: link.csv" in printed
    assert "movie.csv: the year is taken from the end of the title, in 1 of 1 rows" in printed
    assert "items: 1 rows; 1 rated items have no row and no features" in printed


def test_files_that_differ_in_separator_and_encoding_are_each_read_in_their_own(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = work / "mine"
    folder.mkdir()
    (folder / "ratings.dat").write_text("user\titem\trating\n1\t10\t4\n1\t11\t5\n")
    (folder / "items.csv").write_bytes("item;title\n10;Stra\xdfe\n11;F\xfcr\n".encode("cp1252"))
    for _ in range(2):
        assert main(["inspect", str(folder), "--write"]) == 0
        assert "items.csv: text, Windows-1252 (Latin-1); fields between semicolons" in capsys.readouterr().out
    preprocess = load_params(work / "params.yaml").preprocess
    assert (preprocess.separator, preprocess.encoding) == (None, None)


def test_mistakes_in_the_call(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "nowhere.csv"]) == 2
    assert main(["inspect", "params.yaml"]) == 2
    assert main(["inspect", str(work), "--ratings", "other.csv"]) == 2
    printed = capsys.readouterr().err
    assert "'nowhere.csv'" in printed
    assert "params.yaml must be a file of rows" in printed
    assert "download.files.ratings: " in printed
