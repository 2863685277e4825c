"""The file with the parameters of the models of the comparison, and the writing of new values to it."""

import re
from pathlib import Path

import yaml

from widedeep.files import replacing
from widedeep.params import Sections

COMPARISON = Path(__file__).parents[1] / "comparison"
MODELS = COMPARISON / "models.yaml"


def save_model(path: Path, model: str, values: Sections, found: str) -> None:
    """Write sections of params.yaml for a model to the file. They replace the earlier ones, or stand at the end.

    `found` says where the values come from. It is written as a comment above them. Comments that stood directly above
    the earlier values are removed. Everything else in the file stays.
    """
    text = path.read_text(encoding="utf-8").rstrip() + "\n" if path.exists() else ""
    body = yaml.safe_dump({model: values}, sort_keys=False, default_flow_style=None, width=90)
    earlier = re.search(rf"^(?:#.*\n)*{model}:.*\n(?:[ \t]+\S.*\n)*", text, re.MULTILINE)
    start, stop = earlier.span() if earlier else (len(text), len(text))
    with replacing(path) as partial:
        partial.write_text(f"{text[:start]}# {found}\n{body}{text[stop:]}", encoding="utf-8")
