"""A trained model with all that answering needs and nothing else: it is read without data, DVC or MLflow.

Weights are safetensors, tables are Parquet, everything else is readable JSON. No pickle, no time, no path.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from safetensors.torch import load_file, save

from widedeep.features.context import Context
from widedeep.features.files import FeatureTables
from widedeep.features.tensors import Names, context_of, tables_of
from widedeep.features.vocabulary import Vocabulary
from widedeep.files import write_json
from widedeep.models.build import build
from widedeep.models.files import ABOUT, FORMAT, WEIGHTS, read_about
from widedeep.models.model import Model
from widedeep.models.registry import Architecture


@dataclass(frozen=True)
class Bundle:
    """What the train stage writes.

    model, architecture : the model, on the CPU and ready to answer, and what it was built from
    context, names : users and items by code, what the training rows left behind of them (their ratings among it: what
        each user has seen), their ids and titles
    vocabulary : the ids behind the indices of the embeddings
    data_sha256 : hash of the features that it was trained on
    best_epoch, validation : the epoch whose weights were kept, and what validation measured there
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
        """Write all of it into an existing folder."""
        weights = {name: value.contiguous() for name, value in self.model.state_dict().items()}
        # Through Python's own write, whose errors (a full disk) are told apart; safetensors has one error for all.
        (folder / WEIGHTS).write_bytes(save(weights))
        about = {
            "format": FORMAT,
            "model": self.architecture.model,
            "dataset": self.context.spec.dataset,
            "data_sha256": self.data_sha256,
            "best_epoch": self.best_epoch,
            "validation": dict(self.validation),
            "parameters": sum(value.numel() for value in self.model.parameters()),
            "architecture": self.architecture.model_dump(mode="json"),
            "weights": {name: "x".join(map(str, value.shape)) or "1" for name, value in sorted(weights.items())},
        }
        write_json(folder / ABOUT, about)
        tables_of(self.context, self.names).save(folder)
        self.vocabulary.save(folder)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote. A knob that is younger than the files gets its default.

        Raises
        ------
        UserError
            There is no model, or it is of another format.
        """
        folder = Path(folder)
        about = read_about(folder)
        architecture = Architecture.load(about["architecture"])
        context, names = context_of(FeatureTables.load(folder))
        model = build(context.spec, architecture)
        model.load_state_dict(load_file(folder / WEIGHTS))
        return cls(
            model.eval(),
            architecture,
            context,
            names,
            Vocabulary.load(folder),
            about["data_sha256"],
            about["best_epoch"],
            about["validation"],
        )
