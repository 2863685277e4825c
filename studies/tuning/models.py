"""Where the models of the comparison have their values, and how a search puts new ones there."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from widedeep.files import replacing

COMPARISON = Path(__file__).parents[1] / "comparison"
MODELS = COMPARISON / "models.yaml"
SPACE = COMPARISON / "space.yaml"


def load_model(path: Path, model: str) -> dict[str, Any]:
    """What the file sets for the model."""
    values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))[model]
    return values


def save_model(path: Path, values: Mapping[str, Any], found: str) -> None:
    """Put values of train, `model` among them, into the file, in place of the earlier ones of that model or at the end.

    `found` says where they come from, in a comment above them, in place of what stands there up to an empty line. All
    else in the file stays.
    """
    text = path.read_text(encoding="utf-8").rstrip() + "\n" if path.exists() else ""
    model = values["model"]
    others = {key: value for key, value in values.items() if key != "model"}
    body = yaml.safe_dump({model: others}, sort_keys=False, default_flow_style=None, width=90)
    earlier = re.search(rf"^(?:#.*\n)*{model}:.*\n(?:[ \t]+\S.*\n)*", text, re.MULTILINE)
    start, stop = earlier.span() if earlier else (len(text), len(text))
    with replacing(path) as partial:
        partial.write_text(f"{text[:start]}# {found}\n{body}{text[stop:]}", encoding="utf-8")
