"""Registers of the read-side non-idealities of one direction (docs/readout.md has the equations).

All rounding of their real parameters happens here. Standard library only.
"""

import math
from dataclasses import dataclass
from enum import IntEnum

from ohmgrid.doors.checks import ConfigError
from ohmgrid.periphery import W_NOISE_TYPES, ConverterConfig
from ohmgrid.registers.noise import GAUSS_SIGMA
from ohmgrid.registers.scales import normalised

__all__ = ["Part", "ReadRegisters", "parts", "read_registers"]

VOLTAGE_BITS = 16
"""Width of a voltage, and of anything else that the lanes multiply with (signed)."""
VOLTAGE_FRAC = 7
"""Fraction bits of a voltage below one DAC code; as many are dropped from a finished sum."""
DITHER_BITS = 8
"""Fraction bits of a DAC code before it is rounded at random."""
INP_NOISE_FRAC = 12
"""Fraction bits, below one voltage LSB, of the noise for one Gaussian LSB."""
KEEP_FRAC = 15
"""Fraction bits of the factors of negative voltages and outputs."""
PHI_FRAC = 48
"""Fraction bits of the position weight while it is accumulated from line to line."""
PHI_BITS = 16
"""Its upper bits, which are multiplied."""
LOAD_FRAC = 16
"""Fraction bits of the load a of a line and of the polynomial c(a)."""
LOAD_BITS = LOAD_FRAC + 2
"""Width of the load: it saturates just below 4, where the polynomial has lost its meaning."""
IR_FRAC = 18
"""Fraction bits of a twentieth of ``ir_drop``."""
REACH_BITS = 30
"""Width to which the magnitude of a line's value saturates before the ADC."""
ROOT_FRAC = 5
"""Fraction bits of a root below the unit of the number under it."""
SPREAD_FRAC = 8
"""Fraction bits of the spread of the output noise for one Gaussian LSB."""
NOISE_BITS = 21
"""Width of the register of the output noise: noise as large as the bound, 2047 codes."""
MANTISSA = 18
"""Width of a scale's mantissa."""
SHIFT_MAX = 63
KEEP_BITS = KEEP_FRAC + 2
"""Width of those factors: 0 to 2."""


class Part(IntEnum):
    """What a sweep sums over the input lines j of an output line i, in the order of sweeps."""

    LOAD = 0
    """``|w_ij| |v_j|``: current that the wires carry."""
    POSITION = 1
    """``w_ij v_j (1 - (1 - j/n)^2)``: what a cell far from the driver loses."""
    POWER = 2
    """``|w_ij| v_j^2`` (or, without a sweep, ``v_j^2``): variance of the read noise."""
    VALUE = 3
    """``w_ij v_j``: the product itself."""


@dataclass(frozen=True)
class ReadRegisters:
    """Integer parameters of one direction's read-side non-idealities."""

    inp_noise: int
    """Input noise for one Gaussian LSB, in voltage LSB, `INP_NOISE_FRAC` fraction bits."""
    inp_keep: int
    """Factor of a negative voltage, `KEEP_FRAC` fraction bits."""
    inp_dither: int
    """1: the DAC rounds at random."""
    phi_first: int
    """Position weight of line 1, `PHI_FRAC` fraction bits."""
    phi_second: int
    """By how much each line adds less than the one before."""
    square_shift: int
    """Right shift of a squared voltage."""
    load_scale: int
    """Mantissa of a load, `LOAD_FRAC` fraction bits, for one LSB of its sum."""
    load_shift: int
    ir: int
    """A twentieth of ``ir_drop``, `IR_FRAC` fraction bits; 0: no sweeps for it."""
    power_shift: int
    """Right shift of a sum of powers, after ``MANTISSA - 1`` to the left."""
    w_kind: int
    """Index of ``w_noise_type`` in `ohmgrid.config.W_NOISE_TYPES`; 0: no read noise."""
    w_scale: int
    """Mantissa of the read noise for one LSB of a root and one Gaussian LSB."""
    w_shift: int
    out_keep: int
    """Factor of a negative output, `KEEP_FRAC` fraction bits."""
    out_spread: int
    """Output noise's spread for one Gaussian LSB, in its LSB, `SPREAD_FRAC` fraction bits."""
    out_dither: int
    """1: the ADC rounds at random."""


