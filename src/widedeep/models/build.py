"""From the name of a model to the model."""

from importlib import import_module
from typing import Any

from widedeep.errors import UserError
from widedeep.features.spec import Spec
from widedeep.models.model import Ensemble, Model
from widedeep.models.registry import Architecture, Entry, NetworkConfig


def build(spec: Spec, about: Architecture) -> Model:
    """The untrained model that `about` asks for. Its start is drawn from torch's random state.

    Raises
    ------
    UserError
        The data set lacks what the model needs.
    """
    entry, config = about.entry, about.config
    if "genres" in entry.needs and sum(int(field.cardinality or 0) for field in spec.of_kind("bag")) < 2:
        raise UserError(
            f"train.model: {about.model} needs genres, and this data set has none. Choose a model that does without."
        )
    kind = model_class(entry)
    if not entry.trained:
        return _made(kind, (spec, config))
    # A class that can have a head for each task is told for which it is made.
    arguments = (spec, config, about.objective) if "joint" in entry.tasks else (spec, config)
    members = config.members if isinstance(config, NetworkConfig) else 1
    return Ensemble([_made(kind, arguments) for _ in range(members)], about)


def model_class(entry: Entry) -> Any:
    """Import the class of a model."""
    module, _, name = entry.target.partition(":")
    return getattr(import_module(module), name)


def _made(kind: Any, arguments: tuple[Any, ...]) -> Model:
    model = kind(*arguments)
    assert isinstance(model, Model)
    return model
