"""Sections of values, as read from YAML: merge them, and name each value by its dotted name."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

Sections = Mapping[str, Any]  # params.yaml, or a part of it


def merged(params: Sections, changes: Sections) -> dict[str, Any]:
    """Return a copy of `params` with the values of `changes`. Sections are merged, other values replaced."""
    result = dict(deepcopy(params))
    for name, value in changes.items():
        below = result.get(name)
        if isinstance(value, Mapping) and value and isinstance(below, Mapping):
            result[name] = merged(below, value)
        else:
            result[name] = deepcopy(value)
    return result


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn values by dotted name, such as `train.ranking.loss`, into sections."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        section = result
        *path, key = name.split(".")
        for part in path:
            section = section.setdefault(part, {})
        section[key] = value
    return result


def dotted(sections: Sections) -> dict[str, Any]:
    """Turn sections into values by dotted name, such as `train.ranking.loss`."""
    result: dict[str, Any] = {}
    for name, value in sections.items():
        if isinstance(value, Mapping) and value:
            result |= {f"{name}.{key}": below for key, below in dotted(value).items()}
        else:
            result[name] = value
    return result
