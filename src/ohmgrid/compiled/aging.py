"""Leak, diffusion and reset of devices: `ohmgrid.model.device.aging` as loops."""

from typing import NamedTuple

import numpy as np

from ohmgrid.compiled.arith import saturate
from ohmgrid.compiled.jit import apart, kernel
from ohmgrid.compiled.layout import ZERO
from ohmgrid.compiled.noise import GAUSSIAN, hash_cells
from ohmgrid.compiled.population import show_devices
from ohmgrid.compiled.pulses import all_halves
from ohmgrid.registers.device import STEP_FRAC
from ohmgrid.registers.noise import Purpose
from ohmgrid.registers.time import AgingRegisters

__all__ = ["Aging", "age_devices", "column_words", "reset_device"]

ROW, COLUMN = np.int64(Purpose.ROW), np.int64(Purpose.COLUMN)


class Aging(NamedTuple):
    """Registers of what time does to a device."""

    every: int
    leak: np.ndarray
    """int64, shape (1024,), likewise the other tables."""
    leak_shift: int
    diffusion: np.ndarray
    reset_bias: np.ndarray
    reset_noise: int

    @classmethod
    def of(cls, registers: AgingRegisters) -> "Aging":
        """Return the registers as the kernels take them."""
        return cls(
            registers.every,
            np.array(registers.leak, np.int64),
            registers.leak_shift,
            np.array(registers.diffusion, np.int64),
            np.array(registers.reset_bias, np.int64),
            registers.reset_noise,
        )


@kernel
def column_words(first, count, col_key, work):
    """Hash the words of ``count`` devices of a column, from row ``first`` on, to ``work.bytes8``.

    ``work.row_key`` holds the row halves of all rows.
    """
    apart()
    for byte in range(4):
        plane, shift = work.bytes8[byte], np.uint32(8 * byte)
        for k in range(count):
            plane[k] = np.uint8((work.row_key[first + k] + col_key) >> shift)
    hash_cells((count + 7) >> 3, work.bytes64)


@kernel
def _settle(array, place, change, rounding, bits):
    """Round ``STEP_FRAC`` fraction bits, clip to the device's bounds; a stuck one stays."""
    reference = np.int64(array.reference[place]) if len(array.reference) else 0
    value = ((change + rounding) >> STEP_FRAC) + reference
    low, high = np.int64(array.packed[place, 1]), np.int64(array.packed[place, 0])
    moved = saturate(min(max(value, low), high) - reference, bits)
    return np.int64(array.hidden[place]) if array.packed[place, 2] & 0x8000 else moved


@kernel
def _bias(array, place, aging):
    bias = aging.reset_bias[(array.aging[place] >> 20) & 0x3FF]
    return bias + array.point[place] if len(array.point) else bias


@kernel
def _draws(k, first, work):
    """Return Gaussian and rounding of word k, from bit ``first`` on."""
    word = np.int64(0)
    for byte in range(4):
        word |= np.int64(work.bytes8[byte, k]) << 8 * byte
    word >>= first
    return np.int64(GAUSSIAN[word & 0x3FF]), word >> 10 & 0xFFF


@kernel
def reset_device(array, place, k, aging, bits, work):
    """Reset one device with the noise of word k."""
    z, rounding = _draws(k, 10, work)
    target = (_bias(array, place, aging) << STEP_FRAC) + z * aging.reset_noise
    array.hidden[place] = _settle(array, place, target, rounding, bits)


@kernel
def age_devices(array, regs, aging, key, part, work):
    """Apply leak and diffusion to the columns of one part.

    Parameters
    ----------
    array : Array
    regs : Device
    aging : Aging
    key : uint64
        Operation key of `Verb.TIME`.
    part : Share
    work : Scratch
    """
    apart()
    rows, span = array.rows, len(work.cell)
    all_halves(rows, key, ROW, ZERO, work, work.row_key)
    all_halves(array.cols, key, COLUMN, ZERO, work, work.col_key)
    for column in range(part.number, array.cols, part.threads):
        for first in range(0, rows, span):
            count = min(span, rows - first)
            column_words(first, count, work.col_key[column], work)
            for k in range(count):
                place = column * rows + first + k
                work.cell[k] = place
                index = array.aging[place]
                z, rounding = _draws(k, 0, work)
                hidden = np.int64(array.hidden[place])
                lost = aging.leak[index & 0x3FF]
                leak = (
                    (hidden - _bias(array, place, aging)) * lost << STEP_FRAC
                ) >> aging.leak_shift
                change = (hidden << STEP_FRAC) - leak + aging.diffusion[(index >> 10) & 0x3FF] * z
                array.hidden[place] = _settle(array, place, change, rounding, regs.weight_bits)
            show_devices(array, regs, count, work)
