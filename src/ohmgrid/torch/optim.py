"""The optimiser of models with arrays."""

import warnings
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from ohmgrid.doors.checks import ConfigError, shown
from ohmgrid.torch.unit import AnalogContext

__all__ = ["AnalogSGD"]

DIGITAL = ("momentum", "weight_decay")


def _refuse(optimiser: Any, args: Any, keywords: Any) -> None:
    """Raise `ConfigError` where another optimiser was given arrays: it would leave them alone."""
    if isinstance(optimiser, AnalogSGD):
        return
    for group in optimiser.param_groups:
        if any(isinstance(parameter, AnalogContext) for parameter in group["params"]):
            raise ConfigError(
                "optimiser",
                f"expected ohmgrid.torch.AnalogSGD for arrays, got {type(optimiser).__name__}",
            )


class AnalogSGD(torch.optim.SGD):
    """Stochastic gradient descent: arrays by pulses, other parameters as `torch.optim.SGD` does.

    A step moves an array by the learning rate of its group, pass after pass, in the order in which
    these went backward. Momentum and weight decay are of digital parameters alone.

    Parameters
    ----------
    params : iterable
        As of `torch.optim.SGD`: ``model.parameters()``, or groups.
    lr : float
    **keywords
        Of `torch.optim.SGD`.
    """

    def __init__(self, params: Any, lr: float = 1e-3, **keywords: Any) -> None:
        super().__init__(params, lr=lr, **keywords)
        for group in self.param_groups:
            given = [name for name in DIGITAL if group[name]]
            analog = any(isinstance(one, AnalogContext) for one in group["params"])
            if analog and group["maximize"]:
                raise ConfigError("maximize", "expected false with arrays, got true")
            if analog and given:
                warnings.warn(
                    f"{' and '.join(given)}: of digital parameters alone, not of arrays",
                    stacklevel=2,
                )

    def regroup_param_groups(self, *models: Any) -> None:
        """Do nothing: arrays are told from others as they are. Code from elsewhere calls it."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear gradients, as `torch.optim.Optimizer.zero_grad` does; of arrays to none."""
        digital = False
        for group in self.param_groups:
            for parameter in group["params"]:
                if isinstance(parameter, AnalogContext):
                    parameter.grad = None
                else:
                    digital = True
        if digital:
            super().zero_grad(set_to_none)

    def step(self, closure: Any = None) -> Any:
        """Take a step; return what ``closure`` does, if it is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        units, digital = {}, False
        for group in self.param_groups:
            lr = group["lr"]
            if not lr >= 0:
                raise ConfigError("lr", f"expected a number >= 0, got {shown(lr)}")
            rate = float(lr)
            for parameter in group["params"]:
                if isinstance(parameter, AnalogContext):
                    parameter.lr = rate
                    units[id(parameter.unit)] = parameter.unit
                else:
                    digital = True
        for unit in units.values():
            unit.learn()
        if digital:
            super().step()
        return loss


register_optimizer_step_pre_hook(_refuse)
