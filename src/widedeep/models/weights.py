"""A trained model as files: weights in safetensors, everything else in readable JSON. No pickle, no time, no path."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save

from widedeep.features.spec import Spec
from widedeep.features.vocabulary import Vocabulary
from widedeep.files import read_json, write_json
from widedeep.models.build import build
from widedeep.models.model import Model
from widedeep.models.registry import Architecture

WEIGHTS = "model.safetensors"
ABOUT = "model.json"


def save_model(
    folder: Path,
    model: Model,
    vocabulary: Vocabulary,
    about: Architecture,
    best_epoch: int,
    validation: Mapping[str, float],
) -> None:
    """Write model.safetensors, model.json and the vocabulary into an existing folder."""
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    # Through Python's own write, whose errors (a full disk) are told apart; safetensors has one error for all.
    (folder / WEIGHTS).write_bytes(save(weights))
    described = {
        "model": about.model,
        "dataset": vocabulary.spec.dataset,
        "best_epoch": best_epoch,
        **validation,
        "parameters": sum(value.numel() for value in model.parameters()),
        "architecture": about.model_dump(mode="json"),
        "weights": {name: "x".join(map(str, value.shape)) or "1" for name, value in sorted(weights.items())},
    }
    write_json(folder / ABOUT, described)
    vocabulary.save(folder)


def load_model(folder: Path, spec: Spec) -> tuple[Model, Architecture]:
    """The model that `save_model` wrote, on the CPU, ready to predict rows of features with the same `spec`, and what
    it was built from."""
    about = Architecture.load(read_json(folder / ABOUT)["architecture"])
    model = build(spec, about)
    model.load_state_dict(load_file(folder / WEIGHTS))
    return model.eval(), about
