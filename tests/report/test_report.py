"""The report: its text, extreme data, and its look in a real browser."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.report import made_up
from tests.report.conftest import Render, text
from widedeep.report.labels import MODEL_LABELS
from widedeep.report.text import capitalize

CURVES = made_up.CURVES
RANKING_CURVES = pd.DataFrame(
    {"epoch": [0, 1, 2], "train_ranking_loss": [5.2, 4.0, 3.9], "validation_ndcg_at_10": [0.1, 0.2, 0.15]}
)


def test_page_says_the_numbers_of_the_metrics(render: Render) -> None:
    page, found = text(render()), made_up.metrics()
    assert "Wide & Deep on csv" in page
    assert (
        "Wide & Deep predicts unseen ratings with RMSE 0.900 online, 10.0 % below the bias baseline "
        "(95 % interval of the difference −0.150 to −0.050)." in page
    )
    for knowledge in ("online", "frozen"):
        assert f"{found['rating'][knowledge]['rmse']['value']:.3f}" in page
        assert f"{found['baselines']['popularity']['rating'][knowledge]['mae']['value']:.3f}" in page
        assert f"Mean RMSE of users (rating points) {knowledge} " in page
    for label in ("Precision 0.150", "NDCG 0.150", "Novelty (bits) 2.500", "Coverage 0.400"):
        assert label in page
    assert "Validation RMSE is lowest in epoch 1 (0.950), whose weights are kept" in page
    assert "bad rows: rating outside the scale 3" in page
    assert "rows read 130" in page
    assert "train 60 2001-01-01 to 2001-03-01" in page
    assert "Measures of accuracy are means over the 6 users with a relevant test item" in page
    frozen, online = page.partition("Lists of 5 items, frozen")[2].split("Lists of 5 items, online")
    assert frozen.startswith(" At 5 Wide & Deep bias popularity recent popularity EASE Precision 0.150")
    assert "24 questions were asked." in frozen
    assert online.startswith(" At 5 Wide & Deep popularity recent popularity EASE Precision 0.100")
    assert "Novelty (bits) 2.500" in online
    assert (
        "Its online lists of 5 for the next item reach an NDCG of 0.100, recent popularity 0.175: the 95 % intervals "
        "overlap." in page
    )
    known = page.partition("How much must be known about a user?")[2]
    assert "Wide & Deep has the lowest RMSE in all 3 groups" in known
    assert "Group Questions Users Wide & Deep popularity recent popularity EASE 0 16 12 0.100 0.050 to 0.150" in known


def test_a_model_without_online_lists_has_no_part_on_the_next_item(render: Render) -> None:
    page = text(render(next_item=False))
    assert "Lists of 5 items, frozen" in page
    for absent in ("Lists of 5 items, online", "next item", "Questions"):
        assert absent not in page
    assert "Group Ratings Users Wide & Deep bias popularity global mean 0 16 12" in page


def test_page_shows_what_a_popularity_penalty_costs_and_gives(render: Render) -> None:
    page = text(render())
    assert "A popularity penalty moves popular items down" in page
    assert "With a penalty of 0.5: coverage 45.00 % in place of 40.00 %, NDCG 0.200 in place of 0.150" in page
    assert "Without a penalty, lists have a novelty of 2.5 bits, and what users liked has 5.2" in page
    assert "frozen coverage at 5 0.400" in page
    assert "have a popularity penalty of" not in page
    assert "The lists of Wide & Deep have a popularity penalty of 0.4." in text(render(penalty=0.4))


def test_page_is_one_small_file_with_the_same_bytes_every_time(render: Render) -> None:
    page = render()
    assert page == render()
    assert len(page.encode()) < 300_000
    assert not re.findall(r"<script|https?://|@import|<link(?! rel=\"icon\" href=\"data:,\")|\bsrc=", page)


@pytest.mark.parametrize("model", MODEL_LABELS)
def test_page_of_every_model(render: Render, model: str) -> None:
    page = render(model)
    label = capitalize(MODEL_LABELS[model])
    assert f"{label} on csv" in text(page)
    assert f"{label} predicts unseen ratings with RMSE" in text(page)
    assert ("Its predicted rating is a linear function of its score" in text(page)) is (model == "ease")
    errors = page[page.index("Errors in rating points") :]
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>', errors[: errors.index("</table>")])
    assert [unescape(row) for row in rows] == [
        MODEL_LABELS[model], *(MODEL_LABELS[name] for name in ("bias", "popularity", "global_mean") if name != model)
    ]  # fmt: skip
    if model == "bias":
        assert "than the popularity baseline in" in text(page)
    assert not any(word in text(page) for word in ("nan", "None", "inf "))


def test_page_of_a_system_that_is_not_ours_shows_its_name(render: Render) -> None:
    page = text(render("lightfm-2", lists=made_up.lists(made_up.ratings()).drop(columns="predicted")))
    assert "lightfm-2 predicts unseen ratings with RMSE" in page
    assert "Online, lightfm-2 has a lower RMSE than bias" in page
    assert re.search("Title 20 2010 – –", page)  # neither predicted nor rated


def test_page_shows_how_far_the_data_moved(render: Render) -> None:
    page = text(render(windows=made_up.windows()))
    assert "Did the data move?" in page
    assert "year moved most: PSI 0.22 in 2001-04" in page
    assert "year 2001-04 100 0.220 0.020 0.050" in page
    assert "Did the data move?" not in text(render())


def test_page_says_how_own_files_were_understood(render: Render) -> None:
    lines = ["mine.csv: columns user = 'who'", "timestamp: milliseconds since 1970 <now>"]
    page = text(render(counts=made_up.COUNTS | {"understood": lines}))
    assert f"How the files were understood {' '.join(lines)}" in page
    assert "How the files were understood" not in text(render())


def test_page_of_a_single_system_that_was_trained_elsewhere(render: Render) -> None:
    page = text(render("lightfm", curves=None, counts=None, alone=True))
    assert "lightfm predicts unseen ratings with RMSE 0.900 online (95 % interval 0.850 to 0.950)." in page
    assert "Its top-5 lists reach an NDCG of 0.150." in page
    assert "Online, the RMSE is 0.900" in page
    assert "RMSE from 0.900 to 0.940 in 3 genres" in page
    assert "This system was trained elsewhere, so there are no learning curves." in page
    assert "test 32 2001-03-02 to 2001-04-02" in page
    for absent in ("baseline", "make drift", "rows read", "None", "nan"):
        assert absent not in page


def test_page_of_a_model_that_is_not_trained_in_epochs(render: Render) -> None:
    curves = pd.DataFrame(
        {"epoch": [0], "validation_rmse": [0.9], "validation_frozen_rmse": [1.0], "validation_online_rmse": [0.8]}
    )
    page = text(render("bias", curves=curves, about={"objective": "ranking"}))
    assert (
        "Bias is not trained in epochs: it is computed from the training ratings in one step. On the validation "
        "ratings: RMSE 0.900, frozen RMSE 1.000, online RMSE 0.800." in page
    )
    assert "Learning curves" not in page
    assert "learns an order" not in page  # only a model that is trained in epochs has an objective
    for nothing in ({}, {"train_rmse": [np.nan], "validation_rmse": [np.nan]}):
        assert "in one step. Calibration, online" in text(render(curves=pd.DataFrame({"epoch": [0]} | nothing)))


def test_page_of_a_model_that_ranks(render: Render) -> None:
    about = {"objective": "ranking", "positive_rating": 4.0}
    page = text(render(about=about, curves=RANKING_CURVES))
    assert "Wide & Deep learns an order, not ratings. Its predicted rating is a linear function of its score" in page
    assert "Learning curves, NDCG at 10 Validation NDCG at 10 is highest in epoch 1" in page
    assert "a positive among the validation ratings: an item rated 4 or more." in page
    assert "Learning curves, ranking loss Training ranking loss ends at 3.900 after epoch 2" in page
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
    curves = CURVES.merge(RANKING_CURVES, on="epoch")
    page = text(render(about={"objective": "joint", "rating_weight": weight}, curves=curves))
    assert sentence in page
    for measure in ("RMSE", "NDCG at 10", "ranking loss"):
        assert f"Learning curves, {measure} " in page
    assert "any rated item" in page
    assert "least squares" not in page


def test_curves_that_end_in_numbers_that_are_not_finite_are_drawn_as_far_as_they_go(render: Render) -> None:
    curves = CURVES.assign(train_rmse=[1.2, 1.0, np.inf], validation_rmse=[1.1, 0.95, np.nan])
    page = render(curves=curves)
    assert "Validation RMSE is lowest in epoch 1 (0.950), whose weights are kept" in text(page)
    assert not re.search(r"\b(nan|inf)\b", page)


def test_validation_curves_by_knowledge_are_drawn_where_there_are_two(render: Render) -> None:
    frozen = CURVES.assign(validation_frozen_rmse=[1.1, 0.95, 0.97])
    assert "counts twice" not in text(render(curves=frozen))
    both = text(render(curves=frozen.assign(validation_online_rmse=[1.0, 0.85, 0.87])))
    assert "training validation validation, frozen validation, online" in both
    assert "Each validation rating counts twice: once under online and once under frozen knowledge." in both


def test_pictures_and_tables_are_named(render: Render) -> None:
    page = render()
    drawn = re.findall(r"<svg class=\"chart\"[^>]*>", page)
    assert len(drawn) >= 10
    assert all('role="img"' in svg and re.search(r'aria-label="[^"]{10,}"', svg) for svg in drawn)
    assert page.count("<table>") == page.count("<caption>")


def test_titles_are_escaped_and_missing_ones_replaced(render: Render) -> None:
    evil = "<script>alert('x')</script> & \"co\" | \\"
    items = made_up.items()
    page = render(items=items.assign(title=[evil if item % 2 else None for item in items["item_id"]]))
    assert "<script" not in page
    assert evil in text(page)
    assert re.search(r"\bitem \d+\b", text(page))


def test_random_split_without_timestamps_validation_and_genres(render: Render) -> None:
    ratings = made_up.ratings()
    page = render(
        split="random",
        curves=CURVES.drop(columns="validation_rmse"),
        about={"kept": 2},
        ratings=ratings.assign(timestamp=pd.array([None] * len(ratings), "Int64")),
        items=made_up.items().assign(genres=[[] for _ in range(20)], year=np.nan),
        genres=False,
    )
    assert "There are no validation ratings, so the last epoch is kept." in text(page)
    assert "Training RMSE ends at 0.900 after epoch 2" in text(page)
    for absent in ("online", "Online", "How much must be known", "By month", "By genre", "Days (UTC)", "nan", "None"):
        assert absent not in text(page)


def test_missing_metrics_are_named_with_their_reason(render: Render) -> None:
    missing = {f"ranking.frozen.{name}_at_5": "no test rating reaches relevant_rating 4" for name in ("ndcg", "map")}
    page = text(render(judged=False, missing=missing | {"ranking.frozen.diversity_at_5": "no list has genres"}))
    assert "The accuracy of its top-5 lists is not defined: no test rating reaches relevant_rating 4." in page
    assert "Not measured of frozen lists: NDCG at 5, MAP at 5 (no test rating reaches relevant_rating 4)." in page
    assert "Not measured of frozen lists: Diversity at 5 (no list has genres)." in page


def test_no_relevant_test_item(render: Render) -> None:
    page = text(render(judged=False))
    assert "The accuracy of its top-5 lists is not defined: no test user has a relevant test item." in page
    assert "All metrics by k" not in page


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize(
    "changes",
    [
        {"split": "temporal"},
        {"split": "random"},
        {"about": {"objective": "joint"}, "curves": CURVES.merge(RANKING_CURVES, on="epoch")},
        {"model": "genre_dense"},
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
