"""No text in params.yaml ends in a traceback or takes long, and every value means the same as for DVC.

For more cases: `FUZZ=50000 pytest tests/test_params_fuzz.py`. For other ones: `FUZZ_SEED=1`.
"""

import copy
import json
import os
import pickle
import random
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from dvc.exceptions import DvcException
from dvc.utils.serialize import parse_yaml as parse_as_dvc

from tests.conftest import ROOT
from tests.test_params import keys_of, section_of
from widedeep.errors import UserError
from widedeep.params import Params, checked, dotted, load_params
from widedeep.yaml import parse_yaml, read_yaml

CASES = int(os.environ.get("FUZZ", "2000"))
SEED = os.environ.get("FUZZ_SEED", "0")
LIMIT = 5  # seconds of the processor for one case: far above what it needs, and far below a hang
REPOSITORY = read_yaml(ROOT / "params.yaml")
KEYS = sorted(keys_of(REPOSITORY))
NUMBERS = (
    "0 -0 1 -1 2 010 08 0o10 0x1F 0b11 1_000 1__0 .5 5. 1. +5 1e5 1e-4 1E+3 1e400 -1e400 1e308 5e-324 1:30 190:20:30 "
    f".inf -.inf .nan .NaN nan inf {2**31} {2**32} {2**53 + 1} {2**63 - 1} {2**63} -{2**63} {10**18} {'9' * 400} "
    f"{'9' * 5000} 0x{'f' * 5000} {'9' * 400}.0 0.{'0' * 400}1"
).split()
WORDS = [
    "yes",
    "no",
    "on",
    "off",
    "y",
    "n",
    "True",
    "FALSE",
    "true",
    "false",
    "~",
    "null",
    "Null",
    "NULL",
    "''",
    "'1'",
    '"010"',
    "2020-01-01",
    "2020-13-45",
    "2020-01-01T00:00:00Z",
    "a",
    "auto",
    "month",
    "wide_deep",
    "~nobody/x",
    "http://[::1",
    "http://",
    "https://:0",
    "http://a:b/",
    "<<:",
    "=",
    "-",
    "?",
    "!",
    "&",
    "*",
    "@",
    "`",
    "%",
    "|",
    ">",
    "[",
    "{",
    "]",
    "}",
    "*a",
    "&a",
    '"\\0"',
    '"a\\0b"',
    '"\\n"',
    '"\\ud800"',
    '"\\UFFFFFFFF"',
    '"\\e[31m"',
    "!!python/name:os.system",
    "!!int",
]
TAGGED = ("!!bool x", "!!float x", "!!binary x", "!!set {a}", "!!timestamp x", "!!omap [a]", "!!str 1", "!!int '010'")
NESTED = (
    *("[]", "{}", "[[]]", "[null]", "[1]", "[1, 2]", "[1, 1]", "[true]", "[.nan]", "[[a, b]]", "[[a, a]]", "{a: 1}"),
    *("{a: {a: 1}}", "[a, [b, {c: d}]]", "{1: 2}", "{~: 1}", "{[a]: 1}", "{{a: 1}: 1}", "{a: 1, a: 2}", "&a [*a]"),
    *("[&a [1, 1], *a]", "{<<: {a: 1}}", "&a {<<: *a}", "[" * 40 + "]" * 40, "[" * 500, "{a: " * 500),
    *("[" + "1, " * 500 + "]", "[" + ", ".join(map(str, range(1, 400))) + "]", "'" + "x" * 5000 + "'"),
    "[&a0 [1, 1], " + ", ".join(f"&a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)) + "]",
    "[&a0 {a: 1}, " + ", ".join(f"&a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 60)) + "]",
)
ALPHABET = "0123456789_.:+-eExXobOBnyfaultrsi~'\"[]{},# "


def texts(rng: random.Random) -> Iterator[str]:
    """Draw texts of values without end: known traps, and any sequence of characters that numbers and words have."""
    while True:
        kind = rng.random()
        if kind < 0.4:
            yield rng.choice(rng.choice((NUMBERS, WORDS, NESTED, TAGGED)))
        elif kind < 0.7:
            yield "".join(rng.choices("0123456789_.:+-eExo", k=rng.randint(1, 8)))
        else:
            yield "".join(rng.choices(ALPHABET, k=rng.randint(1, 12)))


@cache  # the known traps are drawn often
def read(text: str) -> tuple[Any, str]:
    """Read a value as the loader does, and see that DVC reads the same. Return the value and "", or the error."""
    document = f"value: {text}\n"
    try:
        value = parse_yaml(document, "params.yaml")
    except UserError as error:
        return None, str(error)
    # As bytes, because NaN is not equal to itself.
    assert pickle.dumps(value) == pickle.dumps(parse_as_dvc(document, "params.yaml")), text
    return (value["value"] if isinstance(value, dict) and "value" in value else value), ""


