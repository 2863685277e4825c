"""Row-wise Adagrad, for tables of embeddings: a step touches only the rows that a batch looked up.

As in Adagrad (Duchi et al. 2011), steps become smaller as squared gradients add up, but a whole row shares one sum
(Gupta et al. 2014, "Training highly multiclass classifiers", JMLR 15; "exact row-wise Adagrad" in TorchRec):

    s' = s + mean(g^2)
    w' = w - lr * g / (sqrt(s') + eps)

for a row w with gradient g. So the state takes one number per row, and rows without a gradient stay as they are.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

EPS = 1e-10


class RowwiseAdagrad(torch.optim.Optimizer):
    """Row-wise Adagrad for matrices with dense or sparse gradients.

    Parameters
    ----------
    params : matrices (rows, size)
    lr : learning rate, > 0
    """

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update the rows that have a gradient. If `closure` is given, call it and return its loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["sum"] = weight.new_zeros(len(weight))
                row, gradient = rows_of(weight.grad)
                total = state["sum"][row] + gradient.square().mean(1)
                state["sum"][row] = total
                weight[row] -= group["lr"] * gradient / (total.sqrt() + EPS)[:, None]
        return loss


def rows_of(gradient: Tensor) -> tuple[Tensor | slice, Tensor]:
    """Return the numbers of the rows that a gradient has, (n,) int64 or all, and their values (n, size).

    A sparse gradient must be coalesced. The values share its memory.
    """
    if not gradient.is_sparse:
        return slice(None), gradient
    return gradient.indices()[0], gradient.values()
