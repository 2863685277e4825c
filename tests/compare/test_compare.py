"""Two revisions side by side: differences, intervals, verdicts, gates and notes, worked out by hand."""

import json
import math
import re
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from widedeep.commits import WORKSPACE
from widedeep.compare.compare import Comparison, Row, changes, compare, estimates
from widedeep.compare.gates import judge
from widedeep.compare.intervals import independent, paired
from widedeep.compare.noise import Noise, read_noise
from widedeep.compare.table import WIDTH, as_values, headline, render_markdown, render_text
from widedeep.errors import UserError
from widedeep.evaluation.bootstrap import Bootstrap
from widedeep.evaluation.metrics import HIGHER, LOWER, NEITHER, metric_of
from widedeep.evaluation.rating import rmse_difference
from widedeep.params import Gate
from widedeep.reading import read_json
from widedeep.revisions import Paths, Revision

BOOTSTRAP = Bootstrap(200)
RMSE, NDCG, COVERAGE = "rating.frozen.rmse", "ranking.frozen.ndcg_at_10", "ranking.frozen.coverage_at_10"


def metric(value: float, half_width: float = 0.1, n: int = 6) -> dict[str, float]:
    return {"value": value, "low": value - half_width, "high": value + half_width, "n": n}


def metrics(
    rmse: float = 1.0, ndcg: float = 0.5, coverage: float = 0.25, rows: int = 6, lists: int = 2
) -> dict[str, Any]:
    ranking = {"ndcg_at_10": metric(ndcg, n=lists), "coverage_at_10": metric(coverage, 0, n=lists)}
    return {"rating": {"frozen": {"rmse": metric(rmse, n=rows)}}, "ranking": {"frozen": ranking}}


def users(squared_error: list[float], ndcg: list[float] | None = None) -> pd.DataFrame:
    """Make the results of three users with two rows each. The last user has no relevant item."""
    table = pd.DataFrame({"user_id": [1, 2, 3], "n": 2, "frozen_squared_error": squared_error})
    return table.assign(frozen_ndcg_at_10=[*(ndcg or [0.5, 0.5]), np.nan])


@pytest.fixture
def revision(tmp_path: Path) -> Callable[..., Revision]:
    """Make a revision with the given results and the given results by user."""
    numbers = count()

    def made(
        of: Mapping[str, Any], per_user: pd.DataFrame | None = None, data: Mapping[str, Any] | None = None, **rest: Any
    ) -> Revision:
        place = tmp_path / f"{next(numbers)}.parquet"
        if per_user is not None:
            per_user.to_parquet(place)
        paths = Paths(Path("metrics.json"), Path("params.yaml"), Path("data.json"), Path("tables"), place, Path("lock"))
        parts = {"params": {}, "made_with": {}, "locks": {}} | rest
        return Revision(WORKSPACE, None, of, data={"test_sha256": "a"} if data is None else data, paths=paths, **parts)

    return made


def row(comparison: Comparison, name: str = RMSE) -> Row:
    (found,) = (row for row in comparison.rows if row.metric == name)
    return found


