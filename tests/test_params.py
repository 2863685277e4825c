"""The loader of params.yaml names every mistake with its key, rule, value and remedy."""

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel

from tests.small_data import NETWORKS
from widedeep.errors import UserError
from widedeep.models.registry import ENTRIES
from widedeep.params import Params, checked, dotted, load_params

Load = Callable[..., Params]
Write = Callable[[str, str], Path]


@pytest.fixture
def repository(root: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture
def load(repository: dict[str, Any], tmp_path: Path) -> Load:
    """Check the repository's params with some values changed, given as {"section.key": value}."""

    def load_with(changes: dict[str, Any] | None = None, without: str = "") -> Params:
        params = copy.deepcopy(repository)
        for name, value in (changes or {}).items():
            section, key = section_of(params, name)
            section[key] = value
        if without:
            section, key = section_of(params, without)
            del section[key]
        return checked(Params, params, str(tmp_path / "params.yaml"))

    return load_with


@pytest.fixture
def write(root: Path, tmp_path: Path) -> Write:
    """Write the repository's params.yaml with the text of one value replaced."""

    def write_with(name: str, text: str) -> Path:
        path = tmp_path / "params.yaml"
        path.write_text(replaced((root / "params.yaml").read_text(encoding="utf-8"), name, text), encoding="utf-8")
        return path

    return write_with


def replaced(yaml_text: str, name: str, value: str) -> str:
    """Replace the text of the value of a dotted name. The lines of the file stay as they are."""
    path, lines = name.split("."), yaml_text.splitlines()
    start = 0
    for depth, part in enumerate(path):
        start = next(n for n in range(start, len(lines)) if lines[n].startswith(f"{'  ' * depth}{part}:"))
    lines[start] = f"{'  ' * (len(path) - 1)}{path[-1]}: {value}"
    return "\n".join(lines) + "\n"


def section_of(params: dict[str, Any], name: str) -> tuple[dict[str, Any], str]:
    """Return the section of a dotted name, and the key in it."""
    *path, key = name.split(".")
    for part in path:
        params = params[part]
    return params, key


def keys_of(params: dict[str, Any]) -> dict[str, Any]:
    """List every section and key by its dotted name. The user chooses the names of gates."""
    found = {}
    for name, value in params.items():
        found[name] = value
        if isinstance(value, dict) and name != "gates":
            found |= {f"{name}.{key}": below for key, below in keys_of(value).items()}
    return found


def message(load: Load, changes: dict[str, Any]) -> str:
    with pytest.raises(UserError) as raised:
        load(changes)
    return str(raised.value)


def load_text(tmp_path: Path, text: str) -> Params:
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    return load_params(tmp_path / "params.yaml")


def test_params_of_the_repository_load(root: Path) -> None:
    load_params(root / "params.yaml")


def test_unknown_key_names_file_key_and_nearest(load: Load, tmp_path: Path) -> None:
    text = message(load, {"preprocess.test_fractoin": 0.1})
    assert text == f"{tmp_path / 'params.yaml'}: unknown key 'preprocess.test_fractoin'. Did you mean 'test_fraction'?"


def test_unknown_key_like_no_other_lists_the_known_ones(load: Load) -> None:
    text = message(load, {"download.qqqqqq": 1})
    assert "unknown key 'download.qqqqqq'. Known: dataset, source, watch, files, max_unpacked_gib." in text


def test_unknown_section_names_the_nearest(load: Load) -> None:
    assert "unknown key 'preproces'. Did you mean 'preprocess'?" in message(load, {"preproces": {}})


def test_every_section_and_key_is_required(load: Load, repository: dict[str, Any]) -> None:
    for name in keys_of(repository):
        with pytest.raises(UserError, match=rf"'{re.escape(name)}' is missing: add it"):
            load(without=name)


def test_null_is_refused_wherever_it_means_nothing(load: Load, repository: dict[str, Any]) -> None:
    for name, value in keys_of(repository).items():
        if value is not None:
            with pytest.raises(UserError, match=rf"'{re.escape(name)}'.*Got None instead"):
                load({name: None})


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("evaluate.popularity_penalty", 1, "must be less than 1. Got 1 instead."),
        ("evaluate.popularity_penalty", -0.1, "must be greater than or equal to 0. Got -0.1 instead."),
        ("featurize.folds", 1, "must be greater than or equal to 2. Got 1 instead."),
        ("featurize.folds", 2.5, "must be a whole number. Got 2.5 instead."),
        ("featurize.folds", "ten", "must be a number. Got 'ten' instead."),
        ("featurize.folds", True, "must be a number, not true or false. Got True instead."),
        ("featurize.item_damping", -1, "must be greater than or equal to 0. Got -1 instead."),
        ("featurize.item_damping", "much", "must be a number. Got 'much' instead."),
        ("featurize.item_damping", False, "must be a number, not true or false. Got False instead."),
        ("featurize.item_damping", float("nan"), "must be finite. Got nan instead."),
        ("featurize.item_damping", float("inf"), "must be finite. Got inf instead."),
        ("featurize.item_damping", "inf", "must be a number. Got 'inf' instead."),
        ("featurize.seed", float("inf"), "must be finite. Got inf instead."),
        ("featurize.seed", 2**32, "must be less than 4294967296. Got 4294967296 instead."),
        ("preprocess.fold", 1, "must be text, in quotes if it looks like a number or a date. Got 1 instead."),
        ("preprocess.rating_scale", [1], "must have at least 2 entries. Got [1] instead."),
        ("preprocess.rating_scale", "1-5", "must be a list. Got '1-5' instead."),
        ("preprocess.test_fraction", 0, "must be greater than 0. Got 0 instead."),
        ("featurize.crosses", "user_id, genres", "must be a list. Got 'user_id, genres' instead."),
        ("featurize.crosses", [["age", "age"]], "a cross must not name a field twice. Got [['age', 'age']] instead."),
        ("train.ranking.positive_rating", "high", "must be a number. Got 'high' instead."),
        ("train.ranking.positive_rating", True, "must be a number, not true or false. Got True instead."),
        ("train.ranking.rating_weight", -0.5, "must be greater than or equal to 0. Got -0.5 instead."),
        ("models.dot.members", 0, "must be greater than or equal to 1. Got 0 instead."),
        ("models.wide_deep.factors", -1, "must be greater than or equal to 0. Got -1 instead."),
        ("models.wide_deep.user_items", 2.5, "must be a whole number. Got 2.5 instead."),
        ("models.wide_deep.item_users", -1, "must be greater than or equal to 0. Got -1 instead."),
        ("models.wide_deep.time", 2, "must be true or false. Got 2 instead."),
        ("models.wide_deep.history", 2, "must be true or false. Got 2 instead."),
        ("models.bias_dot.wide_l2", -1, "must be greater than or equal to 0. Got -1 instead."),
        ("models.cnn.factors_l2", "nan", "must be a number. Got 'nan' instead."),
        ("models.cnn.channels", 0, "must be greater than or equal to 1. Got 0 instead."),
        ("models.item_knn.neighbours", 0, "must be greater than or equal to 1. Got 0 instead."),
        ("models.item_knn.shrinkage", -1, "must be greater than or equal to 0. Got -1 instead."),
        ("models.ease.l2", 0, "must be greater than 0. Got 0 instead."),
        ("train.ranking.negatives", -1, "must be greater than or equal to 0. Got -1 instead."),
        ("train.ranking.user_batch_size", 0, "must be greater than or equal to 1. Got 0 instead."),
        ("train.ranking.weight", 0, "must be greater than 0. Got 0 instead."),
        ("models.wide_deep.wide_learning_rate", 0, "must be greater than 0. Got 0 instead."),
        ("models.wide_deep.wide_weight_decay", -1, "must be greater than or equal to 0. Got -1 instead."),
        ("models.wide_deep.wide_l1", -1, "must be greater than or equal to 0. Got -1 instead."),
        ("train.rating.unseen_rate", 1.5, "must be less than or equal to 1. Got 1.5 instead."),
        ("train.rating.new_user_rate", -0.1, "must be greater than or equal to 0. Got -0.1 instead."),
    ],
)
def test_bad_value_names_key_rule_and_value(load: Load, key: str, value: Any, rule: str) -> None:
    assert message(load, {key: value}).endswith(f"'{key}': {rule}")


