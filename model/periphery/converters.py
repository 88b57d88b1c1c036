"""DAC, ADC and the two managements of a matrix-vector pass (golden model).

Steps 1 to 3 and 8 to 10 of an analog pass in docs/physics.md. Integers only: an activation is
an edge integer, its scaled voltage a DAC code, an output an ADC code.

The DAC is exact: a true division, ties to even. The ADC, without noise, rounds a value v instead of
the exact real code r. The 18-bit mantissa of its scale, at least 2**17, is off by at most 1/2, and
what is below 2**-16 is cut off::

    r - |r| 2**-18 - 2**-16 < v <= r + |r| 2**-18

so that a code differs from ``rint(r)`` only where r is within ``|r| 2**-18 + 2**-16`` of a tie, and
then by one. That is at most 0.008 codes from a tie for a 12-bit ADC, 0.001 for one of 9 bits.

`dac`, `adc` and `noisy_adc` are written for single numbers as well.
"""

import numpy as np

from ohmgrid.model.base.arith import choose, divide_round, shift_round
from ohmgrid.periphery import ConverterConfig
from ohmgrid.registers.edge import ADC_FRAC, ConverterRegisters

__all__ = ["adc", "dac", "input_scale", "noisy_adc"]


def input_scale(values: np.ndarray, io: ConverterConfig, frac: int) -> int:
    """Return alpha, the divisor of noise management, in edge LSB.

    Parameters
    ----------
    values : int64, shape (lines,)
        Activations or errors at the tile's edge.
    io : ConverterConfig
    frac : int
        Fraction bits of the edge format; 1.0 is the scale when nothing is managed.
    """
    if io.noise_management == "none":
        return 1 << frac
    return int(np.abs(values).max())


def dac(values: np.ndarray, alpha: int, halvings: int, half: int) -> np.ndarray:
    """Return DAC codes ``rint(half * values / (alpha * 2**halvings))``, clipped to ``+-half``.

    Parameters
    ----------
    values : int64, shape (lines,)
    alpha : int
        Divisor of noise management, > 0.
    halvings : int
        How often bound management has halved the input.
    half : int
        Largest DAC code.
    """
    exact = divide_round(np.abs(values) * half, np.int64(alpha << halvings))
    magnitude = np.minimum(exact, half)
    return choose(values < 0, -magnitude, magnitude)


def adc(sums: np.ndarray, gauss: np.ndarray, registers: ConverterRegisters) -> np.ndarray:
    """Return the unclipped ADC codes ``rint(scale * sums + noise * gauss)``, ties to even.

    Parameters
    ----------
    sums : int64, shape (lines,)
        Exact sums of conductance times DAC code.
    gauss : int64, shape (lines,)
        Gaussian samples, 64 LSB a standard deviation.
    registers : ConverterRegisters
    """
    scaled = (sums * registers.scale) >> registers.shift
    return shift_round(scaled + gauss * registers.noise, ADC_FRAC)


def noisy_adc(
    values: np.ndarray, gauss: np.ndarray, noise: np.ndarray, dither: np.ndarray | None
) -> np.ndarray:
    """Return the unclipped ADC codes of scaled values, each line with a noise of its own.

    Parameters
    ----------
    values : int64, shape (lines,)
        In ADC codes, `ADC_FRAC` fraction bits.
    gauss : int64, shape (lines,)
        Gaussian samples, 64 LSB a standard deviation.
    noise : int64, shape (lines,)
        Noise for one Gaussian LSB.
    dither : int64, shape (lines,), or None
        Uniform numbers of `ADC_FRAC` bits for rounding at random; None rounds to nearest.
    """
    noisy = values + gauss * noise
    return shift_round(noisy, ADC_FRAC) if dither is None else (noisy + dither) >> ADC_FRAC
