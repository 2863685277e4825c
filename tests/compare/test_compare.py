"""Two revisions side by side: differences, intervals, verdicts, gates and notes, worked out by hand."""

import json
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from widedeep.compare.compare import Comparison, Row, changes, compare, estimates
from widedeep.compare.gates import judge
from widedeep.compare.intervals import independent, paired
from widedeep.compare.noise import Noise, read_noise
from widedeep.compare.table import WIDTH, as_values, headline, render_markdown, render_text
from widedeep.errors import UserError
from widedeep.evaluation.bootstrap import Bootstrap
from widedeep.evaluation.metrics import HIGHER, LOWER, NEITHER, metric_of
from widedeep.evaluation.rating import rmse_difference
from widedeep.files import read_json
from widedeep.params import Gate
from widedeep.revisions import WORKSPACE, Paths, Revision

BOOTSTRAP = Bootstrap(200)
RMSE, NDCG, COVERAGE = "rating.frozen.rmse", "ranking.frozen.ndcg_at_10", "ranking.frozen.coverage_at_10"


def metric(value: float, half_width: float = 0.1, n: int = 6) -> dict[str, float]:
    return {"value": value, "low": value - half_width, "high": value + half_width, "n": n}


def metrics(rmse: float = 1.0, ndcg: float = 0.5, coverage: float = 0.25) -> dict[str, Any]:
    ranking = {"ndcg_at_10": metric(ndcg, n=2), "coverage_at_10": metric(coverage, 0, n=2)}
    return {"rating": {"frozen": {"rmse": metric(rmse)}}, "ranking": {"frozen": ranking}}


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


@pytest.mark.parametrize(
    ("squared_error", "difference", "bounds", "verdict"),
    [
        # RMSE is sqrt(24 / 6) = 2 or 0.5, in the data and in all resamples, because all users are alike. It was 1.
        ([8.0, 8.0, 8.0], 1.0, (1.0, 1.0), "worse"),
        ([0.5, 0.5, 0.5], -0.5, (-0.5, -0.5), "better"),
        ([2.0, 2.0, 2.0], 0.0, (0.0, 0.0), "no evidence"),
        # sqrt(10.5 / 6). With the first user alone it is better (0.5), with the third user alone worse (2).
        ([0.5, 2.0, 8.0], 0.322876, (-0.5, 1.0), "no evidence"),
    ],
)
def test_paired_rmse(
    revision: Callable[..., Revision], squared_error: list[float], difference: float, bounds: tuple[float, float],
    verdict: str,
) -> None:  # fmt: skip
    new = metrics(1 + difference)
    comparison = compare(
        revision(metrics(), users([2.0, 2.0, 2.0])), revision(new, users(squared_error)), None, Bootstrap(2000)
    )
    found = row(comparison)
    assert (found.old, found.low, found.high) == (1, *bounds)
    assert found.difference == pytest.approx(difference)
    assert (found.verdict, found.interval) == (verdict, "paired")


def test_paired_ranking_counts_users_that_have_a_relevant_item(revision: Callable[..., Revision]) -> None:
    old, new = users([2.0] * 3, [0.25, 0.25]), users([2.0] * 3, [0.75, 0.75])
    found = row(compare(revision(metrics(ndcg=0.25), old), revision(metrics(ndcg=0.75), new), None, BOOTSTRAP), NDCG)
    assert (found.difference, found.low, found.high, found.interval) == (0.5, 0.5, 0.5, "paired")
    assert (found.verdict, found.n) == ("better", 2)


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
        found = row(compare(old, new, Noise(5, {}, {COVERAGE: deviation}), BOOTSTRAP), COVERAGE)
        assert (found.verdict, found.low, found.difference) == (verdict, None, 0.25)


