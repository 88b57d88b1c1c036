"""Floats of a caller at the ends of a core: integers at the edge, times a power of two.

A value v becomes ``sat(rint(v 2**(frac + e)))``, ties to even. The exponent e is 0 where it has to
be; else one for all values of a call, chosen by `exponent_of`, so that they neither clip nor drown
in the edge's rounding. Functions take single numbers, and kernels call them.
"""

import math

import numpy as np

__all__ = ["FAR", "NEAR", "edge_of", "exponent_of"]

NEAR = 4
"""Bits of the edge that the largest value of a call may leave unused."""
FAR = 10
"""Largest exponent: beyond it rates, which it divides, are too small."""


def exponent_of(largest: float, frac: int, top: int) -> int:
    """Return the exponent of a call.

    0 while the largest value has all but `NEAR` bits of the edge and does not clip; else that with
    which it has all bits. 0 of nothing, `FAR` at most.

    Parameters
    ----------
    largest : float
        Largest magnitude, finite.
    frac, top : int
        Fraction bits, and largest value at the edge.
    """
    scaled, exponent = math.ldexp(largest, frac), 0
    if scaled == 0 or top / (1 << NEAR) <= scaled <= top:
        return exponent
    while scaled > top:
        scaled, exponent = scaled / 2, exponent - 1
    while scaled * 2 <= top and exponent < FAR:
        scaled, exponent = scaled * 2, exponent + 1
    return exponent


def edge_of(value: np.ndarray, factor: float, top: int) -> np.ndarray:
    """Return values at the edge, as floats that are whole numbers.

    Parameters
    ----------
    value : float64
        Finite.
    factor : float
        ``2**(frac + e)``.
    top : int
    """
    return np.minimum(np.maximum(np.rint(value * factor), -top), top)
