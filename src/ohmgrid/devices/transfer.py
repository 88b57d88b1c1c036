"""Weights that learn on one array and live on another: the transfer algorithms.

An update pulses the *fast* array; every ``transfer_every`` updates a column of it is read, and what
was read is brought to the *slow* array, which forward and backward see. Names, defaults and
equations are those of aihwkit 1.2.0 (docs/transfer.md), the publications:

=================  =========================================================================
`Transfer`         Tiki-Taka: Gokmen and Haensch, Front. Neurosci. 14, 103, 2020
`BufferedTransfer` TTv2: Gokmen, Front. Artif. Intell. 4, 699148, 2021
`ChoppedTransfer`  c-TTv2: Rasch, Carta, Fagbohungbe, Gokmen, Nat. Commun. 15, 7133, 2024
`DynamicTransfer`  AGAD: the same
=================  =========================================================================
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from ohmgrid.devices.base import Device, StepDevice
from ohmgrid.doors.checks import ConfigError, check_flag, check_float, check_int, make_plain, shown
from ohmgrid.periphery import MOST_SLOTS, ConverterConfig, PulseConfig

__all__ = ["BufferedTransfer", "ChoppedTransfer", "DynamicTransfer", "Transfer"]

READ = ConverterConfig(noise_management="none")
PULSES = PulseConfig()
ONE_PULSE = PulseConfig(desired_bl=1, update_management=False, update_bl_management=False)
_RATES = ("fast_lr", "transfer_lr")


@dataclass(frozen=True)
class Transfer(Device):
    """Tiki-Taka: what is read of a fast column, times a rate, is an update of the slow array."""

    fast: StepDevice
    """Of the array that updates pulse (A)."""
    slow: StepDevice
    """Of the array that forward and backward see (C)."""
    transfer_every: float = 1.0
    """Updates between two transfers (mini-batches with `units_in_mbatch`), >= 0; 0: never. Below 0,
    of chopped transfers: that part of the updates after which a fast device has seen all its
    states, were each update a pulse on it."""
    units_in_mbatch: bool = True
    n_reads_per_transfer: int = 1
    """Columns of a transfer, one after the other."""
    fast_lr: float = 1.0
    """Learning rate of the fast array; 0: that of the run."""
    scale_fast_lr: bool = True
    """Whether `fast_lr` is a multiple of the run's."""
    transfer_lr: float = 1.0
    """Learning rate of what is transferred."""
    scale_transfer_lr: bool = True
    """Whether `transfer_lr` is a multiple of the run's."""
    transfer_forward: ConverterConfig = READ
    """How a column is read: 1.0 on its line, 0 on all others."""
    transfer_update: PulseConfig = PULSES
    """Pulses on the slow array: 1.0 on the column's line, what is written on the rows."""

    kind: ClassVar[str] = "Transfer"

    def __post_init__(self) -> None:
        make_plain(self)
        for name in ("fast", "slow"):
            device = getattr(self, name)
            if not isinstance(device, StepDevice):
                raise ConfigError(name, f"expected a step device, got {shown(device)}")
        for name, kind in (("transfer_forward", ConverterConfig), ("transfer_update", PulseConfig)):
            if not isinstance(getattr(self, name), kind):
                raise ConfigError(name, f"expected a table, got {shown(getattr(self, name))}")
        check_float("transfer_every", self.transfer_every, self._least_every, float(1 << 20))
        check_int("n_reads_per_transfer", self.n_reads_per_transfer, 1, 1 << 16)
        for name in _RATES:
            check_float(name, getattr(self, name), 0.0, 1000.0)
        for name in ("units_in_mbatch", "scale_fast_lr", "scale_transfer_lr"):
            check_flag(name, getattr(self, name))

    @property
    def _least_every(self) -> float:
        return 0.0

    @property
    def unit(self) -> StepDevice:
        return self.slow

    @property
    def arrays(self) -> int:
        return 2

    def rate(self, lr: float) -> float:
        """Return the learning rate of the fast array in a run with ``lr``."""
        if self.fast_lr == 0:
            return lr
        return self.fast_lr * lr if self.scale_fast_lr else self.fast_lr

    def transfer_rate(self, lr: float) -> float:
        """Return the learning rate of a transfer in a run with ``lr``."""
        return self.transfer_lr * lr if self.scale_transfer_lr else self.transfer_lr

    def every(self, cols: int, batch: int) -> int:
        """Return how many updates there are between two transfers of an array; 0: there are none.

        Parameters
        ----------
        cols : int
            Of the array.
        batch : int
            Examples of a mini-batch.
        """
        if self.transfer_every < 0:
            states = (self.fast.w_max - self.fast.w_min) / self.fast.granularity
            return max(1, round(states / cols * -self.transfer_every))
        if self.units_in_mbatch:
            return math.ceil(self.transfer_every * batch)
        return round(self.transfer_every)


