"""The choice of the users whose lists are shown, and the content of these lists."""

import re

import pandas as pd

from tests.report import made_up
from tests.report.conftest import Render, text
from widedeep.report.examples import choose_users, examples


def shown(most: int = 10, seed: int = 0, lists: pd.DataFrame | None = None) -> list:  # type: ignore[type-arg]
    ratings = made_up.ratings()
    test = ratings[ratings["split"] == "test"]
    lists = made_up.lists(ratings) if lists is None else lists
    return examples(ratings, made_up.items(), test, lists, 3.5, most, seed)


def test_known_users_with_a_relevant_item_come_first_then_new_ones() -> None:
    users = [one.user_id for one in shown()]
    assert set(users[:5]) == {1, 2, 3, 4, 5}
    assert set(users[5:7]) == {7, 8}
    assert users[7] == 6


def test_users_follow_the_seed_and_may_be_none(render: Render) -> None:
    drawn = {tuple(re.findall(r"<h3 id=\"user\d\">User (\d+)", render(seed=seed))) for seed in range(3)}
    assert len(drawn) > 1
    assert all(len(users) == 3 for users in drawn)
    assert "What does it recommend?" not in render(examples=0)


def test_draw_of_users_does_not_depend_on_the_order_of_the_rows() -> None:
    lists = made_up.lists(made_up.ratings()).sample(frac=1, random_state=0)
    assert shown(lists=lists) == shown()
    assert choose_users(pd.Index([1, 2, 3]), pd.Series([3]), pd.Series([2, 3]), 2, 0) == [3, 2]


def test_what_a_user_liked_is_rated_best_in_training_and_test_ratings_are_marked() -> None:
    one = next(one for one in shown() if one.user_id == 1)
    # User 1 gave item i the training rating i % 9 / 2 + 0.5, for i from 1 to 10. Items 12 to 15 are test items.
    assert [item.title for item in one.liked[:3]] == ["Title 8", "Title 7", "Title 6"]
    assert [item.rating for item in one.liked[:2]] == [4.5, 4.0]
    assert (one.n_train, one.n_test, one.n_relevant, one.hits) == (10, 4, 2, 4)
    assert [item.title for item in one.recommended[:2]] == ["Title 20", "Title 19"]
    rated = {item.title: item.rating for item in one.recommended if item.rating is not None}
    assert rated == {"Title 12": 3.0, "Title 13": 3.5, "Title 14": 4.0, "Title 15": 3.0}
    assert one.recommended[0].predicted == 4.9
    assert one.liked[0].year == "1998"


def test_page_marks_a_recommended_item_that_the_user_rated_later(render: Render) -> None:
    page = render(examples=10)
    assert re.search(r'<tr class="rated">.*?<strong>✓ [\d.]+</strong></td></tr>', page)
    assert "The user rated 4 of the 10 recommended items in the test rows." in text(page)
    assert text(page).count("This user is new: the model knows nothing about them") == 2


def test_ids_of_text_are_shown_unchanged(render: Render) -> None:
    ratings = made_up.ratings()
    ratings = ratings.assign(user_id=ratings["user_id"].map("00{}".format))
    lists = made_up.lists(made_up.ratings())
    page = text(render(ratings=ratings, lists=lists.assign(user_id=lists["user_id"].map("00{}".format))))
    assert re.search(r"User 00\d \d+ training ratings?, 4 test ratings", page)
