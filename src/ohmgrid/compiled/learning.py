"""A training step without Python: the layer arithmetic of `ohmgrid.model.core.trainer` as loops."""

from typing import NamedTuple

import numpy as np

from ohmgrid.compiled.arith import divide_round, saturate, shift_round
from ohmgrid.compiled.jit import kernel
from ohmgrid.compiled.layout import Side
from ohmgrid.compiled.noise import op_key
from ohmgrid.compiled.operations import multiply
from ohmgrid.compiled.population import Array
from ohmgrid.compiled.pulses import make_trains
from ohmgrid.compiled.readout import Reading
from ohmgrid.compiled.threads import barrier
from ohmgrid.compiled.updates import Physics, update_array
from ohmgrid.counters import FIELDS, field_index
from ohmgrid.model.core.trainer import GUARD, GUARDED_BITS
from ohmgrid.registers.layers import (
    EXP_FRAC,
    FAR_BITS,
    FINE_BITS,
    INDEX_SHIFT,
    LOSS_BITS,
    LOSS_FRAC,
    SLOPE_FRAC,
    TABLE_SIZE,
)
from ohmgrid.registers.noise import Verb

__all__ = ["Functions", "Layers", "Network", "Signals", "count_hits", "make_signals", "train_block"]

FORWARD, BACKWARD, UPDATE = map(np.int64, (Verb.FORWARD, Verb.BACKWARD, Verb.UPDATE))
(
    ADC_FORWARD,
    ADC_BACKWARD,
    ACTIVATION,
    ERROR,
    PULSES_UP,
    PULSES_DOWN,
    UPDATES,
    BELOW_PULSE,
    CLIPPED_TRAINS,
    PASSES,
) = map(field_index, FIELDS)
"""Counters of a layer by their places in a row of counts."""
COUNTERS = len(FIELDS)


class Layers(NamedTuple):
    """One entry for each tile: int64, shape (tiles,)."""

    rows: np.ndarray
    cols: np.ndarray
    device: np.ndarray
    """Place of its first device among all devices."""
    cell: np.ndarray
    """Place of its first cell among all cells."""
    row: np.ndarray
    """Place of its first row among all rows."""
    col: np.ndarray
    """Place of its first column among all columns."""
    number: np.ndarray
    y_mantissa: np.ndarray
    y_shift: np.ndarray
    z_mantissa: np.ndarray
    z_shift: np.ndarray
    read_rows: np.ndarray
    """int64, shape (tiles, REGISTERS): of `Reading`, forward."""
    read_cols: np.ndarray
    """The same, backward."""


class Functions(NamedTuple):
    """Activation and loss of a net, and their tables."""

    relu: int
    tanh: int
    squared: int
    top: int
    """Largest value at the edge."""
    one: int
    """What the bias line carries."""
    x_frac: int
    d_frac: int
    edge_bits: int
    value: np.ndarray
    """int32, shape (TABLE_SIZE,); of ReLU, zeros."""
    coarse: np.ndarray
    """int64, shape (16,): exponentials of the upper bits of an index."""
    fine: np.ndarray
    """int64, shape (128,): of its lower bits."""


class Network(NamedTuple):
    """All tiles of a net."""

    physics: Physics
    layers: Layers
    arrays: Array
    """Those of all tiles, one after the other."""
    row_noise: np.ndarray
    """int64, shape (rows of all tiles,): of `Reading`, forward."""
    col_noise: np.ndarray
    """int64, shape (columns of all tiles,): backward."""
    steps: np.ndarray
    """int64, shape (tiles, 3): operations so far."""
    functions: Functions


class Signals(NamedTuple):
    """What the examples of a mini-batch leave behind for their updates."""

    x: np.ndarray
    """int32, shape (batch, columns of all tiles): activations."""
    d: np.ndarray
    """int32, shape (batch, rows of all tiles): errors."""
    slope: np.ndarray
    """int32, shape (batch, rows of all tiles): derivatives."""
    row_line: np.ndarray
    """uint32, shape (batch, rows of all tiles): firing rows, each tile's from its first row on."""
    row_train: np.ndarray
    col_line: np.ndarray
    """uint32, shape (batch, columns of all tiles): firing columns."""
    col_train: np.ndarray
    firing: np.ndarray
    """int64, shape (batch, tiles, 3): bit length, firing rows, firing columns."""


