"""Scales: a positive real factor as a mantissa of some bits and a right shift.

Every product with a factor in gateware is ``value * mantissa >> shift``. Standard library only.
"""

import math

__all__ = ["normalised"]


def normalised(factor: float, bits: int, shift_max: int | None = None) -> tuple[int, int]:
    """Return mantissa and shift of a factor, ``mantissa / 2**shift`` rounded to nearest.

    Parameters
    ----------
    factor : float
        At least 0.
    bits : int
        Width of the mantissa; its top bit is set unless the factor is 0 or ``shift_max`` is met.
    shift_max : int, optional
        Largest shift.

    Returns
    -------
    (int, int)
        The shift may be below 0, where the factor is too large for these bits.
    """
    if not 0 < factor < math.inf:
        return 0, 0
    shift = bits - math.frexp(factor)[1]
    if shift_max is not None:
        shift = min(shift, shift_max)
    mantissa = round(math.ldexp(factor, shift))
    if mantissa == 1 << bits:
        mantissa, shift = mantissa >> 1, shift - 1
    return mantissa, shift
