"""Write noise: what a read sees differs from the conductance that is stored (golden model).

The difference is a hash of the cell's address and its hidden weight, so it takes no memory, stays
the same from read to read, and is drawn anew when a pulse moves the weight.
"""

import numpy as np

from ohmgrid.model.base.arith import saturate, shift_half_up
from ohmgrid.model.base.noise import cell_words, gaussian
from ohmgrid.registers.device import VISIBLE_FRAC
from ohmgrid.registers.noise import VISIBLE_TURNS

__all__ = ["visible"]


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
    hidden = (weight & ((1 << weight_bits) - 1)).astype(np.uint32)
    turned = np.zeros_like(hidden)
    for turn in VISIBLE_TURNS:
        turned ^= (hidden << np.uint32(turn)) | (hidden >> np.uint32(32 - turn))
    word = cell_words(keys[0] ^ turned, keys[1])
    spread = shift_half_up(
        gaussian((word & np.uint32(0x3FF)).astype(np.int64)) * np.int64(register), VISIBLE_FRAC
    )
    return saturate(weight + spread, weight_bits)
