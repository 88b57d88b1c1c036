"""Pulses where both lines fire: `ohmgrid.model.array.array` without empty trains."""

import numpy as np

from ohmgrid.compiled.device import visit_devices
from ohmgrid.compiled.jit import apart, distinct, first_one, inner
from ohmgrid.compiled.layout import BOTH, CELL, TOTAL, VISITS, ZERO
from ohmgrid.compiled.pulses import NEGATIVE, SLOT_MASK, line_halves
from ohmgrid.periphery import SLOTS
from ohmgrid.registers.noise import Purpose

__all__ = ["EITHER", "PAIR", "apply_pulses"]

ROW, COLUMN = np.int64(Purpose.ROW), np.int64(Purpose.COLUMN)
EITHER, PAIR = map(np.int64, range(2))
"""A pulse raises or lowers its device; raises one of a pair."""
SIGN = np.uint32(31)
AT_CELL, AT_BOTH, AT_TOTAL = map(np.uint64, (CELL, BOTH, TOTAL))


@inner
def _count_side(side, lines, which, part, firing):
    """Count the lines of one side that fire in each slot; of columns, those of one part."""
    for k in range(lines):
        if which == 1 and part.threads > 1 and side.line[k] % part.threads != part.number:
            continue
        left, sign = side.train[k] & SLOT_MASK, side.train[k] >> SIGN
        while left:
            firing[first_one(left), which, sign] += 1
            left &= left - np.uint32(1)


@inner
def _coincidences(row_side, firing_rows, col_side, firing_cols, slots, part, firing):
    """Return the coincidences that raise and that lower a weight."""
    for slot in range(slots):
        firing[slot, 0, 0] = firing[slot, 0, 1] = firing[slot, 1, 0] = firing[slot, 1, 1] = 0
    _count_side(row_side, firing_rows, 0, part, firing)
    _count_side(col_side, firing_cols, 1, part, firing)
    same, other = ZERO, ZERO
    for slot in range(slots):
        rows, cols = firing[slot, 0], firing[slot, 1]
        same += rows[0] * cols[0] + rows[1] * cols[1]
        other += rows[0] * cols[1] + rows[1] * cols[0]
    # Equal signs of activation and error lower the weight.
    return other, same


@inner
def _pick(side, lines, slot, picked):
    """List the lines that fire in a slot; return how many they are."""
    distinct()
    count, bit = ZERO, np.uint32(1 << slot)
    for k in range(lines):
        picked.line[count] = side.line[k]
        picked.train[count] = side.train[k] & (NEGATIVE | bit)
        count += (side.train[k] & bit) != 0
    return count


@inner
def _list(mode, line, fire, first, train, met, keys, at, key, count, visit):
    """List row ``at`` of a column as visit ``count``; ``met``: slots in which both fire."""
    # Equal signs of activation and error lower the weight.
    sign = fire ^ train ^ NEGATIVE
    if mode == PAIR:  # of its two devices one is raised
        down = sign >> SIGN
        visit[AT_CELL + count] = first + np.uint32(2) * line + down
        visit[AT_BOTH + count] = met
        visit[AT_TOTAL + count] = keys[np.uint64(2) * at + np.uint64(down)] + key
    else:
        visit[AT_CELL + count] = first + line
        visit[AT_BOTH + count] = (sign & NEGATIVE) | met
        visit[AT_TOTAL + count] = keys[at] + key


# What follows lists rows ``first_row`` to ``last_row - 1`` of one column: a loop for each mode, and
# indices that cannot be negative.


@inner
def _list_all(mode, line, fires, keys, first_row, last_row, first, train, key, start, visit):
    """All of them meet, in one slot."""
    distinct()
    met, start, offset = train & SLOT_MASK, np.uint64(start), np.uint64(first_row)
    if mode == EITHER:
        for k in range(np.uint64(last_row - first_row)):
            at = offset + k
            _list(EITHER, line[at], fires[at], first, train, met, keys, at, key, start + k, visit)
    else:
        for k in range(np.uint64(last_row - first_row)):
            at = offset + k
            _list(PAIR, line[at], fires[at], first, train, met, keys, at, key, start + k, visit)


