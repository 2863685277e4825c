"""The sentences of the report agree with the intervals."""

from typing import Any

import pandas as pd
import pytest

from tests.report.conftest import text
from widedeep.report.charts import Point, Series
from widedeep.report.labels import axis_label, metric_label
from widedeep.report.learning import learning_finding
from widedeep.report.penalty import novelty_finding, penalty_finding
from widedeep.report.ranking import by_k_finding, ranking_finding
from widedeep.report.rating import headline_finding, rating_finding
from widedeep.report.results import Results, point
from widedeep.report.slices import known_finding, slice_finding


def results(low: float, high: float, ndcg: tuple[float, float] = (0.1, 0.2)) -> Results:
    """Make the results of a model with RMSE 0.9, and this interval for the difference from a baseline with RMSE 1."""

    def estimate(value: float, low: float = 0.0, high: float = 0.0) -> dict[str, float]:
        return {"value": value, "low": low, "high": high, "n": 9}

    def ranking(low: float, high: float) -> dict[str, Any]:
        return {"ranking": {"frozen": {"ndcg_at_5": estimate((low + high) / 2, low, high)}}}

    return Results(
        "wide_deep",
        {
            "rating": {"online": {"rmse": estimate(0.9), "rmse_minus_bias": estimate((low + high) / 2, low, high)}},
            **ranking(*ndcg),
            "baselines": {
                "global_mean": {"rating": {"online": {"rmse": estimate(1.1)}}},
                "bias": {"rating": {"online": {"rmse": estimate(1.0)}}} | ranking(0.3, 0.4),
            },
        },
    )


@pytest.mark.parametrize(
    ("low", "high", "sentence", "title"),
    [
        (
            -0.12, -0.08,
            "RMSE 0.900 online, 10.0 % below the bias baseline (95 % interval of the difference −0.120 to −0.080).",
            "Online, Wide & Deep has a lower RMSE than bias",
        ),
        (
            0.08, 0.12,
            "RMSE 0.900 online, 10.0 % above the bias baseline (95 % interval of the difference 0.080 to 0.120).",
            "Online, bias has a lower RMSE than Wide & Deep",
        ),
        (
            -0.1, 0.0,
            "RMSE 0.900 online: no evidence of a difference from the bias baseline "
            "(1.000; 95 % interval of the difference −0.100 to 0.000).",
            "Online, Wide & Deep and bias cannot be told apart",
        ),
    ],
)  # fmt: skip
def test_finding_says_what_the_interval_says(low: float, high: float, sentence: str, title: str) -> None:
    found = results(low, high)
    assert text(rating_finding(found, "online")) == f"Wide & Deep predicts unseen ratings with {sentence}"
    assert headline_finding(found, "online") == title


@pytest.mark.parametrize(
    ("ndcg", "words"),
    [
        ((0.1, 0.2), "of 0.150, below the 0.350 of bias (the 95 % intervals do not overlap)"),
        ((0.6, 0.7), "of 0.650, above the 0.350 of bias (the 95 % intervals do not overlap)"),
        ((0.2, 0.3), "of 0.250, bias 0.350: the 95 % intervals overlap"),
    ],
)
def test_ranking_finding_says_what_the_intervals_say(ndcg: tuple[float, float], words: str) -> None:
    assert words in text(ranking_finding(results(0, 0, ndcg), "frozen", 5))


def test_ranking_finding_names_the_question_of_online_lists() -> None:
    found = results(0, 0)
    found.metrics["ranking"]["online"] = {"ndcg_at_5": {"value": 0.05, "low": 0.04, "high": 0.06, "n": 9}}
    assert (
        text(ranking_finding(found, "online", 5)) == "Its online lists of 5 for the next item reach an NDCG of 0.050."
    )


def test_finding_by_what_is_known_counts_the_groups_in_which_the_model_is_best() -> None:
    rows = [(group, name, value) for group, own in (("0", 0.1), ("1-2", 0.3), ("3-4", 0.4))
            for name, value in (("bias", 0.2), ("wide_deep", own), ("ease", 0.35))]  # fmt: skip
    part = pd.DataFrame(rows, columns=["group", "model", "value"])
    ndcg, rmse = (known_finding(part, "wide_deep", metric) for metric in ("ndcg_at_10", "rmse"))
    assert ndcg == "Wide & Deep has the highest NDCG at 10 in 1 of 3 groups"
    assert rmse == "Wide & Deep has the lowest RMSE in 1 of 3 groups"
    alone = part[part["model"] == "bias"]
    assert known_finding(alone, "bias", "rmse") == "RMSE from 0.200 to 0.200 in 3 groups"


