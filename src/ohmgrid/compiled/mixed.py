"""Mixed precision: `ohmgrid.model.core.mixed_precision` as loops."""

from typing import NamedTuple

import numpy as np

from ohmgrid.compiled.converters import largest
from ohmgrid.compiled.jit import apart, distinct, golden, inner
from ohmgrid.compiled.layout import WHOLE, ZERO
from ohmgrid.compiled.noise import op_key
from ohmgrid.compiled.pulses import all_halves, make_trains
from ohmgrid.compiled.updates import pass_time, pulse_array
from ohmgrid.model.core import mixed_laws as laws
from ohmgrid.registers.mixed import MixedRegisters
from ohmgrid.registers.noise import Purpose, Verb

__all__ = ["Mixed", "learn_mixed"]

# The laws are the golden model's own.
drawn_bin, near_bin, binned = golden(laws.drawn_bin), golden(laws.near_bin), golden(laws.binned)
summed, whole_steps, left_of = map(golden, (laws.summed, laws.whole_steps, laws.left_of))

UPDATE, PRODUCT = np.int64(Verb.UPDATE), np.int64(Verb.PRODUCT)
INPUT, OUTPUT = np.int64(Purpose.INPUT), np.int64(Purpose.OUTPUT)
TRAIN_D, ONE_LINE = np.int64(Purpose.TRAIN_D), np.int64(1)
WRITES = 2
"""Place of the array's writes and passing times."""


class Mixed(NamedTuple):
    """The sums of a tile, and its registers."""

    own: MixedRegisters
    chi: np.ndarray
    """int32, shape (rows * cols,), row after row, or empty."""
    one: int
    """1.0 on a row's line."""
    top: int
    """Largest number of steps at the edge."""

    @classmethod
    def none(cls) -> "Mixed":
        """Return those of a tile without."""
        own = MixedRegisters(*(0 for _ in MixedRegisters._fields))
        return cls(own, np.zeros(0, np.int32), 0, 0)


@inner
def _rounded(values, lines, half, drawn, key, purpose, work, out):
    """Write a vector as it is multiplied."""
    most = largest(values, lines)
    if half == 0 or most == 0:
        for i in range(lines):
            out[i] = values[i]
        return
    if drawn:
        all_halves(lines, key, purpose, ZERO, work, work.row_key)
        for i in range(lines):
            value, bits = np.int64(values[i]), np.int64(work.row_key[i] & np.uint32(0xFFFF))
            out[i] = binned(value, drawn_bin(value, most, half, bits), most)
    else:
        for i in range(lines):
            value = np.int64(values[i])
            out[i] = binned(value, near_bin(value, most, half), most)


@inner
def _add(chi, first, cols, x, d, mantissa, shift):
    """Add the products of one row's error and all activations to its sums."""
    distinct()
    for j in range(np.uint64(cols)):
        at = np.uint64(first) + j
        chi[at] = summed(np.int64(chi[at]), d * np.int64(x[j]), mantissa, shift)


@inner
def _take(chi, first, cols, top, steps):
    """Take the whole steps out of the sums of a row; return how many cells have some."""
    distinct()
    found = ZERO
    for j in range(np.uint64(cols)):
        at = np.uint64(first) + j
        own = whole_steps(np.int64(chi[at]), top)
        chi[at] = left_of(np.int64(chi[at]), own)
        steps[j] = own
        found += own != 0
    return found


@inner
def _write_rows(layer, net, rate, key, transfer, trains, work):
    """Write the rows of a transfer; return what that counts, and whether there is anything."""
    mixed, rows, cols = layer.mixed, layer.rows, layer.cols
    first = (transfer - 1) * mixed.own.rows
    if mixed.own.random:
        all_halves(ONE_LINE, key, TRAIN_D, ZERO, work, work.row_key)
        first = np.int64(work.row_key[0] & np.uint32(0xFFFF)) * rows >> 16
    steps, line = work.part, work.vector
    up, down, written, clipped = ZERO, ZERO, ZERO, ZERO
    for place in range(mixed.own.rows):
        row = (first + place) % rows
        if _take(mixed.chi, row * cols, cols, mixed.top, steps) == 0:
            continue
        writes = layer.steps[WRITES]
        layer.steps[WRITES] = writes + 1
        own = op_key(net.physics.base, UPDATE, layer.number, writes)
        line[row] = mixed.one
        write = rate.writes[0]
        _, _, over = make_trains(steps, line, rows, cols, write, write, own, trains, work)
        line[row] = 0
        more_up, more_down = pulse_array(
            layer.array, net.physics, layer.number, writes, rows, trains, WHOLE, work
        )
        up, down, written, clipped = up + more_up, down + more_down, ONE_LINE, clipped | over
    return up, down, written, clipped


@inner
def learn_mixed(layer, net, rate, step, x, d, trains, work):
    """Add the products of an update to the sums of a layer, and write rows as is due.

    Parameters
    ----------
    layer : Layer
    net : Network
    rate : Rate
        Its mantissa and shift lead from a product to a sum.
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
    mixed, rows, cols = layer.mixed, layer.rows, layer.cols
    key = op_key(net.physics.base, PRODUCT, layer.number, step)
    own_x, own_d = work.part, work.values
    _rounded(x, cols, mixed.own.x_half, mixed.own.x_drawn, key, INPUT, work, own_x)
    _rounded(d, rows, mixed.own.d_half, mixed.own.d_drawn, key, OUTPUT, work, own_d)
    active = np.int64(largest(x, cols) > 0 and largest(d, rows) > 0)
    if active:
        for i in range(rows):
            if own_d[i] != 0:
                error = np.int64(own_d[i])
                _add(mixed.chi, i * cols, cols, own_x, error, rate.mantissa, rate.shift)
    up, down, written, clipped = ZERO, ZERO, ZERO, ZERO
    every = mixed.own.every
    if every and (step + 1) % every == 0:
        up, down, written, clipped = _write_rows(
            layer, net, rate, key, (step + 1) // every, trains, work
        )
    layer.steps[WRITES] += 1
    pass_time(layer.array, net.physics, layer.number, step + 1, layer.steps[WRITES], WHOLE, work)
    return up, down, active, active & (1 - written), clipped
