"""Read and write presets. A preset has parameters for one data set, kind of split and objective.

The presets of a data set are in `<dataset>.yaml` beside this file, as parts of sections of params.yaml:

    random:              # splits random and predefined
      rating:            # train.objective
        featurize: {item_damping: 8}
        train: {learning_rate: 0.001}
        models: {wide_deep: {factors: 32}}
    temporal:            # splits temporal and leave_last_out
      ranking: ...

`widedeep tune` finds and writes presets (docs/tuning.md). `widedeep presets` prints one as arguments of `dvc exp run`.
"""

import json
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from typing import Any, get_args

import yaml

from widedeep.errors import UserError, nearest
from widedeep.files import replacing
from widedeep.params import Dataset, Sections, dotted, merged
from widedeep.yaml import parse_yaml, read_yaml

FAMILIES = {"random": "random", "predefined": "random", "temporal": "temporal", "leave_last_out": "temporal"}


def preset_file(dataset: str) -> Path:
    """Return the path of the presets of a data set. The file may not exist."""
    return Path(__file__).with_name(f"{dataset}.yaml")


def load_preset(path: Path, split: str, objective: str) -> Sections | None:
    """Read the preset for a split and an objective from a file. If there is no such file or preset, return None.

    Raises
    ------
    UserError
        The split is unknown; the file is not readable YAML or does not have the form above; or the preset sets a
        parameter that it must not set. It may set featurize, train, models and preprocess.validation_fraction.
    """
    if split not in FAMILIES:
        hint = nearest(split, FAMILIES, f"Known: {', '.join(FAMILIES)}.")
        raise UserError(f"There is no split '{split}'. {hint}")
    if not path.exists():
        return None
    preset: Any = read_yaml(path)
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
                    f"{family}.{objective} sets {section}.{key}. Remove it."
                )
    return preset or None


def save_preset(path: Path, family: str, objective: str, preset: Sections, found: str) -> None:
    """Write a preset to the file, in place of the earlier one for this kind of split and objective.

    `found` says where the values come from. It is written as a comment at the head of the file. The other comments
    there stay.
    """
    load_preset(path, family, objective)  # refuse to overwrite a file that does not have the form above
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    name = f"# {family}.{objective}: "
    comments = takewhile(lambda line: line.startswith("#"), text.splitlines())
    head = [line for line in comments if not line.startswith(name)]
    presets = read_yaml(path) if path.exists() else {}
    presets.setdefault(family, {})[objective] = preset
    body = yaml.safe_dump(presets, sort_keys=False, default_flow_style=None, width=120)
    with replacing(path) as partial:
        partial.write_text("\n".join([*head, name + found, body]), encoding="utf-8")


def assignments(changes: Sections) -> list[str]:
    """Write each value as `section.key=value` for `dvc exp run -S`. It has no spaces, so a shell does not split it."""
    return [f"{name}={json.dumps(value, separators=(',', ':'))}" for name, value in dotted(changes).items()]


def read_assignments(texts: Iterable[str]) -> dict[str, Any]:
    """Read the values of an option --set, each as `section.key=value`, by their dotted name.

    Raises
    ------
    UserError
        A text does not have this form, or its value is not YAML.
    """
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or "." not in name:
            raise UserError(f"--set must be section.key=value, as in train.epochs=5. Got {text!r} instead.")
        try:
            values[name] = parse_yaml(value, "--set")
        except UserError:
            raise UserError(f"--set {name}: the value must be YAML. Got {value!r} instead.") from None
    return values


def as_arguments(dataset: str, split: str, objective: str) -> str:
    """Write the preset of a data set as arguments of `dvc exp run`: `-S section.key=value ...`.

    Raises
    ------
    UserError
        There is no such preset, or `load_preset` raises it.
    """
    path = preset_file(dataset)
    preset = load_preset(path, split, objective)
    if preset is None:
        known = ", ".join(name for name in get_args(Dataset) if preset_file(name).exists()) or "none"
        raise UserError(
            f"There is no preset for {dataset} {split} {objective}: {path.name} has no {FAMILIES[split]}.{objective}. "
            f"Data sets with presets: {known}."
        )
    run = {"download": {"dataset": dataset}, "preprocess": {"split": split}, "train": {"objective": objective}}
    return " ".join(f"-S {assignment}" for assignment in assignments(merged(run, preset)))