def test_finding_of_one_user_is_no_verdict() -> None:
    found = results(-0.1, -0.1, (0.25, 0.25))
    few = "RMSE 0.900 online, the bias baseline 1.000. There are too few test users for a verdict."
    assert rating_finding(found, "online").endswith(few)
    assert headline_finding(found, "online") == "Online, Wide & Deep and bias cannot be told apart"
    assert "95" not in rating_finding(Results("wide_deep", {**found.metrics, "baselines": {}}), "online")
    for of_model in (found.metrics, found.metrics["baselines"]["bias"]):
        ndcg = of_model["ranking"]["frozen"]["ndcg_at_5"]
        ndcg |= {"low": ndcg["value"], "high": ndcg["value"]}
    assert ranking_finding(found, "frozen", 5).endswith("bias 0.350. There are no intervals to compare them with.")


def test_interval_of_two_users_is_not_drawn() -> None:
    look = Series("one", "#0072B2", "circle")
    estimate = {"value": 1.0, "low": -3.0, "high": 5.0, "n": 9}
    assert point(look, estimate | {"users": 2}) == Point(look, 1.0, 1.0, 1.0, hollow=True)
    assert point(look, estimate | {"users": 3}) == Point(look, 1.0, -3.0, 5.0, hollow=True)


def test_two_objectives_keep_an_epoch_that_need_not_be_the_best_of_either() -> None:
    ndcg = pd.DataFrame({"validation_ndcg_at_10": [0.1, 0.2, 0.3]})
    assert learning_finding("NDCG at 10", ndcg, 1) == (
        "Validation NDCG at 10 is highest in epoch 2 (0.300). Epoch 1 is kept (0.200): there RMSE minus NDCG is lowest"
    )
    assert learning_finding("NDCG at 10", ndcg, 2).endswith("in the last epoch, 2 (0.300): it may still rise")


def test_lists_that_share_no_weights_with_ratings_are_told_for_the_epoch_that_the_ratings_choose() -> None:
    ndcg = pd.DataFrame({"validation_ndcg_at_10": [0.1, 0.3, 0.2], "validation_next_ndcg_at_10": [0.1, 0.2, 0.1]})
    found = learning_finding("NDCG at 10", ndcg, 2)
    assert found == "Validation NDCG at 10 is 0.200 in epoch 2, which the ratings choose"


def test_findings_of_slices_and_of_list_lengths_count() -> None:
    rows = [{"group": group, "model": name, "rmse": rmse} for group, own in (("a", 0.9), ("b", 1.1))
            for name, rmse in (("wide_deep", own), ("bias", 1.0))]  # fmt: skip
    table = pd.DataFrame(rows)
    assert slice_finding(table, "wide_deep", "bias", "genres") == "Lower RMSE than the bias baseline in 1 of 2 genres"
    assert slice_finding(table[:2], "wide_deep", "bias", "genres") == "Lower RMSE than the bias baseline"
    by_k = [{"metric": "ndcg", "k": k, "model": name, "value": value} for k in (1, 5)
            for name, value in (("wide_deep", 0.2), ("bias", 0.1))]  # fmt: skip
    assert by_k_finding(pd.DataFrame(by_k), "ndcg") == "NDCG: Wide & Deep is best at every k"
    by_k[-1]["value"] = 0.3
    assert by_k_finding(pd.DataFrame(by_k), "ndcg") == "NDCG: which model is best depends on k"


def test_findings_of_the_popularity_penalty() -> None:
    coverage, ndcg = pd.Series([0.1427, 0.2, 0.3449], [0, 0.5, 0.95]), pd.Series([0.0856, 0.09, 0.0804], [0, 0.5, 0.95])
    assert penalty_finding(coverage, ndcg).replace("\N{NO-BREAK SPACE}", " ") == (
        "With a penalty of 0.95: coverage 34.49 % in place of 14.27 %, NDCG 0.080 in place of 0.086"
    )
    listed = "Without a penalty, lists have a novelty of 2.5 bits"
    assert novelty_finding(pd.Series([2.46, 3]), None) == listed
    liked = pd.DataFrame({"value": [5.31, 5.31]})
    assert novelty_finding(pd.Series([2.46, 3]), liked) == f"{listed}, and what users liked has 5.3"


@pytest.mark.parametrize(
    ("name", "label", "axis"),
    [
        ("rating.online.rmse", "online RMSE", "RMSE (rating points)"),
        ("rating.frozen.user_mean_mae", "frozen mean MAE of users", "Mean MAE of users (rating points)"),
        ("ranking.frozen.ndcg_at_10", "frozen NDCG at 10", "NDCG at 10"),
        ("ranking.online.ndcg_at_10", "online NDCG at 10", "NDCG at 10"),
        ("baselines.ease.ranking.online.hit_rate_at_10", "EASE, online hit rate at 10", "Hit rate at 10"),
        ("ranking.frozen.novelty_at_10", "frozen novelty at 10", "Novelty at 10 (bits)"),
        ("baselines.global_mean.rating.frozen.rmse", "global mean, frozen RMSE", "RMSE (rating points)"),
        ("frozen_rmse", "frozen_rmse", "frozen RMSE (rating points)"),
        ("rating.online.unheard_of", "rating.online.unheard_of", "unheard_of"),
    ],
)
def test_labels_of_metrics(name: str, label: str, axis: str) -> None:
    assert metric_label(name) == label
    assert axis_label(name) == axis
