"""A training step without Python: what `ohmgrid.model.core.sequencer` does, as loops."""

import numpy as np

from ohmgrid.compiled.arith import at_edge, shift_round
from ohmgrid.compiled.cells import learn_cells
from ohmgrid.compiled.jit import golden, inner, kernel
from ohmgrid.compiled.layout import Side, Trains
from ohmgrid.compiled.mixed import learn_mixed
from ohmgrid.compiled.noise import op_key
from ohmgrid.compiled.operations import multiply
from ohmgrid.compiled.parts import CHAIN, MIXED, PLAIN, TRANSFERS
from ohmgrid.compiled.pulses import make_trains
from ohmgrid.compiled.residual import learn_sum
from ohmgrid.compiled.threads import barrier
from ohmgrid.compiled.transfer import learn
from ohmgrid.compiled.updates import pass_time, pulse_array
from ohmgrid.counters import field_index
from ohmgrid.model.periphery import functions
from ohmgrid.registers.meters import FIELDS
from ohmgrid.registers.noise import Verb

__all__ = [
    "BACKWARD",
    "COUNTERS",
    "count_hits",
    "learn_hidden",
    "learn_plain",
    "pass_back",
    "pass_through",
    "plan",
    "train_block",
]

# The laws are the golden model's own.
activate, slope_of = golden(functions.activate), golden(functions.slope_of)
exponential, error_below = golden(functions.exponential), golden(functions.error_below)
softmax_share, half_squares = golden(functions.softmax_share), golden(functions.half_squares)
squared_error = golden(functions.squared_error)

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


@inner
def _largest_place(pre, rows):
    place = 0
    for i in range(1, rows):
        if pre[i] > pre[place]:
            place = i
    return place


@inner
def _activations(y, layer, f, x, slope):
    """Write activations and derivatives of one layer's results; return how many were clipped."""
    clipped = 0
    for i in range(layer.rows):
        pre = shift_round(y[i] * layer.y_mantissa, layer.y_shift)
        value, over = activate(pre, f.kind, f.value, f.x_frac, f.top)
        clipped += over
        x[i] = value
        slope[i] = slope_of(value, f.kind, f.x_frac)
    return clipped


@inner
def _forward(pixels, net, step, x, slope, counts, work):
    """Take one example to the results of the last tile, left in ``work.out``.

    Parameters
    ----------
    pixels : int32, shape (inputs,)
    net : Network
    step : int
        Operations between the layers' ``steps`` and this one.
    x, slope : int32
        Filled with activations and derivatives; shapes (columns,) and (rows of all tiles,).
    counts : int64, shape (tiles, len(FIELDS))
    work : Scratch
    """
    inputs = net.layers[0].cols - 1
    for j in range(inputs):
        x[j] = pixels[j]
    x[inputs] = net.functions.one
    pass_through(net, step, x, slope, counts, work)


@inner
def pass_through(net, step, x, slope, counts, work):
    """Do what `_forward` does, from the activations of the first tile on."""
    f, y = net.functions, work.out
    last = len(net.layers) - 1
    for n in range(last + 1):
        layer = net.layers[n]
        rows, cols, col = layer.rows, layer.cols, layer.col
        key = op_key(net.physics.base, FORWARD, layer.number, layer.steps[0] + step)
        passes, saturated = multiply(
            layer.array.seen,
            rows,
            cols,
            np.False_,
            x[col : col + cols],
            net.physics.forward_io,
            layer.forward,
            key,
            work,
            y,
        )
        counts[n, PASSES] += passes
        counts[n, ADC_FORWARD] += saturated
        if n < last:
            above = x[col + cols :]
            counts[n, ACTIVATION] += _activations(y, layer, f, above, slope[layer.row :])
            above[rows] = f.one


@inner
def _softmax(y, layer, label, f, d, counts):
    """Write the errors ``p - onehot``; return ``p[label]``."""
    top, total, share = y[_largest_place(y, layer.rows)], 0, 0
    for i in range(layer.rows):
        far = shift_round((top - y[i]) * layer.y_mantissa, layer.y_shift)
        d[i] = exponential(far, f.coarse, f.fine)
        total += d[i]
    for i in range(layer.rows):
        error = softmax_share(np.int64(d[i]), total, f.d_frac)
        if i == label:
            share = error
            error -= 1 << f.d_frac
        d[i], over = at_edge(error, f.top)
        counts[ERROR] += over
    return share


