"""Pulses on the cells whose lines fire together: `ohmgrid.model.array` without empty trains."""

import numpy as np

from ohmgrid.model.compiled.device import visit_cells
from ohmgrid.model.compiled.jit import first_one, kernel
from ohmgrid.model.compiled.layout import VISITS
from ohmgrid.model.compiled.pulses import NEGATIVE, SLOT_MASK, line_halves
from ohmgrid.streams import Purpose

__all__ = ["apply_update"]

ROW, COLUMN = int(Purpose.ROW), int(Purpose.COLUMN)


@kernel
def _sweep(
    weights, static, rows, regs, row_side, firing_rows, col_side, firing_cols, part, slots, work
):
    """Visit all cells whose lines fire together in one of ``slots``.

    A row's bits are turned into a word of rows for each slot, so that a column finds the rows it
    meets without looking at the others.
    """
    words = (firing_rows + 63) >> 6
    fires, row_line, row_train = work.fires, row_side.line, row_side.train
    left = slots
    while left:
        fires[first_one(left), :words] = 0
        left &= left - np.uint32(1)
    for k in range(firing_rows):
        left = row_train[k] & slots
        while left:
            fires[first_one(left), k >> 6] |= np.uint64(1) << np.uint64(k & 63)
            left &= left - np.uint32(1)
    cell, both, total, count = work.cell, work.both, work.total, 0
    for c in range(firing_cols):
        column = np.int64(col_side.line[c])
        if part.threads > 1 and column % part.threads != part.number:
            continue
        train, key, first = col_side.train[c], work.col_key[c], column * rows
        for word in range(words):
            met, left = np.uint64(0), train & slots
            while left:
                met |= fires[first_one(left), word]
                left &= left - np.uint32(1)
            while met:
                k = np.int64(first_one(met)) + 64 * word
                met &= met - np.uint64(1)
                cell[count] = first + row_line[k]
                # Equal signs of activation and error lower the conductance: bit 31 is then set.
                both[count] = (row_train[k] & train & slots) | (
                    (row_train[k] ^ train ^ NEGATIVE) & NEGATIVE
                )
                total[count] = work.row_key[k] + key
                count += 1
                if count == VISITS:
                    visit_cells(weights, static, regs, count, work)
                    count = 0
    if count:
        visit_cells(weights, static, regs, count, work)


@kernel
def apply_update(
    weights, static, rows, regs, row_side, firing_rows, col_side, firing_cols, bl, key, part, work
):
    """Apply the trains of one update to an array, or to one part of its columns.

    Parameters
    ----------
    weights : int32, shape (cols * rows,)
        Column after column.
    static : int32, shape (cols * rows, 4)
    rows : int
    regs : Device
    row_side, col_side : Side
        As from `make_trains`.
    firing_rows, firing_cols, bl : int
    key : uint64
        Operation key.
    part : Part
        The columns to update: those whose number modulo ``part.threads`` is ``part.number``.
    work : Scratch
    """
    if firing_rows == 0 or firing_cols == 0:
        return
    for slot in range(bl if regs.serial else 1):
        line_halves(row_side.line, firing_rows, key, ROW, slot, work, work.row_key)
        line_halves(col_side.line, firing_cols, key, COLUMN, slot, work, work.col_key)
        slots = np.uint32(1 << slot) if regs.serial else SLOT_MASK
        _sweep(
            weights,
            static,
            rows,
            regs,
            row_side,
            firing_rows,
            col_side,
            firing_cols,
            part,
            slots,
            work,
        )