# Each user has two rows. The errors 9, 8, 7 make an RMSE of sqrt(24 / 6) = 2, and without one user sqrt(15 / 4),
# sqrt(16 / 4) and sqrt(17 / 4). Their deviations make a standard error of 0.072207. Student's t with 2 degrees of
# freedom is 4.302653, so the half-width is 0.310682. The errors 2, 2, 2 make an RMSE of 1, whoever is left out.
@pytest.mark.parametrize(
    ("old", "new", "difference", "half_width", "verdict"),
    [
        ([2.0, 2.0, 2.0], [9.0, 8.0, 7.0], 1.0, 0.310682, "worse"),
        ([9.0, 8.0, 7.0], [2.0, 2.0, 2.0], -1.0, 0.310682, "better"),
        ([2.0, 2.0, 2.0], [2.0, 2.0, 2.0], 0.0, 0.0, "no evidence"),
        # sqrt(10.5 / 6), and without one user sqrt(2.5), sqrt(2.125) and sqrt(0.625)
        ([2.0, 2.0, 2.0], [0.5, 2.0, 8.0], 0.322876, 2.113067, "no evidence"),
    ],
)
def test_paired_rmse(
    revision: Callable[..., Revision], old: list[float], new: list[float], difference: float, half_width: float,
    verdict: str,
) -> None:  # fmt: skip
    before, after = (revision(metrics(math.sqrt(sum(errors) / 6)), users(errors)) for errors in (old, new))
    found = row(compare(before, after, None, BOOTSTRAP))
    assert found.difference == pytest.approx(difference, abs=1e-6)
    assert (found.low, found.high) == pytest.approx((difference - half_width, difference + half_width), abs=2e-6)
    assert (found.verdict, found.interval) == (verdict, "paired")


def test_paired_ranking_counts_users_that_have_a_relevant_item(revision: Callable[..., Revision]) -> None:
    """The differences 0.5 and 0.52 have a standard error of 0.01. Student's t with 1 degree of freedom is 12.7062."""
    old, new = users([2.0] * 3, [0.25, 0.25]), users([2.0] * 3, [0.75, 0.77])
    found = row(compare(revision(metrics(ndcg=0.25), old), revision(metrics(ndcg=0.76), new), None, BOOTSTRAP), NDCG)
    assert (found.low, found.high) == pytest.approx((0.51 - 0.127062, 0.51 + 0.127062))
    assert (found.difference, found.interval, found.verdict, found.n) == (0.51, "paired", "better", 2)


@pytest.mark.parametrize("stored", [False, True])
def test_one_user_gives_no_verdict(revision: Callable[..., Revision], stored: bool) -> None:
    table = pd.DataFrame({"user_id": [1], "n": 6, "frozen_squared_error": [6.0], "frozen_ndcg_at_10": 0.5})
    old, new = (metrics(rmse, lists=1) for rmse in (1.0, 2.0))
    for one in (old, new):
        one["rating"]["frozen"]["rmse"] |= dict.fromkeys(("low", "high"), one["rating"]["frozen"]["rmse"]["value"])
    per_user = (None, None) if stored else (table, table.assign(frozen_squared_error=24.0))
    sides = revision(old, per_user[0]), revision(new, per_user[1])
    found = row(compare(*sides, Noise(5, {}, {RMSE: 0.01}, "a"), BOOTSTRAP))
    assert (found.verdict, found.reason, found.difference) == ("no evidence", "too few users", 1.0)
    assert (found.low, found.high, found.least) == (None, None, None)


