"""Layers one after the other: as torch runs them, or as one core with its own activations."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from torch import nn

from ohmgrid.doors.checks import check_int
from ohmgrid.net import Net
from ohmgrid.registers.layers import MOST_CLASSES
from ohmgrid.torch.layers import AnalogLayer, AnalogLinear, Through
from ohmgrid.torch.unit import Unit

__all__ = ["AnalogSequential", "layer_seed"]

ACTIVATIONS = {nn.Sigmoid: "sigmoid", nn.Tanh: "tanh", nn.ReLU: "relu"}
"""Activations that a core has tables of."""


def layer_seed(seed: int, number: int) -> int:
    """Return the seed of a layer of a model that was given one."""
    check_int("seed", seed, 0, (1 << 64) - 1)
    return (seed + number) % (1 << 64)


def _hooked(module: Any) -> bool:
    """Return whether a module has hooks that see what goes through it."""
    forward = module._forward_hooks or module._forward_pre_hooks
    return bool(forward or module._backward_hooks or module._backward_pre_hooks)


class AnalogSequential(nn.Sequential):
    """`torch.nn.Sequential`, which runs on one core where it is a net as a core has it.

    That is: `AnalogLinear` layers of one configuration, their biases in the array, with the same
    `torch.nn.Sigmoid`, `Tanh` or `ReLU` between each two; before them `Flatten`, behind them what
    you like. Forward and backward then stay in the core between the layers: activations and slopes
    are its tables (docs/training.md), the same on every engine. With ``core=False``, or in a
    `torch.nn.Sequential`, activations are torch's floats.

    Parameters
    ----------
    *modules
        As of `torch.nn.Sequential`.
    seed : int, optional
        Of a core: all its noise, spreads and first weights, as ``--seed`` of ``ohmgrid train``.
        Else layer n has ``seed + n``. Not given: that of each layer is drawn by torch.
    core : bool
        Whether it may run on one.
    """

    def __init__(self, *modules: Any, seed: int | None = None, core: bool = True) -> None:
        super().__init__(*modules)
        self.own_core = core
        self._find()
        layers = [one for one in self.modules() if isinstance(one, AnalogLayer)]
        if any(len(layer.unit.contexts) > 1 for layer in layers):
            return  # part of another model: it keeps its arrays
        if seed is not None:
            for number, layer in enumerate(layers):
                layer.reseed(layer_seed(seed, number))
        if self._count and core:
            self._join(layers[0].seed if seed is None else seed)

    def _find(self) -> None:
        """Find the net: where it begins, and how many modules it has; none if it is none."""
        parts = self._parts = list(self)
        self._begin = next((n for n, one in enumerate(parts) if type(one) is AnalogLinear), 0)
        self._count, self._activation = 0, "sigmoid"
        if not all(type(one) is nn.Flatten for one in parts[: self._begin]):
            return
        net: list[Any] = []
        for one in parts[self._begin :]:
            due = AnalogLinear if len(net) % 2 == 0 else tuple(ACTIVATIONS)
            if type(one) is not due and type(one) not in (due if isinstance(due, tuple) else ()):
                break
            net.append(one)
        net = net[: len(net) - (len(net) + 1) % 2] if net else []
        layers, functions = net[0::2], {type(one) for one in net[1::2]}
        sizes = [(one.cols, one.rows) for one in layers]
        rest = parts[self._begin + len(net) :]
        alike = all(
            one.engine == layers[0].engine
            and one.analog_bias
            and vars(one.description) == vars(layers[0].description)
            for one in layers
        )
        joined = all(a[1] == b[0] for a, b in pairwise(sizes))
        alone = not any(isinstance(one, AnalogLayer) for part in rest for one in part.modules())
        if len(layers) > 1 and len(functions) == 1 and alike and joined and alone:
            self._count, self._activation = len(net), ACTIVATIONS[functions.pop()]

    def _layers(self) -> list[Any]:
        return self._parts[self._begin : self._begin + self._count : 2]

    def _join(self, seed: int) -> None:
        """Put the arrays of all layers into one core; weights that were set are programmed anew."""
        layers = self._layers()
        sizes = (layers[0].cols, *(layer.rows for layer in layers))
        loss = "cross-entropy" if sizes[-1] <= MOST_CLASSES else "squared"
        net = Net(sizes, self._activation, loss)
        config = layers[0].description.config(seed, self._activation)
        unit = Unit(layers[0].engine, config, net)
        for number, layer in enumerate(layers):
            if layer.unit.used:
                unit.set_weights(number, layer.unit.weights(0))
            unit.contexts[number].requires_grad_(layer.analog_ctx.requires_grad)
            layer.attach(unit, number)

    @property
    def on_core(self) -> bool:
        """Whether the layers run on one core."""
        # Modules may have been replaced since.
        if not self._count or not self.own_core or [*self._modules.values()] != self._parts:
            return False
        net = self._parts[self._begin : self._begin + self._count]
        whole = 2 * len(net[0].unit.contexts) - 1 == len(net)
        return whole and not any(map(_hooked, net))

    def analog_layers(self) -> Iterator[AnalogLayer]:
        """Yield all layers on arrays."""
        return (one for one in self.modules() if isinstance(one, AnalogLayer))

    analog_tiles = analog_layers

    def forward(self, x: Any) -> Any:
        """Run the modules."""
        if not self.on_core:
            return super().forward(x)
        parts = self._parts
        for one in parts[: self._begin]:
            x = one(x)
        first = parts[self._begin]
        if x.shape[-1:] != (first.cols,):
            raise ValueError(f"x: expected {first.cols} inputs, got shape {tuple(x.shape)}")
        contexts = first.unit.contexts
        context = contexts[0]
        if not context.requires_grad:
            context = next((one for one in contexts if one.requires_grad), context)
        if x.dim() == 2:  # a reshape that does nothing takes its time too
            y = Through.apply(x, context, None)
        else:
            y = Through.apply(x.reshape(-1, first.cols), context, None)
            y = y.reshape(*x.shape[:-1], first.unit.net.layers[-1])
        y.passage = first.unit.last
        for one in parts[self._begin + self._count :]:
            y = one(y)
        return y
