"""Presets: parameters that suit one data set, kind of split and objective better than those of params.yaml.

`<dataset>.yaml` beside this file holds them, as parts of sections of params.yaml:

    random:              # splits random and predefined
      rating:            # train.objective
        featurize: {item_damping: 8}
        train: {learning_rate: 0.001}
        models: {wide_deep: {factors: 32}}
    temporal:            # splits temporal and leave_last_out
      ranking: ...

`widedeep tune` finds and writes them (docs/tuning.md). `widedeep presets` prints one for DVC, whose experiment then
runs on that data set, split and objective.
"""

import json
from itertools import takewhile
from pathlib import Path
from typing import get_args

import yaml

from widedeep.errors import UserError, nearest
from widedeep.files import replacing
from widedeep.params import Dataset, Sections, dotted, merged

FAMILIES = {"random": "random", "predefined": "random", "temporal": "temporal", "leave_last_out": "temporal"}


def preset_file(dataset: str) -> Path:
    """Where the presets of a data set lie, if it has any."""
    return Path(__file__).with_name(f"{dataset}.yaml")


def load_preset(path: Path, split: str, objective: str) -> Sections | None:
    """The preset of the file for a split and an objective; None if there is no such file or preset.

    Raises
    ------
    UserError
        The split is unknown; the file is not readable YAML or not laid out as above, or sets what a preset must leave
        alone: only featurize, train, models and preprocess.validation_fraction are its own.
    """
    if split not in FAMILIES:
        hint = nearest(split, FAMILIES, f"Known: {', '.join(FAMILIES)}.")
        raise UserError(f"There is no split '{split}'. {hint}")
    if not path.exists():
        return None
    try:
        preset = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    family = FAMILIES[split]
    for key in (family, objective):
        preset = preset.get(key, {}) if isinstance(preset, dict) else preset
    if not isinstance(preset, dict) or not all(isinstance(section, dict) for section in preset.values()):
        raise UserError(f"{path}: {family}.{objective} must hold sections of params.yaml. Got {preset!r} instead.")
    for section, keys in preset.items():
        for key in keys:
            if section not in ("featurize", "train", "models") and (section, key) != (
                "preprocess",
                "validation_fraction",
            ):
                raise UserError(
                    f"{path}: a preset must set only featurize, train, models and preprocess.validation_fraction. "
                    f"{family}.{objective} sets {section}.{key} instead. Remove it."
                )
    return preset or None


def save_preset(path: Path, family: str, objective: str, preset: Sections, found: str) -> None:
    """Put a preset into the file, in place of the earlier one of this kind of split and objective.

    `found` says where it comes from, in a comment at the head of the file. The other comments there stay.
    """
    load_preset(path, family, objective)  # a file that is not laid out as above must not be written over
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    name = f"# {family}.{objective}: "
    comments = takewhile(lambda line: line.startswith("#"), text.splitlines())
    head = [line for line in comments if not line.startswith(name)]
    presets = yaml.safe_load(text) or {}
    presets.setdefault(family, {})[objective] = preset
    body = yaml.safe_dump(presets, sort_keys=False, default_flow_style=None, width=120)
    with replacing(path) as partial:
        partial.write_text("\n".join([*head, name + found, body]), encoding="utf-8")


def assignments(changes: Sections) -> list[str]:
    """`section.key=value` for each value, as `dvc exp run -S` reads it, without spaces: a shell would cut there."""
    return [f"{name}={json.dumps(value, separators=(',', ':'))}" for name, value in dotted(changes).items()]


def as_arguments(dataset: str, split: str, objective: str) -> str:
    """The preset of a data set for `dvc exp run`, as `-S section.key=value ...`.

    Raises
    ------
    UserError
        There is no such preset; `load_preset` does.
    """
    path = preset_file(dataset)
    preset = load_preset(path, split, objective)
    if preset is None:
        known = ", ".join(name for name in get_args(Dataset) if preset_file(name).exists()) or "none"
        raise UserError(
            f"There is no preset for {dataset} {split} {objective}: {path.name} must have "
            f"{FAMILIES[split]}.{objective}. Data sets with presets: {known}."
        )
    run = {"download": {"dataset": dataset}, "preprocess": {"split": split}, "train": {"objective": objective}}
    return " ".join(f"-S {assignment}" for assignment in assignments(merged(run, preset)))
