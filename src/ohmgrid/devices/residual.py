"""Weights that are a sum over arrays of devices with few states: residual learning.

Li, Wu, Liu, Gokmen and Chen, "In-memory training on analog devices with limited conductance states
via multi-tile residual learning", 2025 (arXiv 2510.02516); defaults are those of the authors'
published code for 4 states. docs/residual.md has the equations. Standard library only.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from ohmgrid.devices.base import Device, StepDevice
from ohmgrid.devices.steps import SoftBounds
from ohmgrid.doors.checks import ConfigError, check_flag, check_float, check_int, make_plain, shown
from ohmgrid.periphery import ConverterConfig

__all__ = ["MOST_ARRAYS", "ResidualLearning", "residual_presets"]

MOST_ARRAYS = 16
READ = ConverterConfig(noise_management="none")


@dataclass(frozen=True)
class ResidualLearning(Device):
    """``W = sum_k gamma^(N-1-k) W_k``: array 0 takes the updates, each hands on to the next one.

    What one array cannot write, because its steps are too large, the finer ones before it make up.
    """

    cell: StepDevice
    """Of all arrays."""
    count: int = 7
    """Arrays of a layer (N)."""
    gamma: float = 0.5
    """Weight of an array, relative to the next one's; the last one's is 1."""
    transfer_every: float = 2.0
    """Updates between two transfers from array 0 to array 1 (mini-batches with `units_in_mbatch`),
    > 0."""
    every_growth: float = 5.0
    """What that is multiplied with from each array to the next."""
    units_in_mbatch: bool = True
    fast_lr: float = 0.0
    """Learning rate of array 0; 0: that of the run."""
    scale_fast_lr: bool = True
    """Whether `fast_lr` is a multiple of the run's."""
    transfer_lr: float = 0.1
    """Learning rate of a transfer to the last array, divided by `lr_growth`."""
    lr_growth: float = 1.2
    """What the rate of transfers is multiplied with from each array to the one before."""
    scale_transfer_lr: bool = False
    """Whether rates of transfers are multiples of the run's."""
    warm_updates: int = 0
    """Updates in which each array, the last one first, is filled from array 0 alone before arrays
    hand on to one another; 0: they do so from the beginning."""
    transfer_forward: ConverterConfig = READ
    """How a column is read: 1.0 on its line, 0 on all others."""

    kind: ClassVar[str] = "ResidualLearning"

    def __post_init__(self) -> None:
        make_plain(self)
        if not isinstance(self.cell, StepDevice):
            raise ConfigError("cell", f"expected a step device, got {shown(self.cell)}")
        if self.cell.perfect_bias:
            raise ConfigError("cell", "expected a device without perfect_bias")
        if not isinstance(self.transfer_forward, ConverterConfig):
            raise ConfigError(
                "transfer_forward", f"expected a table, got {shown(self.transfer_forward)}"
            )
        if self.transfer_forward.ir_drop:
            raise ConfigError("transfer_forward.ir_drop", "expected 0: arrays lie side by side")
        check_int("count", self.count, 2, MOST_ARRAYS)
        check_float("gamma", self.gamma, 0.05, 1.0)
        check_float("transfer_every", self.transfer_every, 0.001, float(1 << 20))
        check_float("every_growth", self.every_growth, 1.0, 1000.0)
        check_float("fast_lr", self.fast_lr, 0.0, 1000.0)
        check_float("transfer_lr", self.transfer_lr, 1e-6, 1000.0)
        check_float("lr_growth", self.lr_growth, 0.01, 100.0)
        check_int("warm_updates", self.warm_updates, 0, 1 << 40)
        for name in ("units_in_mbatch", "scale_fast_lr", "scale_transfer_lr"):
            check_flag(name, getattr(self, name))

    @property
    def unit(self) -> StepDevice:
        return self.cell

    @property
    def arrays(self) -> int:
        return self.count

    @property
    def remark(self) -> str:
        cell = self.cell
        states = (cell.w_max - cell.w_min) / cell.granularity
        return f"{self.count} arrays of devices with {states:.3g} states"

    def rate(self, lr: float) -> float:
        """Return the learning rate of array 0 in a run with ``lr``."""
        if self.fast_lr == 0:
            return lr
        return self.fast_lr * lr if self.scale_fast_lr else self.fast_lr

    def gains(self) -> list[float]:
        """Return the weights of arrays 0 to `count` - 1 in the sum."""
        return _powers(1.0, self.gamma, self.count)[::-1]

    def transfer_rates(self, lr: float) -> list[float]:
        """Return the learning rates of transfers out of arrays 0 to `count` - 2."""
        last = self.transfer_lr * (lr if self.scale_transfer_lr else 1.0)
        return _powers(last, self.lr_growth, self.count)[:0:-1]

    def every(self, batch: int) -> list[int]:
        """Return after how many updates each of arrays 0 to `count` - 2 hands on.

        Parameters
        ----------
        batch : int
            Examples of a mini-batch.
        """
        unit = batch if self.units_in_mbatch else 1
        periods = _powers(self.transfer_every, self.every_growth, self.count - 1)
        return [max(1, math.ceil(period * unit)) for period in periods]


def _powers(first: float, factor: float, count: int) -> list[float]:
    """Return ``first factor^k`` for k below ``count``, by multiplications alone."""
    values = [first]
    while len(values) < count:
        values.append(values[-1] * factor)
    return values


def residual_presets() -> dict[str, Device]:
    """Return the presets by name: soft bounds of -1 and 1, as many steps between them as states.

    Arrays hand on more often than in the authors' runs of 200 epochs.
    """
    few = SoftBounds(dw_min=0.5, w_max=1.0, w_min=-1.0)
    more = SoftBounds(dw_min=0.125, w_max=1.0, w_min=-1.0)
    often: dict[str, float] = {"transfer_every": 1.0, "every_growth": 2.0}
    return {
        "residual-4-states": ResidualLearning(few, **often),  # type: ignore[arg-type]
        "residual-16-states": ResidualLearning(more, count=5, **often),  # type: ignore[arg-type]
    }
