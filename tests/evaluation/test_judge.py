"""The judgement of a model and the baselines on the small data set is the same as with numpy and pandas."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from tests.evaluation.conftest import Judged
from tests.small_data import BASELINES, NETWORKS, small_params
from widedeep.errors import UserError
from widedeep.evaluation.background import Background
from widedeep.evaluation.judge import judge as judge_tables
from widedeep.features.assemble import ask, history, listed
from widedeep.features.files import FeatureTables
from widedeep.features.questions import ask_for_lists
from widedeep.report.labels import MODEL_LABELS
from widedeep.score_tables import COMPARED, UNRATED, score_tables, with_baselines

Judge = Callable[..., Judged]
CURVES = {"calibration", "ranking_by_k", "rmse_by_user_activity", "rmse_by_item_popularity", "rmse_by_genre",
          "rmse_by_month", "by_known_ratings", "by_popularity_penalty"}  # fmt: skip


def rmse(predicted: Any, rating: Any) -> float:
    return float(np.sqrt(np.mean((np.clip(predicted, 0.5, 5) - rating) ** 2)))


def numbers(value: Any) -> Iterator[float]:
    for part in value.values() if isinstance(value, dict) else [value]:
        yield from numbers(part) if isinstance(part, dict) else [part]


def test_rmse_of_a_constant_model_by_hand(judge: Judge, ratings: pd.DataFrame) -> None:
    judged = judge(constant=True)
    test = ratings.loc[ratings["split"] == "test", "rating"]
    mean = ratings.loc[ratings["split"] == "train", "rating"].mean()
    for knowledge in ("online", "frozen"):
        found = judged.evaluation.metrics["rating"][knowledge]
        assert found["rmse"]["value"] == pytest.approx(rmse(mean, test), abs=1e-5)
        assert found["mae"]["value"] == pytest.approx((test - mean).abs().mean(), abs=1e-5)
        assert found["rmse"]["n"] == len(test)


def test_bias_baseline_online_by_hand(
    judge: Judge, featurize: Callable[..., FeatureTables], ratings: pd.DataFrame
) -> None:
    tables = featurize()
    rows = tables.rows.to_pandas()
    rows = rows[rows["split"] == "test"]
    expected = rmse(tables.spec.mean + rows["user_mean"] + rows["item_mean"], rows["rating"])
    metrics = judge().evaluation.metrics
    assert metrics["baselines"]["bias"]["rating"]["online"]["rmse"]["value"] == pytest.approx(expected, abs=1e-5)
    difference = metrics["rating"]["online"]["rmse"]["value"] - expected
    assert metrics["rating"]["online"]["rmse_minus_bias"]["value"] == pytest.approx(difference, abs=1e-5)


def test_bias_baseline_frozen_by_hand(judge: Judge, ratings: pd.DataFrame) -> None:
    judged = judge()
    train, test = (ratings[ratings["split"] == split] for split in ("train", "test"))
    rows = judged.features.splits["test"]
    frozen = history(judged.features, rows.user, rows.item, rows.timestamp)
    names = [field.name for field in judged.features.spec.of_kind("history")]
    mean = train["rating"].mean()
    of_item = (train["rating"] - mean).groupby(train["item_id"]).agg(["sum", "count"])
    item_mean = (of_item["sum"] / (of_item["count"] + 5)).reindex(test["item_id"]).fillna(0)
    np.testing.assert_allclose(frozen[:, names.index("item_mean")], item_mean, atol=1e-4)
    expected = rmse(mean + frozen[:, names.index("user_mean")].numpy() + item_mean.to_numpy(), test["rating"])
    found = judged.evaluation.metrics["baselines"]["bias"]["rating"]["frozen"]["rmse"]["value"]
    assert found == pytest.approx(expected, abs=1e-4)


def test_global_mean_is_that_of_training(judge: Judge, ratings: pd.DataFrame) -> None:
    found = judge().evaluation.metrics["baselines"]["global_mean"]["rating"]
    mean = ratings.loc[ratings["split"] == "train", "rating"].mean()
    expected = rmse(mean, ratings.loc[ratings["split"] == "test", "rating"])
    for knowledge in ("online", "frozen"):
        assert found[knowledge]["rmse"]["value"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("model", MODEL_LABELS)
def test_every_model_is_judged_once_beside_the_other_baselines(judge: Judge, model: str) -> None:
    evaluation = judge(train={"model": model}).evaluation
    metrics = evaluation.metrics
    assert evaluation.model == model
    assert list(metrics["baselines"]) == [name for name in COMPARED if name != model]
    rated = [name for name in metrics["baselines"] if name not in UNRATED]
    assert [name for name, tasks in metrics["baselines"].items() if "rating" in tasks] == rated
    differences = {name for name in metrics["rating"]["online"] if name.startswith("rmse_minus_")}
    assert differences == {f"rmse_minus_{name}" for name in rated}
    assert all(math.isfinite(value) for value in numbers(metrics))
    assert 0 <= metrics["ranking"]["frozen"]["ndcg_at_5"]["value"] <= 1
    assert "ranking" not in metrics["baselines"].get("global_mean", {})


def test_a_baseline_has_the_same_numbers_as_the_trained_model(judge: Judge) -> None:
    beside, alone = judge().evaluation.metrics["baselines"], judge(train={"model": "bias"}).evaluation.metrics
    for knowledge, estimates in beside["bias"]["rating"].items():
        assert estimates == {name: alone["rating"][knowledge][name] for name in estimates}
    assert beside["bias"]["ranking"] == alone["ranking"]


def test_every_model_of_the_family_has_a_label() -> None:
    assert set(MODEL_LABELS) == set(BASELINES) | set(NETWORKS)


@pytest.mark.parametrize(("split", "expected"), [("temporal", ["online", "frozen"]), ("random", ["frozen"])])
def test_online_knowledge_is_that_of_a_temporal_split_only(judge: Judge, split: str, expected: list[str]) -> None:
    metrics = judge(split).evaluation.metrics
    assert list(metrics["rating"]) == expected
    for name, baseline in metrics["baselines"].items():
        assert list(baseline.get("rating", expected)) == expected
        if name in ("popularity", "recent_popularity", "ease"):
            assert set(baseline["ranking"]) == set(expected)


def test_sums_per_user_make_the_global_metrics(judge: Judge) -> None:
    evaluation = judge().evaluation
    table = evaluation.per_user
    for knowledge in ("online", "frozen"):
        found = evaluation.metrics["rating"][knowledge]
        squared, absolute = (table[f"{knowledge}_{name}"].sum() for name in ("squared_error", "absolute_error"))
        assert found["rmse"]["value"] == pytest.approx(math.sqrt(squared / table["n"].sum()), abs=1e-6)
        assert found["mae"]["value"] == pytest.approx(absolute / table["n"].sum(), abs=1e-6)
    mean = table["frozen_ndcg_at_5"].mean()
    assert evaluation.metrics["ranking"]["frozen"]["ndcg_at_5"]["value"] == pytest.approx(mean, abs=1e-6)


RANKED: dict[str, dict[str, Any]] = {
    **{model: {"model": model} for model in MODEL_LABELS},
    "interactions": {"factors": 2, "user_items": 3, "item_users": 2, "time": True},
    "ranking": {"objective": "ranking", "time": True},
    "joint": {"objective": "joint", "factors": 2},
}


@pytest.mark.parametrize("train", RANKED.values(), ids=RANKED)
def test_lists_hold_every_item_but_those_of_training_best_first(
    judge: Judge, ratings: pd.DataFrame, train: dict[str, Any]
) -> None:
    """Scores of a grid of users and items are the same as scores of single pairs, and so are predicted ratings."""
    judged = judge(train=train, ks=(31,))
    features, model = judged.features, judged.model
    user_ids, item_ids = (ids.cast(pa.int64()).to_pylist() for ids in features.names[:2])
    rated = ratings[ratings["split"] == "train"]
    first = ratings[ratings["split"] == "test"].groupby("user_id")["timestamp"].min()
    lists = judged.recommendations.query("model == @judged.about.model and knowledge == 'frozen'")
    assert set(lists["user_id"]) == set(first.index)
    for user, own in lists.groupby("user_id"):
        assert own["rank"].tolist() == list(range(1, len(own) + 1))
        seen = set(rated.loc[rated["user_id"] == user, "item_id"])
        assert sorted(own["item_id"]) == sorted(set(item_ids) - seen)
        items = torch.tensor([item_ids.index(item) for item in own["item_id"]])
        asked = ask(features, torch.tensor(user_ids.index(user)), items, torch.tensor(int(first[user])))
        known = listed(features, asked, model.reads)
        with torch.no_grad():
            if model.half_lives:
                who, when = torch.tensor([user_ids.index(user)]), torch.tensor([int(first[user])])
                scores = model.answer(ask_for_lists(features, who, when, model.half_lives, False, True))[0, items]
            else:
                seen_by_head = known if model.ranks_with_history else known._replace(history=None)
                scores = model(seen_by_head).ranking.expand(len(items))
            predicted = model(known).rating.expand(len(items)).clamp(0.5, 5)
        assert (scores.diff() <= 1e-5).all()
        np.testing.assert_allclose(own["score"], scores, atol=1e-5)
        np.testing.assert_allclose(own["predicted"], predicted, atol=1e-5)


def test_ratings_of_a_model_that_ranks_are_the_line_of_its_score(judge: Judge) -> None:
    judged = judge(train={"objective": "ranking"}, trained=True)
    features, model = judged.features, judged.model
    rows = features.splits["test"]
    with torch.no_grad():
        score = model(
            listed(features, ask(features, rows.user, rows.item, rows.timestamp, with_history=False), model.reads)
        ).ranking
        known = features.splits["train"]
        before = model(
            listed(features, ask(features, known.user, known.item, known.timestamp, with_history=False), model.reads)
        ).ranking
    slope, intercept = np.polyfit(before.double(), known.rating.double(), 1)
    expected = rmse(intercept + slope * score.double().numpy(), rows.rating.numpy())
    for knowledge in ("online", "frozen"):
        assert judged.evaluation.metrics["rating"][knowledge]["rmse"]["value"] == pytest.approx(expected, abs=1e-4)


def test_of_too_many_users_a_seeded_few_are_ranked_as_among_all(judge: Judge) -> None:
    whole, part = judge(), judge(ranked_users=3)
    assert part.evaluation.metrics["rating"] == whole.evaluation.metrics["rating"]
    assert part.evaluation.metrics["ranking"]["frozen"]["ndcg_at_5"]["n"] <= 3
    few, every = (table.recommendations.query("knowledge == 'frozen'") for table in (part, whole))
    few = few.reset_index(drop=True)
    assert few["user_id"].nunique() == 3
    same = every[every["user_id"].isin(few["user_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(few, same)
    again = judge(ranked_users=3).recommendations.query("knowledge == 'frozen'").reset_index(drop=True)
    pd.testing.assert_frame_equal(again, few)


def test_metrics_are_finite_rounded_and_json(judge: Judge) -> None:
    metrics = judge().evaluation.metrics
    assert all(math.isfinite(value) and round(value, 6) == value for value in numbers(metrics))
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


@pytest.mark.parametrize("split", ["temporal", "random"])
def test_every_curve_is_there_and_repeats_to_the_last_digit(judge: Judge, split: str) -> None:
    first, second = judge(split).evaluation, judge(split).evaluation
    assert set(first.curves) == CURVES
    assert first.metrics == second.metrics
    for name, table in first.curves.items():
        assert table.to_csv() == second.curves[name].to_csv()


def test_without_timestamps_and_genres_these_curves_have_columns_but_no_rows(
    judge: Judge, ratings: pd.DataFrame, items: pd.DataFrame
) -> None:
    untimed = ratings.assign(timestamp=pd.array([None] * len(ratings), "Int64"))
    plain = items.assign(genres=[[] for _ in range(len(items))])
    curves = judge("random", ratings=untimed, items=plain, crosses=()).evaluation.curves
    assert curves["by_known_ratings"].to_csv(index=False) == "metric,group,model,n,users,value,low,high\n"
    for name in ("rmse_by_month", "rmse_by_genre"):
        assert curves[name].to_csv(index=False) == "group,model,n,users,rmse,low,high\n"


def test_no_relevant_test_item_leaves_ratings_and_beyond_accuracy(judge: Judge) -> None:
    evaluation = judge(relevant_rating=6.0).evaluation
    assert set(evaluation.metrics["ranking"]["frozen"]) <= {"coverage_at_5", "novelty_at_5", "diversity_at_5"}
    assert evaluation.curves["ranking_by_k"].empty
    assert set(evaluation.curves["by_known_ratings"]["metric"]) == {"rmse"}
    assert "online" not in evaluation.metrics["baselines"]["ease"]["ranking"]  # no question is asked
    assert evaluation.metrics["rating"]["online"]["rmse"]["n"] > 0
    missing = evaluation.metrics["missing"]
    assert missing["ranking.frozen.ndcg_at_5"] == "no test rating reaches relevant_rating 6"
    assert missing["ranking.online.coverage_at_5"] == "no test rating reaches relevant_rating 6"
    assert "ranking.frozen.coverage_at_5" not in missing


def test_metrics_that_items_without_genres_lack_are_named(judge: Judge, items: pd.DataFrame) -> None:
    plain = items.assign(genres=[[] for _ in range(len(items))])
    missing = judge("random", items=plain, crosses=()).evaluation.metrics["missing"]
    assert missing == {"ranking.frozen.diversity_at_5": "no list has two items with genres"}
    assert "missing" not in judge("random").evaluation.metrics


def test_no_test_row_is_an_error(judge: Judge) -> None:
    judged = judge()
    rows = judged.features.splits["test"]
    features = replace(judged.features, splits=judged.features.splits | {"test": rows[:0]})
    with pytest.raises(UserError, match="There is no test row"):
        score_tables(features, {judged.about.model: judged.model}, judged.params)


def test_score_tables_have_a_row_per_model_knowledge_and_test_row_in_order(judge: Judge, ratings: pd.DataFrame) -> None:
    predictions = judge().predictions
    test = ratings[ratings["split"] == "test"].reset_index(drop=True)
    groups = list(predictions.groupby(["model", "knowledge"], sort=False, observed=True))
    models = ("wide_deep", *(name for name in COMPARED if name not in UNRATED))
    assert [key for key, _ in groups] == [(model, known) for model in models for known in ("online", "frozen")]
    for _, part in groups:
        same = part[["user_id", "item_id", "timestamp"]].reset_index(drop=True).astype("int64")
        pd.testing.assert_frame_equal(same, test[["user_id", "item_id", "timestamp"]])
        assert part["rating"].tolist() == test["rating"].tolist()
        assert part["predicted"].between(0.5, 5).all()


def test_predictions_without_timestamps_have_none(judge: Judge, ratings: pd.DataFrame) -> None:
    untimed = ratings.assign(timestamp=pd.array([None] * len(ratings), "Int64"))
    assert judge("random", ratings=untimed).predictions["timestamp"].isna().all()


def test_a_user_without_a_list_of_a_model_has_no_hit_there(judge: Judge) -> None:
    judged = judge(ks=(1, 5))
    lists = judged.recommendations
    gone = lists["user_id"].iloc[0]
    rest = lists[(lists["model"] != "bias") | (lists["user_id"] != gone)]
    before = judged.evaluation.metrics["baselines"]
    after = judge_tables(judged.predictions, rest, judged.background, judged.params).metrics["baselines"]
    assert after["popularity"] == before["popularity"]
    one, other = (of["bias"]["ranking"]["frozen"]["hit_rate_at_5"] for of in (before, after))
    assert one["n"] == other["n"]
    assert other["value"] <= one["value"]


def test_models_with_other_rows_are_an_error(judge: Judge) -> None:
    judged = judge()
    with pytest.raises(ValueError, match="of global_mean and of wide_deep must be for the same rows"):
        judge_tables(judged.predictions[:-1], judged.recommendations, judged.background, judged.params)


def test_scores_stay_what_they_were(judge: Judge) -> None:
    """Commit 32c3131 made the committed scores, before scores were tables. Since then only ties are ordered anew."""
    folder = Path(__file__).parent
    judged = judge(train={"factors": 2, "user_items": 3, "item_users": 2, "time": True}, ks=(1, 5))
    expected = pd.read_csv(folder / "expected_predictions.csv")
    for (model, knowledge), part in judged.predictions.groupby(["model", "knowledge"], observed=True):
        assert part["user_id"].tolist() == expected["user_id"].tolist()
        assert part["item_id"].tolist() == expected["item_id"].tolist()
        np.testing.assert_allclose(part["predicted"], expected[f"{knowledge}_{model}"], atol=1e-6)
    lists = pd.read_csv(folder / "expected_lists.csv").set_index(["model", "user_id"])["items"].str.split()
    frozen = judged.recommendations.query("knowledge == 'frozen' and model not in @UNRATED")
    for key, part in frozen.groupby(["model", "user_id"], observed=True):
        moved = part["item_id"].to_numpy() != np.array(lists[key], dtype=np.int64)
        tied = part["score"].diff().abs().lt(1e-6) | part["score"].diff(-1).abs().lt(1e-6)
        assert not (moved & ~tied).any()
    assert len(lists) == frozen.groupby(["model", "user_id"], observed=True).ngroups


def test_ids_that_are_text_change_no_metric(judge: Judge, ratings: pd.DataFrame, items: pd.DataFrame) -> None:
    judged = judge()

    def named(table: pd.DataFrame) -> pd.DataFrame:
        columns = {name: table[name].map("0{:02d}".format) for name in ("user_id", "item_id") if name in table}
        return table.assign(**columns)

    background = Background.of(named(ratings), named(items), "csv", (0.5, 5.0))
    tables = named(judged.predictions), named(judged.recommendations)
    found = judge_tables(*tables, background, judged.params, named(judged.by_penalty))
    assert found.metrics == judged.evaluation.metrics
    for name, curve in judged.evaluation.curves.items():
        pd.testing.assert_frame_equal(found.curves[name], curve)
    assert found.per_user["user_id"].tolist() == named(judged.evaluation.per_user)["user_id"].tolist()


def questions(test: pd.DataFrame) -> list[tuple[int, int]]:
    """List the seconds in which a user rated a relevant item, in order: (user, second)."""
    liked = test[test["rating"] >= 3.875]
    return sorted(set(zip(liked["user_id"], liked["timestamp"], strict=True)))


def online_lists(judged: Judged) -> pd.DataFrame:
    return judged.recommendations.query("knowledge == 'online'")


def test_online_lists_rank_what_the_user_has_not_rated_before_the_second(judge: Judge, ratings: pd.DataFrame) -> None:
    """Every score is worked out by a plain loop over the table. No rating in that second or later is seen."""
    judged = judge(ks=(1, 5, 31), ranked_questions=500)
    features, lists = judged.features, online_lists(judged)
    test = ratings[ratings["split"] == "test"]
    train = ratings[ratings["split"] == "train"]
    models = with_baselines(features, "wide_deep", judged.model)
    half_life = float(models["recent_popularity"].get_buffer("half_life")) * 86_400
    weights = models["ease"].get_buffer("weights").double().numpy()
    index = {item: int(place) for item, place in zip(range(1, 32), features.items.index, strict=True)}
    trained = train["item_id"].value_counts()
    assert set(lists["model"]) == {"popularity", "recent_popularity", "ease"}  # Wide & Deep ranks with histories here
    for model, of_model in lists.groupby("model", observed=True):
        own = dict(list(of_model.groupby(["user_id", "timestamp"])))
        assert sorted(own) == questions(test)
        for (user, second), part in own.items():
            known = ratings[ratings["timestamp"] < second]
            rated = set(known.loc[known["user_id"] == user, "item_id"])
            assert sorted(part["item_id"]) == sorted(set(range(1, 32)) - rated)
            assert part["rank"].tolist() == list(range(1, len(part) + 1))
            times = {item: known.loc[known["item_id"] == item, "timestamp"] for item in part["item_id"]}
            expected = {
                "popularity": [len(times[item]) for item in part["item_id"]],
                "recent_popularity": [(0.5 ** ((second - times[item]) / half_life)).sum() for item in part["item_id"]],
                "ease": [sum(weights[index[other], index[item]] for other in rated) for item in part["item_id"]],
            }[str(model)]
            if model == "ease" and not any(weights[index[other]].any() for other in rated):
                expected = [trained.get(item, 0) for item in part["item_id"]]
            np.testing.assert_allclose(part["score"], expected, atol=1e-5)
            assert (np.diff(part["score"]) <= 0).all()


def test_metrics_of_online_lists_are_means_over_questions(judge: Judge, ratings: pd.DataFrame) -> None:
    judged = judge(train={"model": "popularity"}, ks=(1, 5), ranked_questions=500)
    test = ratings[(ratings["split"] == "test") & (ratings["rating"] >= 3.875)]
    asked = questions(test)
    assert any(len(part) > 1 for _, part in test.groupby(["user_id", "timestamp"]))  # a second with two relevant items
    for model, of_model in online_lists(judged).groupby("model", observed=True):
        ndcg, hit = [], []
        for user, second in asked:
            liked = set(test.loc[test["user_id"].eq(user) & test["timestamp"].eq(second), "item_id"])
            own = of_model[of_model["user_id"].eq(user) & of_model["timestamp"].eq(second)].sort_values("rank")
            hits = [item in liked for item in own["item_id"].head(5)]
            gain = sum(one / math.log2(place + 2) for place, one in enumerate(hits))
            ndcg.append(gain / sum(1 / math.log2(place + 2) for place in range(min(5, len(liked)))))
            hit.append(any(hits))
        metrics = judged.evaluation.metrics
        found = (metrics if model == "popularity" else metrics["baselines"][model])["ranking"]["online"]
        assert found["ndcg_at_5"]["value"] == pytest.approx(np.mean(ndcg), abs=1e-6)
        assert found["hit_rate_at_5"]["value"] == pytest.approx(np.mean(hit), abs=1e-6)
        assert found["ndcg_at_5"]["n"] == found["coverage_at_5"]["n"] == len(asked)
        assert found["ndcg_at_5"]["low"] <= found["ndcg_at_5"]["value"] <= found["ndcg_at_5"]["high"]
        if model == "popularity":
            of_users = pd.Series(ndcg).groupby([user for user, _ in asked]).agg(["sum", "size"])
            stored = judged.evaluation.per_user.set_index("user_id").loc[of_users.index]
            assert stored["online_ndcg_at_5"].tolist() == pytest.approx(of_users["sum"].tolist())
            assert stored["online_lists"].tolist() == of_users["size"].tolist()
            assert stored["online_lists"].max() > 1


def test_of_too_many_questions_a_seeded_few_are_asked_as_among_all(judge: Judge) -> None:
    whole, few, again, other = (
        online_lists(judge(ranked_questions=n, seed=seed)) for n, seed in ((500, 0), (3, 0), (3, 0), (3, 1))
    )
    key = ["user_id", "timestamp"]
    drawn = few[key].drop_duplicates()
    assert len(drawn) == 3
    same = whole.merge(drawn).reset_index(drop=True)
    pd.testing.assert_frame_equal(few.reset_index(drop=True), same)
    pd.testing.assert_frame_equal(few, again)
    assert not other[key].drop_duplicates().reset_index(drop=True).equals(drawn.reset_index(drop=True))


def test_errors_and_ndcg_by_earlier_ratings_are_those_of_a_plain_loop(judge: Judge, ratings: pd.DataFrame) -> None:
    new = ratings["user_id"].isin([2, 5]) & (ratings["timestamp"] < 1050)
    fewer = ratings[~new].reset_index(drop=True)
    judged = judge(ratings=fewer, train={"model": "popularity"}, ks=(5,), ranked_questions=500)
    table = judged.evaluation.curves["by_known_ratings"]
    groups = {"0": (0, 0), "1-2": (1, 2), "3-4": (3, 4), "5-9": (5, 9), "10-19": (10, 19), "20+": (20, 999)}

    def group(user: int, second: int) -> str:
        n = int((fewer["user_id"].eq(user) & fewer["timestamp"].lt(second)).sum())
        return next(name for name, (low, high) in groups.items() if low <= n <= high)

    rows = judged.predictions.query("knowledge == 'online'").assign(metric="rmse")
    rows["value"] = (rows["predicted"].astype(float) - rows["rating"]) ** 2
    test = fewer[fewer["split"].eq("test") & fewer["rating"].ge(3.875)]
    lists = []
    for (model, user, second), part in online_lists(judged).groupby(["model", "user_id", "timestamp"], observed=True):
        liked = set(test.loc[test["user_id"].eq(user) & test["timestamp"].eq(second), "item_id"])
        gain = sum(
            (item in liked) / math.log2(rank + 1) for rank, item in zip(part["rank"], part["item_id"], strict=True)
        )
        best = sum(1 / math.log2(rank + 1) for rank in range(1, min(5, len(liked)) + 1))
        lists.append((model, user, second, "ndcg_at_5", gain / best))
    columns = ["model", "user_id", "timestamp", "metric", "value"]
    every = pd.concat([rows[columns].astype({"model": str}), pd.DataFrame(lists, columns=columns)])
    every["group"] = [group(*pair) for pair in zip(every["user_id"], every["timestamp"], strict=True)]
    expected = every.groupby(["metric", "group", "model"]).agg(
        n=("value", "size"), users=("user_id", "nunique"), value=("value", "mean")
    )
    expected.loc["rmse", "value"] = np.sqrt(expected.loc["rmse", "value"]).to_numpy()
    found = table.set_index(["metric", "group", "model"]).loc[expected.index]
    assert len(table) == len(expected)
    assert found["n"].tolist() == expected["n"].tolist()
    assert found["users"].tolist() == expected["users"].tolist()
    np.testing.assert_allclose(found["value"], expected["value"], atol=2e-6)
    assert list(table["metric"].unique()) == ["rmse", "ndcg_at_5"]
    order = table.loc[table["metric"] == "rmse", "group"].unique().tolist()
    assert order == [name for name in groups if name in order]
    assert {"0", "1-2", "3-4", "20+"} <= set(order)


def test_lists_with_a_popularity_penalty_by_hand() -> None:
    """Of 4 users, 4, 2, 1 and 1 rated the items a, b, c and d: 0, 1, 2 and 2 bits. User 1 likes c, user 2 likes b."""
    train = [(user, "a") for user in range(1, 5)] + [(3, "b"), (4, "b"), (3, "c"), (4, "d")]
    rows = [(*pair, 5.0, 10, "train") for pair in train] + [(1, "c", 5.0, 20, "test"), (2, "b", 5.0, 20, "test")]
    ratings = pd.DataFrame(rows, columns=["user_id", "item_id", "rating", "timestamp", "split"])
    background = Background.of(ratings, pd.DataFrame({"item_id": list("abcd")}), "csv", (0.5, 5.0))
    predictions = background.test.assign(model="ours", knowledge="frozen", predicted=4.0)
    lists = {0.0: {1: "ab", 2: "ab"}, 0.5: {1: "bc", 2: "ba"}}
    by_penalty = pd.DataFrame(
        [(penalty, "frozen", user, 20, rank, item) for penalty, own in lists.items()
         for user, items in own.items() for rank, item in enumerate(items, 1)],
        columns=["popularity_penalty", "knowledge", "user_id", "timestamp", "rank", "item_id"],
    )  # fmt: skip
    recommendations = by_penalty[by_penalty["popularity_penalty"] == 0].assign(model="ours")
    params = small_params().evaluate.model_copy(update={"ks": (2,)})
    curve = judge_tables(predictions, recommendations, background, params, by_penalty).curves["by_popularity_penalty"]
    second = 1 / math.log2(3)  # NDCG of a single relevant item at rank 2
    value = {(row.model, row.metric, row.popularity_penalty): row.value for row in curve.itertuples()}
    assert value == pytest.approx(
        {
            ("ours", "frozen_ndcg_at_2", 0): second / 2,  # 0 and second
            ("ours", "frozen_ndcg_at_2", 0.5): (second + 1) / 2,
            ("ours", "frozen_coverage_at_2", 0): 2 / 4,
            ("ours", "frozen_coverage_at_2", 0.5): 3 / 4,
            ("ours", "frozen_novelty_at_2", 0): 0.5,  # 0 and 1 bits in both lists
            ("ours", "frozen_novelty_at_2", 0.5): (1.5 + 0.5) / 2,
            ("liked", "frozen_novelty_at_2", 0): (2 + 1) / 2,
            ("liked", "frozen_novelty_at_2", 0.5): (2 + 1) / 2,
        },
        abs=1e-6,
    )


def test_the_penalty_of_the_params_is_that_of_the_judged_lists(judge: Judge) -> None:
    train = {"objective": "joint"}
    plain, judged = judge(train=train), judge(train=train, popularity_penalty=0.8)
    own = judged.recommendations["model"] == "wide_deep"
    assert not judged.recommendations[own].equals(plain.recommendations[own])
    assert judged.recommendations[~own].equals(plain.recommendations[~own])  # the baselines have no penalty
    curve = judged.evaluation.curves["by_popularity_penalty"]
    assert curve.equals(plain.evaluation.curves["by_popularity_penalty"])
    curve = curve[curve["model"] == "wide_deep"].set_index(["metric", "popularity_penalty"])["value"]
    for penalty, one in ((0, plain), (0.8, judged)):
        for knowledge in ("frozen", "online"):
            for metric in ("ndcg_at_5", "coverage_at_5", "novelty_at_5"):
                value = one.evaluation.metrics["ranking"][knowledge][metric]["value"]
                assert curve[f"{knowledge}_{metric}", penalty] == value
