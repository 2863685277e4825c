"""Row-wise Adagrad, for tables of embeddings: a step touches only the rows that a batch looked up.

As in Adagrad (Duchi et al. 2011), steps become smaller as squared gradients add up, but a whole row shares one sum
(Gupta et al. 2014, "Training highly multiclass classifiers", JMLR 15; "exact row-wise Adagrad" in TorchRec):

    s' = s + mean(g^2)
    w' = w - lr * g / (sqrt(s') + eps)

for a row w with gradient g. So the state takes one number per row, and rows without a gradient stay as they are.
"""

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from widedeep.training.per_weight import PerWeight

EPS = 1e-10


class RowwiseAdagrad(PerWeight):
    """Row-wise Adagrad for matrices with dense or sparse gradients.

    Parameters
    ----------
    params : matrices (rows, size)
    lr : learning rate, > 0
    """

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def update(self, weight: Tensor, gradient: Tensor, state: dict[str, Tensor], options: dict[str, Any]) -> None:
        if not state:
            state["sum"] = weight.new_zeros(len(weight))
        row, values = rows_of(gradient)
        total = state["sum"][row] + values.square().mean(1)
        state["sum"][row] = total
        weight[row] -= options["lr"] * values / (total.sqrt() + EPS)[:, None]


def rows_of(gradient: Tensor) -> tuple[Tensor | slice, Tensor]:
    """Return the numbers of the rows that a gradient has, (n,) int64 or all, and their values (n, size).

    A sparse gradient must be coalesced. The values share its memory.
    """
    if not gradient.is_sparse:
        return slice(None), gradient
    return gradient.indices()[0], gradient.values()
