"""The command `widedeep`. Run it in the root of the repository: the paths are those of dvc.yaml."""

import argparse
import json
import os
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from widedeep.compare.compare import compare
from widedeep.compare.gates import judge
from widedeep.compare.history import as_table, chosen, headline_metrics, history, remarks, render_history
from widedeep.compare.noise import read_noise
from widedeep.compare.page import OverTime, render_drift_page
from widedeep.compare.pictures import history_figures
from widedeep.compare.table import as_json, headline, render_markdown, render_text
from widedeep.errors import UserError
from widedeep.evaluation.bootstrap import Bootstrap
from widedeep.files import read_json, replacing
from widedeep.params import load_params
from widedeep.report.charts import sheet
from widedeep.report.policies import POLICY_COLUMNS
from widedeep.report.windows import WINDOW_COLUMNS
from widedeep.revisions import WORKSPACE, Paths, load

PARAMS = Path("params.yaml")
NOISE = Path("reports/noise.json")
PATHS = Paths(
    metrics=Path("reports/metrics.json"),
    params=PARAMS,
    data=Path("reports/data.json"),
    tables=Path("data/interim"),
    per_user=Path("reports/per_user.parquet"),
    lock=Path("dvc.lock"),
)
MODEL = "models"  # as in dvc.lock
NUMBERS = Path("reports/drift.json")
WINDOWS = Path("reports/plots/drift.csv")
POLICIES = Path("studies/drift")  # a results.csv here, and one in the folder of each further data set
LAST = 20  # commits of a history
BROKEN, MISTAKE = 1, 2  # exit statuses; argparse, too, ends with 2


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit status."""
    parser = argparse.ArgumentParser(prog="widedeep", description="What became of the recommender.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    drift = commands.add_parser(
        "drift",
        help="is a revision better or worse than another, or is it noise?",
        description="Compare the metrics of two revisions: git commits, tags, branches, DVC experiments, or "
        f"'{WORKSPACE}' for the files as they are. Exit status: 0, or 1 if a gate of drift.gates in params.yaml is "
        "broken, or 2 for a mistake in the call.",
    )
    drift.add_argument("old", nargs="?", default="HEAD", metavar="A", help="default: HEAD")
    drift.add_argument("new", nargs="?", default=WORKSPACE, metavar="B", help=f"default: {WORKSPACE}")
    drift.add_argument("--all", action="store_true", help="every metric: all list lengths, and the baselines")
    form = drift.add_mutually_exclusive_group()
    form.add_argument("--md", action="store_true", help="Markdown, to paste into a merge request")
    form.add_argument("--json", action="store_true", help="every metric as JSON")
    drift.add_argument("--html", type=Path, metavar="FILE", help="also write the drift page, with history and windows")
    drift.set_defaults(run=_drift)
    past = commands.add_parser(
        "history",
        help="how did the metrics come to what they are?",
        description="The metrics of every commit that changed them, with intervals and the parameters that changed.",
    )
    past.add_argument(
        "--last", type=_count, default=LAST, metavar="N", help=f"at most so many commits (default: {LAST})"
    )
    past.add_argument("--since", metavar="TAG", help="from the metrics of this tag or commit on")
    past.add_argument("--metric", nargs="+", metavar="NAME", help="these, as in rating.online.rmse or 'ranking.*'")
    past.add_argument(
        "--csv", type=Path, metavar="FILE", help="also write a table, of every metric unless some are named"
    )
    past.add_argument("--svg", type=Path, metavar="FILE", help="also write a picture")
    past.set_defaults(run=_history)
    options = parser.parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return MISTAKE
    except (PermissionError, IsADirectoryError, NotADirectoryError) as error:
        print(f"error: {error.strerror}: {error.filename}", file=sys.stderr)
        return MISTAKE
    except BrokenPipeError:  # what reads the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return MISTAKE
    return status


def _drift(options: argparse.Namespace) -> int:
    params = load_params(PARAMS)
    bootstrap = Bootstrap(params.evaluate.bootstrap_replicates, params.evaluate.seed)
    comparison = compare(load(options.old, PATHS), load(options.new, PATHS), read_noise(NOISE), bootstrap)
    outcomes = judge(params.drift.gates, {row.metric: row for row in comparison.rows})
    if options.json:
        print(json.dumps(as_json(comparison, outcomes), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        rows = comparison.rows if options.all else headline(comparison, params.drift.gates)
        print((render_markdown if options.md else render_text)(comparison, rows, outcomes), end="")
    if options.html:
        page = render_drift_page(comparison, headline(comparison, params.drift.gates), outcomes, _over_time())
        with replacing(options.html) as partial:
            partial.write_text(page, encoding="utf-8")
    for outcome in outcomes:
        if outcome.broken:
            print(f"broken gate: {outcome.metric}: {outcome.why}", file=sys.stderr)
    return BROKEN if any(outcome.broken for outcome in outcomes) else 0


def _over_time() -> OverTime:
    """What there is of it; of a history why there is none."""
    try:
        commits = history(PATHS, MODEL, LAST)
        said = remarks(commits)
    except UserError as error:
        commits, said = [], [str(error)]
    policies = [_table(path, POLICY_COLUMNS) for path in sorted(POLICIES.rglob("results.csv"))]
    windows = _table(WINDOWS, WINDOW_COLUMNS) if WINDOWS.exists() else None
    return OverTime(commits, said, _numbers(), windows, pd.concat(policies) if policies else None)


def _numbers() -> Mapping[str, Any] | None:
    try:
        numbers = read_json(NUMBERS)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UserError(f"{NUMBERS} is not valid JSON ({error}). `dvc repro drift` makes it anew.") from None
    if not isinstance(numbers, dict):
        raise UserError(f"{NUMBERS} must hold names and numbers. Got {type(numbers).__name__} instead.")
    return numbers


def _table(path: Path, columns: Collection[str]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
    except ValueError as error:
        raise UserError(f"{path} is not a table ({str(error).strip()}). Make it anew, or remove it.") from None
    missing = [name for name in columns if name not in table]
    if missing:
        raise UserError(
            f"{path} must have the columns {', '.join(columns)}. {', '.join(missing)} are missing: make or remove it."
        )
    return table


def _history(options: argparse.Namespace) -> int:
    commits = history(PATHS, MODEL, options.last, options.since)
    metrics = chosen(commits, options.metric) if options.metric else headline_metrics(commits)
    print(render_history(commits, metrics), end="")
    for remark in remarks(commits):
        print(f"note: {remark}", file=sys.stderr)
    if options.csv:
        with replacing(options.csv) as partial:
            as_table(commits, metrics if options.metric else chosen(commits, ["*"])).to_csv(partial, index=False)
    if options.svg:
        charts = [(figure.title, figure.svg) for figure in history_figures(commits, metrics)]
        with replacing(options.svg) as partial:
            partial.write_text(sheet(charts), encoding="utf-8")
    return 0


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1. Got {text!r} instead.")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
