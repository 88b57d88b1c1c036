"""The optimiser of models with arrays."""

import warnings
from typing import Any

import torch
from torch.optim.optimizer import (
    Optimizer,
    _global_optimizer_post_hooks,
    _global_optimizer_pre_hooks,
    register_optimizer_step_pre_hook,
)

from ohmgrid.doors.checks import ConfigError, shown
from ohmgrid.torch.unit import AnalogContext

__all__ = ["AnalogSGD"]

DIGITAL = ("momentum", "weight_decay")
OWN_HOOKS = 1
"""Hooks of all optimisers' steps that are registered here: `_refuse`."""


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
        own = self._optimizer_step_pre_hooks or self._optimizer_step_post_hooks
        others = len(_global_optimizer_pre_hooks) > OWN_HOOKS or _global_optimizer_post_hooks
        if own or others or torch.autograd._profiler_enabled():
            return self._watched_step(closure)
        return self._step(closure)

    # torch would wrap it for hooks and the profiler, at the cost of three updates of a small net.
    step.hooked = True  # type: ignore[attr-defined]

    def _step(self, closure: Any) -> Any:
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

    _watched_step = Optimizer.profile_hook_step(_step)


register_optimizer_step_pre_hook(_refuse)
