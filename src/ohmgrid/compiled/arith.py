"""Integer arithmetic of single numbers: `ohmgrid.model.base.arith` for kernels.

Rounding and saturation are the golden model's own functions, compiled; division and root are
written anew, in floats, of which the processor takes many at a time, and take the golden ones'
places in the laws that kernels call.
"""

from math import sqrt

import numpy as np
from numba.extending import overload

from ohmgrid.compiled.jit import INNER, bit_length, golden, inner, quotient
from ohmgrid.model.base import arith

__all__ = [
    "at_edge",
    "divide_floor",
    "divide_round",
    "saturate",
    "shift_half_up",
    "shift_round",
    "square_root",
]

at_edge = golden(arith.at_edge)
saturate = golden(arith.saturate)
shift_round = golden(arith.shift_round)
shift_half_up = golden(arith.shift_half_up)


@overload(arith.choose, jit_options=INNER)
def _choose(condition, yes, no):
    def chosen(condition, yes, no):
        return yes if condition else no

    return chosen


@overload(arith.bit_length, jit_options=INNER)
def _bit_length(value):
    def length(value):
        return bit_length(np.int64(value))

    return length


@inner
def divide_floor(numerator, denominator):
    """Return ``floor(numerator / denominator)``; ``0 <= numerator``, ``0 < denominator`` < 2**52.

    The float quotient is off by less than ``numerator / denominator * 2**-53 < 1 / denominator``,
    which is the least distance of a quotient that is no integer from the next one: its floor is
    exact, and the processor divides many floats at a time.
    """
    return quotient(np.int64(numerator), np.int64(denominator))


@inner
def divide_round(numerator, denominator):
    """Return ``numerator / denominator`` rounded to nearest, ties to even; limits as above."""
    floor = divide_floor(numerator, denominator)
    twice = 2 * (numerator - floor * denominator)
    return floor + ((twice > denominator) | ((twice == denominator) & ((floor & 1) == 1)))


@overload(arith.divide_round, jit_options=INNER)
def _divide_round(numerator, denominator):
    def divided(numerator, denominator):
        return divide_round(numerator, denominator)

    return divided


@overload(arith.divide_saturate, jit_options=INNER)
def _divide_saturate(numerator, denominator, bits):
    def divided(numerator, denominator, bits):
        top = (1 << bits) - 1
        quotient = min(divide_floor(numerator, max(denominator, 1)), top)
        return top if denominator == 0 else quotient

    return divided


@inner
def square_root(value):
    """Return ``floor(sqrt(value))`` for ``0 <= value < 2**52``, where the float root's is exact."""
    return np.int64(sqrt(np.float64(value)))


@overload(arith.square_root, jit_options=INNER)
def _square_root(value):
    def root(value):
        return square_root(value)

    return root
