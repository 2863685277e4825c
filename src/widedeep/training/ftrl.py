"""FTRL-Proximal (McMahan et al. 2013, "Ad click prediction: a view from the trenches", KDD), for linear models.

Each weight w has its own learning rate, which falls as its squared gradients add up. L1 keeps weights at exactly 0. For
a weight w with gradient g:

    n' = n + g^2
    z' = z + g - (sqrt(n') - sqrt(n)) / lr * w
    w' = 0 if |z'| <= l1, else (sign(z') l1 - z') / (sqrt(n') / lr + 2 l2)

This is the form of keras.optimizers.Ftrl, where l2 is half of that in the paper.
"""

from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from widedeep.training.per_weight import PerWeight


class Ftrl(PerWeight):
    """FTRL-Proximal for dense gradients. The state takes twice the memory of the parameters.

    Weights must start at 0. z starts at 0 as well, so the first step would overwrite other initial values.

    Parameters
    ----------
    params : parameters, or groups of them with their own options
    lr : learning rate, > 0
    l1, l2 : strengths of regularization, >= 0
    initial_accumulator_value : n at the start, > 0; a larger value makes the first steps smaller

    Raises
    ------
    ValueError
        An option is out of its range.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 0.001,
        l1: float = 0.0,
        l2: float = 0.0,
        initial_accumulator_value: float = 0.1,
    ) -> None:
        super().__init__(params, {"lr": lr, "l1": l1, "l2": l2, "initial_accumulator_value": initial_accumulator_value})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for name in ("lr", "initial_accumulator_value"):
            if not group[name] > 0:
                raise ValueError(f"{name} must be a float in the range (0, inf). Got {group[name]} instead.")
        for name in ("l1", "l2"):
            if not group[name] >= 0:
                raise ValueError(f"{name} must be a float in the range [0, inf). Got {group[name]} instead.")

    def update(self, weight: Tensor, gradient: Tensor, state: dict[str, Tensor], options: dict[str, Any]) -> None:
        lr, l1, l2 = options["lr"], options["l1"], options["l2"]
        if not state:
            state["accumulator"] = torch.full_like(weight, options["initial_accumulator_value"])
            state["linear"] = torch.zeros_like(weight)
        n, z = state["accumulator"], state["linear"]
        root = n.sqrt()
        n.addcmul_(gradient, gradient)
        z.add_(gradient).addcmul_(n.sqrt() - root, weight, value=-1 / lr)
        weight.copy_((z.clamp(-l1, l1) - z) / (n.sqrt() / lr + 2 * l2))
