"""The values that the shell completes: names of revisions, data sets, splits, objectives and models."""

from typing import Any, get_args


def revisions() -> list[str]:
    """List branches, tags, DVC experiments and the workspace."""
    from widedeep.commits import names
    from widedeep.errors import UserError

    try:
        return names()
    except UserError:
        return []


def datasets() -> list[str]:
    from widedeep.params import DownloadParams

    return _choices(DownloadParams, "dataset")


def splits() -> list[str]:
    from widedeep.params import PreprocessParams

    return [name for name in _choices(PreprocessParams, "split") if name != "auto"]


def objectives() -> list[str]:
    from widedeep.params import TrainParams

    return _choices(TrainParams, "objective")


def models() -> list[str]:
    from widedeep.params import TrainParams

    return _choices(TrainParams, "model")


def _choices(section: Any, key: str) -> list[str]:
    return list(get_args(section.model_fields[key].annotation))
