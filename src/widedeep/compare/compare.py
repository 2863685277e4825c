"""Compare two revisions of the pipeline: the difference of each metric, its interval, and a verdict.

A difference is uncertain for two reasons. The test users are a sample: the 95 % interval shows how much of the
difference could come from the choice of users. Training is random: the noise floor shows how much could come from the
seed. A difference counts if it is beyond both.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from widedeep.columns import USER_ID
from widedeep.compare.intervals import check, independent, paired
from widedeep.compare.noise import NO_EFFECT, SECTIONS, TEST_HASH, Noise
from widedeep.evaluation.bootstrap import BETTER, NO_EVIDENCE, WORSE, Bootstrap, Estimate, verdict
from widedeep.evaluation.metrics import LOWER, NEITHER, N, metric_of, place_of
from widedeep.evaluation.results import DECIMALS
from widedeep.revisions import Revision

CHANGED, NOT_COMPARABLE = "changed", "not comparable"
TOO_FEW = "too few users"  # the reason why there is no interval
PAIRED, STORED = "paired", "stored"  # how an interval was made: see `widedeep.compare.intervals`
RELEVANT = "evaluate.relevant_rating"  # with another value, ranking metrics count other items as hits
# A true difference is found in 80 of 100 test sets if it is 1.96 + 0.84 standard errors; 1.96 of them are half an
# interval (Cohen, "Statistical power analysis for the behavioral sciences", 1988).
POWER = (1.96 + 0.84) / 1.96


@dataclass(frozen=True)
class Row:
    """One metric of two revisions, in the unit of the metric. An unknown number is None.

    metric : flat name, such as `rating.online.rmse`
    old, new : values
    n : number of rows or users of `new`
    difference : new - old
    low, high : 95 % interval of the difference
    interval : how the interval was made, `PAIRED` or `STORED`
    least : the smallest true difference that such an interval excludes 0 for in 80 of 100 test sets of this size
    noise : 95 % of the differences between two trainings that differ only in the seed are within this
    verdict : `BETTER` or `WORSE` if the difference is beyond interval and noise, or `CHANGED` for a metric without a
        good direction; otherwise `NO_EVIDENCE` or `NOT_COMPARABLE`
    reason : the reason for the verdict, if the numbers do not show it
    """

    metric: str
    old: float | None
    new: float | None
    n: int | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    interval: str | None = None
    least: float | None = None
    noise: float | None = None
    verdict: str = NOT_COMPARABLE
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    """The comparison of two revisions.

    params, data : changed values by flat name, as (old, new). A missing value is None.
    notes : what a reader of the verdicts must know
    rows : a row per metric of either revision, ordered by group, name and cut-off
    """

    old: Revision
    new: Revision
    params: Mapping[str, tuple[Any, Any]]
    data: Mapping[str, tuple[Any, Any]]
    notes: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def same(self) -> bool:
        """Whether parameters, data and metrics are the same in both."""
        return not self.params and not self.data and self.old.metrics == self.new.metrics


def compare(old: Revision, new: Revision, noise: Noise | None, bootstrap: Bootstrap) -> Comparison:
    """Compare every metric of two revisions, of the model and of the baselines.

    If the results by user of both revisions are at hand, the interval of a difference is from a paired bootstrap over
    users. Otherwise, and for a metric without results by user, it is made from the two stored intervals.

    Raises
    ------
    UserError
        The results by user of a revision are damaged, or of another run than its metrics.
    """
    before, after = estimates(old.metrics), estimates(new.metrics)
    for one, own in ((old, before), (new, after)):
        if one.per_user is not None:
            check(one.per_user, own, f"{one.paths.per_user} of {one.name}", f"its {one.paths.metrics}")
    params = changes(old.params, new.params)
    same_rows, about_rows = _test_rows(old, new)
    used, about_noise = _usable(noise, old, new)
    differences: dict[str, Estimate] = {}
    if same_rows and old.per_user is not None and new.per_user is not None:
        differences = paired(old.per_user, new.per_user, sorted(before.keys() & after.keys()), bootstrap)
    rows = []
    for metric in _ordered([*after, *before]):
        reason = "" if same_rows else "different test rows"
        if ".ranking." in f".{metric}" and RELEVANT in params:
            reason = reason or f"different {RELEVANT}"
        margin = used.margin(metric) if used else None
        rows.append(_row(metric, before.get(metric), after.get(metric), differences.get(metric), margin, reason))
    tables = old.paths.tables.as_posix()
    hashes = [{tables: one.locks[tables]} if tables in one.locks else {} for one in (old, new)]
    notes = (about_rows, *_warnings(old, new), about_noise)
    return Comparison(
        old, new, params, changes(old.data, new.data) | changes(*hashes), tuple(filter(None, notes)), tuple(rows)
    )


def _ordered(metrics: Iterable[str]) -> list[str]:
    """Order metrics, each once: groups such as `rating.online` as they come, within a group by name and cut-off."""
    groups: dict[str, set[str]] = {}
    for metric in metrics:
        groups.setdefault(metric.rpartition(".")[0], set()).add(metric)

    def key(metric: str) -> tuple[str, int]:
        k = place_of(metric)
        return (metric, 0) if k is None else (metric.removesuffix(f"_at_{k}"), k)

    return [metric for group in groups.values() for metric in sorted(group, key=key)]


def estimates(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, Mapping[str, Any]]:
    """Collect the metrics of metrics.json by flat name, each with its `value`. Only finite numbers are kept."""
    found: dict[str, Mapping[str, Any]] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping) and "value" not in value:
            found |= estimates(value, f"{prefix}{name}.")
            continue
        estimate = value if isinstance(value, Mapping) else {"value": value}
        if all(isinstance(number, int | float) and math.isfinite(number) for number in estimate.values()):
            found[prefix + name] = estimate
    return found


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Find the values that differ, by flat name, as (old, new). A missing value is None."""
    before, after = _flat(old), _flat(new)
    names = [*after, *sorted(before.keys() - after.keys())]
    pairs = {name: (before.get(name), after.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _value(params: Mapping[str, Any], name: str) -> Any:
    """Return a section or a value by its dotted name, or {} if there is no such name."""
    found: Any = params
    for part in name.split("."):
        found = found.get(part, {}) if isinstance(found, Mapping) else {}
    return found


def _test_rows(old: Revision, new: Revision) -> tuple[bool, str]:
    """Say whether both were judged on the same rows as far as that is known, and make a note about it, or ""."""
    ending = "so no metric is comparable"
    digests = [one.data.get(TEST_HASH) for one in (old, new)]
    if all(digests):
        same = digests[0] == digests[1]
        return same, "" if same else f"the test rows differ ({TEST_HASH}), {ending}"
    counts = [_flat(one.data).get("ratings.test") for one in (old, new)]
    if all(counts) and counts[0] != counts[1]:
        return False, f"the test rows differ ({counts[0]} and {counts[1]}), {ending}"
    if old.per_user is not None and new.per_user is not None:
        same = old.per_user[[USER_ID, N]].equals(new.per_user[[USER_ID, N]])
        return same, "" if same else f"the test users or their numbers of ratings differ, {ending}"
    return True, f"the test rows may differ, because a revision has no {TEST_HASH}"


def _row(
    metric: str,
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
    estimate: Estimate | None,
    margin: float | None,
    reason: str,
) -> Row:
    margin = None if margin is None else round(margin, DECIMALS)
    row = Row(metric, old["value"] if old else None, new["value"] if new else None, noise=margin, reason=reason)
    row = replace(row, n=new.get("n") if new else None)
    if old is None or new is None:
        return replace(row, reason="removed" if old else "added")
    if not reason and old.get("n") != new.get("n"):
        return replace(row, reason=f"n was {old.get('n')}, is {new.get('n')}")
    if reason:
        return row
    interval = PAIRED if estimate else STORED
    estimate = estimate or independent(old, new)
    difference = round(new["value"] - old["value"], DECIMALS)
    row = replace(row, difference=difference)
    known = metric_of(metric)
    direction = known.direction if known else NEITHER
    if estimate is None:
        by_user = known is not None and known.of_all is None and {"low", "high"} <= new.keys()
        if by_user and difference:
            return replace(row, verdict=NO_EVIDENCE, reason=TOO_FEW)
        if margin is None or not difference:
            return replace(row, verdict=NO_EVIDENCE, reason="no interval")
        word = BETTER if (difference < 0) is (direction == LOWER) else WORSE  # noise alone decides
    else:
        low, high = round(estimate.low, DECIMALS), round(estimate.high, DECIMALS)
        if low == high and difference:
            return replace(row, verdict=NO_EVIDENCE, reason=TOO_FEW)
        least = None if low == high else round(POWER * (estimate.high - estimate.low) / 2, DECIMALS)
        row = replace(row, low=low, high=high, interval=interval, least=least)
        word = verdict(estimate, direction == LOWER)
    if word != NO_EVIDENCE and margin is not None and abs(difference) <= margin:
        return replace(row, verdict=NO_EVIDENCE, reason="within noise")
    return replace(row, verdict=CHANGED if word != NO_EVIDENCE and direction == NEITHER else word)


def _warnings(old: Revision, new: Revision) -> list[str]:
    """Collect what makes the verdicts less certain: stale results, and missing results by user."""
    said = []
    for one in {one.commit: one for one in (old, new)}.values():
        said += [
            f"{path} of {one.name} is not the one in its {one.paths.lock}: run `dvc repro`" for path in one.altered
        ]
        other = changes(one.made_with, {name: _value(one.params, name) for name in one.made_with})
        if other:
            keys = ", ".join(other)
            said.append(
                f"the results of {one.name} were made with other values than its {one.paths.params}: run `dvc repro` "
                f"({keys})"
            )
    gone = " and ".join(dict.fromkeys(one.name for one in (old, new) if one.per_user is None))
    if gone:
        said.append(
            f"{old.paths.per_user} of {gone} is neither in the DVC cache nor in a remote, so no interval is paired"
        )
    return said


def _usable(noise: Noise | None, old: Revision, new: Revision) -> tuple[Noise | None, str]:
    """Return the noise if it was measured on the test rows of a revision. Make a note about it, or ""."""
    again = "`make noise` measures it again"
    if noise is None:
        return None, "the effect of the training seed on the metrics is unknown: `make noise` measures it"
    if noise.test_sha256 is None or noise.test_sha256 not in (new.data.get(TEST_HASH), old.data.get(TEST_HASH)):
        return None, f"noise was measured on other test rows ({TEST_HASH}), so no verdict uses it: {again}"
    other = changes(noise.params, {name: _value(new.params, name) for name in (*SECTIONS, *noise.params)})
    names = ", ".join(name for name in other if name not in NO_EFFECT)
    return noise, f"noise was measured with other values of {names}: {again}" if names else ""
