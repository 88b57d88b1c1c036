"""The pulses of an update of one array, and what time then does to it, as in `model.core.tile`."""

from typing import NamedTuple

import numpy as np

from ohmgrid.compiled.aging import Aging, age_devices
from ohmgrid.compiled.array import EITHER, PAIR, apply_pulses
from ohmgrid.compiled.device import Device
from ohmgrid.compiled.jit import inner
from ohmgrid.compiled.layout import ZERO, Converter
from ohmgrid.compiled.noise import op_key
from ohmgrid.compiled.pulses import chunk_side
from ohmgrid.compiled.refresh import Refresh, Source, refresh_pairs
from ohmgrid.registers.noise import Verb

__all__ = ["Physics", "pass_time", "pulse_array"]

UPDATE, TIME = np.int64(Verb.UPDATE), np.int64(Verb.TIME)


class Physics(NamedTuple):
    """Registers that all tiles of a configuration share."""

    base: np.uint64
    """Base key of the seed."""
    forward_io: Converter
    backward_io: Converter
    device: Device
    aging: Aging
    refresh: Refresh


@inner
def pulse_array(array, physics, number, step, rows, trains, part, work):
    """Apply the trains of update ``step``.

    Parameters
    ----------
    array : Array
    physics : Physics
    number : int
        Of the tile.
    step : int
        Updates before this one.
    rows : int
        Outputs.
    trains : Trains
        As from `make_trains`.
    part : Share
        The columns to work on.
    work : Scratch

    Returns
    -------
    up, down : int
        Coincidences on these columns that raise and that lower a weight.
    """
    regs = physics.device
    mode, key = PAIR if array.paired else EITHER, op_key(physics.base, UPDATE, number, step)
    up, down = ZERO, ZERO
    for chunk in range(len(trains.firing)):
        slots, firing_rows, firing_cols = trains.firing[chunk]
        row_side = chunk_side(trains.rows, chunk, rows)
        col_side = chunk_side(trains.cols, chunk, array.cols)
        more_up, more_down = apply_pulses(
            array,
            regs,
            mode,
            row_side,
            firing_rows,
            col_side,
            firing_cols,
            slots,
            chunk,
            key,
            part,
            work,
        )
        up, down = up + more_up, down + more_down
    return up, down


@inner
def pass_time(array, physics, number, count, step, part, work):
    """Leak, diffuse and refresh as is due after ``count`` updates; else as `pulse_array`.

    ``step`` are the operations so far that noise is numbered by.
    """
    regs, aging, refresh = physics.device, physics.aging, physics.refresh
    if aging.every and count % aging.every == 0:
        age_devices(array, regs, aging, op_key(physics.base, TIME, number, step), part, work)
    if refresh.every and count % refresh.every == 0:
        source = Source(physics.base, number, step)
        refresh_pairs(array, regs, aging, refresh, source, part, work)