@dataclass(frozen=True)
class BufferedTransfer(Transfer):
    """TTv2: what is read is added up in a digital buffer, and a whole step of it is one pulse."""

    transfer_update: PulseConfig = ONE_PULSE
    thres_scale: float = 1.0
    """Threshold of the buffer, in granularities of the slow device (> 0)."""
    momentum: float = 0.1
    """Part of the buffer that is left after a pulse."""
    forget_buffer: bool = True
    """Whether that part is of all that was in the buffer (true), or of the step (false)."""

    kind: ClassVar[str] = "BufferedTransfer"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_float("thres_scale", self.thres_scale, 1e-3, 1e6)
        check_buffer(self)

    def threshold(self, cols: int) -> float:
        """Return what must be read, times its rate, for a pulse, in weight units."""
        return self.thres_scale * self.slow.granularity


@dataclass(frozen=True)
class ChoppedTransfer(Transfer):
    """c-TTv2: signs of columns and rows flip now and then, so that the fast array's offset is
    cancelled. `in_chop_prob` 0 is TTv2 as its presets have it."""

    transfer_update: PulseConfig = ONE_PULSE
    units_in_mbatch: bool = False
    scale_fast_lr: bool = False
    in_chop_prob: float = 0.1
    """Probability that the sign of a column flips after it was read."""
    in_chop_random: bool = True
    """Whether it does so at random (true), or after every so many reads."""
    out_chop_prob: float = 0.0
    """Probability that the sign of a row flips after all columns were read."""
    buffer_granularity: float = 1.0
    """Threshold of the buffer, in granularities of the fast device (> 0)."""
    auto_granularity: float = 0.0
    """Above 0: updates in which the buffer is to reach its threshold; it is scaled by them."""
    momentum: float = 0.0
    """Part of the buffer that is left after a pulse."""
    forget_buffer: bool = True
    """Whether that part is of all that was in the buffer (true), or of the step (false)."""
    auto_scale: bool = False
    """Whether updates are scaled by the largest activations and errors of late, so that the largest
    products ask for ``fast_lr`` times the longest train."""
    auto_momentum: float = 0.99
    """Of the averages of those."""
    usual_bl: int = 31
    """Most slots of an update's train, where nothing else is said (``pulses.desired_bl``)."""

    kind: ClassVar[str] = "ChoppedTransfer"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("in_chop_prob", "out_chop_prob", "auto_momentum"):
            check_float(name, getattr(self, name), 0.0, 1.0)
        check_float("buffer_granularity", self.buffer_granularity, 1e-6, 1e6)
        check_float("auto_granularity", self.auto_granularity, 0.0, 1e9)
        for name in ("in_chop_random", "auto_scale"):
            check_flag(name, getattr(self, name))
        check_int("usual_bl", self.usual_bl, 1, MOST_SLOTS)
        check_buffer(self)
        if self.n_reads_per_transfer != 1:
            raise ConfigError(
                "n_reads_per_transfer", f"expected 1 column, got {self.n_reads_per_transfer}"
            )
        if self.auto_scale and self.fast_lr == 0:
            raise ConfigError("fast_lr", "expected more than 0 with auto_scale, got 0")

    @property
    def _least_every(self) -> float:
        return -float(1 << 20)

    @property
    def reads(self) -> int:
        """Reads of a column between two flips of its sign, where they are regular."""
        return max(math.ceil(1 / self.in_chop_prob), 2) if self.in_chop_prob else 0

    def threshold(self, cols: int) -> float:
        """Return what must be read, times its rate, for a pulse, in weight units."""
        step = self.buffer_granularity * self.fast.granularity
        if self.auto_granularity == 0:
            return step
        return step * self.auto_granularity / (cols * abs(self.transfer_every))


@dataclass(frozen=True)
class DynamicTransfer(ChoppedTransfer):
    """AGAD: what is transferred is the difference to the mean before the last flip of the sign."""

    in_chop_random: bool = False
    tail_weightening: float = 5.0
    """Weight of the last reads in that mean: a read's share is this over the reads of a period."""
    buffer_cap: float = 0.0
    """Above 0, without `forget_buffer`: most that is left in the buffer, in thresholds."""

    kind: ClassVar[str] = "DynamicTransfer"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_float("tail_weightening", self.tail_weightening, 0.0, 1e6)
        check_float("buffer_cap", self.buffer_cap, 0.0, 1000.0)
        if self.in_chop_prob == 0:
            raise ConfigError("in_chop_prob", "expected more than 0, got 0")


def check_buffer(device: BufferedTransfer | ChoppedTransfer) -> None:
    """Raise `ConfigError` unless a buffer can be as a device says."""
    check_float("momentum", device.momentum, 0.0, 1.0)
    check_flag("forget_buffer", device.forget_buffer)
    pulses = device.transfer_update
    if pulses.desired_bl != 1 or pulses.managed:
        raise ConfigError(
            "transfer_update", "expected desired_bl 1 and no managements: a step is one pulse"
        )
    if device.transfer_every == 0:
        raise ConfigError("transfer_every", "expected other than 0, got 0")
