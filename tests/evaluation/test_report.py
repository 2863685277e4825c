"""The report: what it says, what it survives, and how it looks in a real browser."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.conftest import Judged
from widedeep.evaluation import charts, findings
from widedeep.evaluation.charts import Axis, Line, Point, Row, Series, nice_ticks
from widedeep.evaluation.findings import LABELS
from widedeep.evaluation.report import Sources, headline, render_report

Judge = Callable[..., Judged]
Render = Callable[..., str]
CURVES = pd.DataFrame(
    {"epoch": [0, 1, 2], "train_rmse": [1.2, 1.0, 0.9], "validation_rmse": [1.1, 0.95, 0.97]},
)
DATA = {
    "rows": {"read": 250, "bad_rows": {"rating outside the scale": 3}, "duplicates": 4, "filtered": 3},
    "ratings": {"kept": 240, "train": 144, "validation": 48, "test": 48},
    "users": {"rated": 10, "listed": 10},
    "items": {"rated": 30, "listed": 31, "rated_but_not_listed": 0},
}
LOOK = Series("Wide & Deep", "#0072B2", "circle")


@pytest.fixture
def render(judge: Judge, items: pd.DataFrame) -> Render:
    def run(split: str = "temporal", curves: pd.DataFrame = CURVES, kept: int = 1, **changes: Any) -> str:
        judged = judge(split, **changes)
        if changes.get("trained"):
            curves, kept = judged.curves, judged.kept
        sources = Sources(changes.get("items", items), split, curves, kept, DATA)
        return render_report(judged.evaluation, judged.features, judged.model, judged.about, judged.params, sources)

    return run


def text(page: str) -> str:
    """What a reader sees, spaces made one."""
    body = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(body).replace("\N{NO-BREAK SPACE}", " "))


def metrics(low: float, high: float, ndcg: tuple[float, float] = (0.1, 0.2)) -> dict[str, Any]:
    """Of a model with RMSE 0.9 whose difference to the best baseline, of RMSE 1, has this interval."""

    def estimate(value: float, low: float = 0.0, high: float = 0.0) -> dict[str, float]:
        return {"value": value, "low": low, "high": high, "n": 9}

    def ranking(low: float, high: float) -> dict[str, Any]:
        return {"ranking": {"frozen": {"ndcg_at_5": estimate((low + high) / 2, low, high)}}}

    return {
        "rating": {"online": {"rmse": estimate(0.9), "rmse_minus_bias": estimate((low + high) / 2, low, high)}},
        **ranking(*ndcg),
        "baselines": {
            "global_mean": {"rating": {"online": {"rmse": estimate(1.1)}}},
            "bias": {"rating": {"online": {"rmse": estimate(1.0)}}} | ranking(0.3, 0.4),
        },
    }


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
    found = metrics(low, high)
    assert (
        text(findings.rating_finding("wide_deep", found, "online"))
        == f"Wide & Deep predicts unseen ratings with {sentence}"
    )
    assert findings.knowledge_finding("wide_deep", found, "online") == title


@pytest.mark.parametrize(
    ("ndcg", "words"),
    [
        ((0.1, 0.2), "of 0.150, below the 0.350 of bias (the 95 % intervals do not overlap)"),
        ((0.6, 0.7), "of 0.650, above the 0.350 of bias (the 95 % intervals do not overlap)"),
        ((0.2, 0.3), "of 0.250, bias 0.350: the 95 % intervals overlap"),
    ],
)
def test_ranking_finding_says_what_the_intervals_say(ndcg: tuple[float, float], words: str) -> None:
    assert words in text(findings.ranking_finding(metrics(0, 0, ndcg), 5))


def test_page_says_the_numbers_of_the_evaluation(render: Render, judge: Judge) -> None:
    page, found = text(render()), judge().evaluation.metrics
    assert "Wide & Deep on csv" in page
    for knowledge in ("online", "frozen"):
        assert f"{found['rating'][knowledge]['rmse']['value']:.3f}" in page
        assert f"{found['baselines']['popularity']['rating'][knowledge]['mae']['value']:.3f}" in page
    assert f"{found['ranking']['frozen']['mrr_at_5']['value']:.3f}" in page
    assert "Validation RMSE is lowest in epoch 1 (0.950), whose weights are kept" in page
    assert "bad rows: rating outside the scale 3" in page
    assert "rows read 250" in page


def test_page_is_one_small_file_with_the_same_bytes_every_time(render: Render) -> None:
    page = render()
    assert page == render()
    assert len(page.encode()) < 300_000
    assert not re.findall(r"<script|https?://|@import|<link(?! rel=\"icon\" href=\"data:,\")|\bsrc=", page)


@pytest.mark.parametrize("model", LABELS)
def test_page_of_every_model(render: Render, model: str) -> None:
    page = render(train={"model": model})
    label = findings.title(model)
    assert f"{label} on csv" in text(page)
    assert f"{label} predicts unseen ratings with RMSE" in text(page)
    assert ("its predicted rating is the least-squares line of its score" in text(page)) is (model == "ease")
    errors = page[page.index("Errors in rating points") :]
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>', errors[: errors.index("</table>")])
    assert [unescape(row) for row in rows] == [
        LABELS[model], *(LABELS[name] for name in ("bias", "popularity", "global_mean") if name != model)
    ]  # fmt: skip
    if model == "bias":
        assert "than the popularity baseline in" in text(page)
    assert not any(word in text(page) for word in ("nan", "None", "inf "))


def test_page_of_a_model_that_is_not_trained_in_epochs(render: Render) -> None:
    page = text(render(train={"model": "bias"}, trained=True))
    assert re.search(
        r"Bias is not trained in epochs: it is computed from the training ratings in one step\. On the validation "
        r"ratings: RMSE \d\.\d{3}, frozen RMSE \d\.\d{3}, online RMSE \d\.\d{3}\.",
        page,
    )
    assert "Learning curves" not in page
    for nothing in ({}, {"train_rmse": [np.nan], "validation_rmse": [np.nan]}):
        assert "in one step. Calibration, online" in text(render(curves=pd.DataFrame({"epoch": [0]} | nothing)))


def test_page_of_a_model_that_ranks(render: Render) -> None:
    page = text(render(train={"objective": "ranking", "positive_rating": 4.0}, trained=True))
    assert "Wide & Deep learns an order, not ratings: its predicted rating is the least-squares line" in page
    assert "Learning curves, NDCG at 10 Validation NDCG at 10 is highest in" in page
    assert "a positive among the validation ratings: an item rated 4 or more." in page
    assert re.search(r"Learning curves, ranking loss Training ranking loss ends at \d\.\d{3} after epoch 1", page)
    assert "Learning curves, RMSE" not in page
    assert "sorts by its ranking head" not in page


@pytest.mark.parametrize(
    ("weight", "sentence"),
    [
        (0.5, "Wide & Deep sorts by its ranking head plus 0.5 times the predicted rating."),
        (0.0, "Wide & Deep sorts by its ranking head."),
    ],
)
def test_page_of_a_model_with_two_heads(render: Render, weight: float, sentence: str) -> None:
    page = text(render(train={"objective": "joint", "rating_weight": weight}, trained=True))
    assert sentence in page
    for measure in ("RMSE", "NDCG at 10", "ranking loss"):
        assert f"Learning curves, {measure} " in page
    assert "any rated item" in page
    assert "least-squares" not in page


def test_two_objectives_keep_an_epoch_that_need_not_be_the_best_of_either() -> None:
    ndcg = pd.DataFrame({"validation_ndcg_at_10": [0.1, 0.2, 0.3]})
    found = findings.learning_finding("NDCG at 10", ndcg, 1)
    assert found == (
        "Validation NDCG at 10 is highest in epoch 2 (0.300); epoch 1 is kept (0.200), where RMSE minus NDCG is lowest"
    )
    assert findings.learning_finding("NDCG at 10", ndcg, 2).endswith("in the last epoch, 2 (0.300): it may still rise")


def test_curves_that_end_in_numbers_that_are_not_finite_are_drawn_as_far_as_they_go(render: Render) -> None:
    curves = CURVES.assign(train_rmse=[1.2, 1.0, np.inf], validation_rmse=[1.1, 0.95, np.nan])
    page = render(curves=curves)
    assert "Validation RMSE is lowest in epoch 1 (0.950), whose weights are kept" in text(page)
    assert not re.search(r"\b(nan|inf)\b", page)


def test_validation_curves_by_knowledge_are_drawn_where_there_are_two(render: Render) -> None:
    frozen = CURVES.assign(validation_frozen_rmse=[1.1, 0.95, 0.97])
    assert "online and frozen together" not in text(render(curves=frozen))
    both = text(render(curves=frozen.assign(validation_online_rmse=[1.0, 0.85, 0.87])))
    assert "training validation validation, frozen validation, online" in both
    assert "online and frozen together" in both


def test_pictures_and_tables_are_named(render: Render) -> None:
    page = render()
    drawn = re.findall(r"<svg class=\"chart\"[^>]*>", page)
    assert len(drawn) >= 10
    assert all('role="img"' in svg and re.search(r'aria-label="[^"]{10,}"', svg) for svg in drawn)
    assert page.count("<table>") == page.count("<caption>")


def test_titles_are_escaped_and_missing_ones_replaced(render: Render, items: pd.DataFrame) -> None:
    evil = "<script>alert('x')</script> & \"co\""
    page = render(items=items.assign(title=[evil if item % 2 else None for item in items["item_id"]]))
    assert "<script" not in page
    assert evil in text(page)
    assert re.search(r"\bitem \d+\b", text(page))


def test_users_and_items_are_called_by_their_ids(
    render: Render, ratings: pd.DataFrame, users: pd.DataFrame, items: pd.DataFrame
) -> None:
    def named(table: pd.DataFrame) -> pd.DataFrame:
        names = {"user_id": "<u>{:02}", "item_id": "B{:02}"}
        return table.assign(**{key: table[key].map(name.format) for key, name in names.items() if key in table})

    page = render(ratings=named(ratings), users=named(users), items=named(items).assign(title=None))
    assert re.search(r"User <u>\d\d\b", text(page))
    assert re.search(r"\bitem B\d\d\b", text(page))
    assert "<u>" not in page


def test_random_split_without_timestamps_validation_and_genres(
    render: Render, ratings: pd.DataFrame, items: pd.DataFrame
) -> None:
    page = render(
        "random",
        curves=CURVES.drop(columns="validation_rmse"),
        kept=2,
        ratings=ratings.assign(timestamp=pd.array([None] * len(ratings), "Int64")),
        items=items.assign(genres=[[] for _ in range(len(items))], year=np.nan),
        crosses=(),
    )
    assert "There is no validation to stop by, so the last epoch is kept." in text(page)
    assert "Training RMSE ends at 0.900 after epoch 2" in text(page)
    for absent in ("online", "By month", "By genre", "Days (UTC)", "nan", "None"):
        assert absent not in text(page)


def test_no_relevant_test_item(render: Render) -> None:
    page = text(render(relevant_rating=6.0))
    assert "No test user has a relevant test item" in page
    assert "All metrics by k" not in page


def test_known_users_with_a_relevant_item_come_first_then_new_ones(render: Render, ratings: pd.DataFrame) -> None:
    split = ratings["split"].mask(ratings["user_id"].isin([1, 2]), "test")
    page = text(render(ratings=ratings.assign(split=split), examples=10))
    users = [
        (int(train), int(relevant))
        for train, relevant in re.findall(r"(\d+) training ratings?, .*?(\d+) of them", page)
    ]
    rank = [2 if relevant == 0 else 0 if train else 1 for train, relevant in users]
    assert rank == sorted(rank)
    assert {0, 1} <= set(rank)
    assert page.count("A new user: nothing is known of them yet") == 2


def test_example_users_follow_the_seed_and_may_be_none(render: Render) -> None:
    drawn = {tuple(re.findall(r"<h3 id=\"user\d\">User (\d+)", render(seed=seed))) for seed in range(3)}
    assert len(drawn) > 1
    assert all(len(users) == 3 for users in drawn)
    assert "What does it recommend?" not in render(examples=0)


def test_a_recommended_item_that_the_user_rated_later_is_marked(render: Render, ratings: pd.DataFrame) -> None:
    page = render(examples=10, ks=(31,))
    assert re.search(r'<tr class="rated">.*?<strong>✓ [\d.]+</strong></td></tr>', page)


def test_headline_is_flat_named_as_mlflow_allows_and_short(judge: Judge) -> None:
    found = judge().evaluation.metrics
    flat = headline(found, 5)
    assert flat["rating.online.rmse"] == found["rating"]["online"]["rmse"]["value"]
    assert flat["bias.rating.frozen.mae"] == found["baselines"]["bias"]["rating"]["frozen"]["mae"]["value"]
    assert flat["ranking.frozen.ndcg_at_5"] == found["ranking"]["frozen"]["ndcg_at_5"]["value"]
    assert "ranking.frozen.ndcg_at_1" not in flat
    assert all(re.fullmatch(r"[\w.]+", name) and isinstance(value, float) for name, value in flat.items())


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.0, 1.0, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0.83, 0.87, ["0.83", "0.84", "0.85", "0.86", "0.87"]),
        (-1.0, 3.5, ["−1", "0", "1", "2", "3", "4"]),
        (0.0, 2500.0, ["0", "500", "1000", "1500", "2000", "2500"]),
    ],
)
def test_ticks_are_round_and_cover_the_data(low: float, high: float, labels: list[str]) -> None:
    assert [label for _, label in nice_ticks(low, high)] == labels


def test_charts_of_a_single_point_or_of_equal_values_are_finite() -> None:
    point = Point(LOOK, 0.9, 0.9, 0.9)
    drawn = [
        charts.line_chart([Line([0], [point])], Axis("epoch", [(0, "0")]), Axis("RMSE"), "one epoch"),
        charts.line_chart([Line([3.5], [Point(LOOK, 3.5, 3.5, 3.5)])], Axis("p"), Axis("r"), "a bin", diagonal=True),
        charts.dot_chart([Row("new", "1", [point])], Axis("RMSE"), "ratings", "a group"),
        charts.line_chart([Line([*range(99)], [point] * 99)], Axis("month", []), Axis("RMSE"), "m", whiskers=True),
    ]
    assert not any(word in svg for svg in drawn for word in ("nan", "inf"))


def test_charts_escape_names() -> None:
    row = Row("<b>&", "1", [Point(LOOK, 1, 0.5, 2)])
    svg = charts.dot_chart([row], Axis("RMSE"), "ratings", 'said "so" <i>')
    assert "<b>" not in svg
    assert 'aria-label="said &quot;so&quot; &lt;i&gt;"' in svg


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize(
    "changes",
    [
        {"split": "temporal"},
        {"split": "random"},
        {"train": {"objective": "joint"}, "trained": True},
        {"train": {"model": "genre_dense"}},
    ],
    ids=["temporal", "random", "joint", "genre_dense"],
)
def test_in_a_browser_nothing_sticks_out_overlaps_or_fails(
    render: Render, browse: Callable[[str, int], tuple[dict[str, Any], str]], changes: dict[str, Any], width: int
) -> None:
    page = render(**changes).replace("<details>", "<details open>")
    found, console = browse(page, width)
    assert found == {"width": width, "beyond": 0, "out": [], "hit": []}
    assert console == ""
