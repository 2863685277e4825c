"""On large data, a part of the users gets a list in validation."""

import pytest
import torch

from widedeep.features.rows import Rows
from widedeep.training.tasks import MOST_USERS, users_of


@pytest.mark.parametrize(("users", "step"), [(1, 1), (MOST_USERS, 1), (MOST_USERS + 1, 2), (7 * MOST_USERS, 7)])
def test_every_nth_user_is_validated_if_they_are_many(users: int, step: int) -> None:
    code = torch.arange(users).flip(0).repeat(2)
    none = torch.zeros_like(code)
    rows = Rows(code, none, none, none, none, torch.zeros(len(code), 0), none.float())
    assert users_of(rows).tolist() == list(range(0, users, step))
