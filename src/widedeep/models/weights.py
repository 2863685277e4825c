"""A trained model as files: weights in safetensors, everything else in readable JSON. No pickle, no time, no path."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save

from widedeep.features.spec import Spec
from widedeep.features.vocabulary import Vocabulary
from widedeep.files import read_json, write_json
from widedeep.models.family import build
from widedeep.models.model import Model
from widedeep.params import ModelParams

WEIGHTS = "model.safetensors"
ABOUT = "model.json"


def save_model(
    folder: Path,
    model: Model,
    vocabulary: Vocabulary,
    params: ModelParams,
    best_epoch: int,
    validation: Mapping[str, float],
) -> None:
    """Write model.safetensors, model.json and the vocabulary into an existing folder."""
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    # Through Python's own write, whose errors (a full disk) are told apart; safetensors has one error for all.
    (folder / WEIGHTS).write_bytes(save(weights))
    about = {
        "model": params.model,
        "dataset": vocabulary.spec.dataset,
        "best_epoch": best_epoch,
        **validation,
        "parameters": sum(value.numel() for value in model.parameters()),
        "architecture": params.model_dump(include=set(ModelParams.model_fields)),
        "weights": {name: "x".join(map(str, value.shape)) or "1" for name, value in sorted(weights.items())},
    }
    write_json(folder / ABOUT, about)
    vocabulary.save(folder)


def load_model(folder: Path, spec: Spec) -> tuple[Model, ModelParams]:
    """The model that `save_model` wrote, on the CPU, ready to predict rows of features with the same `spec`, and the
    parameters that it was built with."""
    params = ModelParams.model_validate(read_json(folder / ABOUT)["architecture"])
    model = build(spec, params)
    model.load_state_dict(load_file(folder / WEIGHTS))
    return model.eval(), params