def same(ours: Any, dvcs: Any) -> bool:
    """Whether a checked value is what DVC records. A whole number may be written as 1000.0, and a list is a tuple."""
    if isinstance(ours, dict):
        return isinstance(dvcs, dict) and ours.keys() == dvcs.keys() and all(same(ours[key], dvcs[key]) for key in ours)
    if isinstance(ours, tuple):
        return len(ours) == len(dvcs) and all(map(same, ours, dvcs))
    numbers = [isinstance(one, int | float) and not isinstance(one, bool) for one in (ours, dvcs)]
    if all(numbers):
        return float(ours) == float(dvcs)
    return type(ours) is type(dvcs) and bool(ours == dvcs)


def is_told(message: str, key: str) -> bool:
    """Whether each line of a message names the file and the key, its section, or the line of the file."""
    names = [f"'{'.'.join(key.split('.')[: depth + 1])}" for depth in range(key.count(".") + 1)]
    *lines, last = message.split("\n")
    lines += [] if last.endswith(" more mistakes") else [last]
    return all(
        "params.yaml" in line and line.isprintable() and len(line) < 1000 and any(name in line for name in names)
        for line in lines
    )


def refusal(key: str, value: Any) -> str:
    """Return the message that refuses a value of a key, or "". A value that is taken must be what DVC records."""
    raw = copy.deepcopy(REPOSITORY)
    section, name = section_of(raw, key)
    section[name] = value
    try:
        params = checked(Params, raw, "params.yaml")
    except UserError as error:
        return str(error)
    taken = params.model_dump()
    section, name = section_of(taken, key)
    assert same(section[name], value), f"{key}: DVC records {value!r}, the loader takes {section[name]!r}"
    json.dumps(taken, allow_nan=False).encode()  # as it is stored beside a model
    dotted(params.recipe.architecture.model_dump())
    return ""


def test_any_value_of_any_key_is_taken_as_dvc_reads_it_or_refused_by_name() -> None:
    rng = random.Random(SEED)
    drawn = texts(rng)
    taken = refused = unreadable = 0
    for _ in range(CASES):
        key, text = rng.choice(KEYS), next(drawn)
        begin = time.process_time()
        value, error = read(text)
        if error:
            assert error.startswith("params.yaml is not valid YAML"), text
            assert error.isprintable(), text
            unreadable += 1
        else:
            message = refusal(key, value)
            assert not message or is_told(message, key), (key, text, message)
            taken, refused = taken + (not message), refused + bool(message)
        assert time.process_time() - begin < LIMIT, (key, text[:100])
    print(f"{taken} values taken, {refused} refused, {unreadable} not readable")
    assert min(taken, refused, unreadable) > CASES / 100


def test_damaged_file_is_read_as_dvc_reads_it_or_refused_in_a_line(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    path = tmp_path / "params.yaml"
    whole = (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    # Without its comments the file is read faster, and damage hits more of its keys.
    bare = "".join(line for line in whole if not line.lstrip().startswith("#")).encode()
    for _ in range(CASES // 30):
        damaged = bytearray(bare)
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(damaged))
            part = slice(place, place + rng.randint(0, 40))
            damaged[part] = rng.choice((b"", damaged[part] * 2, rng.randbytes(1), rng.choice(ALPHABET).encode()))
        path.write_bytes(damaged)
        begin = time.process_time()
        message = ""
        try:
            params = load_params(path)
        except UserError as error:
            message = str(error)
        if message:
            assert all(line.startswith(str(path)) and line.isprintable() for line in message.split("\n")), damaged
        else:
            as_dvc = parse_as_dvc(damaged.decode(), "params.yaml")
            assert same(params.model_dump(), as_dvc), damaged
        assert time.process_time() - begin < LIMIT, damaged


@pytest.mark.parametrize(
    ("key", "taken"),
    [
        ("preprocess.seed", {"0": 0, "-0": 0, "1": 1, "2": 2, "010": 10, "08": 8, "0o10": 8, "0x1F": 31, "0b11": 3}),
        ("featurize.item_damping", {".5": 0.5, "5.": 5, "1e5": 100000, "1e-4": 0.0001, "1_000": 1000}),
        ("preprocess.fold", {word: word for word in ("yes", "no", "on", "1:30", "190:20:30", "nan", "n")}),
        ("models.wide_deep.history", {"True": True, "FALSE": False}),
        ("evaluate.relevant_rating", {"~": None, "Null": None, "+5": 5, "5e-324": 5e-324}),
        ("featurize.recent", {"[]": (), "[1, 2]": (1, 2)}),
        ("train.devices", {"auto": "auto", "1_000": 1000}),
        ("drift.windows", {"month": "month", "010": 10}),
    ],
)
def test_trap_is_taken_by_each_kind_of_key_as_dvc_reads_it_or_refused_by_name(key: str, taken: dict[str, Any]) -> None:
    for text in {*NUMBERS, *WORDS, *NESTED, *TAGGED, *taken}:
        value, error = read(text)
        message = error or refusal(key, value)
        assert not message or (error.isprintable() if error else is_told(message, key)), text
        assert text not in taken or (not message and same(taken[text], value)), text


def test_dvc_refuses_a_key_that_stands_twice() -> None:
    with pytest.raises(DvcException):
        parse_as_dvc("a: 1\na: 2\n", "params.yaml")
    with pytest.raises(UserError, match="line 2: found duplicate key"):
        parse_yaml("a: 1\na: 2\n", "params.yaml")
