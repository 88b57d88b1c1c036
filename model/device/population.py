"""All devices of one array: what the seed makes of each cell (golden model).

Words of a cell come from the two halves (lo, hi) of its line keys of `Verb.STATIC`; crossed
halves are as independent as the keys of two columns::

    word 0 = P32(row lo + column lo)    word 1 = P32(row hi + column hi)
    word 2 = P32(row lo + column hi)    word 3 = P32(row hi + column lo)

Word 3 is what write noise makes of a hidden weight of 0, whose Gaussian takes field 0: fields 1 and
2 are free. References take what is left of words 1, 2 and 3. Keys with sub 1 give the weights of
stuck devices, which are stored.
"""

from typing import NamedTuple

import numpy as np

from ohmgrid.config import Config
from ohmgrid.model.base.noise import cell_words, op_key, seed_key
from ohmgrid.model.device.step import Static, static_properties, step_curve
from ohmgrid.model.device.visible import visible
from ohmgrid.model.periphery.lines import key_halves
from ohmgrid.registers.device import DITHER_BITS, REL_FRAC, DeviceRegisters, device_registers
from ohmgrid.registers.noise import Purpose, Verb

__all__ = ["Population", "at_bounds", "populate"]


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
    word3 = cell_words(row_hi, col_lo)
    _, row_stored = key_halves(key, Purpose.ROW, rows, 1)
    _, col_stored = key_halves(key, Purpose.COLUMN, cols, 1)
    stored = cell_words(row_stored[:, None], col_stored[None, :])
    bias_column = np.arange(cols)[None, :] == cols - 1
    left = (words[1] >> np.uint32(30)) | (words[2] >> np.uint32(26)) << np.uint32(2)
    drawn = np.asarray(registers.reference)[left | (word3 >> np.uint32(30)) << np.uint32(8)]
    static = static_properties(words, bias_column, drawn, registers, weight_bits)
    point = np.zeros((rows, cols), np.int64)
    if registers.symmetry_point:
        top = (1 << (weight_bits - 1)) - 1
        reference = np.clip(drawn + _symmetry_point(static, registers), -top, top)
        point, static = reference - drawn, static._replace(reference=reference)
    low = np.maximum(static.b_min, -registers.corrupt_range)
    high = np.minimum(static.b_max, registers.corrupt_range)
    part = (stored & np.uint32(0xFFFF)).astype(np.int64)
    return Population(
        static=static,
        stuck_weight=low + (((high - low) * part) >> 16),
        visible_keys=(row_hi, col_lo),
        aging=np.stack(
            [
                (words[2] >> np.uint32(16)).astype(np.int64) & 0x3FF,
                *(_field(word3, index) for index in (1, 2)),
            ]
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


def at_bounds(config: Config, number: int, weights: np.ndarray) -> float:
    """Return the part of a tile's devices, stuck ones left out, that stand at a bound of their own.

    Parameters
    ----------
    config : Config
    number : int
        Of the tile.
    weights : int32, shape (rows, cols) of devices
    """
    formats, unit = config.formats, config.device.unit
    registers = device_registers(unit, formats.weight_bits, formats.curve_segments)
    key = op_key(seed_key(config.seed), Verb.STATIC, number, 0)
    rows, cols = weights.shape
    static = populate(key, rows, cols, registers, formats.weight_bits).static
    value = weights + static.reference
    # With write noise the low bits of a clipped weight are random.
    reach = (1 << DITHER_BITS) - 1 if registers.visible else 0
    there = (value >= (static.b_max & ~reach)) | (-value >= (-static.b_min & ~reach))
    # The lower bound 0 is where every device of a pair begins.
    there &= ~((value == 0) & (static.b_min == 0))
    free = ~static.stuck
    return float(np.count_nonzero(there & free) / max(1, np.count_nonzero(free)))
