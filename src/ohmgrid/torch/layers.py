"""Layers of a torch model on arrays."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ohmgrid.config import Config
from ohmgrid.doors.checks import ConfigError, check_int, shown
from ohmgrid.engines import check_engine
from ohmgrid.floats.tile import configured
from ohmgrid.imports.objects import Described, is_theirs, settings_of
from ohmgrid.net import Net
from ohmgrid.torch.unit import AnalogContext, Unit
from ohmgrid.training.settings import Settings

__all__ = ["AnalogConv2d", "AnalogLayer", "AnalogLinear", "Description", "Through", "on_cpu"]


class Through(torch.autograd.Function):
    """A passage through arrays as torch's autograd sees it."""

    @staticmethod
    def forward(ctx: Any, x: Any, context: AnalogContext, layer: int | None) -> Any:
        unit = context.unit
        values = x.detach().numpy()
        unit.forget()
        passage = unit.passage(values) if layer is None else unit.passage_alone(values, layer)
        ctx.passage, ctx.context, ctx.layer = passage, context, layer
        unit.last = passage
        # Conversions are NumPy's: torch takes twenty times as long for a few numbers.
        return torch.from_numpy(passage.y.astype(values.dtype))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        passage, context = ctx.passage, ctx.context
        asked, learns = ctx.needs_input_grad[:2]
        values = grad.numpy()
        z = passage.backward(values, asked)
        if learns:
            context.unit.wait(passage, ctx.layer)
        return torch.from_numpy(z.astype(values.dtype)) if asked else None, None, None


class Description:
    """What a configuration given to a layer comes to.

    Parameters
    ----------
    config : object
        Preset or file by name, a `Config`, an object described as in the reference simulator
        (`ohmgrid.torch.configs`), or one of its own.
    """

    def __init__(self, config: Any) -> None:
        self.given: Config | str | Settings
        self.digital_bias = False
        if isinstance(config, Described) or is_theirs(config):
            self.given, self.digital_bias = settings_of(config)
        elif isinstance(config, Config | str):
            self.given = config
        else:
            raise ConfigError(
                "rpu_config",
                f"expected a preset's name, a file, a Config or an rpu_config, got {shown(config)}",
            )

    def config(self, seed: int, activation: str | None = None) -> Config:
        """Return the configuration; in ReLU nets activations reach further."""
        if not isinstance(self.given, Settings):
            return configured(self.given, seed)
        around = {} if activation is None else {"training": {"activation": activation}}
        return self.given.under(Settings({"seed": seed}, around)).config()


def on_cpu(convert: Any) -> None:
    """Raise `ConfigError` if what `torch.nn.Module.to` does to tensors takes them off the CPU."""
    try:
        probe = convert(torch.zeros(()))
        place = probe.device.type
    except (AssertionError, RuntimeError) as error:
        place = f"another ({str(error).splitlines()[0]})"
    if place != "cpu":
        raise ConfigError("device", f"expected cpu: analog layers have engines, got {place}")


