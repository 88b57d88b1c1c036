"""From a configuration to the integers that model and gateware both load: one source of truth.

All rounding of real parameters happens here, once, before any bit of a run is computed.
Standard library only.
"""

import math
from dataclasses import dataclass

from ohmgrid.checks import ConfigError
from ohmgrid.config import SLOTS, Config, ConverterConfig
from ohmgrid.devices import StepDevice
from ohmgrid.streams import GAUSS_SIGMA

__all__ = [
    "ConverterRegisters",
    "DeviceRegisters",
    "PulseRegisters",
    "converter_registers",
    "device_registers",
    "full_scale",
    "pulse_registers",
]

REL_FRAC = 10
"""Fraction bits of relative quantities in the device: 1024 means 1.0."""
SPREAD_SHIFT = 4
"""A relative spread register times a Gaussian is shifted right by this."""
BOUND_SHIFT = 2
"""A bound spread register times a Gaussian is shifted right by this."""
C2C_FRAC = 9
"""Fraction bits of the cycle-to-cycle noise table."""
STEP_FRAC = 12
"""Fraction bits, below one weight LSB, to which a step is computed before it is rounded."""
DW_BITS = 17
"""Width of the step register (unsigned)."""
ADC_FRAC = 16
"""Fraction bits of an output before the ADC rounds it."""
ADC_MANTISSA = 18
"""Width of the ADC's scale register (unsigned, normalised)."""
FACTOR_BITS = 22
"""Width of the factor that makes a magnitude a firing probability."""
SERIAL_C2C = 0.33
"""Above this cycle-to-cycle noise, pulses are applied slot by slot: clipping at each matters."""


def full_scale(device: StepDevice) -> float:
    """Weight, in weight units, at which the register saturates: a power of two.

    The smallest that holds the bounds of all but one in a thousand devices (3.3 sigma).
    """
    reach = max(
        device.w_max * (1 + 3.3 * device.w_max_dtod),
        -device.w_min * (1 + 3.3 * device.w_min_dtod),
    )
    return 2.0 ** math.ceil(math.log2(reach))


@dataclass(frozen=True)
class DeviceRegisters:
    """Integer parameters of a step device (model/device.py has the arithmetic)."""

    rel_up: int
    """Mean relative up step, `REL_FRAC` fraction bits."""
    rel_down: int
    """Mean relative down step."""
    k_step: int
    """Spread of the step (d2d)."""
    k_updown: int
    """Spread of the up/down balance."""
    b_max: int
    """Mean upper bound, weight LSB."""
    b_min: int
    """Mean lower bound, weight LSB."""
    k_max: int
    """Spread of the upper bound."""
    k_min: int
    """Spread of the lower bound."""
    gamma_up: int
    """Mean slope of the up curve, `REL_FRAC` fraction bits."""
    gamma_down: int
    """Mean slope of the down curve."""
    k_gamma_up: int
    """Spread of the up slope."""
    k_gamma_down: int
    """Spread of the down slope."""
    own_bounds: bool
    """Slopes refer to the cell's own bounds instead of `b_max` and `b_min`."""
    multiplicative: bool
    """Cycle-to-cycle noise scales with the curve."""
    c2c: tuple[int, ...]
    """Noise of n coincident pulses, n = 0..31: ``c sqrt(n)``, `C2C_FRAC` fraction bits."""
    dw: int
    """Step at w = 0, in ``2**-(2 + dw_shift)`` weight LSB."""
    dw_shift: int
    """0, 4, 8 or 12: brings a step to `STEP_FRAC` fraction bits."""
    serial: bool
    """Pulses act slot by slot instead of all at once."""
    lsb: float
    """One weight LSB in weight units (not loaded; for scaling only)."""

    @property
    def granularity(self) -> float:
        """The step that the register really holds, in weight units."""
        return self.dw * self.lsb / (1 << (2 + self.dw_shift))


