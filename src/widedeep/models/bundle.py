"""The bundle: a folder with a trained model and everything that it needs to make recommendations.

It can be used without data, DVC and MLflow. Weights are stored as safetensors, tables as Parquet, everything else as
JSON. There is no pickle (unpickling can run code), and no time or path, so that the same model gives the same bytes.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from safetensors.torch import load, save
from torch import Tensor

from widedeep.features.context import Context
from widedeep.features.files import NAMES, FeatureTables, load_spec
from widedeep.features.tensors import Names, context_of, tables_of
from widedeep.features.vocabulary import IDS, Vocabulary
from widedeep.files import sha256, write_json
from widedeep.models.build import build
from widedeep.models.files import ABOUT, FORMAT, WEIGHTS, About, read_about
from widedeep.models.model import Model
from widedeep.models.registry import Architecture
from widedeep.reading import MODEL_AGAIN, read_file, refuse
from widedeep.tabular import release_memory


@dataclass(frozen=True)
class Bundle:
    """The output of the train stage.

    model : the trained model, on the CPU and in evaluation mode
    architecture : what the model was built from
    context : users and items, and their state after training, including their ratings
    names : ids and titles of users and items
    vocabulary : ids of the indices of the embeddings
    data_sha256 : hash of the features that the model was trained on
    best_epoch : the epoch whose weights were kept, from 0
    validation : metrics of the validation rows in this epoch
    """

    model: Model
    architecture: Architecture
    context: Context
    names: Names
    vocabulary: Vocabulary
    data_sha256: str
    best_epoch: int
    validation: Mapping[str, float]

    def save(self, folder: Path) -> None:
        """Write the bundle into an existing folder."""
        weights = {name: value.contiguous() for name, value in self.model.state_dict().items()}
        # Python's write raises a distinct error if the disk is full. safetensors raises the same error for everything.
        content = save(weights)
        (folder / WEIGHTS).write_bytes(content)
        about = {
            "format": FORMAT,
            "model": self.architecture.model,
            "dataset": self.context.spec.dataset,
            "data_sha256": self.data_sha256,
            "best_epoch": self.best_epoch,
            "validation": dict(self.validation),
            "parameters": sum(value.numel() for value in self.model.parameters()),
            "architecture": self.architecture.model_dump(mode="json"),
            "weights_sha256": hashlib.sha256(content).hexdigest(),
            "weights": {name: "x".join(map(str, value.shape)) or "1" for name, value in sorted(weights.items())},
        }
        write_json(folder / ABOUT, about)
        tables_of(self.context, self.names).save(folder)
        self.vocabulary.save(folder)

    @staticmethod
    def version(folder: str | Path) -> str:
        """Return the first 12 characters of the hash of the files that `save` wrote. Other files do not count."""
        return sha256(Path(folder), (ABOUT, WEIGHTS, IDS, *NAMES))[:12]

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote. A knob that is newer than the files gets its default.

        Raises
        ------
        UserError
            There is no model, it has another format, or a file is missing or damaged.
        """
        folder = Path(folder)
        about, model = load_model(folder)
        context, names = context_of(FeatureTables.load(folder, MODEL_AGAIN, splits=False))
        release_memory()
        return cls(
            model,
            about.architecture,
            context,
            names,
            Vocabulary.load(folder),
            about.data_sha256,
            about.best_epoch,
            about.validation,
        )


def load_model(folder: Path) -> tuple[About, Model]:
    """Read the model of a bundle without what it knows of users and items.

    Raises
    ------
    UserError
        There is no model, it has another format, or a file is missing or damaged.
    """
    about = read_about(folder)
    weights = _read_weights(folder / WEIGHTS, about.weights_sha256)
    try:
        model = build(load_spec(folder, MODEL_AGAIN), about.architecture)
        model.load_state_dict(weights)
    except (RuntimeError, MemoryError):  # torch lists each tensor on a line of its own
        refuse(folder / WEIGHTS, f"does not fit the other files of the model {about.architecture.model}", MODEL_AGAIN)
    return about, model.eval()


def _read_weights(path: Path, sha256: str | None) -> dict[str, Tensor]:
    """Read the weights. Models of earlier versions have no checksum."""

    def read(path: Path) -> dict[str, Tensor]:
        content = path.read_bytes()
        if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError(f"its SHA-256 is not that in {ABOUT}")
        return load(content)

    return read_file(path, read, "a whole file of weights", MODEL_AGAIN)
