"""All devices of one array: what the seed makes of each cell (golden model).

Words of a cell come from the two halves (lo, hi) of its line keys of `Verb.STATIC`; crossed
halves are as independent as the keys of two columns::

    word 0 = P32(row lo + column lo)    word 1 = P32(row hi + column hi)
    word 2 = P32(row lo + column hi)    write noise: keys row hi, column lo

Keys with sub 1 give what is drawn once and then stored: references and stuck weights.
"""

from typing import NamedTuple

import numpy as np

from ohmgrid.device_registers import REL_FRAC, DeviceRegisters
from ohmgrid.model.device import Static, static_properties, step_curve
from ohmgrid.model.lines import key_halves
from ohmgrid.model.noise import cell_words
from ohmgrid.model.visible import visible
from ohmgrid.streams import Purpose

__all__ = ["Population", "populate"]


class Population(NamedTuple):
    """The devices of one array."""

    static: Static
    """Each field of shape (rows, cols)."""
    stuck_weight: np.ndarray
    """Weight of a stuck device, int64, shape (rows, cols)."""
    visible_keys: tuple[np.ndarray, np.ndarray]
    """Keys of the write noise, uint32, shapes (rows, 1) and (1, cols)."""
    aging: np.ndarray
    """Ten bits each for lifetime, diffusion and reset bias: int64, shape (3, rows, cols)."""
    symmetry_point: np.ndarray
    """What was added to the reference, int64, weight LSB, shape (rows, cols)."""
    registers: DeviceRegisters
    weight_bits: int

    def hold_stuck(self, weights: np.ndarray) -> np.ndarray:
        """Return weights with those of stuck devices put in their place (int32)."""
        held = np.where(self.static.stuck, self.stuck_weight, weights)
        return held.astype(np.int32)

    def read(self, weights: np.ndarray) -> np.ndarray:
        """Return the weights that a read sees: with write noise where the device has it (int32)."""
        if not self.registers.visible:
            return weights
        seen = visible(
            weights.astype(np.int64), self.visible_keys, self.registers.visible, self.weight_bits
        )
        return seen.astype(np.int32)


def populate(
    key: int, rows: int, cols: int, registers: DeviceRegisters, weight_bits: int
) -> Population:
    """Draw the devices of an array.

    Parameters
    ----------
    key : int
        Operation key of `Verb.STATIC`, step 0.
    rows, cols : int
        Of devices: a pair takes two rows.
    registers : DeviceRegisters
    weight_bits : int
    """
    row_lo, row_hi = (half[:, None] for half in key_halves(key, Purpose.ROW, rows))
    col_lo, col_hi = (half[None, :] for half in key_halves(key, Purpose.COLUMN, cols))
    words = (
        cell_words(row_lo, col_lo),
        cell_words(row_hi, col_hi),
        cell_words(row_lo, col_hi),
    )
    stored_lo, stored_hi = (
        cell_words(row[:, None], col[None, :])
        for row, col in zip(
            key_halves(key, Purpose.ROW, rows, 1),
            key_halves(key, Purpose.COLUMN, cols, 1),
            strict=True,
        )
    )
    bias_column = np.arange(cols)[None, :] == cols - 1
    drawn = np.asarray(registers.reference)[_field(stored_lo, 0)]
    static = static_properties(words, bias_column, drawn, registers, weight_bits)
    point = np.zeros((rows, cols), np.int64)
    if registers.symmetry_point:
        point = _symmetry_point(static, registers)
        top = (1 << (weight_bits - 1)) - 1
        static = static._replace(reference=np.clip(drawn + point, -top, top))
    low = np.maximum(static.b_min, -registers.corrupt_range)
    high = np.minimum(static.b_max, registers.corrupt_range)
    part = (stored_hi & np.uint32(0xFFFF)).astype(np.int64)
    return Population(
        static=static,
        stuck_weight=low + (((high - low) * part) >> 16),
        visible_keys=(row_hi, col_lo),
        aging=np.stack(
            [(words[2] >> np.uint32(16)).astype(np.int64) & 0x3FF]
            + [_field(stored_lo, index) for index in (1, 2)]
        ),
        symmetry_point=point,
        registers=registers,
        weight_bits=weight_bits,
    )


def _field(word: np.ndarray, index: int) -> np.ndarray:
    return ((word >> np.uint32(10 * index)) & np.uint32(0x3FF)).astype(np.int64)


def _symmetry_point(static: Static, registers: DeviceRegisters) -> np.ndarray:
    """Return the weight at which an up and a down step of each device are equal, by bisection.

    The up step falls and the down step rises with the weight, so that 18 halvings of the range
    find the last weight at which the up step is the larger.
    """
    low, high = static.b_min.copy(), static.b_max.copy()
    up, down = np.zeros(low.shape, bool), np.ones(low.shape, bool)
    for _ in range(18):
        middle = (low + high) >> 1
        rise = static.rel_up * step_curve(middle, up, static, registers)
        fall = static.rel_down * step_curve(middle, down, static, registers)
        above = (rise >> REL_FRAC) > (fall >> REL_FRAC)
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return low
