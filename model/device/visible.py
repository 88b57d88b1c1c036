"""Write noise: what a read sees differs from the conductance that is stored (golden model).

The difference is a hash of the cell's address and its hidden weight, so it takes no memory, stays
the same from read to read, and is drawn anew when a pulse moves the weight.
"""

import numpy as np

from ohmgrid.model.base.arith import saturate, shift_half_up
from ohmgrid.model.base.noise import cell_words, gaussian
from ohmgrid.registers.device import VISIBLE_FRAC
from ohmgrid.registers.noise import VISIBLE_TURNS

__all__ = ["seen", "turned", "visible"]

TURNS = tuple((np.uint32(turn), np.uint32(32 - turn)) for turn in VISIBLE_TURNS)


def turned(weight: np.ndarray, weight_bits: int) -> np.uint32:
    """Return what of hidden conductances goes into the hash (uint32).

    Like `seen` for arrays and for single numbers.
    """
    hidden = np.uint32(weight & ((1 << weight_bits) - 1))
    word = hidden ^ hidden
    for left, right in TURNS:
        word = word ^ ((hidden << left) | (hidden >> right))
    # Single numbers of kernels are wider after a shift.
    return np.uint32(word)


def seen(weight: np.ndarray, gauss: np.ndarray, register: int, weight_bits: int) -> np.ndarray:
    """Return what a read sees of hidden conductances whose words' Gaussian is ``gauss``."""
    return saturate(weight + shift_half_up(gauss * register, VISIBLE_FRAC), weight_bits)


def visible(
    weight: np.ndarray,
    keys: tuple[np.ndarray, np.ndarray],
    register: int,
    weight_bits: int,
) -> np.ndarray:
    """Return what a read sees of hidden conductances: the same until the next pulse moves them.

    The word of a cell is ``P32((row key ^ turned hidden weight) + column key)``.

    Parameters
    ----------
    weight : int64
        Hidden conductances, weight LSB.
    keys : two of uint32
        Row and column key of each cell, of shapes that broadcast to the weights'.
    register : int
        `ohmgrid.registers.device.DeviceRegisters.visible`; 0 leaves the weights as they are.
    weight_bits : int
    """
    word = cell_words(keys[0] ^ turned(weight, weight_bits), keys[1])
    gauss = gaussian((word & np.uint32(0x3FF)).astype(np.int64)).astype(np.int64)
    return seen(weight, gauss, register, weight_bits)
