"""The commands `widedeep compare`, `history` and `bisect`, for versions of the recommender."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from widedeep.cli import complete
from widedeep.cli.values import whole
from widedeep.commits import WORKSPACE
from widedeep.errors import FAILED, UserError
from widedeep.files import replacing
from widedeep.reading import made_by, read_mapping
from widedeep.revisions import Paths

if TYPE_CHECKING:
    from widedeep.compare.page import OverTime

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
MODEL = "models"  # path of the model in dvc.lock
NUMBERS = Path("reports/drift.json")
WINDOWS = Path("reports/plots/drift.csv")
POLICIES = Path("studies/drift")  # holds a results.csv, and a folder with another for each further data set
LAST = 20  # default number of commits in a history


def compare(
    old: Annotated[
        str, typer.Argument(metavar="A", help="The earlier version.", autocompletion=complete.revisions)
    ] = "HEAD",
    new: Annotated[
        str, typer.Argument(metavar="B", help="The later version.", autocompletion=complete.revisions)
    ] = WORKSPACE,
    every: Annotated[
        bool, typer.Option("--all", help="Show every metric, also for other list lengths and for the baselines.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--md", help="Print Markdown, to paste into a merge request.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print every metric as JSON.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write an HTML page with verdicts, history and drift of the data."),
    ] = None,
) -> int:
    """Compare the metrics of two versions: better, worse, or noise.

    A version is a git commit, tag or branch, a DVC experiment, or `workspace`. The workspace is the files as they are
    now.

    The exit status is 1 if a gate in section compare.gates of params.yaml is broken.
    """
    if markdown and as_json:
        raise UserError("--md and --json cannot be combined. Give one of them.")
    from widedeep.compare.compare import compare
    from widedeep.compare.gates import judge
    from widedeep.compare.noise import read_noise
    from widedeep.compare.page import render_compare_page
    from widedeep.compare.table import as_values, headline, render_markdown, render_text
    from widedeep.evaluation.bootstrap import Bootstrap
    from widedeep.params import load_params
    from widedeep.revisions import load

    params = load_params(PARAMS)
    gates = params.compare.gates
    bootstrap = Bootstrap(params.evaluate.bootstrap_replicates, params.evaluate.seed)
    comparison = compare(load(old, PATHS), load(new, PATHS), read_noise(NOISE), bootstrap)
    outcomes = judge(gates, {row.metric: row for row in comparison.rows}, comparison.new.metrics.get("missing"))
    rows = comparison.rows if every else headline(comparison, gates)
    if as_json:
        print(json.dumps(as_values(comparison, outcomes), indent=2, allow_nan=False))
    elif markdown:
        print(render_markdown(comparison, rows, outcomes, brief=not every), end="")
    else:
        print(render_text(comparison, rows, outcomes, brief=not every), end="")
    if html:
        page = render_compare_page(comparison, headline(comparison, gates), outcomes, _over_time())
        with replacing(html) as partial:
            partial.write_text(page, encoding="utf-8")
    for outcome in outcomes:
        if outcome.broken:
            print(f"broken gate: {outcome.metric}: {outcome.why}", file=sys.stderr)
    return FAILED if any(outcome.broken for outcome in outcomes) else 0


def history(
    last: Annotated[int, typer.Option(parser=whole(1), metavar="N", help="Show at most this many commits.")] = LAST,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TAG",
            help="Begin with the metrics of this commit, tag or branch.",
            autocompletion=complete.revisions,
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Show this metric, such as rating.online.rmse or 'ranking.*'. Repeat the option for more metrics.",
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write a table as CSV. Without --metric, the table has every metric."),
    ] = None,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write a picture as SVG.")] = None,
) -> None:
    """Show the metrics of every commit that changed them.

    Each line shows a commit: its metrics with their intervals, and below it the parameters that changed.
    """
    from widedeep.compare.history import as_table, chosen, headline_metrics, history, remarks, render_history

    commits = history(PATHS, MODEL, last, since)
    metrics = chosen(commits, metric) if metric else headline_metrics(commits)
    print(render_history(commits, metrics), end="")
    for remark in remarks(commits):
        print(f"note: {remark}", file=sys.stderr)
    if csv:
        with replacing(csv) as partial:
            as_table(commits, metrics if metric else chosen(commits, ["*"])).to_csv(partial, index=False)
    if svg:
        from widedeep.compare.pictures import history_figures
        from widedeep.report.charts import sheet

        charts = [(figure.title, figure.svg) for figure in history_figures(commits, metrics)]
        with replacing(svg) as partial:
            partial.write_text(sheet(charts), encoding="utf-8")


def bisect(
    metric: Annotated[str, typer.Option(metavar="NAME", help="The metric, such as rating.online.rmse.")],
    good: Annotated[
        str | None,
        typer.Argument(
            metavar="GOOD",
            help="A commit with a good value. Default: the best of the last 20 with results.",
            show_default=False,
            autocompletion=complete.revisions,
        ),
    ] = None,
    bad: Annotated[
        str, typer.Argument(metavar="BAD", help="A later commit.", autocompletion=complete.revisions)
    ] = "HEAD",
) -> None:
    """Find the commit where a metric got worse.

    The history between GOOD and BAD is halved again and again. Stored results are used first. For commits without
    results the pipeline is run in a temporary folder, so your files stay as they are.
    """
    from widedeep.compare.bisect import bisect, describe
    from widedeep.compare.compare import compare
    from widedeep.compare.noise import read_noise
    from widedeep.compare.table import render_text
    from widedeep.evaluation.bootstrap import Bootstrap
    from widedeep.params import load_params

    evaluate = load_params(PARAMS).evaluate
    found = bisect(metric, good, bad, PATHS, lambda line: print(line, flush=True))
    print(f"\n{describe(found, metric)}")
    bootstrap = Bootstrap(evaluate.bootstrap_replicates, evaluate.seed)
    comparison = compare(found.before, found.after, read_noise(NOISE), bootstrap)
    rows = tuple(row for row in comparison.rows if row.metric == metric)
    print(render_text(replace(comparison, rows=rows), rows, ()), end="")


def _over_time() -> "OverTime":
    """Collect what the page shows beside the verdicts.

    Missing parts stay empty. If the git history cannot be read, keep the reason as a note.
    """
    import pandas as pd

    from widedeep.compare.history import history, remarks
    from widedeep.compare.page import OverTime
    from widedeep.report.policies import POLICY_COLUMNS
    from widedeep.report.windows import WINDOW_COLUMNS
    from widedeep.tabular import read_csv

    mend = "Make the file again, or remove it."
    try:
        commits = history(PATHS, MODEL, LAST)
        notes = remarks(commits)
    except UserError as error:
        commits, notes = [], [str(error)]
    policies = [read_csv(path, *POLICY_COLUMNS, mend) for path in sorted(POLICIES.rglob("results.csv"))]
    windows = read_csv(WINDOWS, *WINDOW_COLUMNS, mend) if WINDOWS.exists() else None
    return OverTime(commits, notes, _numbers(), windows, pd.concat(policies) if policies else None)


def _numbers() -> dict[str, Any] | None:
    return read_mapping(NUMBERS, made_by("drift")) if NUMBERS.exists() else None
