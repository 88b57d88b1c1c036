"""Courses of single devices in floats, for fits to measured pulses (`ohmgrid.measurements`).

A device is its mean steps, tabulated at equal distances of the weight, with straight lines between
them. The same operations in the same order everywhere: no exponential, no logarithm.
"""

from ohmgrid.compiled.jit import inner, kernel

__all__ = ["follow", "predict", "predict_moves"]

ROUNDS, CLOSE = 20, 1e-10
"""Most steps of Newton's method for a start, and the step in weight units that ends it."""


@inner
def _sweep(start, first, last, up, gain, low, high, rise, fall, course, lean):
    """Follow one sweep from a start; fill its course and its slope over the start."""
    count = len(rise) - 1
    unit = (high - low) / count
    weight, slope = min(max(start, low), high), 1.0
    course[first], lean[first] = weight, slope
    for k in range(first + 1, last):
        scaled = (weight - low) / unit
        index = min(int(scaled), count - 1)
        part = scaled - index
        if up[k]:
            step = gain[k] * (rise[index] + part * (rise[index + 1] - rise[index]))
            bend = gain[k] * (rise[index + 1] - rise[index]) / unit
        else:
            step = -gain[k] * (fall[index] + part * (fall[index + 1] - fall[index]))
            bend = -gain[k] * (fall[index + 1] - fall[index]) / unit
        weight += step
        slope *= 1.0 + bend
        if weight <= low or weight >= high:
            weight, slope = min(max(weight, low), high), 0.0
        course[k], lean[k] = weight, slope


@kernel
def follow(values, starts, counts, up, gain, edges, low, high, rise, fall, course, lean):
    """Fill the courses that are nearest to the values that count, each sweep from its own start.

    Parameters
    ----------
    values, starts, counts, gain : float64 arrays, shape (values,)
        Weights; weights to start the search from; how much each value counts; step over the mean
        device's.
    up : bool array, shape (values,)
    edges : int64 array, shape (sweeps + 1,)
    low, high : float
        Weights of the first and the last node; the bounds.
    rise, fall : float64 arrays, shape (nodes,)
        Magnitudes of the up and the down step.
    course, lean : float64 arrays, shape (values,)
        Filled: the courses, and their slopes over the start.
    """
    for sweep in range(len(edges) - 1):
        first, last = edges[sweep], edges[sweep + 1]
        start = min(max(starts[first], low), high)
        for _ in range(ROUNDS):
            _sweep(start, first, last, up, gain, low, high, rise, fall, course, lean)
            above = below = 0.0
            for k in range(first, last):
                above += counts[k] * lean[k] * (values[k] - course[k])
                below += counts[k] * lean[k] * lean[k]
            before = start
            if below > 0.0:
                start = min(max(start + above / below, low), high)
            if abs(start - before) < CLOSE:
                break
        _sweep(start, first, last, up, gain, low, high, rise, fall, course, lean)


@kernel
def predict(
    values, up, gain, opens, noise, read, low, high, rise, fall, deviation, variance
):  # fmt: skip
    """Predict each value from those before it, by an extended Kalman filter.

    With the mean step m at the weight, noise c of a step and r of a read::

        w[k] = w[k-1] + m(w[k-1]) + c[k] xi        y[k] = w[k] + r xi'

    Parameters
    ----------
    values, up, gain, low, high, rise, fall
        As of `follow`.
    opens : bool array, shape (values,)
        Values that begin anew: no value before them says anything of them.
    noise : float64 array, shape (values,)
        Standard deviation of the pulse that led to a value.
    read : float
        Variance of a read.
    deviation, variance : float64 arrays, shape (values,)
        Filled: value less prediction, and the variance of that; 0 and 1 where a value opens.
    """
    count = len(rise) - 1
    unit = (high - low) / count
    weight, spread = 0.0, 0.0
    for k in range(len(values)):
        if opens[k]:
            weight, spread = min(max(values[k], low), high), read
            deviation[k], variance[k] = 0.0, 1.0
            continue
        scaled = (weight - low) / unit
        index = min(int(scaled), count - 1)
        part = scaled - index
        if up[k]:
            nodes, sign = rise, gain[k]
        else:
            nodes, sign = fall, -gain[k]
        moved = sign * (nodes[index] + part * (nodes[index + 1] - nodes[index]))
        # The curve's slope, without the jumps at its nodes: what is searched must have none.
        before = nodes[index + 1] - nodes[index - 1 if index > 0 else 0]
        after = nodes[index + 2 if index + 2 <= count else count] - nodes[index]
        before /= 2.0 if index > 0 else 1.0
        after /= 2.0 if index + 2 <= count else 1.0
        bent = 1.0 + sign * (before + part * (after - before)) / unit
        weight += moved
        # What is beyond a bound is at it, for certain; this sets in over the last step.
        room = high - weight if moved > 0.0 else weight - low
        free = min(max(room / max(abs(moved), 1e-12), 0.0), 1.0)
        weight = min(max(weight, low), high)
        spread = spread * (bent * free) * (bent * free) + noise[k] * noise[k]
        seen = spread + read
        deviation[k], variance[k] = values[k] - weight, seen
        part = spread / seen
        weight = min(max(weight + part * deviation[k], low), high)
        spread *= 1.0 - part


@kernel
def predict_moves(moves, opens, noise, read, deviation, variance):
    """Predict deviations of steps from a curve, each from those before it.

    As `predict`, of moves already less the curve's own: only noise is left in them.

    Parameters
    ----------
    moves, noise : float64 arrays, shape (moves,)
        Deviations, and the standard deviation of each pulse.
    opens : bool array, shape (moves,)
        Moves that start at a value which no move before led to.
    read : float
        Variance of a read.
    deviation, variance : float64 arrays, shape (moves,)
        Filled.
    """
    state, spread = 0.0, read
    for k in range(len(moves)):
        if opens[k]:
            # A first value is where the device is, but for the read.
            state, spread = 0.0, read
        state -= moves[k]
        spread += noise[k] * noise[k]
        seen = spread + read
        deviation[k], variance[k] = state, seen
        part = spread / seen
        state -= part * state
        spread *= 1.0 - part
