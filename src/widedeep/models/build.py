"""Build a model from its name and knobs."""

from importlib import import_module
from typing import Any

from widedeep.errors import UserError
from widedeep.features.spec import Spec
from widedeep.models.knobs import NetworkConfig
from widedeep.models.model import Ensemble, Model
from widedeep.models.registry import Architecture, Entry


def build(spec: Spec, about: Architecture) -> Model:
    """Build an untrained model. Its initial weights are drawn from torch's random state.

    Raises
    ------
    UserError
        The data set lacks a field that the model needs, or the catalogue is too large for it.
    """
    entry, config = about.entry, about.config
    if "genres" in entry.needs and sum(int(field.cardinality or 0) for field in spec.of_kind("bag")) < 2:
        raise UserError(f"train.model: {about.model} needs genres, and this data set has none. Choose another model.")
    if "ratings" in entry.needs and spec.implicit:
        raise UserError(
            f"train.model: {about.model} learns from the differences between ratings, and this data set has implicit "
            "feedback. Choose another model."
        )
    kind = model_class(entry)
    if not entry.trained:
        return _made(kind, (spec, config))
    # A class that allows the objective joint has a head for each task, so it must know the objective.
    arguments = (spec, config, about.objective) if "joint" in entry.tasks else (spec, config)
    members = config.members if isinstance(config, NetworkConfig) else 1
    return Ensemble([_made(kind, arguments) for _ in range(members)], about)


def model_class(entry: Entry) -> Any:
    """Import and return the class of a model."""
    module, _, name = entry.target.partition(":")
    return getattr(import_module(module), name)


def _made(kind: Any, arguments: tuple[Any, ...]) -> Model:
    model = kind(*arguments)
    assert isinstance(model, Model)
    return model