def counts(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, list[Any]]]:
    """List the whole numbers in a class of params: name and rules of each, also of those in a list."""
    for name, field in model.model_fields.items():
        kinds: list[tuple[Any, list[Any]]] = [(field.annotation, list(field.metadata))]
        while kinds:
            kind, metadata = kinds.pop()
            if get_origin(kind) is Annotated:
                kind, *more = get_args(kind)
                kinds.append((kind, [*metadata, *more]))
            elif kind is int:
                yield f"{path}{name}", metadata
            elif get_origin(kind) is tuple:
                kinds += [(part, []) for part in get_args(kind) if part is not ...]
            elif isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from counts(kind, f"{path}{name}.")


def bounds_of_counts() -> dict[str, tuple[int, int]]:
    """Lowest and highest value of every whole number but the seeds."""
    found = list(counts(Params))
    for name, entry in ENTRIES.items():
        found += counts(entry.config, f"models.{name}.")
    return {
        name: (
            max(rule.ge for rule in rules if hasattr(rule, "ge")),
            min(rule.le for rule in rules if hasattr(rule, "le")),
        )
        for name, rules in found
        if not name.endswith(".seed")
    }


def test_count_of_any_size_is_refused_by_its_bound(load: Load, repository: dict[str, Any]) -> None:
    bounds = bounds_of_counts()
    assert len(bounds) > 30
    for name, (low, high) in bounds.items():
        section, key = section_of(repository, name)
        listed = isinstance(section[key], list)
        at = f"{name}.0" if listed else name
        for value in (high + 1, 2**31, 2**63, 10**400):
            if value > high:
                text = message(load, {name: [value] if listed else value})
                assert f"'{at}': must be less than or equal to {high}. Got {value!r}"[:100] in text
        text = message(load, {name: [low - 1] if listed else low - 1})
        assert f"'{at}': must be greater than or equal to {low}. Got {low - 1} instead." in text