@pytest.mark.slow
def test_difference_of_the_least_size_is_found_in_80_of_100_test_sets(revision: Callable[..., Revision]) -> None:
    rng = np.random.default_rng(3)
    ids = pd.DataFrame({"user_id": range(80), "n": 1, "frozen_squared_error": 1.0})
    nothing = revision(metrics(ndcg=0, rows=80, lists=80), ids.assign(frozen_ndcg_at_10=0.0))

    def against_nothing(true: float, seed: int) -> Row:
        values = rng.normal(true, 0.3, 80)
        something = revision(metrics(ndcg=values.mean(), rows=80, lists=80), ids.assign(frozen_ndcg_at_10=values))
        return row(compare(nothing, something, None, Bootstrap(300, seed)), NDCG)

    least = float(np.mean([against_nothing(0.0, seed).least for seed in range(30)]))
    assert least == pytest.approx(2.8 * 0.3 / math.sqrt(80), rel=0.05)
    found = np.mean([against_nothing(least, seed).verdict == "better" for seed in range(100)])
    assert found == pytest.approx(0.8, abs=0.12)  # three standard deviations


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"frozen_squared_error": [163.35, 163.35, 261.36]},
            "not of one run: rating.frozen.rmse is 1 there, but 9.9 by",
        ),
        (
            {"frozen_ndcg_at_10": [0.5, 0.6, np.nan]},
            "not of one run: ranking.frozen.ndcg_at_10 is 0.5 there, but 0.55 by",
        ),
        ({"frozen_ndcg_at_10": 0.5}, "ranking.frozen.ndcg_at_10 has n = 2 there, but 3 by user"),
        ({"frozen_ndcg_at_10": np.nan}, "ranking.frozen.ndcg_at_10 has n = 2 there, but 0 by user"),
        ({"n": [2, 2, 3]}, "rating.frozen.rmse has n = 6 there, but 7 by user"),
        ({"n": [2, np.nan, 4]}, "column n has no finite number for user 2"),
        ({"n": "2"}, "column n must hold numbers"),
        ({"user_id": [1, 2, 1]}, "user 1 stands there twice"),
        ({"frozen_squared_error": [2.0, np.nan, 2.0]}, "column frozen_squared_error has no finite number for user 2"),
        ({"frozen_squared_error": [2.0, 2.0, np.inf]}, "column frozen_squared_error has no finite number for user 3"),
        ({"frozen_squared_error": "2"}, "column frozen_squared_error must hold numbers"),
    ],
)
def test_results_by_user_of_another_run_are_refused(
    revision: Callable[..., Revision], table: dict[str, Any], message: str
) -> None:
    good, other = users([2.0] * 3), users([2.0] * 3).assign(**table)
    for old, new in ((good, other), (other, good)):
        with pytest.raises(UserError, match=re.escape(message)) as found:
            compare(revision(metrics(), old), revision(metrics(), new), None, BOOTSTRAP)
        assert "of workspace" in str(found.value)
        assert "\n" not in str(found.value)


@pytest.mark.parametrize("column", ["user_id", "n", "frozen_squared_error", "frozen_ndcg_at_10"])
def test_results_by_user_without_a_column_are_refused(revision: Callable[..., Revision], column: str) -> None:
    table = users([2.0] * 3).drop(columns=column)
    with pytest.raises(UserError, match=f"must have the column {column}, which is missing"):
        compare(revision(metrics()), revision(metrics(), table), None, BOOTSTRAP)


def test_fewer_users_are_refused(revision: Callable[..., Revision]) -> None:
    table = users([2.0] * 3)[:2]
    with pytest.raises(UserError, match=r"rating.frozen.rmse has n = 6 there, but 4 by user"):
        compare(revision(metrics(), users([2.0] * 3)), revision(metrics(), table), None, BOOTSTRAP)


def test_metrics_that_are_not_those_of_the_lock_are_noted(revision: Callable[..., Revision]) -> None:
    """They need not be metrics that the results by user show."""
    comparison = compare(revision(metrics()), revision(metrics(), altered=[Path("metrics.json")]), None, BOOTSTRAP)
    assert "metrics.json of workspace is not the one in its lock: run `dvc repro`" in comparison.notes


def test_paired_rmse_is_that_of_the_evaluation() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"user_id": range(40), "n": 1 + np.arange(40) % 5})
    old, new = (table.assign(squared_error=rng.gamma(2, 1, 40)) for _ in range(2))
    expected = rmse_difference(new, old, Bootstrap(300))
    named = {"squared_error": "online_squared_error"}
    rmse = "rating.online.rmse"
    found = paired(old.rename(columns=named), new.rename(columns=named), [rmse], Bootstrap(300))[rmse]
    assert (found.value, found.low, found.high) == (expected.value, expected.low, expected.high)


