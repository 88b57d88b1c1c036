"""Integer arithmetic of single numbers: `ohmgrid.model.base.arith` for kernels."""

from math import sqrt

import numpy as np

from ohmgrid.compiled.jit import kernel

__all__ = [
    "divide_floor",
    "divide_round",
    "saturate",
    "shift_half_up",
    "shift_round",
    "square_root",
]


@kernel
def saturate(value, bits):
    """Clip to a signed ``bits``-wide range, symmetric."""
    top = (1 << (bits - 1)) - 1
    return min(max(value, -top), top)


@kernel
def shift_round(value, shift):
    """Return ``value / 2**shift`` rounded to nearest, ties to even (``shift`` >= 1)."""
    # Half, or half less one LSB where the floor is even: a tie then stays below the next integer.
    return (value + (1 << (shift - 1)) - 1 + ((value >> shift) & 1)) >> shift


@kernel
def shift_half_up(value, shift):
    """Return ``floor(value / 2**shift + 1/2)``."""
    return (value + (1 << (shift - 1))) >> shift


@kernel
def divide_floor(numerator, denominator):
    """Return ``floor(numerator / denominator)``; ``0 <= numerator < 2**53``, denominator > 0.

    The float quotient is off by less than ``numerator / denominator * 2**-53 < 1 / denominator``,
    which is the least distance of a quotient that is no integer from the next one: its floor is
    exact, and the processor divides many floats at a time.
    """
    return np.int64(np.float64(numerator) / np.float64(denominator))


@kernel
def divide_round(numerator, denominator):
    """Return ``numerator / denominator`` rounded to nearest, ties to even; limits as above."""
    floor = divide_floor(numerator, denominator)
    twice = 2 * (numerator - floor * denominator)
    return floor + ((twice > denominator) | ((twice == denominator) & ((floor & 1) == 1)))


@kernel
def square_root(value):
    """Return ``floor(sqrt(value))`` for ``0 <= value < 2**52``, where the float root's is exact."""
    return np.int64(sqrt(np.float64(value)))
