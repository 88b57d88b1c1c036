"""Leak, diffusion and reset of devices: `ohmgrid.model.device.aging` as loops."""

from typing import NamedTuple

import numpy as np

from ohmgrid.compiled.device import draw, fetch_devices, store_devices
from ohmgrid.compiled.jit import apart, distinct, golden, inner
from ohmgrid.compiled.layout import (
    CELL,
    CHANGE,
    CHANGE_HIGH,
    GAUSS,
    LOWER,
    MOVED,
    REFERENCE,
    ROUNDING,
    STEPS,
    TOTAL,
    UPPER,
    VISITS,
    WEIGHT,
    ZERO,
)
from ohmgrid.compiled.noise import GAUSSIAN, hash_cells
from ohmgrid.compiled.population import STUCK, show_moved
from ohmgrid.compiled.pulses import all_halves
from ohmgrid.model.device import aging as laws
from ohmgrid.registers.device import STEP_FRAC
from ohmgrid.registers.noise import Purpose
from ohmgrid.registers.time import AgingRegisters

__all__ = ["Aging", "age_devices", "reset_devices"]

leaked, settled = golden(laws.leaked), golden(laws.settled)

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


@inner
def _settle(count, bits, visit):
    """Fill the conductances that changes end at; a device that is stuck stays."""
    distinct()
    for k in range(count):
        change = np.int64(visit[CHANGE_HIGH + k]) << 32 | np.int64(np.uint32(visit[CHANGE + k]))
        after = settled(
            change,
            np.int64(visit[ROUNDING + k]),
            np.int64(visit[UPPER + k]),
            np.int64(visit[LOWER + k]),
            np.int64(visit[REFERENCE + k]),
            bits,
        )
        weight = visit[WEIGHT + k]
        visit[MOVED + k] = weight if visit[STEPS + k] & STUCK else after


@inner
def _bias(array, aging, place, index):
    bias = aging.reset_bias[(index >> 20) & 0x3FF]
    return bias + array.point[place] if len(array.point) else bias


@inner
def _leak(array, aging, count, visit):
    """Fill the changes of leak and diffusion."""
    indices = array.aging
    leak, diffusion, shift = aging.leak, aging.diffusion, aging.leak_shift
    for k in range(count):
        place = np.uint32(visit[CELL + k])
        index = indices[place]
        change = leaked(
            np.int64(visit[WEIGHT + k]),
            _bias(array, aging, place, index),
            leak[index & 0x3FF],
            diffusion[(index >> 10) & 0x3FF],
            np.int64(visit[GAUSS + k]),
            shift,
        )
        visit[CHANGE + k] = np.int32(change)
        visit[CHANGE_HIGH + k] = np.int32(change >> 32)


@inner
def reset_devices(array, aging, count, bits, work):
    """Reset the devices in ``work.cell`` with the words that a read of them has used.

    Parameters
    ----------
    array : Array
    aging : Aging
    count : int
        At most `VISITS`.
    bits : int
        Width of a weight.
    work : Scratch
    """
    apart()
    visit, words, indices = work.visit, work.words, array.aging
    fetch_devices(array, count, bits, visit)
    for k in range(count):
        place = np.uint32(visit[CELL + k])
        high = np.int64(words[2 * VISITS + k])
        z = np.int64(GAUSSIAN[np.int64(words[VISITS + k]) >> 2 | (high & 0xF) << 6])
        change = (_bias(array, aging, place, indices[place]) << STEP_FRAC) + z * aging.reset_noise
        visit[CHANGE + k] = np.int32(change)
        visit[CHANGE_HIGH + k] = np.int32(change >> 32)
        visit[ROUNDING + k] = np.int32(high >> 4 | np.int64(words[3 * VISITS + k]) << 4)
    _settle(count, bits, visit)
    store_devices(array, count, visit)


@inner
def _list(first, row, count, row_key, col_key, start, visit):
    """List ``count`` devices of a column from ``row`` on, behind ``start`` others."""
    distinct()
    for k in range(count):
        visit[CELL + start + k] = first + row + k
        visit[TOTAL + start + k] = row_key[row + k] + col_key


@inner
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
    rows, count, visit = array.rows, ZERO, work.visit
    all_halves(rows, key, ROW, ZERO, work, work.row_key)
    all_halves(array.cols, key, COLUMN, ZERO, work, work.col_key)
    for column in range(part.number, array.cols, part.threads):
        row = ZERO
        while row < rows:
            more = min(rows - row, VISITS - count)
            _list(column * rows, row, more, work.row_key, work.col_key[column], count, visit)
            row, count = row + more, count + more
            if count == VISITS or (row == rows and column + part.threads >= array.cols):
                hash_cells(visit[TOTAL:], count, work.words, work.words64)
                draw(work.words, count, visit)
                fetch_devices(array, count, regs.weight_bits, visit)
                _leak(array, aging, count, visit)
                _settle(count, regs.weight_bits, visit)
                store_devices(array, count, visit)
                show_moved(array, regs, count, work)
                count = ZERO
