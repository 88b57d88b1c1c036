"""Integer arithmetic with every rounding named: what the gateware's `arith` does, on arrays.

All functions take and return NumPy ``int64`` values of any shape. Those that are written for single
numbers as well are the compiled engine's too (`ohmgrid.compiled.arith`).
"""

import numpy as np

__all__ = [
    "at_edge",
    "bit_length",
    "choose",
    "divide_round",
    "divide_saturate",
    "saturate",
    "shift_half_up",
    "shift_round",
    "square_root",
]


def choose(condition: np.ndarray | bool, yes: np.ndarray | int, no: np.ndarray | int) -> np.ndarray:
    """Return one of two values: `numpy.where`, which kernels have for single numbers."""
    return np.where(condition, yes, no)


def bit_length(value: np.ndarray) -> np.ndarray:
    """Return how many bits a number takes, 0..2**53 - 1; 0 takes none."""
    return np.frexp(value.astype(np.float64))[1].astype(np.int64)


def at_edge(value: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a value clipped to an edge, ``+-top``, and whether it was."""
    clipped = np.minimum(np.maximum(value, -top), top)
    return clipped, clipped != value


def saturate(value: np.ndarray, bits: int) -> np.ndarray:
    """Clip to a signed ``bits``-wide range, symmetric: ``+-(2**(bits-1) - 1)``."""
    top = (1 << (bits - 1)) - 1
    return np.minimum(np.maximum(value, -top), top)


def shift_round(value: np.ndarray, shift: int) -> np.ndarray:
    """Return ``value / 2**shift`` rounded to nearest, ties to even (``shift`` >= 1)."""
    # Half, or half less one LSB where the floor is even: a tie then stays below the next integer.
    return (value + (1 << (shift - 1)) - 1 + ((value >> shift) & 1)) >> shift


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