@inner
def _list_some(mode, line, fires, keys, first_row, last_row, first, train, key, start, visit):
    """Those that meet; return how many are listed then."""
    distinct()
    slots, count, offset = train & SLOT_MASK, np.uint64(start), np.uint64(first_row)
    if mode == EITHER:
        for k in range(np.uint64(last_row - first_row)):
            at = offset + k
            met = fires[at] & slots
            _list(EITHER, line[at], fires[at], first, train, met, keys, at, key, count, visit)
            count += np.uint64(met != 0)
    else:
        for k in range(np.uint64(last_row - first_row)):
            at = offset + k
            met = fires[at] & slots
            _list(PAIR, line[at], fires[at], first, train, met, keys, at, key, count, visit)
            count += np.uint64(met != 0)
    return np.int64(count)


@inner
def _sweep(array, regs, mode, rows, firing_rows, cols, firing_cols, single, part, work):
    """Visit all devices whose lines fire together; ``single``: all lines fire in the same slot."""
    apart()
    visit, keys, count = work.visit, work.row_key, ZERO
    line, fires = rows.line, rows.train
    for c in range(firing_cols):
        column = np.int64(cols.line[c])
        if part.threads > 1 and column % part.threads != part.number:
            continue
        train, key, first = cols.train[c], work.col_key[c], np.uint32(column * array.rows)
        for start in range(0, firing_rows, VISITS):
            end = min(start + VISITS, firing_rows)
            if count + end - start > VISITS:
                visit_devices(array, regs, count, work)
                count = ZERO
            if single:
                _list_all(mode, line, fires, keys, start, end, first, train, key, count, visit)
                count += end - start
            else:
                count = _list_some(
                    mode, line, fires, keys, start, end, first, train, key, count, visit
                )
    if count:
        visit_devices(array, regs, count, work)


@inner
def _keys(mode, rows, firing_rows, cols, firing_cols, key, number, work):
    """Make the keys of the lines in a sweep; of pairs, those of both devices' rows."""
    devices, lines = rows.line, firing_rows
    if mode == PAIR:
        devices, lines = work.pair_line, 2 * firing_rows
        for k in range(firing_rows):
            devices[2 * k] = 2 * rows.line[k]
            devices[2 * k + 1] = 2 * rows.line[k] + 1
    line_halves(devices, lines, key, ROW, number, work, work.row_key)
    line_halves(cols.line, firing_cols, key, COLUMN, number, work, work.col_key)


@inner
def apply_pulses(
    array, regs, mode, row_side, firing_rows, col_side, firing_cols, slots, chunk, key, part, work
):
    """Apply one chunk of trains to an array, or to one part of its columns.

    Parameters
    ----------
    array : Array
    regs : Device
    mode : int
        EITHER or PAIR.
    row_side, col_side : Side
        As from `make_trains`.
    firing_rows, firing_cols, slots, chunk : int
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
    if firing_rows == 0 or firing_cols == 0:
        return ZERO, ZERO
    if regs.serial:
        rows, cols = work.slot_rows, work.slot_cols
        for slot in range(slots):
            picked_rows = _pick(row_side, firing_rows, slot, rows)
            picked_cols = _pick(col_side, firing_cols, slot, cols)
            number = SLOTS * chunk + slot
            _keys(mode, rows, picked_rows, cols, picked_cols, key, number, work)
            _sweep(array, regs, mode, rows, picked_rows, cols, picked_cols, True, part, work)
    else:
        _keys(mode, row_side, firing_rows, col_side, firing_cols, key, chunk, work)
        single = slots == 1
        _sweep(array, regs, mode, row_side, firing_rows, col_side, firing_cols, single, part, work)
    firing = work.firing
    return _coincidences(row_side, firing_rows, col_side, firing_cols, slots, part, firing)