@inner
def _squared(y, layer, label, f, d, counts):
    """Write the errors ``(a - onehot) f'``; return half the sum of squares."""
    total = 0
    for i in range(layer.rows):
        pre = shift_round(y[i] * layer.y_mantissa, layer.y_shift)
        value, over = activate(pre, f.at_output, f.value, f.x_frac, f.top)
        slope = slope_of(value, f.at_output, f.x_frac)
        counts[ACTIVATION] += over
        miss = value - (f.one if i == label else 0)
        total += miss * miss
        d[i], over = squared_error(miss, slope, f.x_frac, f.d_frac, f.top)
        counts[ERROR] += over
    return half_squares(total, f.x_frac)


@inner
def _errors_below(z, layer, slope, top, d):
    """Write the errors of the layer below; return how many were clipped."""
    clipped = 0
    for i in range(layer.cols - 1):
        exact = shift_round(z[i] * layer.z_mantissa, layer.z_shift)
        d[i], over = error_below(exact, np.int64(slope[i]), top)
        clipped += over
    return clipped


@inner
def pass_back(net, step, d, slope, counts, work):
    """Take the errors of the last layer down to those of the first."""
    z = work.out
    for n in range(len(net.layers) - 1, 0, -1):
        layer, below = net.layers[n], net.layers[n - 1].row
        rows, cols, row = layer.rows, layer.cols, layer.row
        key = op_key(net.physics.base, BACKWARD, layer.number, layer.steps[1] + step)
        _, saturated = multiply(
            layer.array.seen,
            rows,
            cols,
            np.True_,
            d[row : row + rows],
            net.physics.backward_io,
            layer.backward,
            key,
            work,
            z,
        )
        counts[n, ADC_BACKWARD] += saturated
        top = net.functions.top
        counts[n - 1, ERROR] += _errors_below(z, layer, slope[below:], top, d[below:])


@inner
def _sense(pixels, label, net, rates, step, b, signals, counts, work):
    """Take example ``b`` of a batch forward and backward, and make its trains.

    Those of another way than the plain one are made later: they may hang on updates before.

    Returns
    -------
    hit : bool
    word : int
        As in `ohmgrid.model.core.core.Answer`.
    """
    last = len(net.layers) - 1
    x, d, slope = signals.x[b], signals.d[b], signals.slope[b]
    _forward(pixels, net, step, x, slope, counts, work)
    layer = net.layers[last]
    hit = _largest_place(work.out, layer.rows) == label
    errors = d[layer.row :]
    if net.functions.squared:
        word = _squared(work.out, layer, label, net.functions, errors, counts[last])
    else:
        word = _softmax(work.out, layer, label, net.functions, errors, counts[last])
    pass_back(net, step, d, slope, counts, work)
    for n in range(last + 1 if net.way == PLAIN else 0):
        plan(net, n, rates, step, b, x, d, signals, counts, work)
    return hit, word


@inner
def plan(net, n, rates, step, b, x, d, signals, counts, work):
    """Make the trains of tile ``n`` from vectors of all tiles, where it learns the plain way."""
    layer = net.layers[n]
    rows, cols, row, col = layer.rows, layer.cols, layer.row, layer.col
    pulses = rates[n].own
    errors = work.values
    for i in range(rows):
        # Where an array counts with the other sign, it is raised where it was lowered.
        errors[i] = d[row + i] * layer.array.sign[0]
    active, below, clipped = make_trains(
        x[col : col + cols],
        errors,
        rows,
        cols,
        pulses,
        pulses,
        op_key(net.physics.base, UPDATE, layer.number, layer.steps[2] + step),
        _trains(signals, b, n, layer),
        work,
    )
    counts[n, UPDATES] += active
    counts[n, BELOW_PULSE] += below
    counts[n, CLIPPED_TRAINS] += clipped


