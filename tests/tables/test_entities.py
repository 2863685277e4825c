"""Items and users: every id has a row, and only training rows decide how numbers are imputed and scaled."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.tables.conftest import Built
from widedeep.errors import UserError
from widedeep.sources.entities import item_entities, user_entities
from widedeep.tables.entities import complete, impute_and_scale
from widedeep.tables.files import to_arrow

Build = Callable[..., Built]
Csv = Callable[..., str]

NAN = float("nan")


def scaled(values: list[float], training: list[int], **more: list[float]) -> pd.DataFrame:
    numeric = {"x": values, **more}
    ids = [*range(1, len(values) + 1)]
    users = user_entities([str(user) for user in ids], numeric, {})
    return impute_and_scale(users, np.isin(ids, training))[0]


def test_number_is_scaled_by_the_range_of_training_entities() -> None:
    assert scaled([10, 20, 15], training=[1, 2])["x"].tolist() == [0, 1, 0.5]


def test_missing_number_becomes_the_mean_of_training_entities() -> None:
    # mean(10, 20, 60) = 30 lies at (30 - 10) / (60 - 10).
    assert scaled([10, 20, 60, NAN, 999], training=[1, 2, 3])["x"].tolist() == [0, 0.2, 1, 0.4, 1]


def test_number_outside_the_training_range_is_clipped() -> None:
    assert scaled([10, 20, 5, 99], training=[1, 2])["x"].tolist() == [0, 1, 0, 1]


def test_constant_number_becomes_0() -> None:
    assert scaled([7, 7, 7], training=[1, 2])["x"].tolist() == [0, 0, 0]


def test_number_that_no_training_entity_has_becomes_0() -> None:
    assert scaled([NAN, NAN, 3], training=[1, 2])["x"].tolist() == [0, 0, 0]


def test_value_of_an_entity_without_training_rows_changes_no_other() -> None:
    first = scaled([10, 20, NAN, 15], training=[1, 2])
    second = scaled([10, 20, NAN, -4000], training=[1, 2])
    assert first["x"][:3].tolist() == second["x"][:3].tolist()


def test_rank_is_filled_by_the_line_on_popularity() -> None:
    # rank = 2 * popularity + 1 on items 1 and 2; item 4 (9, 99) is not trained on. Item 3: 2 * 3 + 1 = 7.
    items = item_entities(
        [*"12345"], [None] * 5, [None] * 5, [[]] * 5,
        {"rank": [3, 11, NAN, 99, NAN], "popularity": [1, 5, 3, 9, NAN]}, None, {"rank": "popularity"},
    )  # fmt: skip
    table, fitted = impute_and_scale(items, np.array([True, True, True, False, False]))
    assert fitted["rank"]["from"] == {"column": "popularity", "slope": 2, "intercept": 1}
    # Range 3..11; item 5 knows neither and gets the mean 7.
    assert table["rank"].tolist() == [0, 1, 0.5, 1, 0.5]


def test_rated_id_that_is_not_listed_gets_an_empty_row() -> None:
    items = item_entities(["2"], ["B"], [1990], [["Drama"]], {}, {"type": ["TV"]})
    table = complete(items, "item", pa.array(["1", "2"])).table
    assert table["item"].tolist() == [0, 1]
    assert "item_id" not in table
    assert table["genres"].tolist() == [[], ["Drama"]]
    assert table[["title", "year", "type"]].isna().all(axis=1).tolist() == [True, False]


def test_rows_stand_in_the_order_of_the_codes_not_of_the_file() -> None:
    users = user_entities(["7", "07", "a"], {}, {"name": ["seven", "zero seven", "a"]})
    table = complete(users, "user", pa.array(["07", "7", "a"])).table
    assert table.to_dict("list") == {"user": [0, 1, 2], "name": ["zero seven", "seven", "a"]}


def test_users_that_no_file_describes_have_their_code_alone() -> None:
    table = complete(None, "user", pa.array(["3", "7"])).table
    assert table.to_dict("list") == {"user": [0, 1]}


def test_types_do_not_depend_on_what_is_missing() -> None:
    full = item_entities(["1"], ["A"], [1990], [["Drama"]], {"x": [0.5]}, {"type": ["TV"]})
    empty = item_entities(["1"], [None], [None], [[]], {"x": [0.5]}, {"type": [None]})
    assert to_arrow(full.table).schema == to_arrow(empty.table).schema
    assert to_arrow(empty.table).schema.field("genres").type == pa.list_(pa.string())


ROWS = [(user, item, 3, 10 * user + item) for user in (1, 2, 3) for item in (1, 2, 3, 4)]


def test_every_listed_and_rated_item_has_a_row(build: Build, csv: Csv) -> None:
    tables = build(csv(*ROWS), "item_id,title\n1,A\n2,B\n3,C\n4,D\n5,E\n")
    assert tables.item_ids.to_pylist() == [*"12345"]
    assert tables.items["item"].tolist() == [0, 1, 2, 3, 4]
    assert tables.items["title"].tolist() == [*"ABCDE"]
    assert tables.report["items"] == {"rated": 4, "listed": 5, "rated_but_not_listed": 0}
    assert tables.user_ids.to_pylist() == [*"123"]
    assert tables.users["user"].tolist() == [0, 1, 2]


def test_items_without_a_file_have_rows_without_genres(build: Build, csv: Csv) -> None:
    tables = build(csv(*ROWS))
    assert tables.items["genres"].tolist() == [[]] * 4
    assert tables.report["items"]["rated_but_not_listed"] == 4


def test_later_items_do_not_move_the_scale(build: Build, csv: Csv) -> None:
    # Item 9 is rated in the test period only.
    rows = [*ROWS, (1, 9, 3, 99)]
    prices = "item_id,title,price\n1,A,1\n2,B,2\n3,C,5\n4,D,\n"
    cheap, dear = (build(csv(*rows), f"{prices}9,E,{price}\n").items["price"].tolist() for price in (3, 1000))
    assert cheap[:4] == dear[:4] == [0, 0.25, 1, round(5 / 12, 6)]


def test_data_set_that_does_not_say_its_scale_needs_the_key(build: Build, csv: Csv) -> None:
    with pytest.raises(UserError, match=r"'own' has no rating scale of its own. Set preprocess.rating_scale to"):
        build(csv(*ROWS), rating_scale=None, feedback="explicit")
