"""Find the commit where a metric got worse, by halving the history between a good and a bad commit.

First only commits that stored results are looked at. If commits without results of their own are left between the last
good and the first bad one, the pipeline is run for them, in a temporary working tree. A commit counts as bad if its
value is nearer to that of the bad commit than to that of the good one.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from widedeep.commits import git, resolve
from widedeep.compare.compare import estimates
from widedeep.compare.history import estimate_text
from widedeep.compare.noise import TEST_HASH
from widedeep.errors import UserError, nearest
from widedeep.evaluation.metrics import LOWER, NEITHER, metric_of
from widedeep.revisions import Paths, Revision, load

LAST = 20  # commits with results among which a good one is looked for
STORED, RUN = "stored", "run"  # where the results of a commit came from


@dataclass(frozen=True)
class Found:
    """Where a metric got worse.

    suspects : full SHA-1 of the commits after the last good one, up to the first bad one. It is one commit, unless
        those before the bad one could not be judged.
    before, after : the results of the last good and the first bad commit
    """

    suspects: tuple[str, ...]
    before: Revision
    after: Revision


def bisect(metric: str, good: str | None, bad: str, paths: Paths, say: Callable[[str], None] = print) -> Found:
    """Find the commit where a metric got worse, among the first parents of `bad`.

    Parameters
    ----------
    metric : flat name, such as `rating.online.rmse`
    good : a commit, tag or branch with a good value. None: the commit with the best value, among the last `LAST` that
        changed the metrics and have the test rows of `bad`.
    bad : a later one with a worse value
    say : is called with a line for each commit that is looked at

    Raises
    ------
    UserError
        A revision is unknown, has no results or lacks the metric; `good` does not come before `bad`; the metric is not
        worse in `bad`; or no commit between the two changed the metrics.
    """
    last = load(bad, paths)
    if last.commit is None:
        raise UserError("BAD must be a commit, tag or branch. Commit the results of the workspace first.")
    after = _value(last, metric)
    start = _best(metric, last, paths) if good is None else load(good, paths)
    if start.commit is None:
        raise UserError("GOOD must be a commit, tag or branch, not the workspace.")
    before = _value(start, metric)
    _check_worse(metric, start, last)
    commits = _between(start.commit, last.commit)
    stored = [commits.index(sha) for sha in _with_results(paths, f"{start.commit}..{last.commit}")]
    if not stored:
        raise UserError(f"No commit between {start.name} and {last.name} changed {paths.metrics}.")

    low, high = 0, max(stored)  # later commits have the results of `high`
    results = {low: start, high: replace(load(commits[high], paths), name=commits[high][:7])}

    def judge(place: int, source: str, read: Callable[[str], Revision]) -> bool | None:
        sha = commits[place]
        try:
            results[place] = replace(read(sha), name=sha[:7])
            estimate = _estimate(results[place], metric)
        except UserError as error:
            say(f"{_line(sha)}\n  cannot be judged: {str(error).splitlines()[0]}")
            return None
        is_bad = bool((estimate["value"] - (before + after) / 2) * (after - before) > 0)
        say(f"{_line(sha)}\n  {'bad' if is_bad else 'good'}, {source}: {estimate_text(estimate)}")
        return is_bad

    for place, word in ((low, "good"), (high, "bad")):
        say(f"{_line(commits[place])}\n  {word}, {STORED}: {estimate_text(_estimate(results[place], metric))}")
    for source, read, tried in (
        (STORED, lambda sha: load(sha, paths), stored),
        (RUN, lambda sha: run_pipeline(sha, paths), range(high)),
    ):
        left = [place for place in sorted(tried) if low < place < high]
        while left:
            place = left[len(left) // 2]
            is_bad = judge(place, source, read)
            if is_bad is not None:
                low, high = (low, place) if is_bad else (place, high)
            left = [other for other in left if low < other < high and other != place]
    return Found(tuple(commits[low + 1 : high + 1]), results[low], results[high])


def run_pipeline(commit: str, paths: Paths) -> Revision:
    """Run the pipeline of a commit in a temporary working tree, and return its results.

    The tree shares DVC's cache, so only stages run that have no results for the code and parameters of the commit. The
    results are kept in a commit without a branch; git removes it after some weeks. Tree and branches of the user stay
    as they are.

    Raises
    ------
    UserError
        The pipeline of this commit fails. The message is the last line that it printed.
    """
    with tempfile.TemporaryDirectory(prefix="widedeep-") as folder:
        tree = Path(folder) / "tree"
        git("-c", "core.hooksPath=/dev/null", "worktree", "add", "--quiet", "--detach", str(tree), commit)
        try:
            private = Path(git("rev-parse", "--show-toplevel")) / ".dvc/config.local"
            if private.exists():
                shutil.copyfile(private, tree / ".dvc/config.local")
            _dvc(tree, "cache", "dir", "--local", _dvc(private.parents[1], "cache", "dir"))
            _dvc(tree, "checkout", "--quiet", "--allow-missing")
            _dvc(tree, "repro")
            git("-C", str(tree), "add", "--all")
            made = git("-C", str(tree), "write-tree")
            author = ("-c", "user.name=widedeep", "-c", "user.email=widedeep@localhost")
            subject = f"Results of {commit[:7]}"
            return load(git(*author, "commit-tree", made, "-p", commit, "-m", subject), paths)
        finally:
            git("worktree", "remove", "--force", str(tree))


def _dvc(tree: Path, *arguments: str) -> str:
    """Run DVC in a working tree, with the code of this tree, and return what it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "DVC_ROOT"}
    environment["PYTHONPATH"] = os.pathsep.join([str(tree / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=tree, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise UserError(f"`dvc {' '.join(arguments)}` failed: {lines[-1] if lines else done.returncode}")
    return done.stdout.strip()


def _estimate(revision: Revision, metric: str) -> Mapping[str, Any]:
    """Return value and, if known, low, high and n of the metric."""
    known = estimates(revision.metrics)
    if metric not in known:
        raise UserError(f"{revision.name} has no metric '{metric}'. {nearest(metric, known)}".rstrip())
    return known[metric]


def _value(revision: Revision, metric: str) -> float:
    return float(_estimate(revision, metric)["value"])


def _check_worse(metric: str, good: Revision, bad: Revision) -> None:
    known, (before, after) = metric_of(metric), (_value(good, metric), _value(bad, metric))
    direction = known.direction if known else NEITHER
    if before == after or (direction != NEITHER and (after > before) is not (direction == LOWER)):
        raise UserError(
            f"{metric} is not worse in {bad.name} ({after:g}) than in {good.name} ({before:g}). Give a GOOD and a BAD "
            "commit between which it got worse."
        )


def _best(metric: str, bad: Revision, paths: Paths) -> Revision:
    """Find the commit with the best value, among the latest with results and with the test rows of `bad`."""
    known = metric_of(metric)
    if known is None or known.direction == NEITHER:
        raise UserError(f"Give a GOOD commit: {metric} has no good direction, so no commit is the best.")
    best = bad
    for sha in _with_results(paths, f"--max-count={LAST}", str(bad.commit)):
        try:
            revision = replace(load(sha, paths), name=sha[:7])
            value = _value(revision, metric)
        except UserError:
            continue  # a commit without the metric is no candidate
        if revision.data.get(TEST_HASH) != bad.data.get(TEST_HASH):
            break
        if (value < _value(best, metric)) if known.direction == LOWER else (value > _value(best, metric)):
            best = revision
    return best


def _between(good: str, bad: str) -> list[str]:
    """List the commits from `good` to `bad` along first parents, both included."""
    later = git("rev-list", "--first-parent", "--reverse", f"{good}..{bad}").split()
    if not later or resolve(f"{later[0]}^") != good:
        raise UserError(f"GOOD must come before BAD, along first parents. Got {good[:7]} and {bad[:7]} instead.")
    return [good, *later]


def _with_results(paths: Paths, *revisions: str) -> list[str]:
    """List the commits that changed the metrics, newest first."""
    options = ("--first-parent", "--diff-filter=AMT", "--format=%H")
    return git("log", *options, *revisions, "--", paths.metrics.as_posix()).split()


def _line(sha: str) -> str:
    return git("show", "--no-patch", "--format=%h %cs %s", "--abbrev=7", sha)


def describe(found: Found, metric: str) -> str:
    """Say in which commit the metric got worse, or in which commits it may have."""
    lines = [f"  {_line(sha)}" for sha in found.suspects]
    if len(lines) == 1:
        return f"{metric} got worse in this commit:\n{lines[0]}\n"
    return f"{metric} got worse in one of these commits. Those before the last one cannot be judged:\n" + "".join(
        f"{line}\n" for line in lines
    )
