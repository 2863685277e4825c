"""Files of score tables from any system: good files are judged, and bad ones are refused in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.small_data import coded
from widedeep.errors import UserError
from widedeep.evaluation.background import Background
from widedeep.evaluation.files import load_predictions, load_recommendations, save
from widedeep.params import EvaluateParams
from widedeep.report.judged import judge_files
from widedeep.score_tables import COMPARED, UNRATED

PARAMS = EvaluateParams(
    ks=(1, 3, 50), relevant_rating=None, ranked_users=100, ranked_questions=100, popularity_penalty=0,
    bootstrap_replicates=100, seed=0,
)  # fmt: skip


@pytest.fixture
def background(ratings: pd.DataFrame, items: pd.DataFrame) -> Background:
    return Background.of(ratings, items, "csv", (0.5, 5.0))


@pytest.fixture
def predictions(background: Background) -> pd.DataFrame:
    """Make the predictions of a system that predicts the middle of the scale, in another order than the data."""
    rows = background.test[["user_id", "item_id"]].iloc[::-1]
    return rows.assign(model="peer", knowledge="frozen", predicted=2.75)


@pytest.fixture
def recommendations(background: Background) -> pd.DataFrame:
    """Recommend items 1, 2 and 3 to every user of the test rows."""
    users = np.unique(background.test["user_id"])
    lists = pd.DataFrame(
        {"user_id": users.repeat(3), "item_id": [1, 2, 3] * len(users), "rank": [1, 2, 3] * len(users)}
    )
    return lists.assign(model="peer", knowledge="frozen", score=1.0)


@pytest.fixture
def tables(ratings: pd.DataFrame, items: pd.DataFrame, users: pd.DataFrame, tmp_path: Path) -> Path:
    folder = tmp_path / "interim"
    folder.mkdir()
    coded(ratings, items, users).save(folder)
    return folder


def written(table: pd.DataFrame, folder: Path, name: str) -> Path:
    path = folder / f"{name}.parquet"
    table.to_parquet(path, index=False)
    return path


def test_predictions_are_put_in_the_order_of_the_test_rows(
    predictions: pd.DataFrame, background: Background, tmp_path: Path
) -> None:
    found = load_predictions(written(predictions, tmp_path, "p"), background)
    pd.testing.assert_frame_equal(found[["user_id", "item_id"]], background.test[["user_id", "item_id"]])
    assert found["rating"].tolist() == background.test["rating"].tolist()
    assert found["timestamp"].tolist() == background.test["timestamp"].tolist()


def test_score_tables_are_read_as_they_were_saved(judge: Callable[..., Any], tmp_path: Path) -> None:
    judged = judge()
    save(judged.predictions, tmp_path / "p.parquet")
    save(judged.recommendations, tmp_path / "r.parquet")
    types = {name: str(kind) for name, kind in zip(*_schema(tmp_path / "p.parquet"), strict=True)}
    assert types == {
        "model": "string", "knowledge": "string", "user_id": "int64", "item_id": "int64", "rating": "float",
        "timestamp": "int64", "predicted": "float",
    }  # fmt: skip
    found = load_predictions(tmp_path / "p.parquet", judged.background)
    assert found["predicted"].tolist() == judged.predictions["predicted"].tolist()
    assert found["model"].tolist() == judged.predictions["model"].tolist()
    lists = load_recommendations(tmp_path / "r.parquet", judged.background)
    assert lists["item_id"].tolist() == judged.recommendations["item_id"].tolist()


def _schema(path: Path) -> tuple[list[str], list[Any]]:
    schema = pq.read_schema(path)
    return schema.names, schema.types


def without(row: int) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: table.drop(table.index[row])


def twice(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table[:2]])


def with_value(column: str, value: Any, row: int = 0) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        values = table[column].tolist()
        values[row] = value
        return table.assign(**{column: values})

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="predicted"), r"must have the columns .*\. Missing: predicted\."),
        (with_value("predicted", float("nan")), r"column predicted: 1 values are missing|must have a finite number"),
        (with_value("predicted", float("inf")), "must have a finite number in column predicted"),
        (lambda table: table.assign(predicted="good"), r"column predicted: must be of type float\. Got"),
        (lambda table: table.assign(user_id=table["user_id"].astype(str)), r"column user_id: must be of type int64"),
        (with_value("user_id", 77), r"the row with user_id 77, .* has an unknown user_id\."),
        (with_value("item_id", 77), r"item_id 77 has an unknown item_id\."),
        (lambda table: table.assign(knowledge="later"), "must be online or frozen. Got 'later' instead"),
        (lambda table: table.assign(model="a.b"), "must consist of letters, digits, _ and -. Got 'a.b' instead"),
        (twice, r"stands twice among the predictions of peer, frozen \(the first of 2 such rows\)\."),
        (without(0), r"is a test row that has no prediction of peer, frozen\.$"),
        (
            lambda table: table[:3],
            r"is a test row that has no prediction of peer, frozen \(the first of 46 such rows\)\.",
        ),
        (lambda table: table[:0], "has no rows"),
        (
            lambda table: pd.concat([table, table.assign(model="other", knowledge="online")]),
            "peer has no online predictions, but another model has some",
        ),
        (lambda table: table.assign(rating=9.0), "has another rating than the test row"),
    ],
)
def test_bad_predictions_are_refused_in_one_line(
    predictions: pd.DataFrame,
    background: Background,
    tmp_path: Path,
    change: Callable[[pd.DataFrame], pd.DataFrame],
    message: str,
) -> None:
    path = written(change(predictions), tmp_path, "p")
    with pytest.raises(UserError, match=message) as error:
        load_predictions(path, background)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_a_row_that_is_no_test_row_is_refused(
    predictions: pd.DataFrame, background: Background, ratings: pd.DataFrame, tmp_path: Path
) -> None:
    train = ratings[ratings["split"] == "train"].iloc[[0]][["user_id", "item_id"]]
    more = pd.concat([predictions, train.assign(model="peer", knowledge="frozen", predicted=3.0)])
    with pytest.raises(UserError, match=r"is not a test row\.$"):
        load_predictions(written(more, tmp_path, "p"), background)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns=["rank", "score"]), "Missing: rank, score"),
        (with_value("rank", 1, row=1), r"has a rank twice\.$"),
        (with_value("item_id", 1, row=1), r"has an item twice\.$"),
        (with_value("rank", 0), "has a rank below 1"),
        (without(1), r"leaves ranks out. Ranks must be 1, 2, 3"),
        (with_value("item_id", 99), "has an unknown item_id"),
        (with_value("user_id", 99), "has an unknown user_id"),
        (with_value("score", float("inf")), "must have a finite number in column score"),
        (lambda table: table.assign(rank=1.5), r"column rank: must be of type int32\. Got double instead"),
    ],
)
def test_bad_recommendations_are_refused_in_one_line(
    recommendations: pd.DataFrame,
    background: Background,
    tmp_path: Path,
    change: Callable[[pd.DataFrame], pd.DataFrame],
    message: str,
) -> None:
    path = written(change(recommendations), tmp_path, "r")
    with pytest.raises(UserError, match=message) as error:
        load_recommendations(path, background)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.fixture
def online(background: Background) -> pd.DataFrame:
    """Recommend items 1, 2 and 3 at each second in which a user rated something in the test rows."""
    asked = background.test[["user_id", "timestamp"]].drop_duplicates().astype("int64")
    lists = asked.merge(pd.DataFrame({"item_id": [1, 2, 3], "rank": [1, 2, 3]}), how="cross")
    return lists.assign(model="peer", knowledge="online", score=1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda table: table.drop(columns="timestamp"),
            r"is of an online list and must have a timestamp \(the first of",
        ),
        (
            lambda table: table.assign(timestamp=[None, *table["timestamp"][1:]]).astype({"timestamp": "Int64"}),
            r"is of an online list and must have a timestamp\.$",
        ),
        (lambda table: table.assign(timestamp=table["timestamp"] * 1.0), "column timestamp: must be of type int64"),
        (lambda table: pd.concat([table, table[:1]]), r"has a rank twice \(the first of|has a rank twice\.$"),
        (with_value("item_id", 2), r"has an item twice\.$"),
        (without(1), r"leaves ranks out. Ranks must be 1, 2, 3"),
        (lambda table: table.assign(timestamp=5), "has a rank twice"),
        (
            lambda table: table[:3].assign(timestamp=5),
            r"no list has a test row of its user \(and second\), so there is",
        ),
    ],
)
def test_bad_online_lists_are_refused_in_one_line(
    online: pd.DataFrame,
    background: Background,
    tmp_path: Path,
    change: Callable[[pd.DataFrame], pd.DataFrame],
    message: str,
) -> None:
    path = written(change(online), tmp_path, "r")
    with pytest.raises(UserError, match=message) as error:
        load_recommendations(path, background)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_online_lists_of_seconds_without_a_test_row_of_the_user_are_left_out(
    online: pd.DataFrame, recommendations: pd.DataFrame, background: Background, tmp_path: Path
) -> None:
    """Frozen lists stay, with or without a second, which plays no part there."""
    user = online["user_id"].iloc[0]
    elsewhere = online[:3].assign(timestamp=int(background.test["timestamp"].max()) + 1)
    frozen = recommendations.assign(timestamp=7)
    both = pd.concat([online, elsewhere, frozen])
    found = load_recommendations(written(both, tmp_path, "r"), background)
    assert len(found) == len(online) + len(frozen)
    own = found[(found["knowledge"] == "online") & (found["user_id"] == user)]
    seconds = background.test.loc[background.test["user_id"] == user, "timestamp"]
    assert set(own["timestamp"]) == set(seconds)
    assert found.loc[found["knowledge"] == "frozen", "timestamp"].isna().all()
    nothing = recommendations.assign(timestamp=None)  # a column of type null
    assert len(load_recommendations(written(nothing, tmp_path, "n"), background)) == len(recommendations)


def test_online_lists_of_another_system_are_judged_by_question(
    predictions: pd.DataFrame, online: pd.DataFrame, tables: Path, background: Background, tmp_path: Path
) -> None:
    """Without frozen lists the page has no examples, and the summary has one table of lists."""
    scores = predictions.assign(knowledge="online")
    files = written(scores, tmp_path, "p"), written(online, tmp_path, "r")
    summary = judge_files(*files, tables, tmp_path / "out", PARAMS)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    liked = background.test[background.test["rating"] >= 3.875]
    hits = liked["item_id"].isin([1, 2, 3]).groupby([liked["user_id"], liked["timestamp"]]).any()
    assert list(metrics["ranking"]) == ["online"]
    assert metrics["ranking"]["online"]["hit_rate_at_3"]["value"] == pytest.approx(hits.mean(), abs=1e-6)
    assert metrics["ranking"]["online"]["hit_rate_at_3"]["n"] == len(hits)
    asked = len(online) // 3
    assert metrics["ranking"]["online"]["novelty_at_3"]["n"] == asked > len(hits)
    assert f"| next item, online, {asked} questions | ndcg_at_3 |" in summary
    assert "frozen" not in summary
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Online: the next item" in page
    assert "What does it recommend?" not in page


def test_two_systems_are_compared_on_the_questions_that_both_answer(
    predictions: pd.DataFrame, online: pd.DataFrame, tables: Path, background: Background, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    scores = predictions.assign(knowledge="online")
    files = written(scores, tmp_path, "p"), written(online[:-3], tmp_path, "r")
    written(scores.assign(model="other"), other, "predictions")
    written(online[3:].assign(model="other"), other, "recommendations")
    judge_files(*files, tables, tmp_path / "out", PARAMS, beside=other)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    for of in (metrics, metrics["baselines"]["other"]):
        assert of["ranking"]["online"]["coverage_at_3"]["n"] == len(online) // 3 - 2
    written(online[-3:].assign(model="other"), other, "recommendations")
    with pytest.raises(UserError, match=r"have lists for no user \(and second\) in common"):
        judge_files(*files, tables, tmp_path / "out", PARAMS, beside=other)


def test_a_file_that_is_missing_or_no_parquet_is_refused(background: Background, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        load_predictions(tmp_path / "none", background)
    (tmp_path / "text").write_text("model,knowledge\n", encoding="utf-8")
    with pytest.raises(UserError, match="is not a whole Parquet file"):
        load_predictions(tmp_path / "text", background)


def test_text_ids_are_kept_to_the_letter(ratings: pd.DataFrame, items: pd.DataFrame, tmp_path: Path) -> None:
    ids = {"user_id": ratings["user_id"].map("u{:03d}".format), "item_id": ratings["item_id"].map("{:04d}".format)}
    named = Background.of(
        ratings.assign(**ids), items.assign(item_id=items["item_id"].map("{:04d}".format)), "csv", (0.5, 5.0)
    )
    own = named.test[["user_id", "item_id"]].assign(model="peer", knowledge="frozen", predicted=3)
    found = load_predictions(written(own, tmp_path, "p"), named)
    assert found["user_id"].tolist() == named.test["user_id"].tolist()
    assert set(found["item_id"].str.len()) == {4}


def test_files_of_another_system_are_judged(
    predictions: pd.DataFrame, recommendations: pd.DataFrame, tables: Path, background: Background, tmp_path: Path
) -> None:
    files = written(predictions, tmp_path, "p"), written(recommendations, tmp_path, "r")
    summary = judge_files(*files, tables, tmp_path / "out", PARAMS)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    rmse = float(np.sqrt(((background.test["rating"] - 2.75) ** 2).mean()))
    assert metrics["rating"]["frozen"]["rmse"]["value"] == pytest.approx(rmse, abs=1e-6)
    liked = background.test[background.test["rating"] >= 3.875]
    hits = liked[liked["item_id"].isin([1, 2, 3])].groupby("user_id").size().reindex(liked["user_id"].unique())
    assert metrics["ranking"]["frozen"]["precision_at_3"]["value"] == pytest.approx(hits.fillna(0).mean() / 3, abs=1e-6)
    assert metrics["ranking"]["frozen"]["coverage_at_3"]["value"] == pytest.approx(3 / 31, abs=1e-6)
    assert "precision_at_50" not in metrics["ranking"]["frozen"]  # the lists have three places
    assert metrics["baselines"] == {}
    assert f"| peer | {rmse:.3f}" in summary
    assert (tmp_path / "out" / "summary.md").read_text(encoding="utf-8") == summary
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert f"peer predicts unseen ratings with RMSE {rmse:.3f}" in page
    assert "This system was trained elsewhere" in page
    per_user = pd.read_parquet(tmp_path / "out" / "per_user.parquet")
    assert per_user["user_id"].tolist() == sorted(set(background.test["user_id"]))


def test_another_run_stands_beside(
    judge: Callable[..., Any], predictions: pd.DataFrame, recommendations: pd.DataFrame, tables: Path, tmp_path: Path
) -> None:
    judged = judge()
    save(judged.predictions, tmp_path / "predictions.parquet")
    save(judged.recommendations, tmp_path / "recommendations.parquet")
    files = written(predictions, tmp_path, "p"), written(recommendations, tmp_path, "r")
    params = PARAMS.model_copy(update={"ks": (1, 3)})
    summary = judge_files(*files, tables, tmp_path / "out", params, beside=tmp_path)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert list(metrics["baselines"]) == ["wide_deep", *COMPARED]
    assert list(metrics["rating"]) == ["frozen"]  # the knowledge that both have
    assert list(metrics["ranking"]) == ["frozen"]
    assert list(metrics["baselines"]["ease"]["ranking"]) == ["frozen"]
    for name, own in {"wide_deep": judged.evaluation.metrics, **judged.evaluation.metrics["baselines"]}.items():
        if name in UNRATED:
            continue
        expected = own["rating"]["frozen"]["rmse"]
        assert metrics["baselines"][name]["rating"]["frozen"]["rmse"] == expected
        difference = metrics["rating"]["frozen"]["rmse"]["value"] - expected["value"]
        assert metrics["rating"]["frozen"][f"rmse_minus_{name}"]["value"] == pytest.approx(difference, abs=2e-6)
    assert "peer minus Wide & Deep, paired" in summary


def test_another_run_with_other_test_rows_is_refused(
    predictions: pd.DataFrame, recommendations: pd.DataFrame, tables: Path, tmp_path: Path
) -> None:
    files = written(predictions, tmp_path, "p"), written(recommendations, tmp_path, "r")
    beside = tmp_path / "beside"
    beside.mkdir()
    written(predictions[5:].assign(model="other"), beside, "predictions")
    written(recommendations.assign(model="other"), beside, "recommendations")
    with pytest.raises(
        UserError, match=r"beside/predictions.parquet: .* is a test row that has no .*the first of 5 such rows"
    ):
        judge_files(*files, tables, tmp_path / "out", PARAMS, beside=beside)
    written(predictions, beside, "predictions")
    with pytest.raises(UserError, match="both have a model 'peer'"):
        judge_files(*files, tables, tmp_path / "out", PARAMS, beside=beside)
    assert not (tmp_path / "out").exists()


def test_lists_that_no_cut_off_reaches_are_refused(
    predictions: pd.DataFrame, recommendations: pd.DataFrame, tables: Path, tmp_path: Path
) -> None:
    files = written(predictions, tmp_path, "p"), written(recommendations, tmp_path, "r")
    with pytest.raises(UserError, match=r"lists of at least 10 items\. The longest lists have 3\."):
        judge_files(*files, tables, tmp_path / "out", PARAMS.model_copy(update={"ks": (10,)}))