class AnalogLayer(nn.Module):
    """What every layer on one array has.

    Parameters
    ----------
    rows, cols : int
        Outputs, and inputs without the bias.
    bias : bool
        Whether there is one: the array's last column, or digital where the configuration says so.
    config : object
        As of `Description`.
    engine : str
    seed : int, optional
        Of all noise, spreads and the first weights; else drawn by torch.
    """

    def __init__(
        self, rows: int, cols: int, bias: bool, config: Any, engine: str, seed: int | None
    ) -> None:
        super().__init__()
        check_engine(engine)
        self.description = Description("gokmen-vlasov" if config is None else config)
        if seed is None:
            seed = int(torch.randint(1 << 62, ()).item())
        check_int("seed", seed, 0, (1 << 64) - 1)
        check_int("inputs", cols, 1, 1 << 24)
        check_int("outputs", rows, 1, 1 << 24)
        self.rows, self.cols, self.engine, self.seed = rows, cols, engine, seed
        own = bool(bias) and not self.description.digital_bias
        self.analog_bias = own
        digital = bool(bias) and not own
        self.bias = nn.Parameter(torch.zeros(rows)) if digital else None
        net = Net((cols if own else cols - 1, rows), loss="squared")
        self.attach(Unit(engine, self.description.config(seed), net), 0)

    def reseed(self, seed: int) -> None:
        """Take another seed; weights that were set are programmed anew."""
        net, old = self.unit.net, self.unit
        self.seed = seed
        learns = self.analog_ctx.requires_grad
        self.attach(Unit(self.engine, self.description.config(seed), net), 0)
        self.analog_ctx.requires_grad_(learns)
        if old.used:
            self.unit.set_weights(0, old.weights(0))

    def attach(self, unit: Unit, layer: int) -> None:
        """Be computed by an array of a unit from now on."""
        self.unit, self.layer = unit, layer
        self.analog_ctx = unit.contexts[layer]

    def __deepcopy__(self, memo: dict[int, Any]) -> "AnalogLayer":
        unit = copy.deepcopy(self.unit, memo)
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        for context, its in zip(self.unit.contexts, unit.contexts, strict=True):
            memo[id(context)] = its
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return made

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        on_cpu(fn)
        return super()._apply(fn, recurse)

    def analog_tiles(self) -> Iterator["AnalogLayer"]:
        """Yield the layer, which is one array."""
        yield self

    @property
    def config(self) -> Config:
        """The whole configuration of the array."""
        return self.unit.config

    def pass_through(self, x: Any) -> Any:
        """Return what the array makes of vectors; shape (..., cols) to (..., rows)."""
        if x.shape[-1:] != (self.cols,):
            raise ValueError(f"x: expected {self.cols} inputs, got shape {tuple(x.shape)}")
        if x.dim() == 2:  # a reshape that does nothing takes its time too
            y = Through.apply(x, self.analog_ctx, self.layer)
        else:
            y = Through.apply(x.reshape(-1, self.cols), self.analog_ctx, self.layer)
            y = y.reshape(*x.shape[:-1], self.rows)
        return y if self.bias is None else y + self.bias

    def get_weights(self) -> tuple[Any, Any]:
        """Return weights (rows, cols) and bias (rows,) or None, as float tensors of their own."""
        whole = torch.from_numpy(self.unit.weights(self.layer)).float()
        if self.analog_bias:
            return whole[:, :-1].clone(), whole[:, -1].clone()
        return whole, None if self.bias is None else self.bias.detach().clone()

    def set_weights(self, weight: Any, bias: Any = None) -> int:
        """Program the devices; return how many hold another weight (bounds, stuck devices).

        Parameters
        ----------
        weight : tensor or array, shape (rows, cols)
        bias : tensor or array, shape (rows,), optional
            Without it, what there is stays.
        """
        values = np.asarray(torch.as_tensor(weight).detach(), np.float64)
        if values.ndim < 2 or values.size != self.rows * self.cols or len(values) != self.rows:
            raise ValueError(f"weight: expected shape {(self.rows, self.cols)}, got {values.shape}")
        values = values.reshape(self.rows, self.cols)
        own = None if bias is None else np.asarray(torch.as_tensor(bias).detach(), np.float64)
        if own is not None and (
            own.shape != (self.rows,) or not (self.analog_bias or self.bias is not None)
        ):
            raise ValueError(f"bias: expected shape {(self.rows,)} of a layer with one")
        if self.analog_bias:
            column = self.unit.weights(self.layer)[:, -1] if own is None else own
            values = np.column_stack([values, column])
        elif own is not None and self.bias is not None:
            with torch.no_grad():
                self.bias.copy_(torch.from_numpy(own))
        return self.unit.set_weights(self.layer, values)

    def get_extra_state(self) -> dict[str, Any]:
        """Return what the array remembers, for ``state_dict``."""
        return self.unit.state(self.layer)

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take it over; a run goes on bit for bit where configuration and seed are the same."""
        self.unit.load(self.layer, state)

    def extra_repr(self) -> str:
        """Return what torch prints within the brackets."""
        bias = "analog" if self.analog_bias else self.bias is not None
        kind = self.config.device.kind
        return f"{self.cols}, {self.rows}, bias={bias}, {kind}, engine={self.engine}"


class AnalogLinear(AnalogLayer):
    """`torch.nn.Linear` on an array.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    rpu_config : object, optional
        Preset or file by name, a `Config`, or an ``rpu_config``; else ``gokmen-vlasov``.
    engine : str
        A name as `ohmgrid.engines.make_core` takes it.
    seed : int, optional
        Else drawn by torch (``torch.manual_seed`` repeats it).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        rpu_config: Any = None,
        *,
        engine: str = "compiled",
        seed: int | None = None,
    ) -> None:
        super().__init__(out_features, in_features, bias, rpu_config, engine, seed)
        self.in_features, self.out_features = in_features, out_features

    def forward(self, x: Any) -> Any:
        """Return ``W x + b``."""
        return self.pass_through(x)

    @classmethod
    def from_digital(cls, module: Any, rpu_config: Any = None, **how: Any) -> "AnalogLinear":
        """Return a layer with the weights of a `torch.nn.Linear`, as far as devices hold them."""
        has_bias = module.bias is not None
        made = cls(module.in_features, module.out_features, has_bias, rpu_config, **how)
        made.set_weights(module.weight, module.bias)
        return made


