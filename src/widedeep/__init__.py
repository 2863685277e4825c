"""A reproducible Wide & Deep recommender pipeline."""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    # Looked up when asked for: the help of a command need not import torch, and no stage needs to answer questions.
    if name not in ("Recommender", "recommend_top_n"):
        raise AttributeError(f"module 'widedeep' has no attribute {name!r}")
    return getattr(import_module("widedeep.serving.recommender"), name)