def test_user_means_are_means_of_the_users_own_errors() -> None:
    """Two users have 1 and 4 rows. Their RMSE was 2 and 1, and is 1 and 3."""
    old = pd.DataFrame(
        {"user_id": [1, 2], "n": [1, 4], "frozen_squared_error": [4.0, 4.0], "frozen_absolute_error": 4.0}
    )
    new = old.assign(frozen_squared_error=[1.0, 36.0], frozen_absolute_error=8.0)
    names = [f"rating.frozen.user_mean_{name}" for name in ("rmse", "mae")]
    found = paired(old, new, names, BOOTSTRAP)
    assert found[names[0]].value == (1 + 3) / 2 - (2 + 1) / 2
    assert found[names[1]].value == (8 + 2) / 2 - (4 + 1) / 2


def test_metrics_that_are_no_mean_over_rows_or_users_are_not_paired() -> None:
    names = [
        COVERAGE,
        "ranking.frozen.novelty_at_10",
        "rating.frozen.rmse_minus_bias",
        "loss",
        "baselines.bias." + RMSE,
    ]
    assert paired(users([2.0] * 3), users([2.0] * 3), names, BOOTSTRAP) == {}


def test_stored_intervals_are_joined_as_if_independent(revision: Callable[..., Revision]) -> None:
    """The half-widths 0.3 and 0.4 give 0.5."""
    old, new = {"rmse": metric(1.0, 0.3)}, {"rmse": metric(2.0, 0.4)}
    found = row(compare(revision(old), revision(new), None, BOOTSTRAP), "rmse")
    assert (found.low, found.high, found.interval, found.verdict) == (0.5, 1.5, "stored", "worse")
    lopsided = independent({"value": 1, "low": 0.7, "high": 1.3, "n": 1}, {"value": 2, "low": 2, "high": 2.4, "n": 1})
    assert lopsided is not None
    assert [lopsided.low, lopsided.high] == pytest.approx([1 - 0.3, 1 + 0.5])


def test_metric_without_interval_is_judged_by_noise_alone(revision: Callable[..., Revision]) -> None:
    old, new = revision(metrics()), revision(metrics(coverage=0.5))
    assert row(compare(old, new, None, BOOTSTRAP), COVERAGE).reason == "no interval"
    for deviation, verdict in ((0.001, "changed"), (0.1, "no evidence")):
        found = row(compare(old, new, Noise(5, {}, {COVERAGE: deviation}, "a"), BOOTSTRAP), COVERAGE)
        assert (found.verdict, found.low, found.difference) == (verdict, None, 0.25)


def test_difference_within_noise_is_no_evidence_however_sure_the_users_are(revision: Callable[..., Revision]) -> None:
    old, new = revision(metrics(), users([2.0] * 3)), revision(metrics(2.0), users([9.0, 8.0, 7.0]))
    # Student's t with 4 degrees of freedom is 2.7764 at 97.5 % (any printed table), so the margin is 3.9265 deviations.
    for deviation, verdict in ((0.254, "worse"), (0.255, "no evidence")):
        found = row(compare(old, new, Noise(5, {}, {RMSE: deviation}, "a"), BOOTSTRAP))
        assert found.noise == pytest.approx(3.9265 * deviation, rel=1e-4)
        assert found.low == pytest.approx(1 - 0.310682)
        assert found.verdict == verdict


