"""What the optimizers of this package have in common: a step treats every parameter on its own."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class PerWeight(torch.optim.Optimizer):
    """An optimizer whose step calls `update` for each parameter that has a gradient."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update the parameters that have a gradient. If `closure` is given, call it and return its loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self.update(weight, weight.grad, self.state[weight], group)
        return loss

    def update(self, weight: Tensor, gradient: Tensor, state: dict[str, Tensor], options: dict[str, Any]) -> None:
        """Change a parameter and its state in place.

        state : empty in the first step of this parameter
        options : those of its group, by name
        """
        raise NotImplementedError