def _both(name: str, value: Any) -> tuple[int, int]:
    """Return an integer, or two, as two."""
    pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(pair) != 2 or not all(isinstance(one, int) and one >= 0 for one in pair):
        raise ConfigError(name, f"expected an integer or two, got {shown(value)}")
    return pair


class AnalogConv2d(AnalogLayer):
    """`torch.nn.Conv2d` on an array: a column for each value under the kernel, patch after patch.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, padding, dilation : int or two of them
    bias, rpu_config, engine, seed
        As of `AnalogLinear`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        rpu_config: Any = None,
        *,
        engine: str = "compiled",
        seed: int | None = None,
    ) -> None:
        for name, value, only in (("groups", groups, 1), ("padding_mode", padding_mode, "zeros")):
            if value != only:
                raise ConfigError(name, f"expected {only}, got {shown(value)}")
        kernel = _both("kernel_size", kernel_size)
        lines = in_channels * kernel[0] * kernel[1]
        super().__init__(out_channels, lines, bias, rpu_config, engine, seed)
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel
        self.stride, self.padding = _both("stride", stride), _both("padding", padding)
        self.dilation = _both("dilation", dilation)

    def forward(self, x: Any) -> Any:
        """Return the convolution; shape (examples, channels, height, width)."""
        if x.dim() != 4 or x.shape[1] != self.in_channels:
            wanted = f"(examples, {self.in_channels}, height, width)"
            raise ValueError(f"x: expected shape {wanted}, got {tuple(x.shape)}")
        patches = functional.unfold(
            x, self.kernel_size, self.dilation, self.padding, self.stride
        ).transpose(1, 2)
        height, width = (
            (size + 2 * pad - step * (kernel - 1) - 1) // stride + 1
            for size, pad, step, kernel, stride in zip(
                x.shape[2:], self.padding, self.dilation, self.kernel_size, self.stride, strict=True
            )
        )
        y = self.pass_through(patches).transpose(1, 2)
        return y.reshape(len(x), self.out_channels, height, width)

    @classmethod
    def from_digital(cls, module: Any, rpu_config: Any = None, **how: Any) -> "AnalogConv2d":
        """Return a layer with the weights of a `torch.nn.Conv2d`, as far as devices hold them."""
        made = cls(
            module.in_channels,
            module.out_channels,
            module.kernel_size,
            module.stride,
            module.padding,
            module.dilation,
            module.groups,
            module.bias is not None,
            module.padding_mode,
            rpu_config,
            **how,
        )
        made.set_weights(module.weight, module.bias)
        return made
