"""The metrics of every commit that changed them.

The MD5 of the model links a commit to its MLflow run. It is in the dvc.lock of the commit and in a tag of the run (see
`widedeep.tracking`). The run has a tag with a commit too, but that is an earlier commit, because a model is trained
before its results are committed.
"""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from widedeep.commits import git, resolve
from widedeep.compare.compare import changes, estimates
from widedeep.compare.noise import TEST_HASH
from widedeep.errors import UserError, nearest
from widedeep.evaluation.metrics import headline_length, of_model, place_of
from widedeep.report.text import interval
from widedeep.revisions import Paths, Revision, load

COLUMNS = ("commit", "date", "subject", "metric", "value", "low", "high", "n", "changed", "model_md5")


@dataclass(frozen=True)
class Commit:
    """A commit that changed the metrics.

    sha : full SHA-1
    date : date of the commit, YYYY-MM-DD
    subject : first line of its message
    estimates : value and, if known, low, high and n of each metric, by flat name. Empty if there is a `problem`.
    changed : parameters that differ from the commit before, as (old, new). A missing value is None.
    comparable : False if the test rows differ from those of the commit before, as far as that is known
    model_md5 : MD5 of the model in dvc.lock, or "" if that has none
    problem : the reason why the metrics cannot be read, or ""
    altered : whether the metrics are not those of dvc.lock
    """

    sha: str
    date: str
    subject: str
    estimates: Mapping[str, Mapping[str, Any]]
    changed: Mapping[str, tuple[Any, Any]]
    comparable: bool
    model_md5: str
    problem: str = ""
    altered: bool = False


def history(paths: Paths, model: str, last: int, since: str | None = None) -> list[Commit]:
    """Read the commits that changed the metrics, among HEAD and its first parents, oldest first.

    Parameters
    ----------
    model : path of the model among the outputs of dvc.lock
    last : largest number of commits
    since : a revision. The history then begins with the commit that made the metrics of this revision.

    Raises
    ------
    UserError
        No commit changed the metrics; or there is no git, no repository, or no commit `since`.
    """
    logged = _log(paths, last, f"{_commit(since)}..HEAD" if since is not None else "HEAD")
    if since is not None:
        logged = (logged + _log(paths, 1, since))[:last]
    if not logged:
        raise UserError(f"No commit has changed {paths.metrics}. Run `dvc repro` and commit that file.")
    before: Revision | None = None
    commits = []
    for sha, date, subject in reversed(logged + _log(paths, 2, logged[-1][0])[1:]):
        try:
            revision = load(sha, paths)
        except UserError as error:
            commits.append(Commit(sha, date, subject, {}, {}, True, "", str(error)))
            continue
        changed = changes(_params(before), _params(revision)) if before else {}
        comparable = before is None or _same_rows(before, revision)
        md5 = revision.locks.get(model, "")
        altered = paths.metrics in revision.altered
        found = estimates(revision.metrics)
        commits.append(Commit(sha, date, subject, found, changed, comparable, md5, altered=altered))
        before = revision
    return commits[-len(logged) :]


def remarks(commits: Sequence[Commit]) -> list[str]:
    """Note what a reader of a history must know.

    Which commits cannot be read, which have other metrics than their dvc.lock says, and whether older ones are missing.
    """
    said = [f"{commit.sha[:7]} shows no metrics: {commit.problem}" for commit in commits if commit.problem]
    said += [f"the metrics of {commit.sha[:7]} are not those of its dvc.lock" for commit in commits if commit.altered]
    if git("rev-parse", "--is-shallow-repository") == "true":
        said.append("this clone is shallow, so older commits are missing. Fetch them: `git fetch --unshallow`")
    return said


def chosen(commits: Sequence[Commit], patterns: Sequence[str]) -> list[str]:
    """Choose the metrics of any commit that match a pattern such as `rating.*`, in the order of the patterns.

    Raises
    ------
    UserError
        A pattern matches no metric. The message names the nearest one.
    """
    known = list(dict.fromkeys(name for commit in reversed(commits) for name in commit.estimates))
    for pattern in patterns:
        if not fnmatch.filter(known, pattern):
            hint = nearest(pattern, known, f"There are {', '.join(known) or 'none'}.", cutoff=0.4)
            raise UserError(f"No commit of this history has a metric '{pattern}'. {hint}")
    return list(dict.fromkeys(name for pattern in patterns for name in fnmatch.filter(known, pattern)))


