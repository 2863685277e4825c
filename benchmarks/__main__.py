"""Run the benchmarks of speed, and write their results with machine and versions to benchmarks/results.md.

    make bench
    make bench ARGS="--ml-100k ml-100k.zip --rows 20000000"

Compare ratios, and figures of one run. Seconds of two machines, or of a busy and an idle one, say nothing.
"""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.prepare_speed import GIB
from benchmarks.quality import ROOT
from widedeep.files import replacing

PACKAGES = ("torch", "pytorch-lightning", "numpy", "duckdb", "pyarrow")
ONE_CROSS = "-S 'featurize.crosses=[[user_id, item_id]]' -S featurize.hash_buckets="


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--ml-100k", type=Path, help="ml-100k.zip, to measure training and ranking on real ratings")
    parser.add_argument("--rows", type=int, default=2_000_000, help="synthetic ratings to prepare")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results.md")
    args = parser.parse_args(arguments)
    found = [(command, run(command)) for command in commands(args.ml_100k, args.rows)]
    with replacing(args.out) as out:
        out.write_text(page(found), encoding="utf-8")
    print(args.out)


def commands(ml_100k: Path | None, rows: int) -> list[str]:
    """Return the benchmarks to run, as arguments of python."""
    small = "--rows 100000 --users 1000 --items 1700"
    if ml_100k is not None:
        small = f"--dataset ml-100k --source {shlex.quote(str(ml_100k))}"
    training = [
        f"{small} --features lean --batch-size 8192 --beside bare",
        f"{small} --features lean --batch-size 1024 --beside bare",
        f"{small} --beside bare",
        *(
            f"--rows 200000 -S train.objective=rating {ONE_CROSS}{buckets} -S train.row_learning_rate={rate}"
            for buckets in (10_000, 10_000_000)
            for rate in ("null", 0.05)
        ),
    ]
    ranking = [small, f"{small} --score rating", "--rows 2000000 --users 14000 --items 27000 --top 100"]
    return [
        *(f"-m benchmarks.train_speed {options}" for options in training),
        *(f"-m benchmarks.rank_speed {options}" for options in ranking),
        f"-m benchmarks.prepare_speed --rows {rows}",
    ]


def run(command: str) -> dict[str, Any]:
    """Run a benchmark, and return the content of its line of JSON."""
    print(f"python {command}", file=sys.stderr)
    done = subprocess.run(
        [sys.executable, *shlex.split(command)], cwd=ROOT, stdout=subprocess.PIPE, check=True, encoding="utf-8"
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def page(found: list[tuple[str, dict[str, Any]]]) -> str:
    """Return the page of results, in Markdown."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    lines = [
        "# Speed",
        "",
        "Written by `make bench`. See docs/performance.md for what the figures mean.",
        "",
        f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB of memory, Python "
        f"{platform.python_version()}, {versions}.",
        "",
        "| command | rows per second | seconds | peak memory (GiB) | times as fast as the bare loop |",
        "|---|---|---|---|---|",
    ]
    for command, line in found:
        beside = line.get("times_as_fast_as_bare", "")
        lines.append(
            f"| `python {command}` | {line['rows_per_second']:,} | {line['seconds']} | {line['peak_gib']} | {beside} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
