"""From two vectors to packed pulse trains: `model.periphery.pulses` and `lines` as loops."""

import numpy as np

from ohmgrid.compiled.converters import largest
from ohmgrid.compiled.jit import apart, golden, inner
from ohmgrid.compiled.layout import ZERO
from ohmgrid.compiled.noise import hash_lines, line_key
from ohmgrid.config import PULSE_TYPES
from ohmgrid.model.periphery import pulses
from ohmgrid.model.periphery.pulses import ONE
from ohmgrid.registers.noise import Purpose

__all__ = [
    "NEGATIVE",
    "SLOT_MASK",
    "all_halves",
    "fire",
    "line_halves",
    "make_trains",
    "plan",
    "probability",
]

# The laws are the golden model's own.
expected_pulses, _plan = golden(pulses.expected_pulses), golden(pulses.plan)
is_clipped = golden(pulses.is_clipped)
probability = golden(pulses.probabilities)
increments, thermometer = golden(pulses.increments), golden(pulses.thermometer)

STOCHASTIC = PULSE_TYPES.index("stochastic-compressed")
TRAIN_X, TRAIN_D = np.int64(Purpose.TRAIN_X), np.int64(Purpose.TRAIN_D)
NEGATIVE = np.uint32(1 << 31)
"""Bit of a train that holds the sign of its line's value; the slots are below."""
SLOT_MASK = np.uint32((1 << 31) - 1)


@inner
def plan(x_max, d_max, p):
    """Return bit length and both probability factors and divisors, as `plan_update`."""
    return _plan(x_max, d_max, p, p.managed, p.bl_managed, p.desired_bl, p.x_one, p.d_one)


@inner
def _choose(line, count, work):
    """Copy the spread numbers of some lines to the front of ``work.chosen``."""
    for plane in range(4):
        for k in range(count):
            work.chosen16[plane, k] = work.spread16[plane, line[k]]


@inner
def _draw(train, count, bl, key, purpose, work):
    """Fill stochastic trains of the chosen lines from their chances."""
    for group in range((bl + 3) >> 2):
        hash_lines(line_key(key, purpose, group), work.chosen, (count + 3) >> 2, work.planes)
        for slot in range(4 * group, min(4 * group + 4, bl)):
            fields, bit = work.planes16[slot & 3], np.uint32(1 << slot)
            for k in range(count):
                train[k] |= bit if fields[k] < work.chance[k] else np.uint32(0)


@inner
def _count(train, count, bl, kind, rows, work):
    """Fill the trains of the deterministic types from the chances."""
    for k in range(count):
        chance = np.int64(work.chance[k])
        own = increments(chance, bl, kind) if rows else thermometer(chance, bl)
        train[k] |= np.uint32(own)


@inner
def _chances(values, lines, factor, divisor, chance):
    """Write the firing probability of every line, as `probabilities`."""
    for i in range(lines):
        chance[i] = probability(np.int64(values[i]), factor, divisor)


@inner
def fire(side, count, bl, kind, key, rows, work):
    """Fill trains of the lines at the front of a side; pack those that fire, return how many.

    ``side.train`` holds their signs, ``work.chance`` their firing probabilities.
    """
    apart()
    if kind == STOCHASTIC:
        _choose(side.line, count, work)
        _draw(side.train, count, bl, key, TRAIN_D if rows else TRAIN_X, work)
    else:
        _count(side.train, count, bl, kind, rows, work)
    firing = 0
    for k in range(count):
        train = side.train[k]
        side.line[firing] = side.line[k]
        side.train[firing] = train
        firing += (train & SLOT_MASK) != 0
    return firing


@inner
def _side(values, lines, factor, divisor, bl, kind, key, rows, side, work):
    """Fill one side with its firing lines; return how many they are."""
    apart()
    chance, count = work.chance, 0
    _chances(values, lines, factor, divisor, chance)
    for i in range(lines):
        side.line[count] = i
        side.train[count] = NEGATIVE if values[i] < 0 else np.uint32(0)
        found = chance[i]
        chance[count] = found
        count += found != 0
    return fire(side, count, bl, kind, key, rows, work)


@inner
def make_trains(x, d, rows, cols, p, key, row_side, col_side, work):
    """Plan an update and make its trains, as `plan_update` and `side_trains`.

    Parameters
    ----------
    x, d : integers, shapes (cols,), (rows,)
        Activations and errors at the edge.
    rows, cols : int
    p : Pulses
    key : uint64
        Operation key.
    row_side, col_side : Side
        Filled with the lines that fire.
    work : Scratch

    Returns
    -------
    bl, firing_rows, firing_cols, active, below, clipped : int
        The last three as in `ohmgrid.counters.PulseCounts`.
    """
    apart()
    x_max, d_max = largest(x, cols), largest(d, rows)
    bl, x_factor, x_divisor, d_factor, d_divisor = plan(x_max, d_max, p)
    active = np.int64(x_max > 0 and d_max > 0)
    below = active * (expected_pulses(x_max, d_max, p) < ONE)
    clipped = np.int64(
        is_clipped(x_max, x_factor, x_divisor) | is_clipped(d_max, d_factor, d_divisor)
    )
    if bl == 0:
        return 0, 0, 0, active, below, clipped
    firing_rows = _side(d, rows, d_factor, d_divisor, bl, p.kind, key, np.int64(1), row_side, work)
    if firing_rows == 0:
        return bl, 0, 0, active, below, clipped
    firing_cols = _side(x, cols, x_factor, x_divisor, bl, p.kind, key, ZERO, col_side, work)
    return bl, firing_rows, firing_cols, active, below, clipped


@inner
def _low_halves(count, work, out):
    for k in range(count):
        high = np.uint32(work.planes16[1, k]) << np.uint32(16)
        out[k] = np.uint32(work.planes16[0, k]) | high


@inner
def line_halves(line, count, key, purpose, sub, work, out):
    """Write the low halves of the keys of some lines to ``out`` (uint32)."""
    apart()
    _choose(line, count, work)
    hash_lines(line_key(key, purpose, sub), work.chosen, (count + 3) >> 2, work.planes)
    _low_halves(count, work, out)


@inner
def all_halves(count, key, purpose, sub, work, out):
    """Write the low halves of the keys of lines 0 to ``count - 1`` to ``out`` (uint32)."""
    apart()
    hash_lines(line_key(key, purpose, sub), work.spread, (count + 3) >> 2, work.planes)
    _low_halves(count, work, out)