def make_signals(batch: int, layers: Layers) -> Signals:
    """Return room for mini-batches of up to ``batch`` examples."""
    rows, cols = (batch, int(layers.rows.sum())), (batch, int(layers.cols.sum()))
    return Signals(
        x=np.zeros(cols, np.int32),
        d=np.zeros(rows, np.int32),
        slope=np.zeros(rows, np.int32),
        row_line=np.zeros(rows, np.uint32),
        row_train=np.zeros(rows, np.uint32),
        col_line=np.zeros(cols, np.uint32),
        col_train=np.zeros(cols, np.uint32),
        firing=np.zeros((batch, len(layers.rows), 3), np.int64),
    )


@kernel
def _activate(pre, f):
    """Return activation and derivative of a scaled result, and whether it was clipped."""
    if f.relu:
        value = max(pre, 0)
        return min(value, f.top), (1 << SLOPE_FRAC if pre > 0 else 0), value > f.top
    index = min(max((pre >> INDEX_SHIFT) + TABLE_SIZE // 2, 0), TABLE_SIZE - 1)
    value = np.int64(f.value[index])
    one = 1 << f.x_frac
    product = (one - value) * (one + value if f.tanh else value)
    return value, shift_round(product, 2 * f.x_frac - SLOPE_FRAC), False


@kernel
def _largest_place(pre, rows):
    place = 0
    for i in range(1, rows):
        if pre[i] > pre[place]:
            place = i
    return place


@kernel
def _forward(pixels, net, step, x, slope, counts, work):
    """Take one example to the results of the last tile, left in ``work.out``.

    Parameters
    ----------
    pixels : int32, shape (inputs,)
    net : Network
    step : int
        Operations between ``net.steps`` and this one.
    x, slope : int32
        Filled with activations and derivatives; shapes (columns,) and (rows of all tiles,).
    counts : int64, shape (tiles, len(FIELDS))
    work : Scratch
    """
    layers, f, y = net.layers, net.functions, work.out
    inputs = layers.cols[0] - 1
    for j in range(inputs):
        x[j] = pixels[j]
    x[inputs] = f.one
    last = len(layers.rows) - 1
    for n in range(last + 1):
        rows, cols, cell, col = layers.rows[n], layers.cols[n], layers.cell[n], layers.col[n]
        key = op_key(net.physics.base, FORWARD, layers.number[n], net.steps[n, 0] + step)
        seen, io = net.arrays.seen[cell : cell + rows * cols], net.physics.forward_io
        row = layers.row[n]
        reading = Reading(layers.read_rows[n], net.row_noise[row : row + rows])
        passes, saturated = multiply(
            seen, rows, cols, np.False_, x[col : col + cols], io, reading, key, work, y
        )
        counts[n, PASSES] += passes
        counts[n, ADC_FORWARD] += saturated
        if n < last:
            col = layers.col[n + 1]
            clipped = 0
            for i in range(rows):
                pre = shift_round(y[i] * layers.y_mantissa[n], layers.y_shift[n])
                value, derivative, over = _activate(pre, f)
                clipped += over
                x[col + i] = value
                slope[row + i] = derivative
            counts[n, ACTIVATION] += clipped
            x[col + rows] = f.one


@kernel
def _edge(value, top):
    """Return a value clipped to the tile's edge, and whether it was."""
    clipped = min(max(value, -top), top)
    return clipped, clipped != value


@kernel
def _softmax(y, rows, label, mantissa, shift, f, d, counts):
    """Write the errors ``p - onehot``; return ``p[label]``."""
    top, total = y[_largest_place(y, rows)], 0
    for i in range(rows):
        far = min(shift_round((top - y[i]) * mantissa, shift), (1 << FAR_BITS) - 1)
        index = min((far + (1 << (INDEX_SHIFT - 1))) >> INDEX_SHIFT, TABLE_SIZE - 1)
        product = f.coarse[index >> FINE_BITS] * f.fine[index & ((1 << FINE_BITS) - 1)]
        d[i] = shift_round(product, EXP_FRAC)
        total += d[i]
    share = 0
    for i in range(rows):
        error = divide_round(np.int64(d[i]) << f.d_frac, total)
        if i == label:
            share = error
            error -= 1 << f.d_frac
        clipped, over = _edge(error, f.top)
        d[i] = clipped
        counts[ERROR] += over
    return share


@kernel
def _squared(y, rows, label, mantissa, scale_shift, f, d, counts):
    """Write the errors ``(a - onehot) f'``; return half the sum of squares."""
    shift = f.x_frac + SLOPE_FRAC - f.d_frac
    total = 0
    for i in range(rows):
        pre = shift_round(y[i] * mantissa, scale_shift)
        if f.relu:
            value, over = _edge(pre, f.top)
            slope = 1 << SLOPE_FRAC
        else:
            value, slope, over = _activate(pre, f)
        counts[ACTIVATION] += over
        miss = value - (f.one if i == label else 0)
        total += miss * miss
        clipped, over = _edge(shift_round(miss * slope, shift), f.top)
        d[i] = clipped
        counts[ERROR] += over
    return min(shift_round(total, 2 * f.x_frac + 1 - LOSS_FRAC), (1 << LOSS_BITS) - 1)


@kernel
def _backward(net, step, d, slope, counts, work):
    """Take the errors of the last layer down to those of the first."""
    layers, f, z = net.layers, net.functions, work.out
    for n in range(len(layers.rows) - 1, 0, -1):
        rows, cols, cell, row = layers.rows[n], layers.cols[n], layers.cell[n], layers.row[n]
        key = op_key(net.physics.base, BACKWARD, layers.number[n], net.steps[n, 1] + step)
        seen, io = net.arrays.seen[cell : cell + rows * cols], net.physics.backward_io
        col = layers.col[n]
        reading = Reading(layers.read_cols[n], net.col_noise[col : col + cols])
        _, saturated = multiply(
            seen, rows, cols, np.True_, d[row : row + rows], io, reading, key, work, z
        )
        counts[n, ADC_BACKWARD] += saturated
        below = layers.row[n - 1]
        lost = 0
        for i in range(cols - 1):
            exact = shift_round(z[i] * layers.z_mantissa[n], layers.z_shift[n])
            guarded, steep = saturate(exact, GUARDED_BITS), np.int64(slope[below + i])
            error, over = _edge(shift_round(guarded * steep, SLOPE_FRAC + GUARD), f.top)
            lost += over or (guarded != exact and steep != 0)
            d[below + i] = error
        counts[n - 1, ERROR] += lost


@kernel
def _sense(pixels, label, net, pulses, step, b, signals, counts, work):
    """Take example ``b`` of a batch forward and backward, and make its trains.

    Returns
    -------
    hit : bool
    word : int
        As in `ohmgrid.model.core.trainer.Answer`.
    """
    layers, last = net.layers, len(net.layers.rows) - 1
    x, d, slope = signals.x[b], signals.d[b], signals.slope[b]
    _forward(pixels, net, step, x, slope, counts, work)
    rows, row = layers.rows[last], layers.row[last]
    hit = _largest_place(work.out, rows) == label
    scale = layers.y_mantissa[last], layers.y_shift[last]
    errors = d[row : row + rows]
    if net.functions.squared:
        word = _squared(work.out, rows, label, *scale, net.functions, errors, counts[last])
    else:
        word = _softmax(work.out, rows, label, *scale, net.functions, errors, counts[last])
    _backward(net, step, d, slope, counts, work)
    for n in range(last + 1):
        rows, cols, row, col = layers.rows[n], layers.cols[n], layers.row[n], layers.col[n]
        row_side, col_side = _sides(signals, b, row, row + rows, col, col + cols)
        firing = signals.firing[b, n]
        firing[0], firing[1], firing[2], active, below, clipped = make_trains(
            x[col : col + cols],
            d[row : row + rows],
            rows,
            cols,
            pulses,
            op_key(net.physics.base, UPDATE, layers.number[n], net.steps[n, 2] + step),
            row_side,
            col_side,
            work,
        )
        counts[n, UPDATES] += active
        counts[n, BELOW_PULSE] += below
        counts[n, CLIPPED_TRAINS] += clipped
    return hit, word


@kernel
def _sides(signals, b, row, last_row, col, last_col):
    """Return one tile's share of the trains of example ``b``."""
    return (
        Side(signals.row_line[b, row:last_row], signals.row_train[b, row:last_row]),
        Side(signals.col_line[b, col:last_col], signals.col_train[b, col:last_col]),
    )


@kernel
def _rest(field, first):
    """Return a field from one tile on; of an empty one, itself."""
    return field[first:] if len(field) else field


@kernel
def _tile_array(net, n):
    """Return one tile's share of the arrays."""
    layers, all_tiles = net.layers, net.arrays
    paired = all_tiles.paired
    rows, cols = layers.rows[n] * (1 + paired), layers.cols[n]
    device, cell, row = layers.device[n], layers.cell[n], layers.row[n] * (1 + paired)
    end = device + rows * cols
    return Array(
        all_tiles.hidden[device:end],
        all_tiles.seen[cell : cell + layers.rows[n] * cols],
        all_tiles.packed[device:end],
        _rest(all_tiles.reference, device),
        _rest(all_tiles.aging, device),
        _rest(all_tiles.point, device),
        all_tiles.row_key[row : row + rows],
        all_tiles.col_key[layers.col[n] : layers.col[n] + cols],
        rows,
        cols,
        paired,
    )


@kernel
def _learn(net, step, b, signals, counts, part, work):
    """Apply the updates of example ``b`` to one part of the columns of every tile."""
    layers = net.layers
    for n in range(len(layers.rows)):
        rows, cols, row, col = layers.rows[n], layers.cols[n], layers.row[n], layers.col[n]
        row_side, col_side = _sides(signals, b, row, row + rows, col, col + cols)
        bl, firing_rows, firing_cols = signals.firing[b, n]
        up, down = update_array(
            _tile_array(net, n),
            net.physics,
            layers.number[n],
            net.steps[n, 2] + step,
            row_side,
            firing_rows,
            col_side,
            firing_cols,
            bl,
            part,
            work,
        )
        counts[n, PULSES_UP] += up
        counts[n, PULSES_DOWN] += down


@kernel
def train_block(pixels, labels, batch, net, pulses, signals, hits, words, counts, part, sync, work):
    """Train on examples in their order, in mini-batches; one call for each thread.

    ``net.steps`` is left alone: the caller counts the operations when all threads are done.

    Parameters
    ----------
    pixels : int32, shape (examples, inputs)
    labels : int64, shape (examples,)
    batch : int
    net : Network
    pulses : Pulses
    signals : Signals
        Shared by the threads.
    hits : bool, shape (examples,)
        Filled: whether each example was classified right.
    words : int64, shape (examples,)
        Filled: see `ohmgrid.model.core.trainer.Answer`.
    counts : int64, shape (threads, tiles, len(FIELDS))
        Added to: each thread counts what it does.
    part : Share
    sync : int64, shape (3,)
        Of the barrier, shared by the threads (`new_sync`).
    work : Scratch
        The thread's own.
    """
    own = counts[part.number]
    for first in range(0, len(labels), batch):
        size = min(batch, len(labels) - first)
        for b in range(part.number, size, part.threads):
            step = first + b
            hits[step], words[step] = _sense(
                pixels[step], labels[step], net, pulses, step, b, signals, own, work
            )
        barrier(sync, part.threads)
        for b in range(size):
            _learn(net, first + b, b, signals, own, part, work)
        barrier(sync, part.threads)


@kernel
def count_hits(pixels, labels, net, signals, part, work):
    """Return how many examples of a thread's share are classified right; see `train_block`."""
    # What a test counts is dropped.
    counts = np.zeros((len(net.layers.rows), COUNTERS), np.int64)
    rows, hits = net.layers.rows[-1], 0
    for step in range(part.number, len(labels), part.threads):
        x, slope = signals.x[part.number], signals.slope[part.number]
        _forward(pixels[step], net, step, x, slope, counts, work)
        hits += _largest_place(work.out, rows) == labels[step]
    return hits
