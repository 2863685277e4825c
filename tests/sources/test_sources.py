from pathlib import Path
from typing import get_args

from widedeep.params import Dataset
from widedeep.sources import SOURCES


def test_every_data_set_has_a_source_a_value_and_a_word_in_params(root: Path) -> None:
    text = (root / "params.yaml").read_text(encoding="utf-8")
    comment = text.partition("\n  dataset:")[0].replace("\n  #", "").replace(",", " ").split()
    names = set(SOURCES) | set(get_args(Dataset))
    todo = [f"{name}: add it to SOURCES in src/widedeep/sources/__init__.py" for name in names - set(SOURCES)]
    todo += [f"{name}: add it to Dataset in src/widedeep/params.py" for name in names - set(get_args(Dataset))]
    todo += [f"{name}: add it to the comment of download.dataset in params.yaml" for name in names - set(comment)]
    assert sorted(todo) == []