def headline_metrics(commits: Sequence[Commit]) -> list[str]:
    """Choose the metrics that are shown by default: the main metrics of the model. Without any, the first three."""
    known = chosen(commits, ["*"])
    k = headline_length(known)
    main = [name for name in known if (metric := of_model(name)) and metric.main and place_of(name) in (None, k)]
    return sorted(main, key=lambda name: not name.startswith("rating.")) or known[:3]


def as_table(commits: Sequence[Commit], metrics: Sequence[str]) -> pd.DataFrame:
    """Make a table with the columns `COLUMNS` and a row per commit and metric of it.

    The column changed lists every changed parameter, as `train.epochs 20 → 30`.
    """
    rows = []
    for commit in commits:
        about = {"commit": commit.sha, "date": commit.date, "subject": commit.subject}
        changed = "; ".join(f"{name} {_value(old)} → {_value(new)}" for name, (old, new) in commit.changed.items())
        last = {"changed": changed, "model_md5": commit.model_md5}
        rows += [
            about | {"metric": name} | dict(commit.estimates[name]) | last
            for name in metrics
            if name in commit.estimates
        ]
    return pd.DataFrame(rows, columns=COLUMNS)


def render_history(commits: Sequence[Commit], metrics: Sequence[str]) -> str:
    """Render a line per commit for a terminal: metrics and subject. Changed parameters stand below it."""
    cells = [[estimate_text(commit.estimates.get(name)) for name in metrics] for commit in commits]
    widths = [max(len(name), *(len(row[place]) for row in cells)) for place, name in enumerate(metrics)]
    lines = [["commit ", "date      ", *map(str.ljust, metrics, widths), "subject"]]
    for commit, row in zip(commits, cells, strict=True):
        lines.append([commit.sha[:7], commit.date, *map(str.ljust, row, widths), commit.subject])
        for text in changed_text(commit):
            lines.append([" " * 7, text])
    return "".join("  ".join(line).rstrip() + "\n" for line in lines)


def estimate_text(estimate: Mapping[str, Any] | None) -> str:
    """Format an estimate as `0.832 [0.773, 0.887]`, or as a dash if there is none."""
    if estimate is None:
        return "–"
    return interval(estimate["value"], estimate.get("low"), estimate.get("high"))


def changed_text(commit: Commit) -> list[str]:
    """List the changed parameters, as `train.epochs 20 → 30`. New and removed parameters are only counted."""
    lines = [] if commit.comparable else ["different test rows"]
    lines += [
        f"{name} {_value(old)} → {_value(new)}" for name, (old, new) in commit.changed.items() if None not in (old, new)
    ]
    for side, word in ((0, "new"), (1, "removed")):
        n = sum(pair[side] is None for pair in commit.changed.values())
        lines += [f"{n} {word} parameter{'' if n == 1 else 's'}"] if n else []
    return lines


def _value(value: Any) -> str:
    return "–" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _commit(name: str) -> str:
    commit = resolve(name)
    if commit is None:
        raise UserError(f"--since must name a commit, tag or branch. Got '{name}' instead.")
    return commit


def _log(paths: Paths, most: int, revisions: str) -> list[tuple[str, str, str]]:
    """List full SHA-1, date and subject of the commits that changed the metrics, newest first.

    A commit that removed the file is left out, because it has no metrics.
    """
    options = ["--first-parent", "--diff-filter=AMT", f"--max-count={most}", "--format=%H %cs %s"]
    lines = git("log", *options, revisions, "--", paths.metrics.as_posix()).splitlines()
    return [(sha, date, subject) for sha, date, subject in ((*line.split(" ", 2), "")[:3] for line in lines)]


def _params(revision: Revision) -> Mapping[str, Any]:
    """Return the parameters that made the metrics, from dvc.lock. Without them, return those of params.yaml."""
    return revision.made_with or revision.params


def _same_rows(old: Revision, new: Revision) -> bool:
    """Compare the test rows by their hash, or else by their number. If neither is known, assume they are the same."""
    by_digest = [one.data.get(TEST_HASH) for one in (old, new)]
    by_number = [one.data.get("ratings", {}).get("test") for one in (old, new)]
    known = next((pair for pair in (by_digest, by_number) if all(pair)), [None, None])
    return bool(known[0] == known[1])