def parts(registers: ReadRegisters) -> tuple[Part, ...]:
    """Return the sweeps of a pass, in their order."""
    drop = (Part.LOAD, Part.POSITION) if registers.ir else ()
    power = (Part.POWER,) if W_NOISE_TYPES[registers.w_kind] == "pcm-read" else ()
    return (*drop, *power, Part.VALUE)


def _scale(name: str, value: float) -> tuple[int, int]:
    """Return mantissa and right shift of ``value``; a tiny one has a mantissa of fewer bits."""
    mantissa, shift = normalised(value, MANTISSA, SHIFT_MAX)
    if shift < 0:
        raise ConfigError(
            name,
            f"expected a value whose effect is not {math.ldexp(1.0, -shift):g} times "
            "what an output can hold",
        )
    return mantissa, shift


def read_registers(io: ConverterConfig, lsb: float, lines: int) -> ReadRegisters:
    """Round one direction's read-side parameters.

    Parameters
    ----------
    io : ConverterConfig
    lsb : float
        Weight LSB in weight units.
    lines : int
        Input lines of the direction, 1..65536.
    """
    # A voltage of full scale, in voltage LSB, and one voltage LSB as a fraction of it.
    full = io.dac_half << VOLTAGE_FRAC
    square_shift = 2 * full.bit_length() + 2 - (VOLTAGE_BITS - 1)
    growth = (lines - 1).bit_length()
    kind = W_NOISE_TYPES.index(io.w_noise_type) if io.w_noise > 0 else 0
    # The largest sum of powers has REACH_BITS bits after the shift.
    power_shift = MANTISSA - 1 + VOLTAGE_BITS - 1 + growth - REACH_BITS
    power = math.ldexp(1.0, square_shift + power_shift - (MANTISSA - 1)) / (full * full)
    if W_NOISE_TYPES[kind] == "pcm-read":
        # Sums of weights (17 bits) times powers, VOLTAGE_FRAC bits dropped.
        power_shift += MANTISSA - 1 - VOLTAGE_FRAC
        power *= (1 << MANTISSA - 1) * lsb
    # In ADC codes with ADC_FRAC fraction bits, as ConverterRegisters.noise.
    codes = io.adc_half / io.out_bound * 65536 / GAUSS_SIGMA
    noise = io.out_noise * codes
    w_scale, w_shift = _scale("w_noise", io.w_noise * codes * math.sqrt(power) / (1 << ROOT_FRAC))
    load_scale, load_shift = _scale(
        "ir_drop_g_ratio", lines / io.ir_drop_g_ratio * lsb / io.dac_half * (1 << LOAD_FRAC)
    )
    return ReadRegisters(
        inp_noise=round(io.inp_noise * full / GAUSS_SIGMA * (1 << INP_NOISE_FRAC)),
        inp_keep=round((1 - io.inp_asymmetry) * (1 << KEEP_FRAC)),
        inp_dither=int(io.inp_sto_round),
        # Rounded towards a weight below 1.
        phi_first=min((1 << PHI_FRAC) - 1, ((2 * lines - 1) << PHI_FRAC) // (lines * lines)),
        phi_second=min((1 << PHI_FRAC) - 1, -(-(2 << PHI_FRAC) // (lines * lines))),
        square_shift=square_shift,
        load_scale=load_scale,
        load_shift=load_shift,
        ir=round(io.ir_drop / 20 * (1 << IR_FRAC)),
        power_shift=power_shift,
        w_kind=kind,
        w_scale=w_scale,
        w_shift=w_shift,
        out_keep=round((1 - io.out_asymmetry) * (1 << KEEP_FRAC)),
        out_spread=min(
            (1 << (NOISE_BITS + SPREAD_FRAC)) - 1,
            round(noise * io.out_noise_std / GAUSS_SIGMA * (1 << SPREAD_FRAC)),
        ),
        out_dither=int(io.out_sto_round),
    )
