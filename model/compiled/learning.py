"""A training step without Python: the layer arithmetic of `ohmgrid.model.trainer` as loops."""

from math import log
from typing import NamedTuple

import numpy as np

from ohmgrid.model.compiled.arith import divide_round, saturate, shift_round
from ohmgrid.model.compiled.jit import kernel
from ohmgrid.model.compiled.layout import Side
from ohmgrid.model.compiled.noise import op_key
from ohmgrid.model.compiled.operations import multiply
from ohmgrid.model.compiled.population import Array
from ohmgrid.model.compiled.pulses import make_trains
from ohmgrid.model.compiled.readout import Reading
from ohmgrid.model.compiled.threads import barrier
from ohmgrid.model.compiled.updates import Physics, update_array
from ohmgrid.model.trainer import GUARD, GUARDED_BITS
from ohmgrid.streams import Verb
from ohmgrid.tables import INDEX_SHIFT, PRE_BITS, SLOPE_FRAC, TABLE_SIZE

__all__ = ["Functions", "Layers", "Network", "Signals", "count_hits", "make_signals", "train_block"]

FORWARD, BACKWARD, UPDATE = map(np.int64, (Verb.FORWARD, Verb.BACKWARD, Verb.UPDATE))


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
    squared: int
    top: int
    """Largest value at the edge."""
    one: int
    """What the bias line carries."""
    x_frac: int
    d_frac: int
    edge_bits: int
    value: np.ndarray
    """int32, shape (TABLE_SIZE,), likewise the other tables; of ReLU, zeros."""
    slope: np.ndarray
    exp: np.ndarray


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
    """Return activation and derivative of a pre-activation."""
    if f.relu:
        return min(max(pre, 0), f.top), (1 << SLOPE_FRAC if pre > 0 else 0)
    index = min(max((pre >> INDEX_SHIFT) + TABLE_SIZE // 2, 0), TABLE_SIZE - 1)
    return np.int64(f.value[index]), np.int64(f.slope[index])


@kernel
def _largest_place(pre, rows):
    place = 0
    for i in range(1, rows):
        if pre[i] > pre[place]:
            place = i
    return place


@kernel
def _forward(pixels, net, step, x, slope, work):
    """Take one example to the pre-activations of the last layer, left in ``work.out``.

    Parameters
    ----------
    pixels : int32, shape (inputs,)
    net : Network
    step : int
        Operations between ``net.steps`` and this one.
    x, slope : int32
        Filled with activations and derivatives; shapes (columns,) and (rows of all tiles,).
    work : Scratch
    """
    layers, f, pre = net.layers, net.functions, work.out
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
        multiply(seen, rows, cols, np.False_, x[col : col + cols], io, reading, key, work, pre)
        for i in range(rows):
            scaled = shift_round(pre[i] * layers.y_mantissa[n], layers.y_shift[n])
            pre[i] = saturate(scaled, PRE_BITS)
        if n < last:
            col = layers.col[n + 1]
            for i in range(rows):
                value, derivative = _activate(pre[i], f)
                x[col + i] = value
                slope[row + i] = derivative
            x[col + rows] = f.one


@kernel
def _softmax(pre, rows, label, f, d):
    """Write the errors ``p - onehot``; return the loss."""
    top, total = pre[_largest_place(pre, rows)], 0
    for i in range(rows):
        far = (top - pre[i] + (1 << (INDEX_SHIFT - 1))) >> INDEX_SHIFT
        d[i] = f.exp[min(far, TABLE_SIZE - 1)]
        total += d[i]
    loss = 0.0
    for i in range(rows):
        error = divide_round(np.int64(d[i]) << f.d_frac, total)
        if i == label:
            loss = -log(max(np.float64(error), 0.5) / (1 << f.d_frac))
            error -= 1 << f.d_frac
        d[i] = saturate(error, f.edge_bits)
    return loss


@kernel
def _squared(pre, rows, label, f, d):
    """Write the errors ``(a - onehot) f'``; return the loss."""
    shift = f.x_frac + SLOPE_FRAC - f.d_frac
    total = 0
    for i in range(rows):
        if f.relu:
            value, slope = saturate(pre[i], f.edge_bits), 1 << SLOPE_FRAC
        else:
            value, slope = _activate(pre[i], f)
        miss = value - (f.one if i == label else 0)
        total += miss * miss
        d[i] = saturate(shift_round(miss * slope, shift), f.edge_bits)
    return total / np.float64(2 << 2 * f.x_frac)


@kernel
def _backward(net, step, d, slope, work):
    """Take the errors of the last layer down to those of the first."""
    layers, f, z = net.layers, net.functions, work.out
    for n in range(len(layers.rows) - 1, 0, -1):
        rows, cols, cell, row = layers.rows[n], layers.cols[n], layers.cell[n], layers.row[n]
        key = op_key(net.physics.base, BACKWARD, layers.number[n], net.steps[n, 1] + step)
        seen, io = net.arrays.seen[cell : cell + rows * cols], net.physics.backward_io
        col = layers.col[n]
        reading = Reading(layers.read_cols[n], net.col_noise[col : col + cols])
        multiply(seen, rows, cols, np.True_, d[row : row + rows], io, reading, key, work, z)
        below = layers.row[n - 1]
        for i in range(cols - 1):
            scaled = shift_round(z[i] * layers.z_mantissa[n], layers.z_shift[n])
            guarded = saturate(scaled, GUARDED_BITS) * slope[below + i]
            d[below + i] = saturate(shift_round(guarded, SLOPE_FRAC + GUARD), f.edge_bits)


@kernel
def _sense(pixels, label, net, pulses, step, b, signals, work):
    """Take example ``b`` of a batch forward and backward, and make its trains.

    Returns
    -------
    hit : bool
    loss : float
    """
    layers, last = net.layers, len(net.layers.rows) - 1
    x, d, slope = signals.x[b], signals.d[b], signals.slope[b]
    _forward(pixels, net, step, x, slope, work)
    rows, row = layers.rows[last], layers.row[last]
    hit = _largest_place(work.out, rows) == label
    if net.functions.squared:
        loss = _squared(work.out, rows, label, net.functions, d[row : row + rows])
    else:
        loss = _softmax(work.out, rows, label, net.functions, d[row : row + rows])
    _backward(net, step, d, slope, work)
    for n in range(last + 1):
        rows, cols, row, col = layers.rows[n], layers.cols[n], layers.row[n], layers.col[n]
        row_side, col_side = _sides(signals, b, row, row + rows, col, col + cols)
        firing = signals.firing[b, n]
        firing[0], firing[1], firing[2] = make_trains(
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
    return hit, loss


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
def _learn(net, step, b, signals, part, work):
    """Apply the updates of example ``b`` to one part of the columns of every tile."""
    layers = net.layers
    for n in range(len(layers.rows)):
        rows, cols, row, col = layers.rows[n], layers.cols[n], layers.row[n], layers.col[n]
        row_side, col_side = _sides(signals, b, row, row + rows, col, col + cols)
        bl, firing_rows, firing_cols = signals.firing[b, n]
        update_array(
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


@kernel
def train_block(pixels, labels, batch, net, pulses, signals, hits, losses, part, sync, work):
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
    losses : float64, shape (examples,)
    part : Part
    sync : int64, shape (2,)
        Of the barrier, shared by the threads; zeros at first.
    work : Scratch
        The thread's own.
    """
    for first in range(0, len(labels), batch):
        size = min(batch, len(labels) - first)
        for b in range(part.number, size, part.threads):
            step = first + b
            hits[step], losses[step] = _sense(
                pixels[step], labels[step], net, pulses, step, b, signals, work
            )
        barrier(sync, part.threads)
        for b in range(size):
            _learn(net, first + b, b, signals, part, work)
        barrier(sync, part.threads)


@kernel
def count_hits(pixels, labels, net, signals, part, work):
    """Return how many examples of a thread's share are classified right; see `train_block`."""
    rows, hits = net.layers.rows[-1], 0
    for step in range(part.number, len(labels), part.threads):
        x, slope = signals.x[part.number], signals.slope[part.number]
        _forward(pixels[step], net, step, x, slope, work)
        hits += _largest_place(work.out, rows) == labels[step]
    return hits
