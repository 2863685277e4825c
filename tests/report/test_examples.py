"""The choice of the users whose lists are shown, and the content of these lists."""

import re

import pandas as pd

from tests.report import made_up
from tests.report.conftest import Render, text
from widedeep.report.examples import Example, choose_users, examples


def shown(
    most: int = 10, seed: int = 0, lists: pd.DataFrame | None = None, beside: pd.DataFrame | None = None
) -> list[Example]:
    ratings = made_up.ratings()
    test = ratings[ratings["split"] == "test"]
    lists = made_up.lists(ratings) if lists is None else lists
    return examples(ratings, made_up.items(), test, lists, 3.5, most, seed, beside)


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


def test_what_a_user_liked_and_chose_is_rated_best_and_relevant_items_of_the_lists_are_marked() -> None:
    ratings = made_up.ratings()
    upwards = made_up.lists(ratings).assign(item_id=lambda table: 31 - table["item_id"])  # item 20 becomes 11
    one = next(one for one in shown(beside=upwards) if one.user_id == 1)
    # User 1 gave item i the training rating i % 9 / 2 + 0.5, for i from 1 to 10. Items 12 to 15 are test items.
    assert [item.title for item in one.liked[:3]] == ["Title 8", "Title 7", "Title 6"]
    assert [item.rating for item in one.liked[:2]] == [4.5, 4.0]
    assert not any(item.relevant for item in one.liked)
    assert [(item.title, item.rating, item.relevant) for item in one.chosen] == [
        ("Title 14", 4.0, True),
        ("Title 13", 3.5, True),
        ("Title 12", 3.0, False),
        ("Title 15", 3.0, False),
    ]
    assert (one.n_train, one.n_test, one.n_relevant) == (10, 4, 2)
    assert [item.title for item in one.recommended[:2]] == ["Title 20", "Title 19"]
    assert [item.title for item in one.beside[:2]] == ["Title 11", "Title 12"]
    for offered in (one.recommended, one.beside):
        rated = {item.title: item.rating for item in offered if item.rating is not None}
        assert rated == {"Title 12": 3.0, "Title 13": 3.5, "Title 14": 4.0, "Title 15": 3.0}
        assert {item.title for item in offered if item.relevant} == {"Title 13", "Title 14"}
    assert one.recommended[0].predicted == 4.9
    assert one.liked[0].year == "1998"


def test_lists_end_after_ten_items() -> None:
    one = next(one for one in shown(beside=made_up.lists(made_up.ratings())) if one.user_id == 7)
    assert len(made_up.lists(made_up.ratings()).query("user_id == 7")) == 20
    assert (len(one.liked), len(one.recommended), len(one.beside), len(one.chosen)) == (0, 10, 10, 4)


def test_page_marks_a_recommended_item_only_if_it_is_relevant(render: Render) -> None:
    page = render(examples=10)
    # In the page, an item is relevant from 3.875 on: of the test items only item 14, rated 4.
    marked = re.findall(r'<tr class="rated"><td class="title">(Title \d+).*?<strong>✓ ([\d.]+)</strong>', page)
    assert marked
    assert set(marked) == {("Title 14", "4")}
    assert "✓ marks an item that the user rated at least 3.875 in the test rows." in text(page)
    assert "Relevant items in the list: Wide & Deep 1 of 10." in text(page)
    assert text(page).count("This user is new: the model knows nothing about them") == 2


def test_page_shows_the_lists_of_recent_popularity_beside_those_of_the_model(render: Render) -> None:
    lists = made_up.lists(made_up.ratings())
    low = lists.assign(item_id=lists["item_id"].rsub(21))  # items 1 to 10 first, of which none is a test item
    page = text(render(examples=10, beside=low))
    assert "Wide & Deep 1 of 10, Recent popularity 0 of 10." in page
    assert page.count("Recommended by Recent popularity, best first") == 8
    first = page.partition("Recommended by Recent popularity, best first")[2]
    assert re.match(r" Title Year Test rating Title \d ", first)
    assert "Recommended by Recent popularity" not in text(render(examples=10))


def test_page_says_how_its_users_were_chosen(render: Render) -> None:
    assert "The users are drawn with the seed 7, whatever the quality of their lists." in text(render(seed=7))


def test_ids_of_text_are_shown_unchanged(render: Render) -> None:
    ratings = made_up.ratings()
    ratings = ratings.assign(user_id=ratings["user_id"].map("00{}".format))
    lists = made_up.lists(made_up.ratings())
    page = text(render(ratings=ratings, lists=lists.assign(user_id=lists["user_id"].map("00{}".format))))
    assert re.search(r"User 00\d \d+ training ratings?, 4 test ratings", page)
