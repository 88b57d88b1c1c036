"""What time does to a device, as integers: leak, diffusion, reset (`ohmgrid.model.device.aging`),
and the refresh of pairs (`ohmgrid.model.core.refresh`).

Leak and diffusion act after every ``every`` updates, each for all the time that has passed.
Standard library only.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from ohmgrid.config import Config
from ohmgrid.devices.base import StepDevice
from ohmgrid.devices.cells import OneSided
from ohmgrid.doors.checks import ConfigError
from ohmgrid.periphery import ConverterConfig, PulseConfig
from ohmgrid.portable import expm1, floor_log2, log1p
from ohmgrid.registers.device import DEVIATES, STEP_FRAC
from ohmgrid.registers.edge import (
    ConverterRegisters,
    PulseRegisters,
    converter_registers,
    pulse_registers,
)
from ohmgrid.registers.noise import GAUSS_SIGMA

__all__ = [
    "CHANGE_BITS",
    "LEAK_BITS",
    "AgingRegisters",
    "RefreshRegisters",
    "aging_registers",
    "refresh_registers",
]

LEAK_BITS = 16
"""Width of a leak's mantissa (unsigned)."""
CHANGE_BITS = 24
"""Width of a change for one LSB of a deviate (unsigned): twice the range of a conductance."""
SMALL = 1e-3
"""Largest change, relative to the weight or its range, that is applied at once."""
LONGEST = 1 << 20


@dataclass(frozen=True)
class AgingRegisters:
    """Integer parameters of leak, diffusion and reset; tables as in `DeviceRegisters`."""

    every: int
    """Updates between two applications of leak and diffusion; 0: there is neither."""
    leak: tuple[int, ...]
    """Part of its distance from the reset bias that a cell loses, ``leak_shift`` fraction bits."""
    leak_shift: int
    diffusion: tuple[int, ...]
    """Change of a cell for one LSB of a deviate, `STEP_FRAC` fraction bits, weight LSB."""
    reset_bias: tuple[int, ...]
    """Where a leak leads to and a reset starts from, weight LSB."""
    reset_noise: int
    """Noise of a reset for one LSB of a deviate, `STEP_FRAC` fraction bits, weight LSB."""


def _every(device: StepDevice, batch: int) -> int:
    if not device.lifetime and not device.diffusion:
        return 0
    if device.time_every:
        return device.time_every * batch
    longest = float(LONGEST)
    if device.lifetime:
        longest = min(longest, device.lifetime * SMALL)
    if device.diffusion:
        small = SMALL * (device.w_max - device.w_min)
        ratio = small / device.diffusion
        # A product may be infinite, a power may not.
        longest = min(longest, ratio * ratio)
    return (1 << floor_log2(max(longest, 1.0))) * batch


def aging_registers(device: StepDevice, lsb: float, weight_bits: int, batch: int) -> AgingRegisters:
    """Round what time does to a device.

    Parameters
    ----------
    device : StepDevice
    lsb : float
        One weight LSB in weight units.
    weight_bits : int
    batch : int
        Updates of a mini-batch: lifetimes and diffusion count mini-batches.

    Raises
    ------
    ConfigError
        If a reset or the diffusion between two applications is beyond all conductances.
    """
    every = _every(device, batch)
    ticks = every / batch
    top = (1 << (weight_bits - 1)) - 1
    lost = []
    for z in DEVIATES:
        life = device.lifetime * (1 + device.lifetime_dtod * z)
        lost.append(-expm1(ticks * log1p(-1 / life)) if life > 1 else 1.0)
    if not device.lifetime:
        lost = [0.0] * len(DEVIATES)
    shift = 0
    while shift < 48 and math.ldexp(max(lost), shift + 1) < 1 << LEAK_BITS:
        shift += 1
    walk = device.diffusion * math.sqrt(ticks) / lsb / GAUSS_SIGMA * (1 << STEP_FRAC)
    return AgingRegisters(
        every=every,
        leak=tuple(min((1 << LEAK_BITS) - 1, round(math.ldexp(part, shift))) for part in lost),
        leak_shift=shift,
        diffusion=tuple(
            _fits("diffusion", abs(walk * (1 + device.diffusion_dtod * z))) for z in DEVIATES
        ),
        reset_bias=tuple(
            max(-top, min(top, round((device.reset + device.reset_dtod * z) / lsb)))
            for z in DEVIATES
        ),
        reset_noise=_fits("reset_std", device.reset_std / lsb / GAUSS_SIGMA * (1 << STEP_FRAC)),
    )


def _fits(name: str, value: float) -> int:
    if value >= (1 << CHANGE_BITS) - 1:
        raise ConfigError(
            name,
            f"expected at most {(1 << CHANGE_BITS) / value:.3g} times the value given "
            f"for these bounds",
        )
    return round(value)


class RefreshRegisters(NamedTuple):
    """Integer parameters of a refresh."""

    every: int
    """Updates between two refreshes; 0: never."""
    half: int
    """Largest ADC code of the read."""
    converter: ConverterRegisters
    upper: int
    """Code that the larger device must exceed."""
    lower: int
    """Code that the smaller device must exceed."""
    pulses: PulseConfig
    rate: PulseRegisters


def refresh_registers(config: Config, lsb: float) -> RefreshRegisters:
    """Round the parameters of a pair's refresh; ``lsb`` is the weight LSB in weight units."""
    device = config.device.front
    assert isinstance(device, OneSided)
    io = ConverterConfig(
        adc_bits=device.refresh_adc_bits,
        out_bound=device.refresh_out_bound,
        out_noise=device.refresh_out_noise,
    )
    codes = device.unit.w_max / io.out_bound * io.adc_half
    pulses = PulseConfig(desired_bl=device.refresh_bl)
    # The differences are codes: one code in weight units takes the place of an error's LSB.
    step = io.out_bound / io.adc_half
    unit = config.replace(pulses=pulses)
    scale = step * (1 << config.formats.d_frac)
    return RefreshRegisters(
        every=device.refresh_every * (config.batch if device.units_in_mbatch else 1),
        half=io.adc_half,
        converter=converter_registers(io, lsb * io.dac_half),
        upper=int(device.refresh_upper_thres * codes),
        lower=int(device.refresh_lower_thres * codes),
        pulses=pulses,
        rate=pulse_registers(unit, device.unit.granularity, scale),
    )
