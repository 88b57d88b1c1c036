"""What is done to numbers between one tile and the next: activation, loss, errors (golden model).

Formats and tables: `ohmgrid.registers.layers`; equations: `ohmgrid.model.core.sequencer`. Every
function takes arrays or single numbers, and returns what it clipped beside its result where it
clips.
"""

import numpy as np

from ohmgrid.model.base.arith import at_edge, choose, divide_round, saturate, shift_round
from ohmgrid.registers.layers import (
    ACTIVATIONS,
    EXP_FRAC,
    FAR_BITS,
    FINE_BITS,
    GUARD,
    GUARDED_BITS,
    INDEX_SHIFT,
    LINEAR,
    LOSS_BITS,
    LOSS_FRAC,
    SLOPE_FRAC,
    TABLE_SIZE,
)

__all__ = [
    "activate",
    "error_below",
    "exponential",
    "half_squares",
    "slope_of",
    "softmax_share",
    "squared_error",
]

TANH, RELU = ACTIVATIONS.index("tanh"), ACTIVATIONS.index("relu")


def activate(
    pre: np.ndarray, kind: int, table: np.ndarray, x_frac: int, top: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return activation (``x_frac``), and whether it was clipped.

    Parameters
    ----------
    pre : int64
        Scaled result of a tile.
    kind : int
        Place in `ACTIVATIONS`, or `LINEAR`.
    table : int64, shape (TABLE_SIZE,)
        Values of the activation; those without a table take none.
    x_frac, top : int
    """
    if kind >= RELU:
        linear = kind == LINEAR
        return at_edge(choose(linear, pre, np.maximum(pre, 0)), top)
    index = np.minimum(np.maximum((pre >> INDEX_SHIFT) + TABLE_SIZE // 2, 0), TABLE_SIZE - 1)
    return table[index], index < 0


def slope_of(value: np.ndarray, kind: int, x_frac: int) -> np.ndarray:
    """Return the derivative (`SLOPE_FRAC`) of an activation where it has a value.

    Parameters
    ----------
    value : int64
        As from `activate`.
    kind, x_frac : int
    """
    if kind >= RELU:
        return choose((value > 0) | (kind == LINEAR), 1 << SLOPE_FRAC, 0)
    one = 1 << x_frac
    # The slope of a sigmoid is a (1 - a), that of a tanh 1 - a^2 = (1 - a) (1 + a).
    product = (one - value) * choose(kind == TANH, one + value, value)
    return shift_round(product, 2 * x_frac - SLOPE_FRAC)


def exponential(far: np.ndarray, coarse: np.ndarray, fine: np.ndarray) -> np.ndarray:
    """Return ``exp(-far)`` with `EXP_FRAC` fraction bits.

    Parameters
    ----------
    far : int64
        Scaled distance from the largest result, >= 0.
    coarse, fine : int64, as from `exp_tables`
    """
    near = np.minimum(far, (1 << FAR_BITS) - 1)
    index = np.minimum((near + (1 << (INDEX_SHIFT - 1))) >> INDEX_SHIFT, TABLE_SIZE - 1)
    product = coarse[index >> FINE_BITS] * fine[index & ((1 << FINE_BITS) - 1)]
    return shift_round(product, EXP_FRAC)


def softmax_share(share: np.ndarray, total: np.int64, d_frac: int) -> np.ndarray:
    """Return an exponential's part of the sum of all (``d_frac``)."""
    return divide_round(share << d_frac, total)


def half_squares(total: np.ndarray, x_frac: int) -> np.ndarray:
    """Return half a sum of squares as an answer's word (`LOSS_FRAC`)."""
    return np.minimum(shift_round(total, 2 * x_frac + 1 - LOSS_FRAC), (1 << LOSS_BITS) - 1)


def squared_error(
    miss: np.ndarray, slope: np.ndarray, x_frac: int, d_frac: int, top: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the error of an output that misses its target (``d_frac``), and whether it clips."""
    return at_edge(shift_round(miss * slope, x_frac + SLOPE_FRAC - d_frac), top)


def error_below(exact: np.ndarray, slope: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the error at an output of the layer below (``d_frac``), and whether it was clipped.

    Parameters
    ----------
    exact : int64
        Scaled result of the backward pass, ``d_frac + GUARD`` fraction bits.
    slope : int64
        Derivative there.
    top : int
    """
    guarded = saturate(exact, GUARDED_BITS)
    error, over = at_edge(shift_round(guarded * slope, SLOPE_FRAC + GUARD), top)
    return error, over | ((guarded != exact) & (slope != 0))