def test_two_seeds_differ_by_less_than_the_noise_95_times_in_100() -> None:
    rng = np.random.default_rng(1)
    measured = rng.normal(0, 3, (20_000, 4)).std(axis=1, ddof=1)
    difference = np.abs(rng.normal(0, 3, 20_000) - rng.normal(0, 3, 20_000))
    margin = Noise(4, {}, {"rmse": 1.0}, "a").margin("rmse")
    assert margin is not None
    assert (difference <= margin * measured).mean() == pytest.approx(0.95, abs=0.006)


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        (RMSE, LOWER), ("rating.online.user_mean_mae", LOWER), ("rating.online.rmse_minus_bias", LOWER),
        (NDCG, HIGHER), ("baselines.bias.ranking.frozen.hit_rate_at_5", HIGHER), ("ranking.frozen.map_at_1", HIGHER),
        (COVERAGE, NEITHER), ("ranking.frozen.novelty_at_10", NEITHER), ("ranking.frozen.diversity_at_10", NEITHER),
        ("x", None),
    ],
)  # fmt: skip
def test_direction_of_a_metric(name: str, direction: str | None) -> None:
    metric = metric_of(name)
    assert (metric and metric.direction) == direction


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"test_sha256": "a"}, {"test_sha256": "b"}, "the test rows differ (test_sha256), so no metric is comparable"),
        (
            {"ratings": {"test": 6}},
            {"ratings": {"test": 7}},
            "the test rows differ (6 and 7), so no metric is comparable",
        ),
    ],
)
def test_other_test_rows_are_not_comparable(
    revision: Callable[..., Revision], old: dict[str, Any], new: dict[str, Any], said: str
) -> None:
    comparison = compare(revision(metrics(), data=old), revision(metrics(2.0), data=new), None, BOOTSTRAP)
    assert comparison.notes[0] == said
    assert {(row.verdict, row.reason, row.difference) for row in comparison.rows} == {
        ("not comparable", "different test rows", None)
    }


def test_without_a_hash_of_the_test_rows_their_users_tell(revision: Callable[..., Revision]) -> None:
    known, other = users([2.0] * 3), users([2.0] * 3).assign(n=[2, 3, 1])
    same = compare(revision(metrics(), known, {}), revision(metrics(), known), None, BOOTSTRAP)
    assert row(same).verdict == "no evidence"
    assert same.notes[0].startswith("the effect of the training seed on the metrics is unknown")
    differ = compare(revision(metrics(), known, {}), revision(metrics(), other), None, BOOTSTRAP)
    assert row(differ).verdict == "not comparable"
    assert differ.notes[0].startswith("the test users or their numbers of ratings differ")
    unknown = compare(revision(metrics(), data={}), revision(metrics(), other), None, BOOTSTRAP)
    assert row(unknown).verdict == "no evidence"
    assert unknown.notes[0].startswith("the test rows may differ")


def test_metrics_of_other_shape(revision: Callable[..., Revision]) -> None:
    old = {"rating": {"frozen": {"rmse": metric(1.0), "mae": metric(1.0)}}, "loss": 3, "note": "text", "list": [1]}
    new = {"rating": {"frozen": {"rmse": metric(1.0, n=7), "mae": {"value": float("nan")}}}, "loss": {"value": 2}}
    new["ranking"] = None
    rows = {
        row.metric: (row.verdict, row.reason) for row in compare(revision(old), revision(new), None, BOOTSTRAP).rows
    }
    assert rows == {
        "rating.frozen.rmse": ("not comparable", "n was 6, is 7"),
        "rating.frozen.mae": ("not comparable", "removed"),
        "loss": ("no evidence", "no interval"),
    }
    added = compare(revision({"loss": 1}), revision(metrics()), None, BOOTSTRAP)
    assert row(added) == Row(RMSE, None, 1.0, n=6, reason="added")


def test_other_rule_of_relevance_makes_rankings_not_comparable(revision: Callable[..., Revision]) -> None:
    old, new = (revision(metrics(), params={"evaluate": {"relevant_rating": rule}}) for rule in (None, 4))
    comparison = compare(old, new, None, BOOTSTRAP)
    assert [row.verdict for row in comparison.rows] == ["no evidence", "not comparable", "not comparable"]


def test_changed_params_and_data(revision: Callable[..., Revision]) -> None:
    old = revision(metrics(), params={"train": {"seed": 0, "rate": 1e-3, "gone": 1}}, locks={"tables": "aa"})
    new = revision(metrics(), params={"train": {"seed": 1, "rate": 0.001, "list": [1]}}, locks={"tables": "bb"})
    comparison = compare(old, new, None, BOOTSTRAP)
    assert comparison.params == {"train.seed": (0, 1), "train.list": (None, [1]), "train.gone": (1, None)}
    assert comparison.data == {"tables": ("aa", "bb")}


