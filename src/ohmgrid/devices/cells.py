"""Crosspoints of two devices: a weight that is the difference of two conductances.

Standard library only.
"""

from dataclasses import dataclass
from typing import ClassVar

from ohmgrid.devices.base import Device, StepDevice
from ohmgrid.doors.checks import ConfigError, check_flag, check_float, check_int, make_plain, shown
from ohmgrid.periphery import MOST_SLOTS

__all__ = ["OneSided"]


@dataclass(frozen=True)
class OneSided(Device):
    """A pair of devices of which every pulse raises one: ``w = w_plus - w_minus``.

    Pulses that would lower the weight raise the minus device. A refresh reads both devices of a
    cell; where the larger is beyond ``refresh_upper_thres`` and the smaller beyond
    ``refresh_lower_thres`` of ``w_max``, it resets both and writes their difference back with
    pulses, open loop.
    """

    device: StepDevice
    """Both devices of a cell."""
    refresh_every: int = 0
    """Updates between two refreshes (mini-batches with `units_in_mbatch`); 0: never."""
    units_in_mbatch: bool = True
    refresh_upper_thres: float = 0.75
    refresh_lower_thres: float = 0.25
    refresh_out_bound: float = 12.0
    """Range of the ADC that reads a cell for the refresh."""
    refresh_adc_bits: int = 9
    refresh_out_noise: float = 0.06
    """Noise of that read, weight units."""
    refresh_bl: int = 31
    """Most pulses that write a difference back, 1..127."""

    kind: ClassVar[str] = "OneSided"

    def __post_init__(self) -> None:
        make_plain(self)
        if not isinstance(self.device, StepDevice):
            raise ConfigError("device", f"expected a step device, got {shown(self.device)}")
        if self.device.w_max <= 0 or self.device.write_noise:
            raise ConfigError("device", "expected w_max > 0 and no write noise in a pair")
        check_int("refresh_every", self.refresh_every, 0, 1 << 20)
        check_flag("units_in_mbatch", self.units_in_mbatch)
        for name in ("refresh_upper_thres", "refresh_lower_thres"):
            check_float(name, getattr(self, name), 0.0, 1.0)
        check_float("refresh_out_bound", self.refresh_out_bound, 0.01, 1000.0)
        check_int("refresh_adc_bits", self.refresh_adc_bits, 2, 12)
        check_float("refresh_out_noise", self.refresh_out_noise, 0.0, 10.0)
        check_int("refresh_bl", self.refresh_bl, 1, MOST_SLOTS)

    @property
    def unit(self) -> StepDevice:
        return self.device

    @property
    def paired(self) -> bool:
        return True