def test_comment_of_each_count_states_its_bounds(root: Path) -> None:
    comments: dict[str, str] = {}
    path: list[str] = []
    comment = before = ""
    for line in (root / "params.yaml").read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text.startswith("#"):
            comment = f"{comment} {text.strip('# ')}" if before.startswith("#") else text
        elif ":" in text:
            path = [*path[: (len(line) - len(line.lstrip())) // 2], text.partition(":")[0]]
            comments[".".join(path)] = comment
        before = text
    for name, (low, high) in bounds_of_counts().items():
        written = f"10^{len(str(high)) - 1}" if high >= 10**5 else str(high)
        assert f"[{low}, {written}]" in comments[name] or "As in " in comments[name], name


def test_entry_of_a_list_is_named_by_its_position(load: Load) -> None:
    text = message(load, {"featurize.crosses": [["age", "genres"], ["age"]]})
    assert "'featurize.crosses.1': must have at least 2 entries. Got ['age'] instead." in text


def test_same_cross_in_another_order_is_refused(load: Load) -> None:
    text = message(load, {"featurize.crosses": [["age", "genres"], ["genres", "age"]]})
    assert "the same cross must not be listed twice" in text


def test_wrong_option_names_the_nearest(load: Load) -> None:
    text = message(load, {"preprocess.split": "temporl"})
    assert "'preprocess.split': must be 'auto', 'temporal', 'random'" in text
    assert text.endswith("Got 'temporl' instead. Did you mean 'temporal'?")


@pytest.mark.parametrize(
    ("key", "value", "nearest"),
    [
        ("train.model", "widedeep", "wide_deep"),
        ("train.model", "item-knn", "item_knn"),
        ("train.objective", "rank", "ranking"),
        ("train.optimizer", "adam", "adamw"),
        ("models.wide_deep.wide_optimizer", "frtl", "ftrl"),
    ],
)
def test_wrong_option_of_training_names_the_nearest(load: Load, key: str, value: str, nearest: str) -> None:
    text = message(load, {key: value})
    assert text.endswith(f"Got '{value}' instead. Did you mean '{nearest}'?")
    assert dotted(load({key: nearest}).model_dump())[key] == nearest


@pytest.mark.parametrize("value", [None, 3, 3.5, -1e3])
@pytest.mark.parametrize("key", ["train.ranking.positive_rating", "models.ease.positive_rating"])
def test_positive_rating_may_be_null_or_any_number(load: Load, key: str, value: Any) -> None:
    assert dotted(load({key: value}).model_dump())[key] == (None if value is None else float(value))


W = "models.wide_deep"
NO_FACTORS = "must be 0 if factors is 0, because it acts on the factors. Got"


@pytest.mark.parametrize(
    ("changes", "rule", "obeyed"),
    [
        ({"user_items": 5}, f"user_items {NO_FACTORS} 5", {"factors": 2}),
        ({"item_users": 5}, f"item_users {NO_FACTORS} 5", {"factors": 2}),
        ({"factors_l2": 0.5}, f"factors_l2 {NO_FACTORS} 0.5", {"factors": 2}),
        (
            {"hidden": []},
            "dropout must be 0 if hidden is [], because it acts on hidden layers. Got 0.2",
            {"dropout": 0},
        ),
        ({"wide_l1": 0.5}, "wide_l1 must be 0 unless wide_optimizer is ftrl. Got 0.5", {"wide_optimizer": "ftrl"}),
    ],
)
def test_value_that_wide_deep_would_ignore_is_refused(
    load: Load, changes: dict[str, Any], rule: str, obeyed: dict[str, Any]
) -> None:
    text = message(load, {f"{W}.{key}": value for key, value in changes.items()})
    assert f"in '{W}': {rule} instead. Set " in text
    load({f"{W}.{key}": value for key, value in (changes | obeyed).items()})


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "wide_deep"])
def test_joint_is_refused_for_a_model_with_one_head(load: Load, name: str) -> None:
    text = message(load, {"train.model": name, "train.objective": "joint"})
    assert f"in 'train': objective must be rating or ranking for model: {name}. Got joint instead." in text
    assert text.endswith(
        "Models with the objective joint: global_mean, popularity, recent_popularity, bias, item_knn, ease, wide_deep."
    )