def test_warnings(revision: Callable[..., Revision]) -> None:
    old = revision(metrics(), users([2.0] * 3), params={"train": {"rate": 1, "seed": 3}})
    new = revision(metrics(), params={"train": {"rate": 2, "seed": 3}}, made_with={"train": {"rate": 1, "seed": 3}})
    noise = Noise(5, {"train": {"rate": 1}}, {}, "a")
    stale, unpaired, other = compare(old, new, noise, BOOTSTRAP).notes
    made_with = "the results of workspace were made with other values than its params.yaml"
    assert stale == f"{made_with}: run `dvc repro` (train.rate)"
    assert unpaired.endswith("of workspace is neither in the DVC cache nor in a remote, so no interval is paired")
    assert other == "noise was measured with other values of train.rate: `make noise` measures it again"
    assert compare(old, old, noise, BOOTSTRAP).notes == ()
    limits = {"memory_gib": 8, "threads": 1, "spill_folder": "/big"}  # these change no result
    limited = revision(metrics(), params={"train": {"rate": 1}, "preprocess": limits})
    assert not [note for note in compare(limited, limited, noise, BOOTSTRAP).notes if "noise" in note]


@pytest.mark.parametrize("measured_on", ["b", None])
def test_noise_of_other_test_rows_plays_no_part(revision: Callable[..., Revision], measured_on: str | None) -> None:
    old, new = revision(metrics(), users([2.0] * 3)), revision(metrics(2.0), users([9.0, 8.0, 7.0]))
    comparison = compare(old, new, Noise(5, {}, {RMSE: 9.0}, measured_on), BOOTSTRAP)
    assert (row(comparison).noise, row(comparison).verdict) == (None, "worse")
    said = "noise was measured on other test rows (test_sha256), so no verdict uses it: `make noise` measures it again"
    assert comparison.notes == (said,)


def test_broken_noise_file_is_named(tmp_path: Path) -> None:
    assert read_noise(tmp_path / "noise.json") is None
    (tmp_path / "noise.json").write_text('{"seeds": 5, "metrics": {"rmse": {}}, "params": {}}')
    with pytest.raises(
        UserError, match=r"noise.json does not have the form that `make noise` writes \(KeyError: 'deviation'\)"
    ):
        read_noise(tmp_path / "noise.json")


def gate(relative: float | None = None, absolute: float | None = None, significant: bool = False) -> Gate:
    return Gate(relative=relative, absolute=absolute, significant=significant)


LOSS = Row(RMSE, 2.0, 2.1, 6, 0.1, 0.05, 0.15, "paired", None, None, "worse")
MAYBE = Row(RMSE, 2.0, 2.1, 6, 0.1, -0.05, 0.25, "paired", None, None, "no evidence")
FEWER = Row(NDCG, 0.5, 0.4, 6, -0.1, -0.2, -0.05, "paired", None, None, "worse")
GAIN = Row(NDCG, 0.4, 0.5, 6, 0.1, 0.05, 0.2, "paired", None, None, "better")


@pytest.mark.parametrize(
    ("row", "limit", "broken"),
    [
        (LOSS, gate(relative=0.06), False),  # 6 % of 2 is 0.12
        (LOSS, gate(relative=0.04), True),
        (LOSS, gate(absolute=0.1), False),  # exactly the allowed loss is allowed
        (LOSS, gate(relative=0.06, absolute=0.05), True),  # both limits must hold
        (LOSS, gate(absolute=0, significant=True), True),
        (MAYBE, gate(absolute=0.05, significant=True), False),
        (MAYBE, gate(absolute=0.05), True),
        (FEWER, gate(relative=0.1), True),
        (FEWER, gate(relative=0.3), False),
        (GAIN, gate(absolute=0), False),
        (Row(RMSE, None, 1.0, reason="added"), gate(absolute=9, significant=True), True),
        (Row(RMSE, 1.0, None, reason="removed"), gate(absolute=9), True),
        (Row(RMSE, 1.0, 1.0, reason="different test rows"), gate(absolute=9), True),
    ],
)
def test_gate(row: Row, limit: Gate, broken: bool) -> None:
    (outcome,) = judge({row.metric: limit}, {row.metric: row})
    assert outcome.broken is broken


