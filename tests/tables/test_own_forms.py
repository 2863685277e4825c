"""Files of ratings in a random form with known content: the tables hold exactly that, or an error names the line.

`WIDEDEEP_FILES=2000 pytest tests/tables/test_own_forms.py` makes more files than the test suite does.
"""

import bz2
import gzip
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from widedeep.errors import UserError
from widedeep.sources.own import OWN
from widedeep.tables.ratings import check_rows

pytestmark = pytest.mark.slow
FILES = int(os.environ.get("WIDEDEEP_FILES", "150"))
NAMES = {
    "user": ("user_id", "userId", "USER", "User-ID", "reviewerID"),
    "item": ("item_id", "movieId", "ASIN", "ISBN", "Item"),
    "rating": ("rating", "Rating", "score", "stars", "Book-Rating"),
    "time": ("timestamp", "Timestamp", "date", "unixReviewTime", "created_at"),
}
TEXTS = ("a", "Zoë", "007", "7", 'say "hi"', "x, y", "semi;colon", "tab\there", "bar|bar", "日本", "it's", "NA", "1.50")
SEPARATORS = (",", ";", "\t", "|", "::")
ENCODINGS = ("utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252")

Row = tuple[str, str, float, int | None]


class Drawn:
    """One file: its bytes, its name, and its rows, or the line and the reason of the one row that is bad."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.times = self.one("s", "s", "ms", "us", "ns", "iso", "zone", "day", "digits", "none")
        self.kind = self.one("text", "text", "text", "text", "json", "parquet")
        self.encoding = self.one(*ENCODINGS) if self.kind == "text" else "utf-8"
        self.separator = self.one(*SEPARATORS)
        self.comma = bool(self.kind == "text" and self.separator != "," and self.rng.random() < 0.2)
        self.rows = self.draw_rows()
        self.header = [self.one(*NAMES[role]) for role in self.roles()]
        self.packed = self.one("", "", ".gz", ".bz2") if self.kind != "parquet" else ""

    def one(self, *values: Any) -> Any:
        return values[self.rng.integers(len(values))]

    def roles(self) -> list[str]:
        return ["user", "item", "rating"] + ([] if self.times == "none" else ["time"])

    def draw_rows(self) -> list[Row]:
        n = int(self.rng.integers(3, 40))
        ids = self.one("integers", "decimals", "large", "texts")
        rows = []
        for _ in range(n):
            user, item = (self.draw_id(ids) for _ in range(2))
            moment = int(self.rng.integers(86400 * 365, 1_700_000_000))
            moment -= moment % 86400 if self.times in ("day", "digits") else 0
            rating = float(self.rng.integers(1, 11)) / 2
            rows.append((user, item, rating, None if self.times == "none" else moment))
        self.ids = ids
        return rows

    def draw_id(self, ids: str) -> str:
        if ids == "texts":
            known = [text for text in TEXTS if self.can_write(text)]
            return str(self.one(*known)) + str(self.rng.integers(30))
        low, high = (10**17, 9 * 10**18) if ids == "large" else (0, 500)
        return str(self.rng.integers(low, high))

    def can_write(self, text: str) -> bool:
        quote = self.kind == "text" and self.separator == "::" and '"' in text
        return not quote and (self.encoding != "cp1252" or text != "日本")

    def time(self, seconds: int | None) -> str:
        if seconds is None:
            return ""
        moment = datetime.fromtimestamp(seconds, UTC)
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
        if self.times in per_second:
            return str(seconds * per_second[self.times])
        if self.times == "zone":
            return f"{datetime.fromtimestamp(seconds + 7200, UTC):%Y-%m-%dT%H:%M:%S}+02:00"
        return moment.strftime({"iso": "%Y-%m-%d %H:%M:%S", "day": "%Y-%m-%d", "digits": "%Y%m%d"}[self.times])

    def fields(self, row: Row) -> list[str]:
        user, item, rating, seconds = row
        dot = ".0" if self.ids == "decimals" else ""
        number = f"{rating:g}".replace(".", ",") if self.comma else f"{rating:g}"
        return [f"{user}{dot}", f"{item}{dot}", number] + ([] if seconds is None else [self.time(seconds)])

    def write(self, folder: Path, bad: tuple[int, list[str]] | None = None) -> None:
        """Write the file, with columns in a random order. `bad`: the number of a row, and other fields for it."""
        rows = [self.fields(row) for row in self.rows]
        if bad is not None:
            rows[bad[0]] = bad[1]
        order = self.rng.permutation(len(self.header))
        header = [self.header[i] for i in order]
        rows = [[row[i] for i in order] if len(row) == len(order) else row for row in rows]
        if self.rng.random() < 0.3:
            header, rows = ["", *header], [[str(i), *row] for i, row in enumerate(rows)]
        if self.kind == "parquet":
            columns = list(zip(*rows, strict=True))
            names = [name or "index" for name in header]
            table = pa.table({name: list(column) for name, column in zip(names, columns, strict=True)})
            pq.write_table(table, folder / "ratings.parquet", row_group_size=7)
            return
        if self.kind == "json":
            records = [dict(zip(header, row, strict=True)) for row in rows]
            text = "".join(json.dumps(record, ensure_ascii=bool(i % 2)) + "\n" for i, record in enumerate(records))
        else:
            text = self.text(header, rows)
        data = text.encode(self.encoding)
        packs: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress}
        suffix = "jsonl" if self.kind == "json" else "csv"
        (folder / f"ratings.{suffix}{self.packed}").write_bytes(packs[self.packed](data))

    def in_doubt(self) -> bool:
        """Whether one line alone is no UTF-8. That is damage as well as Windows-1252, so nothing is guessed."""
        return self.encoding == "cp1252" and sum(not f"{row[0]}{row[1]}".isascii() for row in self.rows) == 1

    def text(self, header: list[str], rows: list[list[str]]) -> str:
        always, space = self.rng.random() < 0.3 and self.separator != "::", self.rng.random() < 0.15
        end: str = self.one("\n", "\n", "\r\n")

        def field(text: str) -> str:
            if self.separator != "::" and (always or self.separator in text or '"' in text):
                text = '"' + text.replace('"', '""') + '"'
            return f" {text}" if space and not text.startswith('"') else text

        lines = [self.separator.join(map(field, row)) for row in [header, *rows]]
        return end.join(lines) + (end if self.rng.random() < 0.8 else "")


def read(folder: Path) -> list[tuple[Any, ...]]:
    con = ibis.duckdb.connect()
    table = check_rows(con, folder, OWN.ratings(folder), (0.5, 5), False, None).kept("error")
    frame = table.order_by("line").execute().astype({"timestamp": object})
    frame["timestamp"] = [None if pd.isna(value) else int(value) for value in frame["timestamp"]]
    return list(frame[["user_id", "item_id", "rating", "timestamp"]].itertuples(index=False, name=None))


def files(where: Path, block: int) -> Iterator[tuple[int, Path, Drawn]]:
    """Draw the files of one block, and make an empty folder for each."""
    for seed in range(block, FILES, 10):
        folder = where / str(seed)
        folder.mkdir()
        yield seed, folder, Drawn(seed)


@pytest.mark.parametrize("block", range(10))
def test_tables_hold_exactly_what_the_file_says(tmp_path: Path, block: int) -> None:
    for seed, folder, drawn in files(tmp_path, block):
        drawn.write(folder)
        if drawn.in_doubt():
            with pytest.raises(UserError, match=r"line [0-9]+: the line must be in the encoding of the file"):
                read(folder)
        else:
            assert read(folder) == drawn.rows, f"file {seed}: {drawn.__dict__}"


@pytest.mark.parametrize("block", range(10))
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, block: int) -> None:
    for _, folder, drawn in files(tmp_path, block):
        if drawn.in_doubt():
            continue
        number = int(drawn.rng.integers(2, len(drawn.rows)))
        row = drawn.fields(drawn.rows[number])
        rating = drawn.one("6", "four", "-1", "")
        drawn.write(folder, (number, [*row[:2], rating, *row[3:]]))
        line = number + (1 if drawn.kind in ("json", "parquet") else 2)
        with pytest.raises(
            UserError, match=rf"1 of {len(drawn.rows)} rating rows are bad:\n.*, line {line}: the rating"
        ):
            read(folder)