def test_replay_is_refused_without_a_warm_start(load: Load) -> None:
    text = message(load, {"train.replay": 0.5})
    assert "replay must be 0 unless warm_start_from names an earlier model. Got 0.5 instead." in text
    assert load({"train.replay": 0.5, "train.warm_start_from": "v1"}).train.replay == 0.5


@pytest.mark.parametrize("name", ["dense", "genre_dense"])
def test_dense_layers_are_needed_where_there_is_nothing_else(load: Load, name: str) -> None:
    text = message(load, {f"models.{name}.hidden": []})
    assert f"'models.{name}.hidden': this model needs at least one hidden layer. Got [] instead." in text


def test_knob_of_another_model_is_unknown(load: Load) -> None:
    known = "members, embedding_size, embedding_deviation, factors_l2"
    assert message(load, {"models.dot.hidden": [8]}).endswith(f"unknown key 'models.dot.hidden'. Known: {known}.")
    text = message(load, {"models.bias.hidden": [8]})
    assert text.endswith("unknown key 'models.bias.hidden'. This section has no keys: remove this one.")
    assert message(load, {"models.cnn.chanels": 8}).endswith("Did you mean 'channels'?")
    assert message(load, {"models.dott": {}}).endswith("unknown key 'models.dott'. Did you mean 'dot'?")


def test_defaults_of_a_model_are_the_values_of_the_params(load: Load) -> None:
    # A model that was stored before a knob existed gets its default.
    assert load().models == {name: entry.config() for name, entry in ENTRIES.items()}


def test_section_that_is_no_mapping_is_refused(load: Load) -> None:
    assert "'featurize': must be a section of keys. Got [1] instead." in message(load, {"featurize": [1]})


def test_rule_between_keys_names_them_and_their_values(load: Load) -> None:
    text = message(load, {"preprocess.validation_fraction": 0.5, "preprocess.test_fraction": 0.5})
    assert "in 'preprocess': validation_fraction and test_fraction must leave rows to train on" in text
    assert "Got 0.5 + 0.5 instead." in text


