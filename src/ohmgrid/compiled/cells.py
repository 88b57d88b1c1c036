"""Cells of several devices: `ohmgrid.model.core.vector_cell` as loops."""

from typing import NamedTuple

import numpy as np

from ohmgrid.compiled.jit import apart, golden, inner
from ohmgrid.compiled.layout import WHOLE, ZERO
from ohmgrid.compiled.noise import op_key
from ohmgrid.compiled.population import Array
from ohmgrid.compiled.pulses import all_halves, chunk_side, make_trains
from ohmgrid.compiled.updates import Physics, pass_time, pulse_array
from ohmgrid.model.core import cell_laws as laws
from ohmgrid.registers.cells import RANDOM, CellRegisters
from ohmgrid.registers.noise import Purpose, Verb

__all__ = ["CellArray", "Cells", "learn_cells", "see_cells"]

chosen, weight_of = golden(laws.chosen), golden(laws.weight_of)  # the golden model's own

UPDATE, DEVICE = np.int64(Verb.UPDATE), np.int64(Purpose.DEVICE)
ONE_LINE = np.int64(1)


class CellArray(NamedTuple):
    """One device of all cells of a tile."""

    array: Array
    physics: Physics
    number: int
    """Of its array."""
    gain: int
    """What an LSB of it counts for, `ohmgrid.registers.cells.GAIN_FRAC` fraction bits."""


class Cells(NamedTuple):
    """The devices of the cells of a tile."""

    arrays: tuple[CellArray, ...]
    own: CellRegisters

    @classmethod
    def none(cls, array: Array, physics: Physics) -> "Cells":
        """Return that of a tile of one array."""
        return cls((CellArray(array, physics, 0, 0),), CellRegisters(0, 0, 0))


@inner
def _see(cells, seen, place):
    """Bring what a pass sees of a cell up to date."""
    total = ZERO
    for k in range(len(cells.arrays)):
        cell = cells.arrays[k]
        total += cell.gain * np.int64(cell.array.seen[place])
    seen[place] = weight_of(total)


@inner
def see_cells(cells, seen):
    """Bring what a pass sees of all cells up to date."""
    for place in range(len(seen)):
        _see(cells, seen, place)


@inner
def _see_met(cells, seen, rows, cols, trains):
    """Bring what a pass sees up to date where both lines of a cell fire in a chunk."""
    for chunk in range(len(trains.firing)):
        slots, firing_rows, firing_cols = trains.firing[chunk]
        if slots == 0:
            continue
        row_side, col_side = (
            chunk_side(trains.rows, chunk, rows),
            chunk_side(trains.cols, chunk, cols),
        )
        for c in range(firing_cols):
            first = np.int64(col_side.line[c]) * rows
            for r in range(firing_rows):
                _see(cells, seen, first + np.int64(row_side.line[r]))


@inner
def learn_cells(cells, shown, rows, number, pulses, step, x, d, trains, work):
    """Pulse the devices of the cells of a tile, all or one; let time pass on all.

    Parameters
    ----------
    cells : Cells
    shown : Array
        What passes see.
    rows, number : int
        Of the tile.
    pulses : Pulses
    step : int
        Updates before this one.
    x, d : int32, shapes (cols,), (rows,)
    trains : Trains
        Room.
    work : Scratch

    Returns
    -------
    up, down, active, below, clipped : int
        As in `ohmgrid.counters.PulseCounts`.
    """
    apart()
    cols, base = shown.cols, cells.arrays[0].physics.base
    key = op_key(base, UPDATE, number, step)
    active, below, clipped = make_trains(x, d, rows, cols, pulses, pulses, key, trains, work)
    drawn = ZERO
    if cells.own.policy == RANDOM:
        all_halves(ONE_LINE, key, DEVICE, ZERO, work, work.row_key)
        drawn = np.int64(work.row_key[0] & np.uint32(0xFFFF))
    one = chosen(cells.own.policy, cells.own.first, cells.own.devices, step, drawn)
    up, down, aged = ZERO, ZERO, False
    for k in range(len(cells.arrays)):
        cell = cells.arrays[k]
        if one < 0 or k == one:
            # Coincidences are those of the lines, the same for all devices of a cell.
            up, down = pulse_array(
                cell.array, cell.physics, cell.number, step, rows, trains, WHOLE, work
            )
        every = cell.physics.aging.every
        if every and (step + 1) % every == 0:
            pass_time(cell.array, cell.physics, cell.number, step + 1, step + 1, WHOLE, work)
            aged = True
    if aged:
        see_cells(cells, shown.seen)
    else:
        _see_met(cells, shown.seen, rows, cols, trains)
    return up, down, active, below, clipped
