from typing import get_args

from widedeep.params import Dataset
from widedeep.sources import SOURCES


def test_every_data_set_of_the_params_has_a_source() -> None:
    assert set(SOURCES) == set(get_args(Dataset))