def test_rating_scale_upside_down_is_refused(load: Load) -> None:
    text = message(load, {"preprocess.rating_scale": [5, 1]})
    assert "rating_scale must be [lowest, highest]. Got [5.0, 1.0] instead." in text


def test_all_mistakes_are_listed_at_once(load: Load) -> None:
    lines = message(load, {"preprocess.fold": 1, "featurize.folds": 0, "featurize.flods": 3}).splitlines()
    assert len(lines) == 3
    assert all("params.yaml: " in line for line in lines)


@pytest.mark.parametrize("text", ["1e-4", "1e-04", "0.0001", "1.0e-4"])
def test_small_number_reads_the_same_however_written(write: Write, text: str) -> None:
    assert load_params(write("featurize.item_damping", text)).featurize.item_damping == 1e-4


@pytest.mark.parametrize("text", ["1000", "1000.0", "1e3", "1e+03", "1_000", "01000"])
def test_whole_number_reads_the_same_however_written(write: Write, text: str) -> None:
    buckets = load_params(write("featurize.hash_buckets", text)).featurize.hash_buckets
    assert buckets == 1000
    assert type(buckets) is int


@pytest.mark.parametrize("text", ["yes", "no", "on", "off", "maybe", "'true'", "1", "0"])
def test_switch_that_is_not_true_or_false_is_refused(write: Write, text: str) -> None:
    # `yes` and `on` are true for YAML 1.1, but text for DVC.
    with pytest.raises(UserError, match=r"'models\.wide_deep\.time': must be true or false\. Got .* instead\.$"):
        load_params(write("models.wide_deep.time", text))


@pytest.mark.parametrize("text", ["1:30", "'10'", "1,000", "10s"])
def test_text_for_a_number_is_refused(write: Write, text: str) -> None:
    # `1:30` is 90 for YAML 1.1, but text for DVC.
    with pytest.raises(UserError, match=r"'preprocess\.seed': must be a number\. Got '.*' instead\.$"):
        load_params(write("preprocess.seed", text))


@pytest.mark.parametrize("value", [0, True, "al", "2", 1.5, 2**63, None])
def test_devices_that_are_neither_auto_nor_a_count_are_one_mistake(load: Load, value: Any) -> None:
    text = message(load, {"train.devices": value})
    assert text.endswith(f"'train.devices': must be auto or a whole number from 1 to 1000. Got {value!r} instead.")


@pytest.mark.parametrize(("value", "expected"), [("auto", "auto"), (2, 2), (2.0, 2)])
def test_devices_may_be_auto_or_a_count(load: Load, value: Any, expected: Any) -> None:
    assert load({"train.devices": value}).train.devices == expected


@pytest.mark.parametrize("value", [1, True, "week", "20", 2.5, 2**63, None])
def test_windows_that_are_neither_of_the_calendar_nor_a_count_are_one_mistake(load: Load, value: Any) -> None:
    text = message(load, {"drift.windows": value})
    rule = "must be month, quarter or a whole number from 2 to 1000"
    assert text.endswith(f"'drift.windows': {rule}. Got {value!r} instead.")


@pytest.mark.parametrize(("value", "expected"), [("month", "month"), ("quarter", "quarter"), (2, 2), (20.0, 20)])
def test_windows_may_be_of_the_calendar_or_a_count(load: Load, value: Any, expected: Any) -> None:
    assert load({"drift.windows": value}).drift.windows == expected


def test_wrong_entry_is_not_also_called_a_short_list(load: Load) -> None:
    assert message(load, {"models.dense.hidden": [0]}).count("\n") == 0


def test_params_cannot_be_changed_after_loading(load: Load) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().featurize.folds = 3


def test_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"params\.yaml does not exist. Run from the repository root."):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("text", ["a: [1", "a: 1\n\tb: 2"])
def test_broken_yaml_is_named_with_its_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"params\.yaml is not valid YAML, line [12]: [^\n]*\.$"):
        load_text(tmp_path, text)


def test_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(b"a: \xff")
    with pytest.raises(UserError, match="is not valid YAML"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("text", ["", "- 1\n", "text"])
def test_file_without_sections_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="must hold sections with keys"):
        load_text(tmp_path, text)