def test_difference_within_noise_is_no_evidence_however_sure_the_users_are(revision: Callable[..., Revision]) -> None:
    old, new = revision(metrics(), users([2.0] * 3)), revision(metrics(2.0), users([8.0] * 3))
    # Student's t with 4 degrees of freedom is 2.7764 at 97.5 % (any printed table), so the margin is 3.9265 deviations.
    for deviation, verdict in ((0.254, "worse"), (0.255, "no evidence")):
        found = row(compare(old, new, Noise(5, {}, {RMSE: deviation}), BOOTSTRAP))
        assert found.noise == pytest.approx(3.9265 * deviation, rel=1e-4)
        assert (found.low, found.verdict) == (1.0, verdict)


def test_two_seeds_differ_by_less_than_the_noise_95_times_in_100() -> None:
    rng = np.random.default_rng(1)
    measured = rng.normal(0, 3, (20_000, 4)).std(axis=1, ddof=1)
    difference = np.abs(rng.normal(0, 3, 20_000) - rng.normal(0, 3, 20_000))
    margin = Noise(4, {}, {"rmse": 1.0}).margin("rmse")
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
    old = revision(metrics(), params={"train": {"seed": 0, "rate": "1e-3", "gone": 1}}, locks={"tables": "aa"})
    new = revision(metrics(), params={"train": {"seed": 1, "rate": 0.001, "list": [1]}}, locks={"tables": "bb"})
    comparison = compare(old, new, None, BOOTSTRAP)
    assert comparison.params == {"train.seed": (0, 1), "train.list": (None, [1]), "train.gone": (1, None)}
    assert comparison.data == {"tables": ("aa", "bb")}


def test_warnings(revision: Callable[..., Revision]) -> None:
    old = revision(metrics(), users([2.0] * 3), params={"train": {"rate": 1, "seed": 3}})
    new = revision(metrics(), params={"train": {"rate": 2, "seed": 3}}, made_with={"train": {"rate": 1, "seed": 3}})
    noise = Noise(5, {"train": {"rate": 1}}, {})
    stale, unpaired, other = compare(old, new, noise, BOOTSTRAP).notes
    made_with = "the results of workspace were made with other values than its params.yaml"
    assert stale == f"{made_with}: run `dvc repro` (train.rate)"
    assert unpaired.endswith("of workspace is neither in the DVC cache nor in a remote, so no interval is paired")
    assert other == "noise was measured with other values of train.rate: `make noise` measures it again"
    assert compare(old, old, noise, BOOTSTRAP).notes == ()


def test_broken_noise_file_is_named(tmp_path: Path) -> None:
    assert read_noise(tmp_path / "noise.json") is None
    (tmp_path / "noise.json").write_text('{"seeds": 5, "metrics": {"rmse": {}}, "params": {}}')
    with pytest.raises(
        UserError, match=r"noise.json does not have the form that `make noise` writes \(KeyError: 'deviation'\)"
    ):
        read_noise(tmp_path / "noise.json")


def gate(relative: float | None = None, absolute: float | None = None, significant: bool = False) -> Gate:
    return Gate(relative=relative, absolute=absolute, significant=significant)


LOSS = Row(RMSE, 2.0, 2.1, 6, 0.1, 0.05, 0.15, "paired", None, "worse")
MAYBE = Row(RMSE, 2.0, 2.1, 6, 0.1, -0.05, 0.25, "paired", None, "no evidence")
FEWER = Row(NDCG, 0.5, 0.4, 6, -0.1, -0.2, -0.05, "paired", None, "worse")
GAIN = Row(NDCG, 0.4, 0.5, 6, 0.1, 0.05, 0.2, "paired", None, "better")


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


def test_gate_of_a_metric_without_better_and_worse_is_a_mistake() -> None:
    with pytest.raises(UserError, match=f"'{COVERAGE}' cannot have a gate"):
        judge({COVERAGE: gate(0.1)}, {COVERAGE: Row(COVERAGE, 1.0, 1.0)})