def test_gate_of_a_metric_that_is_nowhere_breaks() -> None:
    (outcome,) = judge({"rating.online.rmse": gate(0.1)}, {RMSE: LOSS})
    assert (outcome.broken, outcome.why) == (True, "missing in both versions. Did you mean 'rating.frozen.rmse'?")


def test_gate_of_a_metric_that_the_data_cannot_have_is_not_broken() -> None:
    missing = {"rating": "the data have no ratings"}
    rated, ranked = judge({"rating.online.rmse": gate(0.1), "ranking.online.ndcg_at_10": gate(0.1)}, {}, missing)
    assert (rated.broken, rated.why) == (False, "not judged: the data have no ratings")
    assert ranked.broken


def test_gate_of_a_metric_without_better_and_worse_is_a_mistake() -> None:
    with pytest.raises(UserError, match=f"'{COVERAGE}' cannot have a gate"):
        judge({COVERAGE: gate(0.1)}, {COVERAGE: Row(COVERAGE, 1.0, 1.0)})


def test_text_of_real_metrics_fits_the_terminal(revision: Callable[..., Revision], root: Path) -> None:
    real = read_json(root / "reports/metrics.json")
    noise = Noise(5, {}, dict.fromkeys(estimates(real), 0.01), "a")
    comparison = compare(revision(real), revision(real), noise, BOOTSTRAP)
    for rows in (comparison.rows, headline(comparison, [])):
        lines = render_text(comparison, rows, ()).splitlines()
        assert max(map(len, lines)) <= WIDTH
    assert {row.metric for row in headline(comparison, ["baselines.bias.rating.frozen.mae"])} == {
        *(f"rating.{knowledge}.{name}" for knowledge in ("online", "frozen") for name in ("rmse", "mae")),
        *(
            f"ranking.{knowledge}.{name}_at_10"
            for knowledge in ("online", "frozen")
            for name in ("ndcg", "recall", "hit_rate", "coverage", "novelty", "diversity")
        ),
        "baselines.bias.rating.frozen.mae",
    }


def test_cut_offs_stand_in_their_order(revision: Callable[..., Revision]) -> None:
    names = ["ndcg_at_1", "ndcg_at_10", "ndcg_at_5", "recall_at_5"]
    of = {"ranking": {"frozen": {name: metric(0.5) for name in names}}}
    found = [
        row.metric.removeprefix("ranking.frozen.") for row in compare(revision(of), revision(of), None, BOOTSTRAP).rows
    ]
    assert found == ["ndcg_at_1", "ndcg_at_5", "ndcg_at_10", "recall_at_5"]


