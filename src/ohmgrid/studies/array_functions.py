"""Exponential and logarithm of whole arrays, with the bits of `ohmgrid.portable`.

The same operations in the same order, each of them one that IEEE 754 fixes: NumPy's own functions
round as the machine's vector unit does.
"""

import numpy as np

from ohmgrid.portable import INVERSE_LN2, LN2_HIGH, LN2_LOW, ROOT_HALF

__all__ = ["exp", "log"]


def exp(x: np.ndarray) -> np.ndarray:
    """Return e to the power of each element (float64, any shape), for elements up to 709."""
    k = np.rint(x * INVERSE_LN2)
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    total = np.zeros_like(r)
    for n in range(14, 1, -1):
        total = (1.0 + total) * r / n
    return np.ldexp(1.0 + (r + r * total), k.astype(np.int64))


def log(x: np.ndarray) -> np.ndarray:
    """Return the natural logarithm of each element (float64 > 0, any shape)."""
    mantissa, exponent = np.frexp(x)
    small = mantissa < ROOT_HALF
    mantissa, exponent = np.where(small, 2.0 * mantissa, mantissa), exponent - small
    f = (mantissa - 1.0) / (mantissa + 1.0)
    square = f * f
    total = np.zeros_like(f)
    for n in range(21, 1, -2):
        total = (total + 1.0 / n) * square
    return exponent * LN2_HIGH + (2.0 * f + (2.0 * f * total + exponent * LN2_LOW))
