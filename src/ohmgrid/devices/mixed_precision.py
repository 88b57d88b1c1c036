"""Weights on an array whose updates are added up in digital numbers: mixed precision.

Nandakumar et al., Front. Neurosci. 14, 406, 2020. Names, defaults and equations are those of
aihwkit 1.2.0 (docs/cells.md). Standard library only.
"""

from dataclasses import dataclass
from typing import ClassVar

from ohmgrid.devices.base import Device, StepDevice
from ohmgrid.devices.cells import OneSided
from ohmgrid.doors.checks import ConfigError, check_flag, check_float, check_int, make_plain, shown

__all__ = ["MOST_BINS", "MixedPrecision"]

MOST_BINS = 256
"""Most bins of activations and errors."""


@dataclass(frozen=True)
class MixedPrecision(Device):
    """Products of activations and errors are summed; whole steps of a sum are pulses."""

    device: Device
    """Of the array that forward and backward see: a step device or a pair of them."""
    transfer_every: int = 1
    """Mini-batches between two transfers; 0: never."""
    n_rows_per_transfer: int = -1
    """Rows of a transfer, one after the other; -1: all."""
    random_row: bool = False
    """Whether the first of them is drawn; else it follows the last one."""
    granularity: float = 0.0
    """Step of the sums, weight units; 0: the granularity of the device."""
    transfer_lr: float = 1.0
    """What a step is written as, in steps."""
    n_x_bins: int = 0
    """Bins of activations before they are multiplied, 2..256, about zero and up to the largest;
    0: they are taken as they stand at the edge."""
    n_d_bins: int = 0
    """The same of errors."""
    stoc_round_x: bool = True
    """Whether activations are rounded to bins at random, unbiased, or to nearest."""
    stoc_round_d: bool = True
    """The same of errors."""

    kind: ClassVar[str] = "MixedPrecision"

    def __post_init__(self) -> None:
        make_plain(self)
        if not isinstance(self.device, StepDevice | OneSided):
            raise ConfigError(
                "device", f"expected a step device or a pair of them, got {shown(self.device)}"
            )
        check_int("transfer_every", self.transfer_every, 0, 1 << 20)
        check_int("n_rows_per_transfer", self.n_rows_per_transfer, -1, 1 << 16)
        check_float("granularity", self.granularity, 0.0, 8.0)
        check_float("transfer_lr", self.transfer_lr, 1e-3, 1000.0)
        for name in ("n_x_bins", "n_d_bins"):
            if getattr(self, name) != 0:
                check_int(name, getattr(self, name), 2, MOST_BINS)
        for name in ("random_row", "stoc_round_x", "stoc_round_d"):
            check_flag(name, getattr(self, name))

    @property
    def unit(self) -> StepDevice:
        return self.device.unit

    @property
    def front(self) -> Device:
        return self.device

    @property
    def paired(self) -> bool:
        return self.device.paired

    @property
    def arrays(self) -> int:
        return 2

    @property
    def step(self) -> float:
        """Step of the sums, weight units."""
        return self.granularity or self.unit.granularity
