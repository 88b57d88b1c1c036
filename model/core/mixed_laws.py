"""Products of activations and errors, their sums, and what of these is written (golden model).

docs/cells.md has the equations. Integers; for arrays and for single numbers.
"""

import numpy as np

from ohmgrid.model.base.arith import at_edge, choose, divide_round, shift_round
from ohmgrid.registers.mixed import CHI_FRAC, CHI_TOP

__all__ = ["binned", "drawn_bin", "left_of", "near_bin", "summed", "whole_steps"]

DRAW_BITS = 16
"""Random bits of a rounding."""


def drawn_bin(value: np.ndarray, largest: int, half: int, drawn: np.ndarray) -> np.ndarray:
    """Return the magnitude of a value in bins, rounded at random: 0..half.

    ``floor(|value| half / largest + U)`` with ``U = (drawn + 1/2) / 2**16``.

    Parameters
    ----------
    value : int64
        Edge LSB.
    largest : int
        Largest magnitude of the vector, > 0.
    half : int
        Half the bins, > 0.
    drawn : int64
        16 random bits.
    """
    scaled = ((np.abs(value) * half) << (DRAW_BITS + 1)) + (2 * drawn + 1) * largest
    return scaled // (largest << (DRAW_BITS + 1))


def near_bin(value: np.ndarray, largest: int, half: int) -> np.ndarray:
    """Return the magnitude of a value in bins, rounded to nearest, ties to even."""
    return divide_round(np.abs(value) * half, np.int64(largest))


def binned(value: np.ndarray, bins: np.ndarray, largest: int) -> np.ndarray:
    """Return a value that was rounded to bins, in edge LSB times half the bins."""
    return choose(value < 0, -bins, bins) * largest


def summed(chi: np.ndarray, product: np.ndarray, mantissa: int, shift: int) -> np.ndarray:
    """Return a sum with one more product; it saturates at `CHI_TOP`.

    Parameters
    ----------
    chi, product : int64
    mantissa, shift : int
        From `ohmgrid.registers.mixed.product_scale`.
    """
    return at_edge(chi + shift_round(product * mantissa, shift), CHI_TOP)[0]


def whole_steps(chi: np.ndarray, top: int) -> np.ndarray:
    """Return the whole steps in a sum, towards 0, at most ``top``: what is written."""
    return at_edge(choose(chi < 0, -(-chi >> CHI_FRAC), chi >> CHI_FRAC), top)[0]


def left_of(chi: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return what is left of a sum of which so many steps were written."""
    return chi - (steps << CHI_FRAC)
