"""Measure the stages on ratings of any number, and print one line of JSON: seconds and peak memory by stage.

    python -m benchmarks.prepare_speed --rows 2000000
    python -m benchmarks.prepare_speed --rows 20000000 --until report -S train.epochs=1

The ratings are synthetic (`benchmarks.synthetic`), or the files of a data set (--dataset and --source). The stages are
those of dvc.yaml, each in a process of its own, as DVC runs them. Peak memory is the largest resident set of the
process.
"""

import argparse
import json
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.quality import ROOT
from benchmarks.synthetic import sizes, write_ratings
from studies.tuning.presets import read_assignments
from widedeep.errors import exit_on_user_error
from widedeep.params import load_params, merged, nested
from widedeep.yaml import read_yaml

STAGES = ("download", "preprocess", "featurize", "train", "evaluate", "report")
GIB = 2**30


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.prepare_speed", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_data(parser)
    parser.add_argument("--until", choices=STAGES, default="featurize", help="the last stage to run")
    parser.add_argument("--keep", type=Path, help="a new folder for all files (default: a temporary one)")
    args = parsed(parser, arguments)
    with exit_on_user_error():
        if args.keep is not None:
            args.keep.mkdir(parents=True)
            print(json.dumps(measure(args, args.keep.resolve())))
        else:
            with tempfile.TemporaryDirectory(prefix="widedeep-") as folder:
                print(json.dumps(measure(args, Path(folder))))


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which ratings to measure with, and with which parameters."""
    parser.add_argument("--rows", type=int, default=2_000_000, help="number of synthetic ratings")
    parser.add_argument("--users", type=int, help="number of users (default: as many as MovieLens would have)")
    parser.add_argument("--items", type=int, help="number of items (default: as many as MovieLens would have)")
    parser.add_argument("--dataset", help="measure this data set instead, with the files in --source")
    parser.add_argument("--source", type=Path, help="its folder or archive")
    parser.add_argument("-S", "--set", action="append", default=[], help="a parameter: featurize.buckets=20")


def parsed(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments of a parser that `add_data` has seen."""
    args = parser.parse_args(arguments)
    if (args.dataset is None) != (args.source is None):
        parser.error("--dataset and --source belong together: give both, or none of them for synthetic ratings")
    return args


def measure(args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Run the stages in the folder `work`, and return the content of the line of JSON."""
    dataset, source, rows = args.dataset, args.source, None
    if dataset is None:
        rows, (users, items) = args.rows, sizes(args.rows)
        dataset, source = "ml-latest", work / "source"
        source.mkdir()
        write_ratings(source, rows, args.users or users, args.items or items)
    params = merged(read_yaml(ROOT / "params.yaml"), nested(read_assignments(args.set)))
    params = merged(params, {"download": {"dataset": dataset, "source": str(source.resolve())}})
    (work / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    load_params(work / "params.yaml")
    stages = read_yaml(ROOT / "dvc.yaml")["stages"]
    measured = {}
    for name in STAGES[: STAGES.index(args.until) + 1]:
        measured[name] = run(shlex.split(stages[name]["cmd"])[1:], work)
        print(f"{name}: {measured[name]}", file=sys.stderr)
    if rows is None:
        rows = json.loads((work / "reports/data.json").read_text(encoding="utf-8"))["rows"]["read"]
    prepared = sum(measured[name]["seconds"] for name in ("preprocess", "featurize") if name in measured)
    return {
        "benchmark": "prepare_speed",
        "rows": rows,
        "dataset": args.dataset or "synthetic",
        "rows_per_second": round(rows / prepared) if prepared else None,
        "stages": measured,
        "seconds": round(sum(stage["seconds"] for stage in measured.values()), 2),
        "peak_gib": max(stage["peak_gib"] for stage in measured.values()),
    }


def run(command: list[str], work: Path) -> dict[str, float]:
    """Run python with these arguments in the folder `work`: wall-clock seconds, seconds of CPU, and peak memory.

    Raises
    ------
    CalledProcessError
        It fails.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command], cwd=work, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=sys.stderr
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return {
        "seconds": round(time.perf_counter() - start, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_gib": round(peak_bytes(usage) / GIB, 3),
    }


def peak_bytes(usage: resource.struct_rusage) -> int:
    """Return the largest resident set in bytes. Linux counts in KiB, macOS in bytes."""
    return usage.ru_maxrss if sys.platform == "darwin" else usage.ru_maxrss * 1024


if __name__ == "__main__":
    main()
