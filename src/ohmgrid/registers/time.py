"""What time does to a device, as integers: leak, diffusion, reset (see `model.device.aging`).

Leak and diffusion act after every ``every`` updates, each for all the time that has passed.
Standard library only.
"""

import math
from dataclasses import dataclass

from ohmgrid.devices.base import StepDevice
from ohmgrid.doors.checks import ConfigError
from ohmgrid.portable import expm1, floor_log2, log1p
from ohmgrid.registers.device import DEVIATES, STEP_FRAC
from ohmgrid.registers.noise import GAUSS_SIGMA

__all__ = ["AGING_BITS", "CHANGE_BITS", "LEAK_BITS", "AgingRegisters", "aging_registers"]

LEAK_BITS = 16
"""Width of a leak's mantissa (unsigned)."""
CHANGE_BITS = 24
"""Width of a change for one LSB of a deviate (unsigned): twice the range of a conductance."""
AGING_BITS = {
    "leak_shift": 6,
    "reset_noise": CHANGE_BITS,
    "symmetric": 1,
    "read_scale": 18,
    "read_shift": 6,
    "read_noise": 21,
    "read_half": 11,
}
"""Registers of the gateware and their widths: of `AgingRegisters`, whether a reset goes to the
symmetry point too, and of the ADC of a refresh (`ohmgrid.registers.edge.ConverterRegisters`), whose
shift is counted from `STEP_FRAC` fraction bits."""
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
