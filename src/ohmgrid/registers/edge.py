"""From a configuration to the integers that model and gateware both load: one source of truth.

All rounding of real parameters happens here, once, before any bit of a run is computed.
Standard library only.
"""

import math
from dataclasses import dataclass

from ohmgrid.config import Config
from ohmgrid.doors.checks import ConfigError
from ohmgrid.periphery import ConverterConfig
from ohmgrid.registers.noise import GAUSS_SIGMA
from ohmgrid.registers.scales import normalised

__all__ = [
    "ConverterRegisters",
    "PulseRegisters",
    "converter_registers",
    "pulse_registers",
]

ADC_FRAC = 16
"""Fraction bits of an output before the ADC rounds it."""
ADC_MANTISSA = 18
"""Width of the ADC's scale register (unsigned, normalised)."""
BL_BITS = 7
"""Width of a bit length, 0..127."""
RATE_BITS = 18
"""Width of the mantissa of a rate."""
FACTOR_BITS = 22
"""Width of the factor that makes a magnitude a firing probability."""


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
    scale, exponent = normalised(codes, ADC_MANTISSA)
    if not 0 <= exponent - ADC_FRAC <= 63:
        raise ConfigError(
            "out_bound",
            f"expected an ADC step of 2**-{63 + ADC_FRAC - ADC_MANTISSA} to "
            f"2**{ADC_MANTISSA - ADC_FRAC} accumulator steps, got {io.out_bound:g} "
            f"({io.adc_bits} bits)",
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
    """Slots without managements, 1..127."""
    factor: int
    """Without update management: probability for one unit, ``FACTOR_BITS`` bits, 16 fraction."""


def pulse_registers(config: Config, granularity: float, lr: float) -> PulseRegisters:
    """Round the scales of an update with learning rate ``lr`` (> 0)."""
    formats, pulses = config.formats, config.pulses
    pulses_per_unit = lr / granularity
    k16 = pulses_per_unit * math.ldexp(1.0, 16 - formats.x_frac - formats.d_frac)
    rate, exponent = normalised(k16, RATE_BITS)
    if rate == 0 or exponent < 0 or exponent > 50:
        raise ConfigError(
            "lr", f"expected a learning rate of 2**-24..2**10 steps ({granularity:g}), got {lr:g}"
        )
    bl, factor = pulses.desired_bl, math.sqrt(pulses_per_unit / pulses.desired_bl)
    if not pulses.managed and not pulses.fixed_bl and pulses_per_unit > pulses.desired_bl:
        bl, factor = min(pulses.most_slots, math.ceil(pulses_per_unit)), 1.0
    return PulseRegisters(
        rate=rate,
        rate_shift=exponent,
        bl=bl,
        factor=min((1 << FACTOR_BITS) - 1, round(factor * 65536)),
    )
