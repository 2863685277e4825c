"""Read params.yaml, and name every mistake in it by key, rule and value."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, PlainValidator, SerializeAsAny, ValidationError, model_validator

from widedeep.errors import UserError
from widedeep.models.knobs import ModelConfig
from widedeep.models.registry import ENTRIES
from widedeep.params.data import NOTHING_SAID, OWN_NAMES, DownloadParams, FeaturizeParams, PreprocessParams, Reading
from widedeep.params.nesting import Sections, dotted, merged
from widedeep.params.results import CompareParams, DriftParams, EvaluateParams, ReportParams
from widedeep.params.train import Recipe, TrainParams, check_configs
from widedeep.sections import Section, explain, is_consequence
from widedeep.yaml import read_yaml

MISTAKES = 20  # a message lists at most this many


class Params(Section):
    download: DownloadParams
    preprocess: PreprocessParams
    featurize: FeaturizeParams
    train: TrainParams
    models: Annotated[dict[str, SerializeAsAny[ModelConfig]], PlainValidator(check_configs)]
    evaluate: EvaluateParams
    drift: DriftParams
    report: ReportParams
    compare: CompareParams

    @model_validator(mode="after")
    def _check(self) -> "Params":
        given, nothing = (dotted(part.model_dump()) for part in (self.preprocess, NOTHING_SAID))
        of_own = [name for name in given if name.split(".")[0] in Reading.model_fields]
        said = [name for name in of_own if given[name] != nothing.get(name)]
        if said and self.download.dataset not in OWN_NAMES:
            raise ValueError(
                f"'preprocess.{said[0][:100]}' must be as in params.yaml of the repository unless download.dataset is "
                f"own: the files of {self.download.dataset} have a known form. "
                f"Got {str(given[said[0]])[:100]!r} instead."
            )
        return self

    @property
    def recipe(self) -> Recipe:
        """Section train and the knobs of the model that it names."""
        return Recipe(train=self.train, config=self.models[self.train.model])


Checked = TypeVar("Checked", bound=BaseModel)


def load_params(path: str | Path) -> Params:
    """Read and check params.yaml.

    Raises
    ------
    UserError
        The file is not valid YAML. Or a section or key is unknown or missing, a value has the wrong type or is out of
        range, or the model would ignore a value. The message has a line for each mistake, up to
        `MISTAKES`, with its key, rule and value.
    """
    return checked(Params, read_yaml(Path(path)), str(path))


def changed(params: Params, changes: Sections, where: str) -> Params:
    """Return a copy of the parameters with the values of `changes`.

    Raises
    ------
    UserError
        As in `load_params`. The message starts with `where`, the source of the changes.
    """
    return checked(Params, merged(params.model_dump(), changes), where)


def checked(model: type[Checked], raw: Any, where: str) -> Checked:
    """Convert `raw` to the class `model` and check its rules.

    Raises
    ------
    UserError
        `raw` breaks a rule. The message has a line for each mistake, up to `MISTAKES`, with `where`, its key, rule
        and value.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        problems = [problem for problem in error.errors() if not is_consequence(problem)]
        lines = [explain(problem, _keys(model, problem["loc"][:-1])) for problem in problems[:MISTAKES]]
        lines += [f"{len(problems) - MISTAKES} more mistakes"] if len(problems) > MISTAKES else []
        raise UserError("\n".join(f"{where}: {line}" for line in lines)) from None


def _keys(model: Any, location: Iterable[str | int]) -> list[str]:
    """Return the keys of the section at `location`."""
    for part in location:
        if isinstance(model, type) and issubclass(model, Params) and part == "models":
            model = {name: entry.config for name, entry in ENTRIES.items()}
        elif isinstance(model, dict):
            model = model[str(part)]
        elif get_origin(model) is dict:  # the user chooses the names, as in compare.gates
            model = get_args(model)[1]
        else:
            model = getattr(model, "model_fields", {}).get(str(part), None)
            model = getattr(model, "annotation", model)
    return list(model if isinstance(model, dict) else getattr(model, "model_fields", ()))
