"""What several devices of a cell make together, and which an update pulses (golden model).

docs/cells.md has the equations. Integers; for arrays and for single numbers.
"""

import numpy as np

from ohmgrid.model.base.arith import shift_round
from ohmgrid.registers.cells import ALL, FIXED, GAIN_FRAC, SEQUENTIAL

__all__ = ["EVERY", "chosen", "weight_of"]

EVERY = -1
"""In place of a device: all of them."""


def weight_of(total: np.ndarray) -> np.ndarray:
    """Return a weight in its LSB.

    Parameters
    ----------
    total : int64
        Conductances of the devices times their gains (`ohmgrid.registers.cells.cell_gains`).
    """
    return shift_round(total, GAIN_FRAC)


def chosen(policy: int, first: int, devices: int, updates: int, drawn: int) -> int:
    """Return which device an update pulses, or `EVERY`.

    Parameters
    ----------
    policy, first, devices : int
        As of `ohmgrid.registers.cells.CellRegisters`.
    updates : int
        Before this one.
    drawn : int
        16 random bits.
    """
    if policy == ALL:
        return EVERY
    if policy == FIXED:
        return first
    if policy == SEQUENTIAL:
        return (first + 1 + updates) % devices
    return drawn * devices >> 16
