"""The noise floor: how much a metric varies if only the training seed changes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.special import stdtrit

from widedeep.reading import brief, read_json, refuse

TEST_HASH = "test_sha256"  # key of the hash of the test rows, here and in reports/data.json
SECTIONS = ("download", "preprocess", "featurize", "train")  # sections of params.yaml that shape a trained model
NO_EFFECT = ("train.seed", "preprocess.memory_gib", "preprocess.threads", "preprocess.spill_folder")  # on the noise


@dataclass(frozen=True)
class Noise:
    """The result of `make noise`: trainings that differ only in the seed.

    seeds : number of trainings, at least 2
    params : the sections `SECTIONS` of params.yaml without train.seed, and the knobs of the model as `models.<name>`
    deviations : sample standard deviation of each metric, in its unit, by flat name
    test_sha256 : hash of the test rows of these trainings, as in reports/data.json; None in a file of an older version
    """

    seeds: int
    params: Mapping[str, Mapping[str, Any]]
    deviations: Mapping[str, float]
    test_sha256: str | None

    def margin(self, metric: str) -> float | None:
        """Return the bound that 95 % of the differences of two trainings stay within, or None for an unknown metric.

        If one training has the standard deviation s, the difference of two has sqrt(2) s. Because s is an estimate
        from k seeds, the bound uses Student's t with k - 1 degrees of freedom instead of the normal distribution.
        """
        if metric not in self.deviations:
            return None
        return float(stdtrit(self.seeds - 1, 0.975)) * math.sqrt(2) * self.deviations[metric]


def read_noise(path: Path) -> Noise | None:
    """Read the file of `make noise`. If there is none, return None.

    Raises
    ------
    UserError
        The file does not have the form that `make noise` writes.
    """
    if not path.exists():
        return None
    mend = "Run `make noise` again, or remove the file."
    read = read_json(path, mend)
    try:
        deviations = {name: float(metric["deviation"]) for name, metric in read["metrics"].items()}
        return Noise(int(read["seeds"]), dict(read["params"]), deviations, read.get(TEST_HASH))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {brief(error)}"
        refuse(path, f"does not have the form that `make noise` writes ({reason})", mend)
