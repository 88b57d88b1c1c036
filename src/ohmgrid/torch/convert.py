"""A torch model with its layers on arrays."""

import copy
from typing import Any

from torch import nn

from ohmgrid.doors.checks import ConfigError, shown
from ohmgrid.torch.chain import AnalogSequential, layer_seed
from ohmgrid.torch.layers import AnalogConv2d, AnalogLinear

__all__ = ["CONVERTED", "convert_to_analog"]

CONVERTED = {
    nn.Linear: AnalogLinear.from_digital,
    nn.Conv2d: AnalogConv2d.from_digital,
}
"""Layers that are converted, and by what."""


def convert_to_analog(
    module: Any,
    rpu_config: Any = None,
    *,
    exclude_modules: Any = (),
    inplace: bool = False,
    seed: int | None = None,
    engine: str = "compiled",
) -> Any:
    """Return a model whose `torch.nn.Linear` and `Conv2d` layers are on arrays, weights included.

    Parameters
    ----------
    module : torch.nn.Module
    rpu_config : object, optional
        As of `AnalogLinear`, for all layers.
    exclude_modules : sequence of str
        Names of layers, as ``named_modules`` has them, that stay.
    inplace : bool
        Whether the model itself is changed; else a copy.
    seed : int, optional
        Layer n, in the order of ``named_modules``, has ``seed + n``; a `torch.nn.Sequential` that
        becomes a core has ``seed``. Else drawn by torch.
    engine : str
    """
    if not isinstance(module, nn.Module):
        raise ConfigError("module", f"expected a torch.nn.Module, got {shown(module)}")
    model = module if inplace else copy.deepcopy(module)
    known = {name for name, _ in model.named_modules()}
    for name in exclude_modules or ():
        if name not in known:
            raise ConfigError("exclude_modules", f"expected a module's name, got {shown(name)}")
    number = 0

    def converted(one: Any) -> Any:
        nonlocal number
        make = CONVERTED[type(one)]
        own = None if seed is None else layer_seed(seed, number)
        number += 1
        return make(one, rpu_config, engine=engine, seed=own)

    if type(model) in CONVERTED:
        return converted(model)
    for name, one in list(model.named_modules()):
        for key, child in list(one.named_children()):
            place = f"{name}.{key}" if name else key
            if type(child) in CONVERTED and place not in (exclude_modules or ()):
                setattr(one, key, converted(child))
    if type(model) is nn.Sequential:
        return AnalogSequential(*model, seed=seed)
    return model
