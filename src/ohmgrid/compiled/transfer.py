"""Transfers from a fast to a slow array: `ohmgrid.model.core.transfer` as loops."""

from typing import NamedTuple

import numpy as np

from ohmgrid.compiled.arith import at_edge, shift_round
from ohmgrid.compiled.converters import largest
from ohmgrid.compiled.jit import apart, golden, inner
from ohmgrid.compiled.layout import WHOLE, ZERO, Pulses, Trains, make_trains_room
from ohmgrid.compiled.noise import op_key
from ohmgrid.compiled.operations import multiply
from ohmgrid.compiled.population import Array, show_column
from ohmgrid.compiled.pulses import all_halves, line_halves, make_trains
from ohmgrid.compiled.readout import Reading
from ohmgrid.compiled.updates import pass_time, pulse_array
from ohmgrid.model.core import transfer_laws as laws
from ohmgrid.registers.noise import Purpose, Verb
from ohmgrid.registers.transfer import TransferRegisters

__all__ = ["Chain", "Hidden", "Rate", "Rates", "Transfers", "direct", "learn"]

# The laws are the golden model's own.
added, averaged, mean_after = map(golden, (laws.added, laws.averaged, laws.mean_after))
rate_of, step_of, what_is_left = map(golden, (laws.rate_of, laws.step_of, laws.what_is_left))

FORWARD, UPDATE = np.int64(Verb.FORWARD), np.int64(Verb.UPDATE)
TRANSFER = np.int64(Verb.TRANSFER)
TRAIN_X, TRAIN_D = np.int64(Purpose.TRAIN_X), np.int64(Purpose.TRAIN_D)
ONE_LINE = np.int64(1)
TURNED, JUST_TURNED = map(np.uint8, (1, 2))
READS, WRITES = 0, 2
"""Places of the fast array's reads, and of the slow one's writes and passing times."""


class Hidden(NamedTuple):
    """A fast array, and what lies between it and the slow one; matrices column after column."""

    array: Array
    reading: Reading
    """Of reads for a transfer."""
    number: int
    """Of the fast array."""
    steps: np.ndarray
    """int64, shape (3,): columns read, 0, updates; the slow array's count its writes and,
    beside them, updates."""
    moved: np.ndarray
    """int64, shape (1,): coincidences of writes."""
    buffer: np.ndarray
    """int32, shape (cols * rows,) or empty, as all that follow."""
    mean: np.ndarray
    past: np.ndarray
    column_signs: np.ndarray
    """uint8, shape (cols,)"""
    row_signs: np.ndarray
    """uint8, shape (rows,)"""
    averages: np.ndarray
    """int64, shape (2,)"""

    @classmethod
    def none(cls, array: Array, reading: Reading) -> "Hidden":
        """Return that of a tile of one array."""
        empty = np.zeros(0, np.int32)
        signs = np.zeros(0, np.uint8)
        steps, averages = np.zeros(3, np.int64), np.zeros(2, np.int64)
        moved = np.zeros(1, np.int64)
        return cls(array, reading, 0, steps, moved, empty, empty, empty, signs, signs, averages)


class Chain(NamedTuple):
    """Arrays whose sum passes see, side by side in one; each hands on to the next one."""

    gains: np.ndarray
    """int64, shape (arrays,): of the last array first; empty where there is no chain."""
    every: np.ndarray
    """int64, shape (arrays - 1,): updates after which array 0, 1, and so on hands on."""
    turns: np.ndarray
    """int64, shape (arrays - 1,): columns read so far of each."""
    warm: int
    """Updates in which each array is filled from array 0."""
    trains: Trains
    """Room for those of all columns."""

    @classmethod
    def none(cls) -> "Chain":
        """Return that of a tile without one."""
        empty = np.zeros(0, np.int64)
        return cls(empty, empty, empty, 0, make_trains_room(1, 1, 1))


class Transfers(NamedTuple):
    """Registers of the transfers of a tile, and what an engine adds."""

    own: TransferRegisters
    write_shift: int
    one: int
    """1.0 on a column's line."""
    step: int
    """A step of a buffer, as an error."""
    top: int
    """Largest error at the edge."""
    chain: Chain

    @classmethod
    def none(cls) -> "Transfers":
        """Return those of a tile of one array."""
        registers = TransferRegisters(*(0 for _ in TransferRegisters._fields))
        return cls(registers, 1, 0, 0, 0, Chain.none())


class Rate(NamedTuple):
    """Registers of the updates of a tile at one learning rate."""

    own: Pulses
    """Of the array that an update pulses."""
    writes: tuple[Pulses, ...]
    """Of the writes of a slow array; of a chain, of those out of array 0, 1, and so on."""
    mantissa: int
    """From results of a read to a buffer."""
    shift: int
    slots: int
    """From `ohmgrid.registers.transfer.scaled_rate`."""


class Rates(NamedTuple):
    """Those of all layers."""

    layers: tuple[Rate, ...]


class Scaled(NamedTuple):
    """What an update is scaled by, as `Pulses` has it."""

    rate: int
    rate_shift: int


@inner
def _scaled(x, d, rows, cols, hidden, transfers, rate):
    """Average the largest activation and error; return what they scale an update by."""
    averages = hidden.averages
    averages[0] = averaged(averages[0], largest(x, cols), transfers.own.average)
    averages[1] = averaged(averages[1], largest(d, rows), transfers.own.average)
    own, shift = rate_of(rate.slots, averages[0], averages[1])
    return Scaled(own, shift)


@inner
def _signed(values, signs, lines, out):
    """Write values with the signs of their lines, if these have some."""
    for i in range(lines):
        turned = len(signs) > 0 and (signs[i] & TURNED) != 0
        out[i] = -values[i] if turned else values[i]