def test_text_of_real_metrics_fits_the_terminal(revision: Callable[..., Revision], root: Path) -> None:
    real = read_json(root / "reports/metrics.json")
    noise = Noise(5, {}, dict.fromkeys(estimates(real), 0.01))
    comparison = compare(revision(real), revision(real), noise, BOOTSTRAP)
    for rows in (comparison.rows, headline(comparison, [])):
        lines = render_text(comparison, rows, ()).splitlines()
        assert max(map(len, lines)) <= WIDTH
    assert {row.metric for row in headline(comparison, ["baselines.bias.rating.frozen.mae"])} == {
        *(f"rating.{knowledge}.{name}" for knowledge in ("online", "frozen") for name in ("rmse", "mae")),
        *(
            f"ranking.frozen.{name}_at_10"
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
    new = revision(metrics(2.0), users([8.0] * 3), params={"train": {"rate": 2, "more": True}})
    comparison = compare(old, new, Noise(5, {}, {RMSE: 0.01}), BOOTSTRAP)
    outcomes = judge({RMSE: gate(0.1)}, {row.metric: row for row in comparison.rows})
    text = render_text(comparison, comparison.rows, outcomes)
    assert "rmse            1.0000  2.0000  +1.0000  [1.0000, 1.0000]  paired  0.0393  worse\n" in text
    assert "coverage_at_10  0.2500  0.2500   0.0000       no interval                  no evidence\n" in text
    assert "params:\n  train.rate  1 -> 2\n  new: train.more=True\n" in text
    assert "gates:\n  BROKEN  rating.frozen.rmse  1.0000 worse, at most 0.1000 allowed\n" in text
    markdown = render_markdown(comparison, comparison.rows, outcomes)
    assert (
        "| `rating.frozen.rmse` | 1.0000 | 2.0000 | +1.0000 | [1.0000, 1.0000] | paired | 0.0393 | worse |\n"
        in markdown
    )
    assert "| **BROKEN** | `rating.frozen.rmse` | 1.0000 worse, at most 0.1000 allowed |\n" in markdown
    found = json.loads(json.dumps(as_values(comparison, outcomes), allow_nan=False))
    assert found["metrics"][RMSE] == {
        "old": 1.0, "new": 2.0, "n": 6, "difference": 1.0, "low": 1.0, "high": 1.0, "interval": "paired",
        "noise": 0.039265, "verdict": "worse", "reason": "",
    }  # fmt: skip
    assert found["params"]["train.rate"] == {"old": 1, "new": 2}
    assert found["gates"][RMSE]["broken"] is True


def test_equal_values_are_no_change_however_they_are_written() -> None:
    assert changes({"a": {"b": 0.0001, "c": [1, 2]}}, {"a": {"b": "1e-4", "c": [1, 2]}}) == {}
    assert changes({"a": {"b": "x"}}, {"a": {"b": "y"}}) == {"a.b": ("x", "y")}


def test_two_versions_that_are_the_same_are_one_line_unless_all_is_asked_for(revision: Callable[..., Revision]) -> None:
    same, other = (compare(revision(metrics()), revision(metrics(value)), None, BOOTSTRAP) for value in (1.0, 2.0))
    said = "the workspace and the workspace are the same: parameters, data and metrics.\n"
    assert render_text(same, same.rows, (), brief=True) == said
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
    # With the first user alone nothing changed, with the second user alone the NDCG rose from 0 to 2 / 3.
    assert found.low == pytest.approx(0.0)
    assert found.high == pytest.approx(2 / 3)
    assert name in [shown.metric for shown in headline(compared, ())]


def test_results_from_before_online_lists_are_read_as_one_list_by_user() -> None:
    old = users([2.0, 2.0, 2.0], [0.5, 0.25])
    new = old.assign(frozen_lists=[1, 1, np.nan], frozen_ndcg_at_10=[1.0, 0.25, np.nan])
    assert paired(old, new, [NDCG], BOOTSTRAP)[NDCG].value == pytest.approx(0.25)
