"""Every rating is in exactly one split, by rules that a reader can check by hand."""

from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tables.conftest import Built
from widedeep.errors import UserError
from widedeep.params import PreprocessParams
from widedeep.params.data import NOTHING_SAID
from widedeep.tables import splits

Build = Callable[..., Built]
Csv = Callable[..., str]


def split_of(tables: Built) -> dict[tuple[int, int], str]:
    return {(user, item): split for user, item, _, _, split in tables.rows()}


def random_rows(count: int, seconds: int) -> list[tuple[int, int, int, int]]:
    rng = np.random.default_rng(3)
    pairs = rng.permutation(20 * 20)[:count]
    times = rng.integers(0, seconds, count)
    return [
        (int(pair) // 20, int(pair) % 20, 1 + int(pair) % 5, int(time)) for pair, time in zip(pairs, times, strict=True)
    ]


@pytest.mark.parametrize("split", ["temporal", "random", "leave_last_out"])
def test_every_rating_is_in_one_split(build: Build, csv: Csv, split: str) -> None:
    given = random_rows(200, 1000)
    tables = build(csv(*given), split=split)
    assert sorted(split_of(tables)) == sorted(row[:2] for row in given)
    counts = Counter(split_of(tables).values())
    assert set(counts) == {"train", "validation", "test"}
    assert tables.report["ratings"] == {"kept": 200, **counts}


def test_temporal_cut_offs_by_hand(build: Build, csv: Csv) -> None:
    # Of 10 rows, the last 2 are for test and the 2 before them for validation.
    tables = build(csv(*[(1, item, 3, 100 + item) for item in range(10)]))
    assert [split for _, split in sorted(split_of(tables).items())] == ["train"] * 6 + ["validation"] * 2 + ["test"] * 2


def test_temporal_never_parts_one_second(build: Build, csv: Csv) -> None:
    times = [1, 2, 3, 4, 5, 5, 5, 8, 8, 8]
    tables = build(csv(*[(1, item, 3, time) for item, time in enumerate(times)]), validation_fraction=0.3)
    assert list(split_of(tables).values()) == ["train"] * 4 + ["validation"] * 3 + ["test"] * 3


@pytest.mark.parametrize("seconds", [30, 1000])
def test_temporal_parts_follow_each_other_in_time(build: Build, csv: Csv, seconds: int) -> None:
    by_split = defaultdict(list)
    for row in build(csv(*random_rows(300, seconds))).ratings.to_pylist():
        by_split[row["split"]].append(row["timestamp"])
    assert max(by_split["train"]) < min(by_split["validation"])
    assert max(by_split["validation"]) < min(by_split["test"])
    assert len(by_split["test"]) >= 60


def test_temporal_without_validation_has_none(build: Build, csv: Csv) -> None:
    assert Counter(split_of(build(csv(*random_rows(100, 1000)), validation_fraction=0)).values()).keys() == {
        "train",
        "test",
    }


def test_temporal_with_all_ratings_in_one_second_is_refused(build: Build, csv: Csv) -> None:
    with pytest.raises(UserError, match="leaves no rating to train on: too many ratings share the earliest second"):
        build(csv(*[(1, item, 3, 7) for item in range(10)]))


def test_temporal_with_too_few_seconds_to_validate_is_refused(build: Build, csv: Csv) -> None:
    with pytest.raises(UserError, match="leaves no rating to validate on"):
        build(csv(*[(1, item, 3, 7 if item < 4 else 8) for item in range(10)]))


@pytest.mark.parametrize("split", ["temporal", "leave_last_out"])
def test_split_by_time_needs_timestamps(build: Build, csv: Csv, split: str) -> None:
    text = csv(*[(1, item, 3) for item in range(10)], header="user_id,item_id,rating")
    with pytest.raises(
        UserError, match=f"preprocess.split: {split} needs timestamps, .* has none. Set preprocess.split"
    ):
        build(text, split=split)


def test_auto_follows_time_where_there_is_any(build: Build, csv: Csv) -> None:
    rows = random_rows(200, 9)
    timed = build(csv(*rows), split="auto")
    assert timed.about.split == "temporal"
    assert timed.ratings.equals(build(csv(*rows), split="temporal").ratings)
    untimed = build(csv(*[row[:3] for row in rows], header="user_id,item_id,rating"), split="auto")
    assert untimed.about.split == "random"


def test_random_fractions_are_exact(build: Build, csv: Csv) -> None:
    tables = build(csv(*random_rows(200, 9)), split="random", validation_fraction=0.1, test_fraction=0.3)
    assert Counter(split_of(tables).values()) == {"train": 120, "validation": 20, "test": 60}


def test_random_follows_its_seed(build: Build, csv: Csv) -> None:
    text = csv(*random_rows(200, 9))
    first, again, other = (split_of(build(text, split="random", seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_random_works_without_timestamps(build: Build, csv: Csv) -> None:
    text = csv(*[(1, item, 3) for item in range(10)], header="user_id,item_id,rating")
    tables = build(text, split="random")
    assert Counter(split_of(tables).values()) == {"train": 6, "validation": 2, "test": 2}
    assert tables.ratings["timestamp"].null_count == 10


def test_leave_last_out_by_hand(build: Build, csv: Csv) -> None:
    # User 2 rated items 5 and 6 in the same second: the higher id counts as later.
    rows = [(1, 1, 3, 30), (1, 2, 3, 10), (1, 3, 3, 20), (2, 6, 3, 9), (2, 5, 3, 9), (2, 7, 3, 1)]
    tables = build(csv(*rows), split="leave_last_out")
    assert split_of(tables) == {
        (1, 1): "test", (1, 3): "validation", (1, 2): "train",
        (2, 6): "test", (2, 5): "validation", (2, 7): "train",
    }  # fmt: skip


def test_leave_last_out_without_validation_tests_one_per_user(build: Build, csv: Csv) -> None:
    found = split_of(build(csv(*random_rows(300, 50)), split="leave_last_out", validation_fraction=0))
    assert Counter(user for (user, _), split in found.items() if split == "test") == dict.fromkeys(range(20), 1)
    assert set(found.values()) == {"train", "test"}


def test_leave_last_out_names_a_user_with_one_rating(build: Build, csv: Csv) -> None:
    rows = [(1, item, 3, item) for item in range(5)] + [(7, 1, 3, 5), (8, 1, 3, 5)]
    with pytest.raises(UserError, match=r"User 7 has 1; 2 users in all .* Set preprocess.min_ratings_per_user to 3."):
        build(csv(*rows), split="leave_last_out")
    assert build(csv(*rows), split="leave_last_out", min_ratings_per_user=3).report["users"]["rated"] == 1
    named = [(f"u{user}", *rest) for user, *rest in rows]
    with pytest.raises(UserError, match="User u7 has 1; 2 users in all"):
        build(csv(*named), split="leave_last_out")


def test_too_few_ratings_to_test_on_are_refused(build: Build, csv: Csv) -> None:
    with pytest.raises(UserError, match=r"test_fraction: 0\.2 of 2 ratings rounds to none.* set it to 0\.5 or more\."):
        build(csv((1, 1, 3, 1), (1, 2, 3, 2)), split="random", validation_fraction=0)


def test_data_set_without_folds_says_so(build: Build, csv: Csv) -> None:
    with pytest.raises(UserError, match=r"'own' has no fold 'u1'\. It has none: choose another preprocess.split."):
        build(csv((1, 1, 3, 1)), split="predefined")


def test_predefined_takes_validation_from_the_base_rows_only() -> None:
    is_test = np.arange(100) % 4 == 0
    params = PreprocessParams(
        **dict(NOTHING_SAID),
        on_bad_rows="error", rating_scale=None, min_ratings_per_user=1, min_ratings_per_item=1, split="predefined",
        fold="u1", validation_fraction=0.2, test_fraction=0.1, seed=0,
        memory_gib=1, threads=None, spill_folder=None,
    )  # fmt: skip
    split = splits.predefined(is_test, params)
    assert set(split[is_test]) == {"test"}
    assert Counter(split[~is_test]) == {"train": 60, "validation": 15}


@pytest.mark.parametrize("split", ["temporal", "random", "leave_last_out"])
def test_order_of_the_lines_does_not_matter(build: Build, csv: Csv, split: str) -> None:
    rows: list[tuple[Any, ...]] = list(random_rows(200, 40))
    tables = build(csv(*rows), split=split)
    again = build(csv(*rows[::-1]), split=split)
    assert tables.ratings.equals(again.ratings)


@pytest.fixture
def given(raw: Path) -> Callable[..., Built]:
    """Build tables from train.csv and test.csv, without a ratings.csv."""

    def build(train: str, test: str, split: str = "predefined", fold: str = "given", **changes: Any) -> Built:
        (raw / "train.csv").write_text(train, encoding="utf-8")
        (raw / "test.csv").write_text(test, encoding="utf-8")
        return Built.of(raw, **changes, split=split, fold=fold)

    return build


def test_given_split_tests_its_test_file_and_validates_a_part_of_its_training_file(
    given: Callable[..., Built], csv: Csv
) -> None:
    rows = [(1, item, 3, 100 + item) for item in range(12)]
    by_pair = split_of(given(csv(*rows[2:]), csv(*rows[:2])))
    assert {pair for pair, split in by_pair.items() if split == "test"} == {(1, 0), (1, 1)}
    assert Counter(by_pair.values()) == {"train": 8, "validation": 2, "test": 2}


def test_given_split_counts_a_pair_of_both_files_once(given: Callable[..., Built], csv: Csv) -> None:
    tables = given(csv((1, 1, 3, 5), (1, 2, 3, 5)), csv((1, 2, 4, 5), (1, 3, 4, 5)), validation_fraction=0)
    assert split_of(tables) == {(1, 1): "train", (1, 2): "test", (1, 3): "test"}
    assert tables.report["rows"]["duplicates"] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "auto"}, "preprocess.split must be predefined, and preprocess.fold given, for .*Got split 'auto'"),
        ({"split": "random"}, "Got split 'random' instead"),
        ({"fold": "u1"}, "the data set 'own' has no fold 'u1'. It has: given."),
    ],
)
def test_given_split_under_another_name_is_an_error_that_names_it(
    given: Callable[..., Built], csv: Csv, changes: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        given(csv((1, 1, 3, 5)), csv((1, 2, 3, 5)), **changes)


def test_given_split_with_two_kinds_of_header_is_an_error(given: Callable[..., Built], csv: Csv) -> None:
    with pytest.raises(UserError, match=r"train\.csv, test\.csv must have the same columns"):
        given(csv((1, 1, 3, 5)), "user_id,item_id,rating\n1,2,3\n")


def test_a_fraction_that_is_no_whole_rating_says_so(build: Build, csv: Csv) -> None:
    rows = [(1, 1, 5, 100), (1, 2, 3, 200), (2, 1, 4, 300), (2, 2, 4, 400), (3, 1, 4, 500)]
    with pytest.raises(
        UserError, match=r"validation_fraction: 0\.1 of 5 ratings is no whole rating.*set it to 0\.3 or"
    ):
        build(csv(*rows), validation_fraction=0.1, test_fraction=0.1)
    with pytest.raises(
        UserError, match=r"validation_fraction: 0\.1 of 5 ratings .*Use more ratings, or set it to 0 for"
    ):
        build(csv(*rows), validation_fraction=0.1, test_fraction=0.8)
    parts = Counter(build(csv(*rows), validation_fraction=0.3, test_fraction=0.1).ratings["split"].to_pylist())
    assert parts == {"train": 3, "validation": 1, "test": 1}
    with pytest.raises(
        UserError, match=r"validation_fraction: 0\.05 of 5 ratings rounds to none.* or to 0 for no valid"
    ):
        build(csv(*rows), split="random", validation_fraction=0.05)
    assert Counter(build(csv(*rows), validation_fraction=0).ratings["split"].to_pylist()) == {"train": 4, "test": 1}


def test_given_split_without_its_files_is_an_error(build: Build, csv: Csv) -> None:
    with pytest.raises(UserError, match=r"train\.csv is missing: preprocess\.fold: given takes"):
        build(csv((1, 1, 3, 5)), split="predefined", fold="given")
