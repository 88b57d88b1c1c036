"""What a transfer does to one cell, and to the signs and averages of an array (golden model).

docs/transfer.md has the equations. Integers; all for arrays and for single numbers. With r what is
read of a cell, H its buffer in thresholds (`BUFFER_FRAC` fraction bits), c = -1 where the signs of
its column and row differ, else 1::

    H  <- H + c (r - m) scale           m: 0, or the mean before the last flip (`DynamicTransfer`)
    n  = H truncated to -1, 0 or 1
    H  <- momentum H                    where n is not 0 and the buffer forgets
    H  <- H - (1 - momentum) n          where it does not
    mu <- mu + (r - mu) weight
"""

import numpy as np

from ohmgrid.model.base.arith import at_edge, bit_length, choose, shift_round
from ohmgrid.registers.transfer import (
    AVERAGE_BITS,
    AVERAGE_FRAC,
    BUFFER_FRAC,
    BUFFER_TOP,
    PART_BITS,
    RATE_FRAC,
)

__all__ = ["added", "averaged", "mean_after", "rate_of", "step_of", "what_is_left"]

ONE = 1 << BUFFER_FRAC
PART_ONE = 1 << PART_BITS
RATE_TOP = (1 << 18) - 1
"""Largest mantissa of a rate."""
MOST_SHIFT = 63


def added(
    buffer: np.ndarray,
    read: np.ndarray,
    past: np.ndarray,
    turned: np.ndarray,
    mantissa: int,
    shift: int,
) -> np.ndarray:
    """Return a buffer with what was read; it saturates at `BUFFER_TOP`.

    Parameters
    ----------
    buffer, read, past : int64
    turned : bool
        Whether the signs of column and row differ.
    mantissa, shift : int
        From `ohmgrid.registers.transfer.transfer_scale`.
    """
    value = shift_round((read - past) * mantissa, shift)
    return at_edge(buffer + choose(turned, -value, value), BUFFER_TOP)[0]


def step_of(buffer: np.ndarray) -> np.ndarray:
    """Return the pulses that a buffer asks for: -1, 0 or 1."""
    return choose(buffer >= ONE, 1, choose(buffer <= -ONE, -1, 0))


def what_is_left(
    buffer: np.ndarray, step: np.ndarray, momentum: int, forget: int, cap: int
) -> np.ndarray:
    """Return a buffer after a step of -1, 0 or 1."""
    part = shift_round(buffer * momentum, PART_BITS)
    less = buffer - step * ((PART_ONE - momentum) << (BUFFER_FRAC - PART_BITS))
    after = part if forget else at_edge(less, cap)[0]
    return choose(step == 0, buffer, after)


def mean_after(mean: np.ndarray, read: np.ndarray, weight: int) -> np.ndarray:
    """Return the mean of what is read of a cell after another read."""
    return mean + shift_round((read - mean) * weight, PART_BITS)


def averaged(average: int, largest: int, weight: int) -> int:
    """Return the average of largest magnitudes after another one.

    The first that is not 0 is the average; zeros do not count.

    Parameters
    ----------
    average : int
        `AVERAGE_FRAC` fraction bits.
    largest : int
        Edge LSB.
    weight : int
        `AVERAGE_BITS` fraction bits.
    """
    value = largest << AVERAGE_FRAC
    if average == 0 or largest == 0:
        return max(average, value)
    return average + int(shift_round(np.int64((value - average) * weight), AVERAGE_BITS))  # type: ignore[arg-type]


def rate_of(slots: int, x_average: int, d_average: int) -> tuple[int, int]:
    """Return ``slots / (x_average d_average)`` as rate and shift of `PulseRegisters`.

    Parameters
    ----------
    slots : int
        From `ohmgrid.registers.transfer.scaled_rate`, > 0.
    x_average, d_average : int
        `AVERAGE_FRAC` fraction bits; 0 where nothing was updated yet, and nothing is now.
    """
    cut = AVERAGE_FRAC - RATE_FRAC
    product = (x_average >> cut) * (d_average >> cut)
    if product == 0:
        return 0, 0
    shift = 18 + int(bit_length(np.int64(product))) - int(bit_length(np.int64(slots)))  # type: ignore[arg-type]
    if shift < 0:
        return RATE_TOP, 0
    rate = (slots << shift) // product
    # Between 2**17 and 2**19: halved where it has 19 bits.
    if rate > RATE_TOP:
        rate, shift = rate >> 1, shift - 1
    return (RATE_TOP, 0) if shift < 0 else (rate, min(shift, MOST_SHIFT))
