"""The noise floor: how much a metric moves when nothing but the seed of the training changes."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.special import stdtrit

from widedeep.errors import UserError
from widedeep.files import read_json

SECTIONS = ("download", "preprocess", "featurize", "train")  # of params.yaml: what a trained model depends on


@dataclass(frozen=True)
class Noise:
    """What `make noise` measured over `seeds` trainings (at least 2) that differ in nothing but the seed.

    params: `SECTIONS` of params.yaml with their keys, without train.seed, and the knobs of the model under
    `models.<name>`. deviations: by metric (`rating.online.rmse`)
    the sample standard deviation, in the unit of the metric.
    """

    seeds: int
    params: Mapping[str, Mapping[str, Any]]
    deviations: Mapping[str, float]

    def margin(self, metric: str) -> float | None:
        """What the difference of two single trainings stays within 95 times in 100; None for a metric not measured.

        With s the deviation of one training over k seeds, the difference of two has the deviation sqrt(2) s. As s is
        itself an estimate, Student's t with k - 1 degrees of freedom takes the place of the normal distribution.
        """
        if metric not in self.deviations:
            return None
        return float(stdtrit(self.seeds - 1, 0.975)) * math.sqrt(2) * self.deviations[metric]


def read_noise(path: Path) -> Noise | None:
    """The file that `make noise` wrote, None where there is none.

    Raises
    ------
    UserError
        The file is not what `make noise` writes.
    """
    try:
        read = read_json(path)
        deviations = {name: float(metric["deviation"]) for name, metric in read["metrics"].items()}
        return Noise(int(read["seeds"]), dict(read["params"]), deviations)
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{path} is not a file of `make noise` ({reason}). Run it again, or remove the file.") from None
