"""The recommender answers as evaluation judged the model, learns from new ratings, and names every mistake."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import torch

import widedeep
from tests.small_data import bundled, small_params
from widedeep.cli import main
from widedeep.errors import UserError
from widedeep.features.assemble import ask
from widedeep.features.entities import encode
from widedeep.features.tensors import FeatureSet
from widedeep.models.build import build
from widedeep.models.bundle import Bundle
from widedeep.score_tables import score_tables
from widedeep.scoring import predict
from widedeep.serving import batch
from widedeep.serving.recommender import Recommender, recommend_top_n

Load = Callable[..., FeatureSet]
WAYS: dict[str, dict[str, Any]] = {
    "lists from questions": {"objective": "joint"},
    "interactions and time": {"objective": "ranking", "factors": 3, "user_items": 5, "item_users": 5, "time": True},
    "history": {"objective": "rating"},
}


def made(load: Load, split: str = "temporal", **changes: Any) -> tuple[FeatureSet, Bundle]:
    """Make a model with random weights."""
    features = load(split)
    titles = pa.array([f"Film {chr(65 + code % 26)}{code}, The" for code in range(len(features.items))])
    features = replace(features, names=features.names._replace(titles=titles))
    recipe = small_params(**changes).recipe
    model = build(features.spec, recipe.architecture)
    model.fit(features)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return features, bundled(features, model.eval(), recipe.architecture)


@pytest.fixture
def asked(load: Load) -> Recommender:
    return Recommender(made(load, objective="joint")[1], clock=lambda: 2000.0)


def judged(features: FeatureSet, bundle: Bundle, penalty: float = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    changes = {"ks": [5], "ranked_users": 100, "ranked_questions": 1000, "popularity_penalty": penalty}
    params = small_params().evaluate.model_copy(update=changes)
    return score_tables(features, {"ours": bundle.model}, params)[:2]


@pytest.mark.parametrize("penalty", [0, 0.4])
@pytest.mark.parametrize("way", WAYS)
def test_lists_and_ratings_are_those_that_were_judged(load: Load, way: str, penalty: float) -> None:
    features, bundle = made(load, **WAYS[way])
    predictions, lists = judged(features, bundle, penalty)
    recommender = Recommender(bundle)
    frozen = lists[lists["knowledge"] == "frozen"]
    assert frozen["user_id"].nunique() > 5
    for user, expected in frozen.groupby("user_id"):
        at = int(expected["timestamp"].iloc[0])
        found = recommender.recommend(user, 5, at=at, popularity_penalty=penalty)
        assert found["item_id"].tolist() == expected["item_id"].astype(str).tolist()
        many = recommender.recommend_many([user], 5, at=at, popularity_penalty=penalty)
        assert many["item_id"].tolist() == found["item_id"].tolist()
        assert found["score"].tolist() == pytest.approx(expected["score"].tolist(), abs=1e-6)
        assert found["predicted"].tolist() == pytest.approx(expected["predicted"].tolist(), abs=1e-6)
    for row in predictions[predictions["knowledge"] == "frozen"].itertuples():
        found = recommender.predict(row.user_id, [row.item_id], at=row.timestamp)
        assert found["predicted"].item() == pytest.approx(row.predicted, abs=1e-6)


@pytest.mark.parametrize("penalty", [0, 0.4])
def test_a_replay_of_the_test_ratings_gives_the_online_lists_and_ratings(load: Load, penalty: float) -> None:
    features, bundle = made(load, objective="joint")
    predictions, lists = judged(features, bundle, penalty)
    online = lists[lists["knowledge"] == "online"]
    known = predictions[predictions["knowledge"] == "online"]
    recommender = Recommender(bundle)
    validation = features.splits["validation"]
    later = [
        {"user_id": features.names.user_ids[user].as_py(), "item_id": features.names.item_ids[item].as_py(),
         "rating": rating, "timestamp": second}
        for part in (validation, features.splits["test"])
        for user, item, rating, second in zip(part.user.tolist(), part.item.tolist(), part.rating.tolist(),
                                              part.timestamp.tolist(), strict=True)
    ]  # fmt: skip
    compared = 0
    for event in later:
        second, user = event["timestamp"], str(event["user_id"])
        same = (online["user_id"].astype(str) == user) & (online["timestamp"] == second)
        if same.any():
            found = recommender.recommend(user, 5, at=second, horizon="next", popularity_penalty=penalty)
            assert found["item_id"].tolist() == online[same]["item_id"].astype(str).tolist()
            compared += 1
        row = known[(known["user_id"].astype(str) == user) & (known["item_id"].astype(str) == event["item_id"])]
        if len(row):
            found = recommender.predict(user, [event["item_id"]], at=second)
            assert found["predicted"].item() == pytest.approx(row["predicted"].item(), rel=1e-5)
        recommender.add([event])
    assert compared > 10


def test_someone_new_is_known_by_their_ratings_as_a_user_with_these_ratings_is(load: Load) -> None:
    for changes in WAYS.values():
        _, bundle = made(load, **changes)
        context = bundle.context.settled().extended(users=encode(bundle.context.spec, "user", {}))
        items, ratings = torch.tensor([3, 9, 1]), torch.tensor([5.0, 2.0, 4.5])
        second = Recommender(bundle).last_second
        user = torch.full((3,), len(context.users) - 1)
        context = context.add(user, items, ratings, torch.full((3,), second)).settled()
        # What is known of the items themselves stays as it was.
        context = replace(context, state=replace(context.state, items=bundle.context.state.items))
        wanted = torch.tensor([0, 5, 7])
        if not changes.get("item_users"):
            rows = ask(context, user, wanted, torch.tensor(second + 1))
            expected = predict({"": bundle.model}, context, rows)[""]
            new = bundle.context.of_new_user(encode(context.spec, "user", {}), items, ratings, torch.tensor(second))
            rows = ask(new, torch.zeros(3, dtype=torch.int64), wanted, torch.tensor(second + 1))
            torch.testing.assert_close(predict({"": bundle.model}, new, rows)[""], expected)


def test_likes_change_the_list_and_are_not_recommended_again(asked: Recommender) -> None:
    popular = asked.recommend("nobody", 5)
    assert popular.attrs["fallback"] == "recent_popularity"
    assert not popular.attrs["known"]
    liked = popular["item_id"][0]
    found = asked.recommend(likes=[liked], n=5)
    assert found.attrs["fallback"] is None
    assert liked not in found["item_id"].tolist()
    assert liked in asked.recommend(likes=[liked], n=5, exclude_seen=False, candidates=[liked])["item_id"].tolist()


def test_parts_of_an_explanation_add_up_to_the_score(asked: Recommender) -> None:
    liked = ["The film D3", "film J9, the", "30"]
    for code in range(0, 31, 5):
        item = asked.catalogue.ids[code]
        why = asked.explain(None, item, likes=liked)
        found = asked.recommend(likes=liked, n=31, exclude_seen=False)
        score = found.loc[found["item_id"] == item, "score"].item()
        assert why.parts["value"].sum() == pytest.approx(score, abs=1e-6)
        named = why.parts["title"].dropna().tolist()
        assert set(named) <= {asked.catalogue.titles[asked.catalogue.code(title)] for title in liked}
        assert all(str(title) not in why.sentence for title in asked.catalogue.titles if title not in named)


def test_without_an_order_in_time_lists_are_those_that_were_judged_and_reasons_are_other_items(load: Load) -> None:
    features, bundle = made(load, "random", objective="joint")
    lists = judged(features, bundle)[1]
    recommender = Recommender(bundle)
    for user, expected in lists[lists["knowledge"] == "frozen"].groupby("user_id"):
        found = recommender.recommend(user, 5)
        assert found["item_id"].tolist() == expected["item_id"].astype(str).tolist()
        assert found["score"].tolist() == pytest.approx(expected["score"].tolist(), abs=1e-5)
    liked = ["The film D3", "30"]
    item, score = recommender.recommend(likes=liked, n=1)[["item_id", "score"]].iloc[0]
    why = recommender.explain(None, item, likes=liked)
    assert why.parts["value"].sum() == pytest.approx(score, abs=1e-5)
    assert why.parts["part"].tolist() == ["popular", "history", "history"]
    assert "lately" not in why.sentence


def test_an_item_is_found_by_id_and_by_a_title_written_otherwise(asked: Recommender) -> None:
    catalogue = asked.catalogue
    assert catalogue.code("1") == catalogue.code(1) == 0
    for text in ("Film B1, The", "the film b1", "Film B1, The (1995)", "FILM  B1 the".replace(" the", ", the")):
        assert catalogue.code(text) == 1
    with pytest.raises(UserError, match=r"No item has the id or title 'Film B11'.* Similar titles: .*Film B1"):
        catalogue.code("Film B11")
    assert asked.search("film b1", 1)["title"].tolist() == ["Film B1, The"]


def test_filters_and_empty_lists_say_why(asked: Recommender) -> None:
    genre = asked.catalogue.kinds[0]
    found = asked.recommend("1", 31, genres=[genre.upper()], exclude_seen=False)
    assert len(found)
    assert all(genre in genres.split("|") for genres in found["genres"])
    none = asked.recommend("1", candidates=[])
    assert none.empty
    assert none.attrs["reason"] == "No item fits the filters."
    had = asked.history("1", 100)["item_id"].tolist()
    assert asked.recommend("1", candidates=had).attrs["reason"].startswith("The user has had every item")
    with pytest.raises(UserError, match=r"There is no genre 'Opera'. Known genres: "):
        asked.recommend("1", genres=["Opera"])


def test_years_keep_the_items_from_the_first_to_the_last(asked: Recommender) -> None:
    def ids(years: Any, **filters: Any) -> set[int]:
        return {int(item) for item in asked.recommend("1", 31, years=years, exclude_seen=False, **filters)["item_id"]}

    # Item i is of the year 1989 + i. Items 1, 8, 15, ... have no year (tests/small_data.py).
    assert ids((1996, 1999)) == ids("1996-1999") == {7, 9, 10}
    assert ids(1996) == ids("1996") == {7}
    assert ids((1996, 1999), candidates=["7", "8", "11"]) == {7}
    assert asked.recommend("1", years=(1800, 1801)).attrs["reason"] == "No item fits the filters."
    bare = asked.bundle.names._replace(years=pa.nulls(len(asked.catalogue), pa.int64()))
    without = Recommender(replace(asked.bundle, names=bare))
    with pytest.raises(UserError, match=r"No item of this model has a year"):
        without.recommend("1", years=(1996, 1999))


def test_many_users_get_the_lists_that_each_gets_alone(asked: Recommender) -> None:
    together = asked.recommend_many(["1", 3, "2"], 4)
    assert together["user_id"].drop_duplicates().tolist() == ["1", "3", "2"]
    for user, found in together.groupby("user_id"):
        alone = asked.recommend(user, 4)
        pd.testing.assert_frame_equal(found.drop(columns="user_id").reset_index(drop=True), alone, check_exact=False)
    assert asked.recommend_many([], 4).empty
    with pytest.raises(UserError, match="No user has the id 'x'"):
        asked.recommend_many(["x"])


def test_new_ratings_make_a_new_user_known_and_count_for_everybody(asked: Recommender) -> None:
    before = asked.recommend("new", 31)
    second = asked.last_second + 1
    assert asked.add([{"user_id": "new", "item_id": "7", "rating": 5, "timestamp": second}]) == 1
    found = asked.recommend("new", 31)
    assert found.attrs["known"]
    assert "7" not in found["item_id"].tolist()
    assert "7" in before["item_id"].tolist()
    assert asked.last_second == second
    assert asked.history("new").to_dict("records")[0]["rating"] == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item_id": "x"}, "Event 2: no item has the id 'x'."),
        ({"rating": 9}, r"Event 2: rating must be a number in \[0.5, 5\]. Got 9 instead."),
        ({"rating": float("nan")}, "Event 2: rating must be a number"),
        ({"timestamp": 5}, "Event 2: timestamp must not be before the latest known rating"),
        ({"timestamp": 9999}, "Event 2: timestamp must not be in the future"),
        ({"timestamp": 1.5}, "Event 2: timestamp must be a whole number"),
        (
            {"user_id": " "},
            "Event 2: user_id must be an id: text that is not empty, or a whole number",
        ),
        ({"user_id": float("nan")}, "Event 2: user_id must be an id: .* Got nan instead."),
        ({"user_id": True}, "Event 2: user_id must be an id: .* Got True instead."),
        ({"item_id": 1.5}, "Event 2: item_id must be an id: .* Got 1.5 instead."),
        ({"rating": None}, "Event 2 has no rating"),
    ],
)
def test_of_events_with_a_mistake_none_is_taken(asked: Recommender, change: dict[str, Any], message: str) -> None:
    event = {"user_id": "new", "item_id": "1", "rating": 4.0, "timestamp": asked.last_second}
    with pytest.raises(UserError, match=message):
        asked.add([event, event | change])
    assert not asked.recommend("new").attrs["known"]


@pytest.mark.parametrize("events", [None, {"user_id": "1"}, [1], "1"])
def test_events_that_are_no_list_of_events_are_refused(asked: Recommender, events: Any) -> None:
    with pytest.raises(UserError, match=r"events must be a frame, or a list with a mapping for each event\. Got "):
        asked.add(events)


def test_ids_as_pandas_makes_them_are_the_same_ids(asked: Recommender) -> None:
    second = asked.last_second + 1
    asked.add(pd.DataFrame({"user_id": [15.0], "item_id": [7.0], "rating": [4.0], "timestamp": [second]}))
    assert asked.history("15")["item_id"].tolist() == ["7"]
    assert asked.recommend(15.0).attrs["known"]  # type: ignore[arg-type]
    for wrong in (True, float("nan"), 1.5, " ", [1]):
        with pytest.raises(UserError, match="user_id must be an id: text that is not empty, or a whole number"):
            asked.recommend(wrong)  # type: ignore[arg-type]


def test_one_text_is_one_item_or_genre_not_its_letters(asked: Recommender) -> None:
    lists = [asked.recommend(likes=likes, candidates="2", genres="Drama") for likes in ("1", ["1"])]
    pd.testing.assert_frame_equal(*lists)
    with pytest.raises(UserError, match="No item has the id or title 'Heat'"):
        asked.recommend(likes="Heat")


def test_similar_items_share_more_users_than_chance_gives(load: Load) -> None:
    asked = Recommender(made(load, objective="joint")[1], clock=lambda: 1e9)
    second = asked.last_second + 1
    # Items 1 and 2 are rated together by ten new users. Item 3 is rated by them and by ten others.
    rows = [(f"a{user}", item) for user in range(10) for item in (1, 2, 3)] + [(f"b{user}", 3) for user in range(10)]
    asked.add([{"user_id": user, "item_id": item, "rating": 4, "timestamp": second} for user, item in rows])
    asked.add([{"user_id": "c", "item_id": "4", "rating": 4, "timestamp": second + 1}])
    found = asked.similar_items("1", 30).set_index("item_id")["score"]
    assert found["2"] > found["3"]
    assert found.between(0, 1).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda asked: asked.search("Film", 0), "n must be a whole number of at least 1. Got 0"),
        (lambda asked: asked.search(None), "The title to search for must be text. Got None"),
        (lambda asked: asked.history("1", -1), "n must be a whole number of at least 1. Got -1"),
        (lambda asked: asked.recommend(ratings=["1"]), "ratings must map items to ratings"),
        (lambda asked: asked.recommend(likes={"1": 5}), "likes must be a list"),
        (lambda asked: asked.recommend("1", candidates=None, genres=object()), "genres must be a list"),
        (lambda asked: asked.recommend("1", years=(1999, 1996)), r"years must be .* Got \(1999, 1996\)"),
        (lambda asked: asked.recommend("1", years="1996-"), "years must be a first and a last year"),
        (lambda asked: asked.recommend("1", years="the nineties"), "years must be a first and a last year"),
        (lambda asked: asked.recommend("1", years=[1996.5, 1999]), "years must be a first and a last year"),
        (lambda asked: asked.recommend("1", years=(1, 2, 3)), "years must be a first and a last year"),
        (lambda asked: asked.recommend("1", years=object()), "years must be a list"),
    ],
)
def test_arguments_of_another_kind_are_mistakes_not_tracebacks(
    asked: Recommender, call: Callable[[Recommender], Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        call(asked)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"user_id": "1", "n": 0}, "n must be a whole number of at least 1. Got 0 instead."),
        ({"user_id": "1", "n": True}, "n must be a whole number"),
        ({"user_id": "1", "at": 3}, "at must not be before the latest known rating"),
        ({"user_id": "1", "horizon": "week"}, "horizon must be period or next. Got 'week' instead."),
        ({}, "Give a user_id, or ratings, likes or demographics"),
        ({"user_id": "1", "likes": ["2"]}, "Give either a user_id, or ratings"),
        ({"ratings": {"1": float("nan")}}, r"The rating of '1' must be a number in \[0.5, 5\]"),
        ({"likes": ["1", "Film A0, The"]}, "An item is given more than once"),
        ({"user_id": "1", "popularity_penalty": 1}, r"popularity_penalty must be a number in \[0, 1\). Got 1 instead"),
        ({"demographics": {"shoe": 3}}, "demographics: 'shoe' is no column of the users"),
    ],
)
def test_a_mistake_in_the_call_is_one_clear_sentence(
    asked: Recommender, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        asked.recommend(**arguments)


def test_a_penalty_takes_away_what_anyone_would_be_told(asked: Recommender) -> None:
    """A share of the score that the item has for an unknown user is subtracted. So the list of the latter stays."""
    common = asked.recommend("", 31, exclude_seen=False).set_index("item_id")["score"]
    own = asked.recommend("1", 31).set_index("item_id")["score"]
    expected = (own - 0.9 * common[own.index]).sort_values(ascending=False)
    found = asked.recommend("1", 31, popularity_penalty=0.9).set_index("item_id")["score"]
    assert found.tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    assert found.index.tolist() != own.index.tolist()
    assert asked.recommend("", 31, exclude_seen=False, popularity_penalty=0.9)["item_id"].tolist() == list(common.index)
    assert asked.recommend("1", 5, popularity_penalty=0).equals(asked.recommend("1", 5))
    some = asked.recommend("1", 3, candidates=["1", "2", "3"], exclude_seen=False, popularity_penalty=0.5)
    assert sorted(some["item_id"]) == ["1", "2", "3"]


def test_a_list_longer_than_the_catalogue_is_the_catalogue(asked: Recommender) -> None:
    assert len(asked.recommend("1", 10**9, exclude_seen=False)) == len(asked.catalogue)


def test_similar_items_have_the_same_raters_or_the_same_genres(asked: Recommender) -> None:
    found = asked.similar_items("1", 30)
    assert "1" not in found["item_id"].tolist()
    assert found["score"].is_monotonic_decreasing
    assert found["score"].between(0, 1).all()


def test_commands_answer_from_a_folder(load: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(load, objective="joint")[1].save(tmp_path)
    models = ["--models", str(tmp_path)]

    def told(*arguments: str, status: int = 0) -> str:
        assert main([*arguments, *models]) == status
        captured = capsys.readouterr()
        return captured.err if status else captured.out

    listed = json.loads(told("recommend", "--user", "1", "--n", "3", "--json"))
    assert [row["item_id"] for row in listed] == recommend_top_n(tmp_path, 1, 3)["item_id"].tolist()
    assert "popular lately" in told("recommend", "--user", "nobody")
    moved = ["--popularity-penalty", "0.9", "--json"]
    expected = Recommender.load(tmp_path).recommend("1", 20, popularity_penalty=0.9)["item_id"].tolist()
    assert [row["item_id"] for row in json.loads(told("recommend", "--user", "1", "--n", "20", *moved))] == expected
    assert expected != recommend_top_n(tmp_path, 1, 20)["item_id"].tolist()
    assert "in [0, 1). Got 2.0" in told("recommend", "--user", "1", "--popularity-penalty", "2", status=2)
    first = json.loads(told("batch", "--n", "3", *moved).splitlines()[0])
    assert [row["item_id"] for row in first["items"]] == (
        Recommender.load(tmp_path).recommend(first["user_id"], 3, popularity_penalty=0.9)["item_id"].tolist()
    )
    assert "Film C2, The" in told("recommend", "--like", "film a0, the", "--n", "31")
    assert len(json.loads(told("similar", "1", "--n", "4", "--json"))) == 4
    assert "popular lately" in told("explain", "5", "--like", "3")
    assert "Give a user_id" in told("recommend", status=2)
    assert "at least 1" in told("recommend", "--user", "1", "--n", "0", status=2)

    pairs = tmp_path / "pairs.csv"
    pairs.write_text("item_id,user_id\n1,3\n2,new\n", encoding="utf-8")
    assert told("predict", str(pairs)).splitlines()[0] == "user_id,item_id,predicted"
    predicted = json.loads(told("predict", str(pairs), "--json"))
    assert [(row["user_id"], row["item_id"]) for row in predicted] == [("3", "1"), ("new", "2")]
    told("predict", str(pairs), "--json", "--out", str(tmp_path / "predicted.json"))
    assert json.loads((tmp_path / "predicted.json").read_text(encoding="utf-8")) == predicted
    pairs.write_text("item_id,user_id\n1,\n", encoding="utf-8")
    assert f"{pairs}, line 2: user_id must not be empty." in told("predict", str(pairs), status=2)
    pairs.write_text("item_id\n1\n", encoding="utf-8")
    assert "the column user_id is missing" in told("predict", str(pairs), status=2)

    out = tmp_path / "lists.parquet"
    assert "lists of 10 users" in told("batch", "--out", str(out), "--n", "3")
    assert pd.read_parquet(out).groupby("user_id").size().to_dict() == {str(user): 3 for user in range(1, 11)}
    assert not list(tmp_path.glob("*.parts"))
    lines = [json.loads(line) for line in told("batch", "--json", "--n", "3").splitlines()]
    assert [line["user_id"] for line in lines] == [str(user) for user in range(1, 11)]
    assert [row["item_id"] for row in lines[0]["items"]] == recommend_top_n(tmp_path, 1, 3)["item_id"].tolist()
    assert "either --out FILE or --json" in told("batch", status=2)


def test_a_batch_that_was_stopped_goes_on_and_gives_the_same_file(
    asked: Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "PART", 3)
    whole, out = tmp_path / "whole.parquet", tmp_path / "lists.parquet"
    batch.write_lists(asked, asked.users(), 4, whole)
    made, many, last = list[str](), asked.recommend_many, 2

    def stops(ids: list[str], n: int, popularity_penalty: float) -> pd.DataFrame:
        if len(made) == last:
            raise KeyboardInterrupt
        made.append(ids[0])
        return many(ids, n, popularity_penalty=popularity_penalty)

    monkeypatch.setattr(asked, "recommend_many", stops)
    with pytest.raises(KeyboardInterrupt):
        batch.write_lists(asked, asked.users(), 4, out)
    assert not out.exists()
    last = 10
    batch.write_lists(asked, asked.users(), 4, out)
    assert made == ["1", "4", "7", "10"]  # each part once
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lists.parquet", "whole.parquet"]


def test_the_package_has_the_recommender_and_nothing_unknown() -> None:
    assert widedeep.Recommender is Recommender
    assert widedeep.recommend_top_n is recommend_top_n
    with pytest.raises(AttributeError, match="no attribute 'Recommend'"):
        _ = widedeep.Recommend
