"""From two vectors to packed pulse trains: `model.periphery.pulses` and `lines` as loops."""

import numpy as np

from ohmgrid.compiled.converters import largest
from ohmgrid.compiled.jit import apart, golden, inner
from ohmgrid.compiled.layout import ZERO, Side
from ohmgrid.compiled.noise import hash_lines, line_key
from ohmgrid.model.periphery import pulses
from ohmgrid.model.periphery.pulses import ONE
from ohmgrid.periphery import PULSE_TYPES
from ohmgrid.registers.noise import Purpose

__all__ = [
    "NEGATIVE",
    "SLOT_MASK",
    "all_halves",
    "chunk_side",
    "chunk_slots",
    "chunks",
    "expected_pulses",
    "fire",
    "line_halves",
    "make_trains",
    "plan",
    "probability",
]

# The laws are the golden model's own.
chunks, chunk_slots = golden(pulses.chunks), golden(pulses.chunk_slots)
expected_pulses, _plan = golden(pulses.expected_pulses), golden(pulses.plan)
is_clipped = golden(pulses.is_clipped)
probability = golden(pulses.probabilities)
fired, increments = golden(pulses.fired), golden(pulses.increments)
thermometer = golden(pulses.thermometer)

STOCHASTIC = PULSE_TYPES.index("stochastic-compressed")
KEYS = np.int64(pulses.KEYS)
ROWS = np.int64(1)
TRAIN_X, TRAIN_D = np.int64(Purpose.TRAIN_X), np.int64(Purpose.TRAIN_D)
NEGATIVE = np.uint32(1 << 31)
"""Bit of a train that holds the sign of its line's value; the slots are below."""
SLOT_MASK = np.uint32((1 << 31) - 1)


@inner
def plan(k, x_max, d_max, p):
    """Return bit length and both probability factors and divisors, as `plan_update`.

    ``k`` is what `expected_pulses` returns.
    """
    return _plan(k, x_max, d_max, p, p.managed, p.bl_managed, p.desired_bl, p.x_one, p.d_one)


@inner
def _choose(line, count, work):
    """Copy the spread numbers of some lines to the front of ``work.chosen``."""
    for plane in range(4):
        for k in range(count):
            work.chosen16[plane, k] = work.spread16[plane, line[k]]


@inner
def _draw(train, count, slots, chunk, key, purpose, work):
    """Fill a chunk of the stochastic trains of the chosen lines from their chances."""
    for group in range((slots + 3) >> 2):
        sub = KEYS * chunk + group
        hash_lines(line_key(key, purpose, sub), work.chosen, (count + 3) >> 2, work.planes)
        for slot in range(4 * group, min(4 * group + 4, slots)):
            fields, bit = work.planes16[slot & 3], np.uint32(1 << slot)
            for k in range(count):
                train[k] |= bit if fields[k] < work.chance[k] else np.uint32(0)


@inner
def _count(train, count, bl, chunk, kind, rows, work):
    """Fill a chunk of the trains of the deterministic types from the chances."""
    for k in range(count):
        chance = np.int64(work.chance[k])
        own = increments(chance, bl, kind, chunk) if rows else thermometer(chance, bl, chunk)
        train[k] |= np.uint32(own)


@inner
def _chances(values, lines, factor, divisor, chance):
    """Write the firing probability of every line, as `probabilities`."""
    for i in range(lines):
        chance[i] = probability(np.int64(values[i]), factor, divisor)


@inner
def fire(side, count, bl, chunk, kind, key, rows, work):
    """Fill a chunk of the trains of the lines at the front of a side.

    Packs those that fire in it and returns how many they are.

    ``side.train`` holds their signs, ``work.chance`` their firing probabilities.
    """
    apart()
    if kind == STOCHASTIC:
        _choose(side.line, count, work)
        purpose = TRAIN_D if rows else TRAIN_X
        _draw(side.train, count, chunk_slots(bl, chunk), chunk, key, purpose, work)
    else:
        _count(side.train, count, bl, chunk, kind, rows, work)
    firing = 0
    for k in range(count):
        train = side.train[k]
        side.line[firing] = side.line[k]
        side.train[firing] = train
        firing += (train & SLOT_MASK) != 0
    return firing


@inner
def _side(values, lines, factor, divisor, bl, chunk, kind, key, rows, side, work):
    """Fill one side with the lines that fire in a chunk; return how many they are."""
    apart()
    chance, count = work.chance, 0
    _chances(values, lines, factor, divisor, chance)
    for i in range(lines):
        side.line[count] = i
        side.train[count] = NEGATIVE if values[i] < 0 else np.uint32(0)
        found = chance[i]
        chance[count] = found
        count += found != 0
    return fire(side, count, bl, chunk, kind, key, rows, work)


@inner
def chunk_side(side, chunk, lines):
    """Return one chunk of a side of `Trains`, whose tile has so many lines there."""
    first, last = chunk * lines, chunk * lines + lines
    return Side(side.line[first:last], side.train[first:last])


@inner
def make_trains(x, d, rows, cols, p, rate, key, trains, work):
    """Plan an update and make its trains, as `plan_update` and `side_trains`.

    Parameters
    ----------
    x, d : integers, shapes (cols,), (rows,)
        Activations and errors at the edge.
    rows, cols : int
    p : Pulses
    rate : Pulses or Rate
        What the update is scaled by.
    key : uint64
        Operation key.
    trains : Trains
        Filled with the lines that fire.
    work : Scratch

    Returns
    -------
    active, below, clipped : int
        As in `ohmgrid.counters.PulseCounts`.
    """
    apart()
    x_max, d_max = largest(x, cols), largest(d, rows)
    k = expected_pulses(x_max, d_max, rate)
    bl, x_factor, x_divisor, d_factor, d_divisor = plan(k, x_max, d_max, p)
    active = np.int64(x_max > 0 and d_max > 0)
    below = active * (k < ONE)
    clipped = np.int64(
        is_clipped(x_max, x_factor, x_divisor) | is_clipped(d_max, d_factor, d_divisor)
    )
    for chunk in range(len(trains.firing)):
        firing = trains.firing[chunk]
        firing[0], firing[1], firing[2] = chunk_slots(bl, chunk), 0, 0
        if firing[0] == 0:
            continue
        side = chunk_side(trains.rows, chunk, rows)
        firing[1] = _side(d, rows, d_factor, d_divisor, bl, chunk, p.kind, key, ROWS, side, work)
        if firing[1]:
            side = chunk_side(trains.cols, chunk, cols)
            firing[2] = _side(
                x, cols, x_factor, x_divisor, bl, chunk, p.kind, key, ZERO, side, work
            )
    return active, below, clipped


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