@inner
def _step(hidden, transfers, rate, rows, column, read, asked):
    """Add what was read of a column to its buffer; write the steps that it gives, as errors.

    Returns whether there are any.
    """
    first, any_step = column * rows, ZERO
    sign, just = np.uint8(0), False
    if transfers.own.chopped:
        sign = hidden.column_signs[column]
        just = (sign & JUST_TURNED) != 0
    for i in range(rows):
        place, past, turned = first + i, ZERO, False
        if transfers.own.chopped:
            turned = (hidden.row_signs[i] & TURNED) != (sign & TURNED)
        if transfers.own.dynamic:
            mean = np.int64(hidden.mean[place])
            if just:
                hidden.past[place] = mean
            past = np.int64(hidden.past[place])
            hidden.mean[place] = mean_after(mean, read[i], transfers.own.weight)
        full = added(
            np.int64(hidden.buffer[place]), read[i], past, turned, rate.mantissa, rate.shift
        )
        step = np.int64(step_of(full))
        hidden.buffer[place] = what_is_left(
            full, step, transfers.own.momentum, transfers.own.forget, transfers.own.cap
        )
        asked[i] = -step * transfers.step
        any_step += step != 0
    return any_step


@inner
def direct(transfers, rows, read, asked):
    """Write what was read of a column as errors; return whether there are any."""
    found = ZERO
    for i in range(rows):
        value = at_edge(shift_round(read[i], transfers.write_shift), transfers.top)[0]
        asked[i] = -value
        found += value != 0
    return found


@inner
def _turn(hidden, transfers, rows, cols, column, turn, key, work):
    """Turn the sign of a column that was read, and after the last one those of rows."""
    turns = False
    if transfers.own.flip:
        work.own_line[0] = column
        line_halves(work.own_line, ONE_LINE, key, TRAIN_X, ZERO, work, work.col_key)
        turns = np.int64(work.col_key[0] & np.uint32(0xFFFF)) < transfers.own.flip
    if transfers.own.period:
        turns |= turn % transfers.own.period == transfers.own.period - 1
    sign = hidden.column_signs[column] & TURNED
    hidden.column_signs[column] = sign ^ (TURNED | JUST_TURNED) if turns else sign
    if column == cols - 1 and transfers.own.row_flip:
        all_halves(rows, key, TRAIN_D, ZERO, work, work.row_key)
        for i in range(rows):
            if np.int64(work.row_key[i] & np.uint32(0xFFFF)) < transfers.own.row_flip:
                hidden.row_signs[i] ^= TURNED


@inner
def _transfer(layer, net, rate, trains, work):
    """Read the next column of the fast array, and bring what is due to the slow one."""
    apart()
    hidden, transfers, rows, cols = layer.hidden, layer.transfers, layer.rows, layer.cols
    reads = hidden.steps[READS]
    turn = reads // cols
    column = reads - turn * cols
    key = op_key(net.physics.base, TRANSFER, hidden.number, reads)
    hidden.steps[READS] = reads + 1
    line, read, asked = work.vector, work.out, work.values
    line[column] = transfers.one
    show_column(hidden.array, net.fast.device, column, work)
    multiply(
        hidden.array.seen,
        rows,
        cols,
        np.False_,
        line,
        net.fast.forward_io,
        hidden.reading,
        op_key(net.physics.base, FORWARD, hidden.number, reads),
        work,
        read,
    )
    if transfers.own.buffered:
        found = _step(hidden, transfers, rate, rows, column, read, asked)
        if transfers.own.dynamic and turn <= transfers.own.period:
            found = ZERO
    else:
        found = direct(transfers, rows, read, asked)
    # One of nothing is a write, too.
    writes = layer.steps[WRITES]
    layer.steps[WRITES] = writes + 1
    if found:
        own = op_key(net.physics.base, UPDATE, layer.number, writes)
        write = rate.writes[0]
        make_trains(line, asked, rows, cols, write, write, own, trains, work)
        up, down = pulse_array(
            layer.array, net.physics, layer.number, writes, rows, trains, WHOLE, work
        )
        hidden.moved[0] += up + down
    line[column] = 0
    if transfers.own.chopped:
        _turn(hidden, transfers, rows, cols, column, turn, key, work)


@inner
def learn(layer, net, rate, step, x, d, trains, work):
    """Pulse the fast array of a layer, and transfer columns of it as is due.

    Parameters
    ----------
    layer : Layer
    net : Network
    rate : Rate
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
    hidden, transfers, rows, cols = layer.hidden, layer.transfers, layer.rows, layer.cols
    scaled = Scaled(rate.own.rate, rate.own.rate_shift)
    if transfers.own.averaged:
        scaled = _scaled(x, d, rows, cols, hidden, transfers, rate)
    own_x, own_d = work.part, work.values
    _signed(x, hidden.column_signs, cols, own_x)
    _signed(d, hidden.row_signs, rows, own_d)
    key = op_key(net.physics.base, UPDATE, hidden.number, step)
    active, below, clipped = make_trains(
        own_x, own_d, rows, cols, rate.own, scaled, key, trains, work
    )
    up, down = pulse_array(hidden.array, net.fast, hidden.number, step, rows, trains, WHOLE, work)
    updates = step + 1
    pass_time(hidden.array, net.fast, hidden.number, updates, updates, WHOLE, work)
    if transfers.own.every and updates % transfers.own.every == 0:
        for _ in range(transfers.own.columns):
            _transfer(layer, net, rate, trains, work)
    layer.steps[WRITES] += 1
    pass_time(layer.array, net.physics, layer.number, updates, layer.steps[WRITES], WHOLE, work)
    return up, down, active, below, clipped