@inner
def _trains(signals, b, n, layer):
    """Return the trains of example ``b`` on tile ``n``."""
    firing = signals.firing[b, n]
    row, col = len(firing) * layer.row, len(firing) * layer.col
    last_row, last_col = row + len(firing) * layer.rows, col + len(firing) * layer.cols
    return Trains(
        Side(signals.row_line[b, row:last_row], signals.row_train[b, row:last_row]),
        Side(signals.col_line[b, col:last_col], signals.col_train[b, col:last_col]),
        firing,
    )


@inner
def learn_plain(net, n, step, b, signals, counts, part, work):
    """Apply the update of example ``b`` to one part of the columns of tile ``n``."""
    layer = net.layers[n]
    before, trains = layer.steps[2] + step, _trains(signals, b, n, layer)
    up, down = pulse_array(
        layer.array, net.physics, layer.number, before, layer.rows, trains, part, work
    )
    pass_time(layer.array, net.physics, layer.number, before + 1, before + 1, part, work)
    counts[n, PULSES_UP] += up
    counts[n, PULSES_DOWN] += down


@inner
def learn_hidden(net, n, rates, step, b, x, d, signals, counts, work):
    """Apply an update to tile ``n`` where more lies behind a weight than its array.

    ``x`` and ``d`` are vectors of all tiles; ``b`` is the place of the trains.
    """
    layer = net.layers[n]
    rows, cols, row, col = layer.rows, layer.cols, layer.row, layer.col
    x, d = x[col : col + cols], d[row : row + rows]
    before, trains = layer.hidden.steps[2] + step, _trains(signals, b, n, layer)
    if net.way == CHAIN:
        counted = learn_sum(layer, net, rates[n], step, x, d, work)
    elif net.way == TRANSFERS:
        counted = learn(layer, net, rates[n], before, x, d, trains, work)
    elif net.way == MIXED:
        counted = learn_mixed(layer, net, rates[n], before, x, d, trains, work)
    else:
        own = rates[n].own
        counted = learn_cells(
            layer.cells, layer.array, rows, layer.number, own, before, x, d, trains, work
        )
    up, down, active, below, clipped = counted
    counts[n, PULSES_UP] += up
    counts[n, PULSES_DOWN] += down
    counts[n, UPDATES] += active
    counts[n, BELOW_PULSE] += below
    counts[n, CLIPPED_TRAINS] += clipped


@kernel
def train_block(pixels, labels, batch, net, rates, signals, hits, words, counts, part, sync, work):
    """Train on examples in their order, in mini-batches; one call for each thread.

    The layers' ``steps`` are left alone: the caller counts operations when all threads are done.

    Parameters
    ----------
    pixels : int32, shape (examples, inputs)
    labels : int64, shape (examples,)
    batch : int
    net : Network
    rates : Rates
    signals : Signals
        Shared by the threads.
    hits : bool, shape (examples,)
        Filled: whether each example was classified right.
    words : int64, shape (examples,)
        Filled: see `ohmgrid.model.core.core.Answer`.
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
                pixels[step], labels[step], net, rates.layers, step, b, signals, own, work
            )
        barrier(sync, part.threads)
        for b in range(size):
            step, x, d = first + b, signals.x[b], signals.d[b]
            for n in range(len(net.layers)):
                if net.way == PLAIN:
                    learn_plain(net, n, step, b, signals, own, part, work)
                elif part.number == 0:  # an update hangs on the one before
                    learn_hidden(net, n, rates.layers, step, b, x, d, signals, own, work)
        barrier(sync, part.threads)


@kernel
def count_hits(pixels, labels, net, signals, part, work):
    """Return how many examples of a thread's share are classified right; see `train_block`."""
    # What a test counts is dropped.
    counts = np.zeros((len(net.layers), COUNTERS), np.int64)
    rows, hits = net.layers[len(net.layers) - 1].rows, 0
    for step in range(part.number, len(labels), part.threads):
        x, slope = signals.x[part.number], signals.slope[part.number]
        _forward(pixels[step], net, step, x, slope, counts, work)
        hits += _largest_place(work.out, rows) == labels[step]
    return hits
