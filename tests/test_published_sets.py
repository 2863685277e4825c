"""Made-up rows in the form of data sets that people have: each goes from `widedeep inspect --write` to the report."""

import csv
import gzip
import io
import json
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Project

STAGES = ("download", "preprocess", "featurize", "train", "evaluate", "drift", "report")
USERS, ITEMS = 30, 25
PAIRS = [(u, i) for u in range(1, USERS + 1) for i in range(1, ITEMS + 1) if (u * i) % 3]
random.Random(0).shuffle(PAIRS)


def stars(user: int, item: int) -> int:
    return 1 + (user + item) % 5


def text(header: Sequence[Any], rows: Iterable[Sequence[Any]], separator: str = ",", quoting: int = 0) -> str:
    written = io.StringIO()
    writer = csv.writer(written, delimiter=separator, quoting=quoting, lineterminator="\r\n")  # type: ignore[arg-type]
    writer.writerows([header, *rows] if header else rows)
    return written.getvalue()


def movielens_20m_of_kaggle(folder: Path) -> None:
    rated = [(u, i, stars(u, i) / 2, f"2005-04-{1 + n % 28:02} 23:{n % 60:02}:47") for n, (u, i) in enumerate(PAIRS)]
    header = ("userId", "movieId", "rating", "timestamp")
    (folder / "rating.csv").write_text(text(header, rated, quoting=csv.QUOTE_ALL))
    films = [(i, f"Film {i}, The (19{70 + i})", "Drama|Comedy" if i % 2 else "War") for i in range(1, ITEMS + 1)]
    (folder / "movie.csv").write_text(text(("movieId", "title", "genres"), films, quoting=csv.QUOTE_ALL))
    tags = [(1, 1, "dark", "2005-04-02 23:53:47")]
    (folder / "tag.csv").write_text(text(("userId", "movieId", "tag", "timestamp"), tags, quoting=csv.QUOTE_ALL))


def goodbooks_10k(folder: Path) -> None:
    (folder / "ratings.csv").write_text(text(("user_id", "book_id", "rating"), [(u, i, stars(u, i)) for u, i in PAIRS]))
    header = ("book_id", "goodreads_book_id", "isbn", "authors", "original_publication_year", "title", "average_rating")
    books = [
        (i, 900 + i, f"97{i:08}", f"Collins, {i % 4}", f"{1990 + i}.0", f"Title {i}", 4.1) for i in range(1, ITEMS)
    ]
    (folder / "books.csv").write_text(text(header, books))
    (folder / "to_read.csv").write_text(text(("user_id", "book_id"), [(1, 2)]))


def book_crossing(folder: Path) -> None:
    rated = [(u, f"0{i:08}X", 0 if (u + i) % 3 else 2 * stars(u, i)) for u, i in PAIRS]
    header = ("User-ID", "ISBN", "Book-Rating")
    (folder / "BX-Book-Ratings.csv").write_text(text(header, rated, ";", csv.QUOTE_ALL), encoding="cp1252")
    books = [(f"0{i:08}X", f"Straße {i}; Teil", "J. Dö", 1980 + i) for i in range(1, ITEMS + 1)]
    header_of_books = ("ISBN", "Book-Title", "Book-Author", "Year-Of-Publication")
    (folder / "BX-Books.csv").write_text(text(header_of_books, books, ";", csv.QUOTE_ALL), encoding="cp1252")
    users = [(u, "porto, portugal", "NULL" if u % 4 else 20 + u) for u in range(1, USERS + 1)]
    users_text = text(("User-ID", "Location", "Age"), users, ";", csv.QUOTE_ALL).replace('"NULL"', "NULL")
    (folder / "BX-Users.csv").write_text(users_text, encoding="cp1252")


def amazon_reviews(folder: Path) -> None:
    records = [
        {"overall": float(stars(u, i)), "reviewerID": f"A{u:03}", "asin": f"B{i:03}", "reviewText": '"No",\nhe said.',
         "unixReviewTime": 1_500_000_000 + 86_400 * n}
        for n, (u, i) in enumerate(PAIRS)
    ]  # fmt: skip
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "Luxury_Beauty_5.json.gz").write_bytes(gzip.compress(lines.encode()))


def lastfm_plays(folder: Path) -> None:
    plays = [(u, i, 1 + 13_883 // (u * i)) for u, i in PAIRS]
    (folder / "user_artists.dat").write_text(text(("userID", "artistID", "weight"), plays, "\t"))
    artists = [(i, f"Band {i}", f"http://www.last.fm/music/{i}") for i in range(1, ITEMS + 1)]
    (folder / "artists.dat").write_text(text(("id", "name", "url"), artists, "\t"))


def jester(folder: Path) -> None:
    of_user = [["99"] * ITEMS for _ in range(USERS)]
    for user, item in PAIRS:
        of_user[user - 1][item - 1] = f"{4 * stars(user, item) - 10}.25"
    rows = [[str(sum(cell != "99" for cell in row)), *row] for row in of_user]
    (folder / "jester-data-1.csv").write_text(text((), rows))


DROP_ZEROS = {"preprocess.rating_scale": [1, 10], "preprocess.on_bad_rows": "drop"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "changes", "rated", "said"),
    [
        (movielens_20m_of_kaggle, {}, True, "timestamp: dates and times of ISO 8601"),
        (goodbooks_10k, {}, True, "columns user = 'user_id', item = 'book_id', rating = 'rating'"),
        (book_crossing, DROP_ZEROS, True, "fields between semicolons, with quotes"),
        (amazon_reviews, {}, True, "JSON lines, UTF-8, packed with gzip"),
        (lastfm_plays, {}, False, "feedback: implicit, as 'weight' is a count and not a rating"),
        (jester, {}, True, "a matrix: each row is a user (named by its number), each of 25 columns is an item"),
    ],
)
def test_from_inspect_to_the_report(
    write: Callable[[Path], None],
    changes: dict[str, Any],
    rated: bool,
    said: str,
    inspected: Callable[[Path], tuple[Project, str]],
    run_stage: Callable[[Project, str], str],
    tmp_path: Path,
) -> None:
    (tmp_path / "theirs").mkdir()
    write(tmp_path / "theirs")
    project, printed = inspected(tmp_path / "theirs")
    assert said in printed
    project.set({"train.epochs": 1, "train.ranking.epochs": 1, **changes})
    for stage in STAGES:
        assert "error" not in run_stage(project, stage)
    reports = project.path / "reports"
    metrics = json.loads((reports / "metrics.json").read_text())
    assert bool(metrics["rating"]) is rated
    assert metrics["ranking"]["frozen"]["ndcg_at_10"]["n"] > 0
    # inspect has written the finding into params.yaml, so the stage has another reason
    said = said.partition(", as")[0]
    assert said in (reports / "report.html").read_text().replace("&#39;", "'")
    assert any(said in line for line in json.loads((reports / "data.json").read_text())["understood"])
