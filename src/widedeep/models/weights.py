"""A trained model as files: weights in safetensors, everything else in readable JSON. No pickle, no time, no path."""

from pathlib import Path

from safetensors.torch import load_file, save

from widedeep.features.spec import Spec
from widedeep.files import read_json, write_json
from widedeep.models.wide_deep import WideDeep
from widedeep.params import WideDeepParams

WEIGHTS = "model.safetensors"
ABOUT = "model.json"


def save_model(
    folder: Path, model: WideDeep, spec: Spec, params: WideDeepParams, best_epoch: int, validation_rmse: float | None
) -> None:
    """Write model.safetensors and model.json into an existing folder."""
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    # Through Python's own write, whose errors (a full disk) are told apart; safetensors has one error for all.
    (folder / WEIGHTS).write_bytes(save(weights))
    about = {
        "model": "wide_deep",
        "dataset": spec.dataset,
        "best_epoch": best_epoch,
        "validation_rmse": validation_rmse,
        "parameters": sum(value.numel() for value in model.parameters()),
        "architecture": params.model_dump(include=set(WideDeepParams.model_fields)),
        "weights": {name: "x".join(map(str, value.shape)) or "1" for name, value in sorted(weights.items())},
    }
    write_json(folder / ABOUT, about)


def load_model(folder: Path, spec: Spec) -> WideDeep:
    """The model that `save_model` wrote, on the CPU, ready to predict rows of features with the same `spec`."""
    params = WideDeepParams.model_validate(read_json(folder / ABOUT)["architecture"])
    model = WideDeep(spec, params)
    model.load_state_dict(load_file(folder / WEIGHTS))
    return model.eval()
