"""Integer arithmetic with every rounding named: what the gateware's `arith` does, on arrays.

All functions take and return NumPy ``int64`` values of any shape.
"""

import numpy as np

__all__ = [
    "divide_round",
    "divide_saturate",
    "saturate",
    "shift_half_up",
    "shift_round",
    "square_root",
]


def saturate(value: np.ndarray, bits: int) -> np.ndarray:
    """Clip to a signed ``bits``-wide range, symmetric: ``+-(2**(bits-1) - 1)``."""
    top = (1 << (bits - 1)) - 1
    return np.clip(value, -top, top)


def shift_round(value: np.ndarray, shift: int) -> np.ndarray:
    """Return ``value / 2**shift`` rounded to nearest, ties to even (``shift`` >= 1)."""
    low = value & ((1 << shift) - 1)
    floor = value >> shift
    half = 1 << (shift - 1)
    return floor + ((low > half) | ((low == half) & ((floor & 1) == 1)))


def shift_half_up(value: np.ndarray, shift: int) -> np.ndarray:
    """Return ``floor(value / 2**shift + 1/2)``: the cheap unbiased-but-for-ties rounding."""
    return (value + (1 << (shift - 1))) >> shift


def divide_round(numerator: np.ndarray, denominator: np.ndarray | np.integer) -> np.ndarray:
    """Return ``numerator / denominator`` rounded to nearest, ties to even (both >= 0).

    The denominator must be > 0.
    """
    floor, rest = np.divmod(numerator, denominator)
    twice = 2 * rest
    return floor + ((twice > denominator) | ((twice == denominator) & ((floor & 1) == 1)))


def divide_saturate(
    numerator: np.ndarray, denominator: np.ndarray | np.integer, bits: int
) -> np.ndarray:
    """Return ``floor(numerator / denominator)``, at most ``2**bits - 1`` (both >= 0).

    Dividing by zero gives the largest value, as a restoring divider does.
    """
    top = (1 << bits) - 1
    quotient = numerator // np.maximum(denominator, 1)
    return np.where(denominator == 0, top, np.minimum(quotient, top))


def square_root(value: int) -> int:
    """Return ``floor(sqrt(value))`` of a non-negative Python integer.

    Newton's iteration on integers, from above, so that it stops at the floor.
    """
    if value < 2:
        return value
    guess = 1 << ((value.bit_length() + 1) // 2)
    while True:
        better = (guess + value // guess) // 2
        if better >= guess:
            return guess
        guess = better
