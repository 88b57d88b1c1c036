"""Arrays that hand on to one another: `ohmgrid.model.core.residual` as loops."""

from ohmgrid.compiled.jit import apart, inner
from ohmgrid.compiled.layout import WHOLE, ZERO
from ohmgrid.compiled.noise import op_key
from ohmgrid.compiled.operations import multiply
from ohmgrid.compiled.pulses import chunk_side, make_trains
from ohmgrid.compiled.transfer import FORWARD, READS, UPDATE, WRITES, direct
from ohmgrid.compiled.updates import pass_time, pulse_array
from ohmgrid.registers.residual import SUM_FRAC

__all__ = ["learn_sum"]

HALF = 1 << (SUM_FRAC - 1)


@inner
def _add_up(layer, place):
    """Bring what a pass sees of one weight up to date."""
    seen, gains, size = (
        layer.hidden.array.seen,
        layer.transfers.chain.gains,
        layer.rows * layer.cols,
    )
    total = ZERO
    for block in range(len(gains)):
        total += gains[block] * seen[block * size + place]
    layer.array.seen[place] = (total + HALF) >> SUM_FRAC


@inner
def _show(layer, trains):
    """Bring what passes see of all weights that trains may have moved up to date."""
    rows, wide = layer.rows, layer.hidden.array.cols
    for chunk in range(len(trains.firing)):
        _, firing_rows, firing_cols = trains.firing[chunk]
        row_side, col_side = (
            chunk_side(trains.rows, chunk, rows),
            chunk_side(trains.cols, chunk, wide),
        )
        for k in range(firing_cols):
            column = (col_side.line[k] % layer.cols) * rows
            for i in range(firing_rows):
                _add_up(layer, column + row_side.line[i])


@inner
def _pulse(layer, net, step, line, d, pulses, work):
    """Pulse the wide array: operation ``step``; return what `make_trains` and `pulse_array` do."""
    apart()
    hidden, trains, rows = layer.hidden, layer.transfers.chain.trains, layer.rows
    key = op_key(net.physics.base, UPDATE, hidden.number, step)
    active, below, clipped = make_trains(
        line, d, rows, hidden.array.cols, pulses, pulses, key, trains, work
    )
    up, down = pulse_array(hidden.array, net.fast, hidden.number, step, rows, trains, WHOLE, work)
    _show(layer, trains)
    return up, down, active, below, clipped


@inner
def _hand_on(layer, net, rate, source, target, ahead, work):
    """Read the next column of an array; write it to another one."""
    apart()
    hidden, transfers, chain = layer.hidden, layer.transfers, layer.transfers.chain
    rows, cols, last = layer.rows, layer.cols, len(chain.gains) - 1
    reads, column = hidden.steps[READS], chain.turns[source] % cols
    hidden.steps[READS] = reads + 1
    chain.turns[source] += 1
    line, read, asked = work.vector, work.out, work.values
    place = (last - source) * cols + column
    line[place] = transfers.one
    multiply(
        hidden.array.seen,
        rows,
        hidden.array.cols,
        False,
        line,
        net.fast.forward_io,
        hidden.reading,
        op_key(net.physics.base, FORWARD, hidden.number, reads),
        work,
        read,
    )
    line[place] = 0
    step = hidden.steps[WRITES] + ahead + 1
    # One of nothing is a write, too.
    hidden.steps[WRITES] += 1
    if direct(transfers, rows, read, asked):
        place = (last - target) * cols + column
        line[place] = transfers.one
        up, down, _, _, _ = _pulse(layer, net, step, line, asked, rate.writes[source], work)
        hidden.moved[0] += up + down
        line[place] = 0


@inner
def learn_sum(layer, net, rate, ahead, x, d, work):
    """Pulse array 0 of a layer, and hand on what is due.

    Parameters
    ----------
    layer : Layer
    net : Network
    rate : Rate
    ahead : int
        Updates of this call before this one: the core counts them when all are done.
    x, d : int32, shapes (cols,), (rows,)
    work : Scratch

    Returns
    -------
    up, down, active, below, clipped : int
        As in `ohmgrid.counters.PulseCounts`.
    """
    apart()
    hidden, chain, cols = layer.hidden, layer.transfers.chain, layer.cols
    last, line = len(chain.gains) - 1, work.vector
    for j in range(cols):
        line[last * cols + j] = x[j]
    step = hidden.steps[WRITES] + ahead
    up, down, active, below, clipped = _pulse(layer, net, step, line, d, rate.own, work)
    for j in range(cols):
        line[last * cols + j] = 0
    # Passes of the sum count its updates; the wide array counts two for each, and its writes.
    layer.steps[WRITES] += 1
    hidden.steps[WRITES] += 1
    updates, aging = layer.steps[WRITES], net.fast.aging.every
    pass_time(hidden.array, net.fast, hidden.number, updates, step + 2, WHOLE, work)
    if aging and updates % aging == 0:
        for place in range(layer.rows * cols):
            _add_up(layer, place)
    filled = (updates - 1) // chain.warm if chain.warm else last
    if filled < last:
        if updates % chain.every[min(1, last - 1)] == 0:
            _hand_on(layer, net, rate, ZERO, last - filled, ahead, work)
    else:
        for source in range(last):
            if updates % chain.every[source] == 0:
                _hand_on(layer, net, rate, source, source + 1, ahead, work)
    return up, down, active, below, clipped