def device_registers(device: StepDevice, weight_bits: int) -> DeviceRegisters:
    """Round a device's parameters to the registers that every engine loads.

    Parameters
    ----------
    device : StepDevice
    weight_bits : int
        Width of the conductance register.
    """
    one = 1 << REL_FRAC
    spread = one * (1 << SPREAD_SHIFT) / GAUSS_SIGMA
    scale = full_scale(device)
    lsb = scale / (1 << (weight_bits - 1))
    top = (1 << (weight_bits - 1)) - 1

    def bound(value: float) -> int:
        return max(-top, min(top, round(value / lsb)))

    def bound_spread(value: float) -> int:
        return round(abs(value) / lsb * (1 << BOUND_SHIFT) / GAUSS_SIGMA)

    if device.dw_min * 4 >= (1 << DW_BITS) * lsb:
        raise ConfigError(
            f"dw_min: expected less than {(1 << DW_BITS) / 4 * lsb:g} for bounds of "
            f"{device.w_min:g}..{device.w_max:g}, got {device.dw_min:g}"
        )
    dw_shift = 12
    while round(device.dw_min / lsb * (1 << (2 + dw_shift))) >= 1 << DW_BITS:
        dw_shift -= 4
    gamma_up, gamma_up_dtod, gamma_down, gamma_down_dtod = device.gammas
    c2c = device.dw_min_std
    return DeviceRegisters(
        rel_up=round(one * (1 + min(device.up_down, 0))),
        rel_down=round(one * (1 - max(device.up_down, 0))),
        k_step=round(device.dw_min_dtod * spread),
        k_updown=round(device.up_down_dtod * spread),
        b_max=bound(device.w_max),
        b_min=bound(device.w_min),
        k_max=bound_spread(device.w_max * device.w_max_dtod),
        k_min=bound_spread(device.w_min * device.w_min_dtod),
        gamma_up=round(gamma_up * one),
        gamma_down=round(gamma_down * one),
        k_gamma_up=round(gamma_up_dtod * spread),
        k_gamma_down=round(gamma_down_dtod * spread),
        own_bounds=device.own_bounds,
        multiplicative=device.multiplicative,
        c2c=tuple(
            min((1 << 12) - 1, round(c2c * math.sqrt(n) * (1 << C2C_FRAC)))
            for n in range(SLOTS + 1)
        ),
        dw=round(device.dw_min / lsb * (1 << (2 + dw_shift))),
        dw_shift=dw_shift,
        serial=c2c > SERIAL_C2C,
        lsb=lsb,
    )


@dataclass(frozen=True)
class ConverterRegisters:
    """Integer parameters of one direction's converters."""

    scale: int
    """ADC codes for one accumulator LSB: mantissa, `ADC_MANTISSA` bits."""
    shift: int
    """Right shift that leaves `ADC_FRAC` fraction bits after the product with `scale`."""
    noise: int
    """Output noise for one Gaussian LSB, in ADC codes with `ADC_FRAC` fraction bits."""


def converter_registers(io: ConverterConfig, lsb: float) -> ConverterRegisters:
    """Round one direction's scales; ``lsb`` is the weight LSB in weight units."""
    codes = lsb * io.adc_half / (io.dac_half * io.out_bound)
    exponent = ADC_MANTISSA - math.frexp(codes)[1]
    scale = round(codes * 2.0**exponent)
    if scale == 1 << ADC_MANTISSA:
        scale, exponent = scale >> 1, exponent - 1
    if not 0 <= exponent - ADC_FRAC <= 63:
        raise ConfigError(
            f"out_bound: expected an ADC step of 2**-{63 + ADC_FRAC - ADC_MANTISSA} to "
            f"2**{ADC_MANTISSA - ADC_FRAC} accumulator steps, got {io.out_bound:g} "
            f"({io.adc_bits} bits)"
        )
    noise = round(io.out_noise / io.out_bound * io.adc_half / GAUSS_SIGMA * (1 << ADC_FRAC))
    return ConverterRegisters(scale=scale, shift=exponent - ADC_FRAC, noise=noise)


@dataclass(frozen=True)
class PulseRegisters:
    """Integer parameters of an update, for one learning rate."""

    rate: int
    """Mantissa (18 bits) of the pulses for one unit of ``xm * dm``."""
    rate_shift: int
    """Right shift that leaves 16 fraction bits after ``xm * dm * rate``."""
    bl: int
    """Slots without bit-length management, and the most with it."""
    factor: int
    """Without update management: probability for one unit, ``FACTOR_BITS`` bits, 16 fraction."""


def pulse_registers(config: Config, granularity: float, lr: float) -> PulseRegisters:
    """Round the scales of an update with learning rate ``lr`` (> 0)."""
    formats, pulses = config.formats, config.pulses
    pulses_per_unit = lr / granularity
    k16 = pulses_per_unit * 2.0 ** (16 - formats.x_frac - formats.d_frac)
    exponent = 18 - math.frexp(k16)[1]
    rate = round(k16 * 2.0**exponent)
    if rate == 1 << 18:
        rate, exponent = rate >> 1, exponent - 1
    if exponent < 0 or exponent > 50:
        raise ValueError(
            f"lr: expected a learning rate of 2**-24..2**10 steps ({granularity:g}), got {lr:g}"
        )
    bl, factor = pulses.desired_bl, math.sqrt(pulses_per_unit / pulses.desired_bl)
    if not pulses.managed and not pulses.fixed_bl and pulses_per_unit > pulses.desired_bl:
        bl, factor = min(SLOTS, math.ceil(pulses_per_unit)), 1.0
    return PulseRegisters(
        rate=rate,
        rate_shift=exponent,
        bl=bl,
        factor=min((1 << FACTOR_BITS) - 1, round(factor * 65536)),
    )