def test_text_markdown_and_json_say_the_same(revision: Callable[..., Revision]) -> None:
    old = revision(metrics(), users([2.0] * 3), params={"train": {"rate": 1}})
    new = revision(metrics(2.0), users([9.0, 8.0, 7.0]), params={"train": {"rate": 2, "more": True}})
    comparison = compare(old, new, Noise(5, {}, {RMSE: 0.01}, "a"), BOOTSTRAP)
    outcomes = judge({RMSE: gate(0.1)}, {row.metric: row for row in comparison.rows})
    text = render_text(comparison, comparison.rows, outcomes)
    assert "rmse            1.0000  2.0000  +1.0000  [0.6893, 1.3107]  paired  0.4438  0.0393  worse\n" in text
    assert "coverage_at_10  0.2500  0.2500   0.0000       no interval                          no evidence\n" in text
    assert "params:\n  train.rate  1 -> 2\n  new: train.more=True\n" in text
    assert "gates:\n  BROKEN  rating.frozen.rmse  1.0000 worse, at most 0.1000 allowed\n" in text
    markdown = render_markdown(comparison, comparison.rows, outcomes)
    assert (
        "| `rating.frozen.rmse` | 1.0000 | 2.0000 | +1.0000 | [0.6893, 1.3107] | paired | 0.4438 | 0.0393 | worse |\n"
        in markdown
    )
    assert "| **BROKEN** | `rating.frozen.rmse` | 1.0000 worse, at most 0.1000 allowed |\n" in markdown
    found = json.loads(json.dumps(as_values(comparison, outcomes), allow_nan=False))
    assert found["metrics"][RMSE] == {
        "old": 1.0, "new": 2.0, "n": 6, "difference": 1.0, "low": 0.689318, "high": 1.310682, "interval": "paired",
        "least": 0.443831, "noise": 0.039265, "verdict": "worse", "reason": "",
    }  # fmt: skip
    assert found["params"]["train.rate"] == {"old": 1, "new": 2}
    assert found["gates"][RMSE]["broken"] is True


def test_equal_values_are_no_change() -> None:
    assert changes({"a": {"b": 0.0001, "c": [1, 2]}}, {"a": {"b": 1e-4, "c": [1, 2]}}) == {}
    assert changes({"a": {"b": "x"}}, {"a": {"b": "y"}}) == {"a.b": ("x", "y")}


def test_two_versions_that_are_the_same_are_one_line_unless_all_is_asked_for(revision: Callable[..., Revision]) -> None:
    same, other = (compare(revision(metrics()), revision(metrics(value)), None, BOOTSTRAP) for value in (1.0, 2.0))
    said = "the workspace and the workspace are the same: parameters, data and metrics.\n"
    for render in (render_text, render_markdown):
        assert render(same, same.rows, (), brief=True) == said
    assert "no evidence" in render_text(same, same.rows, ())
    assert "2.0000" in render_text(other, other.rows, (), brief=True)


def test_online_lists_are_among_the_headline_verdicts_and_paired_by_the_number_of_lists(
    revision: Callable[..., Revision],
) -> None:
    """User 1 was asked once and user 2 three times. The NDCG is 1 / 4, then 3 / 4: the user with three lists counts
    three times."""
    name = "ranking.online.ndcg_at_10"

    def of(value: float, sums: list[float]) -> tuple[dict[str, Any], pd.DataFrame]:
        found = metrics()
        found["ranking"]["online"] = {"ndcg_at_10": metric(value, n=4)}
        table = users([2.0, 2.0, 2.0]).assign(online_ndcg_at_10=[*sums, np.nan], online_lists=[1, 3, np.nan])
        return found, table

    compared = compare(revision(*of(0.25, [1.0, 0.0])), revision(*of(0.75, [1.0, 2.0])), None, BOOTSTRAP)
    found = row(compared, name)
    assert found.interval == "paired"
    assert found.difference == pytest.approx(0.5)
    # Without the second user nothing changed, and without the first one the NDCG rose by 2 / 3. So the standard error
    # is 1 / 3. Student's t with 1 degree of freedom is 12.7062.
    assert (found.low, found.high) == pytest.approx((0.5 - 12.7062 / 3, 0.5 + 12.7062 / 3), abs=1e-4)
    assert name in [shown.metric for shown in headline(compared, ())]


def test_results_from_before_online_lists_are_read_as_one_list_by_user() -> None:
    old = users([2.0, 2.0, 2.0], [0.5, 0.25])
    new = old.assign(frozen_lists=[1, 1, np.nan], frozen_ndcg_at_10=[1.0, 0.25, np.nan])
    assert paired(old, new, [NDCG], BOOTSTRAP)[NDCG].value == pytest.approx(0.25)
