"""Pulses where both lines fire: `ohmgrid.model.array.array` without empty trains."""

import numpy as np

from ohmgrid.compiled.device import visit_devices
from ohmgrid.compiled.jit import apart, first_one, kernel
from ohmgrid.compiled.layout import ZERO
from ohmgrid.compiled.pulses import NEGATIVE, SLOT_MASK, line_halves
from ohmgrid.registers.noise import Purpose

__all__ = ["EITHER", "PAIR", "apply_pulses"]

ROW, COLUMN = np.int64(Purpose.ROW), np.int64(Purpose.COLUMN)
EITHER, PAIR = map(np.int64, range(2))
"""A pulse raises or lowers its device; raises one of a pair."""
SIGN = np.uint32(31)


@kernel
def _sweep(array, regs, mode, row_side, firing_rows, col_side, firing_cols, part, slots, work):
    """Visit all devices whose lines fire together in one of ``slots``.

    A row's bits are turned into a word of rows for each slot, so that a column finds the rows it
    meets without looking at the others. Return the coincidences that raise and that lower a weight.
    """
    apart()
    words = (firing_rows + 63) >> 6
    fires, row_line, row_train = work.fires, row_side.line, row_side.train
    firing = work.firing
    left = slots
    while left:
        fires[first_one(left), :words] = 0
        firing[first_one(left), 0] = 0
        firing[first_one(left), 1] = 0
        left &= left - np.uint32(1)
    for k in range(firing_rows):
        left, sign = row_train[k] & slots, row_train[k] >> SIGN
        while left:
            fires[first_one(left), k >> 6] |= np.uint64(1) << np.uint64(k & 63)
            firing[first_one(left), sign] += 1
            left &= left - np.uint32(1)
    same, other = ZERO, ZERO
    cell, both, total, row_key, count = work.cell, work.both, work.total, work.row_key, ZERO
    # One round more than there are columns: the last one visits what is left.
    for c in range(firing_cols + 1):
        if count and (c == firing_cols or count + firing_rows > len(cell)):
            visit_devices(array, regs, count, work)
            count = ZERO
        if c == firing_cols:
            break
        column = np.int64(col_side.line[c])
        if part.threads > 1 and column % part.threads != part.number:
            continue
        train, key, first = col_side.train[c], work.col_key[c], column * array.rows
        sign = train >> SIGN
        for word in range(words):
            met, left = np.uint64(0), train & slots
            while left:
                slot = first_one(left)
                met |= fires[slot, word]
                if word == 0:
                    same += firing[slot, sign]
                    other += firing[slot, np.uint32(1) - sign]
                left &= left - np.uint32(1)
            while met:
                k = np.int64(first_one(met)) + 64 * word
                met &= met - np.uint64(1)
                # Equal signs of activation and error lower the weight.
                down = (row_train[k] ^ train ^ NEGATIVE) >> SIGN
                place, own = np.int64(row_line[k]), k
                if mode == PAIR:
                    place, own = 2 * place + down, 2 * k + down
                cell[count] = first + place
                both[count] = row_train[k] & train & slots
                if mode == EITHER:
                    both[count] |= down << SIGN
                total[count] = row_key[own] + key
                count += 1
    # Equal signs of activation and error lower the weight.
    return other, same


@kernel
def apply_pulses(
    array, regs, mode, row_side, firing_rows, col_side, firing_cols, bl, key, part, work
):
    """Apply trains to an array, or to one part of its columns.

    Parameters
    ----------
    array : Array
    regs : Device
    mode : int
        EITHER or PAIR.
    row_side, col_side : Side
        As from `make_trains`.
    firing_rows, firing_cols, bl : int
    key : uint64
        Operation key.
    part : Share
        The columns to update: those whose number modulo ``part.threads`` is ``part.number``.
    work : Scratch

    Returns
    -------
    up, down : int
        Coincidences on these columns that raise and that lower a weight.
    """
    apart()
    up, down = ZERO, ZERO
    if firing_rows == 0 or firing_cols == 0:
        return up, down
    devices, lines = row_side.line, firing_rows
    if mode == PAIR:
        devices, lines = work.pair_line, 2 * firing_rows
        for k in range(firing_rows):
            devices[2 * k] = 2 * row_side.line[k]
            devices[2 * k + 1] = 2 * row_side.line[k] + 1
    for slot in range(bl if regs.serial else 1):
        line_halves(devices, lines, key, ROW, slot, work, work.row_key)
        line_halves(col_side.line, firing_cols, key, COLUMN, slot, work, work.col_key)
        slots = np.uint32(1 << slot) if regs.serial else SLOT_MASK
        more_up, more_down = _sweep(
            array, regs, mode, row_side, firing_rows, col_side, firing_cols, part, slots, work
        )
        up, down = up + more_up, down + more_down
    return up, down
