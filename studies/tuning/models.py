"""Where the models of the comparison have their values, and how a search puts new ones there."""

import re
from pathlib import Path

import yaml

from widedeep.files import replacing
from widedeep.params import Sections

COMPARISON = Path(__file__).parents[1] / "comparison"
MODELS = COMPARISON / "models.yaml"


def save_model(path: Path, model: str, values: Sections, found: str) -> None:
    """Put sections of params.yaml into the file, in place of the earlier ones of that model or at the end.

    `found` says where they come from, in a comment above them, in place of what stands there up to an empty line. All
    else in the file stays.
    """
    text = path.read_text(encoding="utf-8").rstrip() + "\n" if path.exists() else ""
    body = yaml.safe_dump({model: values}, sort_keys=False, default_flow_style=None, width=90)
    earlier = re.search(rf"^(?:#.*\n)*{model}:.*\n(?:[ \t]+\S.*\n)*", text, re.MULTILINE)
    start, stop = earlier.span() if earlier else (len(text), len(text))
    with replacing(path) as partial:
        partial.write_text(f"{text[:start]}# {found}\n{body}{text[stop:]}", encoding="utf-8")
