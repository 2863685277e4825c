"""Check the gates of params.yaml. A gate says how much worse a metric may become from one commit to another."""

from collections.abc import Mapping
from dataclasses import dataclass

from widedeep.compare.compare import Row
from widedeep.errors import UserError, nearest
from widedeep.evaluation.bootstrap import WORSE
from widedeep.evaluation.metrics import LOWER, NEITHER, metric_of
from widedeep.params import Gate
from widedeep.report.text import number


@dataclass(frozen=True)
class Outcome:
    """The outcome of one gate.

    metric : flat name
    broken : whether the gate is broken
    why : the reason, for readers
    loss : how much worse the metric is, in its unit; below 0 if it is better
    allowed : the largest loss that does not break the gate, in the same unit

    If the metric is missing or not comparable, loss and allowed are None and the gate is broken, because nothing shows
    that the metric is good enough. A gate on a metric that the data cannot have is not broken.
    """

    metric: str
    broken: bool
    why: str
    loss: float | None = None
    allowed: float | None = None


def judge(
    gates: Mapping[str, Gate], rows: Mapping[str, Row], missing: Mapping[str, str] | None = None
) -> tuple[Outcome, ...]:
    """Judge each gate on the rows of a comparison. Gates and rows are keyed by flat name.

    missing : why metrics are missing, by flat name or by the name of a task, as in reports/metrics.json

    Raises
    ------
    UserError
        A gate names a metric that has no good direction, such as coverage.
    """
    outcomes = []
    for metric, gate in gates.items():
        known, row = metric_of(metric), rows.get(metric)
        reason = (missing or {}).get(metric.split(".")[0]) or (missing or {}).get(metric)
        if row is None and reason:
            outcomes.append(Outcome(metric, False, f"not judged: {reason}"))
            continue
        if row is None:
            hint = nearest(metric, rows)
            outcomes.append(Outcome(metric, True, ". ".join(filter(None, ("missing in both versions", hint)))))
            continue
        if known is None or known.direction == NEITHER:
            raise UserError(
                f"params.yaml, compare.gates: '{metric}' cannot have a gate, because it has no good direction. "
                "Name a metric such as rating.frozen.rmse or ranking.frozen.ndcg_at_10."
            )
        if row.difference is None or row.old is None:
            missing = {"added": "missing in the old version", "removed": "missing in the new version"}
            outcomes.append(Outcome(metric, True, missing.get(row.reason, f"not comparable: {row.reason}")))
            continue
        loss = row.difference if known.direction == LOWER else -row.difference
        limits = (gate.absolute, None if gate.relative is None else gate.relative * abs(row.old))
        allowed = min(limit for limit in limits if limit is not None)
        excused = gate.significant and row.verdict != WORSE
        broken = loss > allowed and not excused
        numbers = f"{number(loss, 4)} worse, at most {number(allowed, 4)} allowed" if loss > 0 else "not worse"
        why = f"{numbers}, but there is no evidence of it" if loss > allowed and excused else numbers
        outcomes.append(Outcome(metric, broken, why, loss, allowed))
    return tuple(outcomes)
