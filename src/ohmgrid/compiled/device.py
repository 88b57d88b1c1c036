"""What n coincident pulses do to a device: `model.device.step` as loops over the devices hit.

The laws are the golden model's own (`ohmgrid.model.device.pulse`). Each loop is a function of its
own: only so does the compiler work on many devices at a time.
"""

from typing import NamedTuple

import numpy as np

from ohmgrid.compiled.arith import saturate, shift_half_up
from ohmgrid.compiled.jit import apart, count_ones, distinct, golden, inner
from ohmgrid.compiled.layout import (
    BOTH,
    CELL,
    GAMMA,
    GAUSS,
    LOCAL,
    LOWER,
    MOVED,
    PLACE,
    REFERENCE,
    REL,
    ROUNDING,
    SIZE,
    STEPS,
    TOTAL,
    UPPER,
    VALUE,
    VISITS,
    WEIGHT,
)
from ohmgrid.compiled.noise import GAUSSIAN, hash_cells
from ohmgrid.compiled.population import FLAT, SLOPES, STUCK, show_moved
from ohmgrid.compiled.pulses import SLOT_MASK
from ohmgrid.devices.laws import ROOMS
from ohmgrid.model.device import pulse
from ohmgrid.registers.curves import POSITION_BITS, POSITIONS
from ohmgrid.registers.device import (
    CURVE_BITS,
    DRAW_BITS,
    NOISES,
    REL_FRAC,
    ROOM_DITHER_BITS,
    DeviceRegisters,
)

__all__ = ["Device", "draw", "fetch_devices", "store_devices", "visit_devices"]

amplitude, bent, bounded = map(golden, (pulse.amplitude, pulse.bent, pulse.bounded))
bound_with = golden(pulse.bound_with)
local_step, moved, on_line = map(golden, (pulse.local_step, pulse.moved, pulse.on_line))
position, power = golden(pulse.position), golden(pulse.power)
relative_noise, room_near = golden(pulse.relative_noise), golden(pulse.room_near)

BOUND, RANGE, ROOM = map(POSITIONS.index, ("bound", "range", "room"))
ADDITIVE, MULTIPLICATIVE, COMPLEX = map(NOISES.index, ("additive", "multiplicative", "complex"))
ROOM_DITHER = (1 << ROOM_DITHER_BITS) - 1
ONE = np.int64(1)
DOWN = np.uint32(31)
"""Bit of `BOTH` that is set where the pulses lower the conductance."""
MIDDLE, HIGH, LAST = VISITS, 2 * VISITS, 3 * VISITS
"""Where bytes 1 to 3 of the words of devices begin."""


class Device(NamedTuple):
    """Registers of a step device that all its cells share."""

    b_max: int
    b_min: int
    own_bounds: int
    position: int
    behind_up: int
    behind_down: int
    power: int
    flat: int
    """The step is the same at every weight."""
    curves: np.ndarray
    """int32, shape (2 * nodes,): those of the up curve, then of the down curve."""
    nodes: int
    segment_frac: int
    """Bits of a position below the segment."""
    steps: np.ndarray
    """int32: steps to draw from, or empty."""
    offset: int
    curve_frac: int
    noise: int
    noise_add: int
    noise_slope: int
    c2c: np.ndarray
    """int32, shape (32,)"""
    dw: int
    dw_shift: int
    visible: int
    serial: int
    weight_bits: int

    @classmethod
    def of(cls, registers: DeviceRegisters, weight_bits: int) -> "Device":
        """Return the registers as the kernels take them."""
        return cls(
            b_max=registers.b_max,
            b_min=registers.b_min,
            own_bounds=int(registers.own_bounds),
            position=registers.position,
            behind_up=int(registers.behind_up),
            behind_down=int(registers.behind_down),
            power=int(registers.power),
            flat=int(registers.flat),
            curves=np.array(registers.curve_up + registers.curve_down, np.int32),
            nodes=registers.segments + 1,
            segment_frac=POSITION_BITS - (registers.segments.bit_length() - 1),
            steps=np.array(registers.steps, np.int32),
            offset=registers.offset,
            curve_frac=registers.curve_frac,
            noise=registers.noise,
            noise_add=registers.noise_add,
            noise_slope=registers.noise_slope,
            c2c=np.array(registers.c2c, np.int32),
            dw=registers.dw,
            dw_shift=registers.dw_shift,
            visible=registers.visible,
            serial=int(registers.serial),
            weight_bits=weight_bits,
        )


@inner
def draw(words, count, visit):
    """Fill Gaussian and rounding of words: bits 0 to 9, and 10 to 21."""
    distinct()
    for k in range(count):
        middle = np.int32(words[MIDDLE + k])
        visit[GAUSS + k] = np.int32(words[k]) | (middle & 3) << 8
        visit[ROUNDING + k] = middle >> 2 | np.int32(words[HIGH + k] & 0x3F) << 6
    for k in range(count):
        visit[GAUSS + k] = GAUSSIAN[np.uint32(visit[GAUSS + k])]


@inner
def _fetch(k, size, hidden, record, visit):
    """Fill weight, bounds and steps of device k; return where its record begins."""
    place = np.uint32(visit[CELL + k])
    at = np.uint64(place) * np.uint64(size)
    visit[WEIGHT + k] = hidden[place]
    visit[UPPER + k] = record[at]
    visit[LOWER + k] = record[at + np.uint64(1)]
    visit[STEPS + k] = record[at + np.uint64(2)]
    return at


# These two loops wait for memory: one device at a time is faster here.


@inner
def _fetch_flat(hidden, record, count, visit):
    for k in range(count):
        _fetch(k, FLAT, hidden, record, visit)


@inner
def _fetch_sloped(hidden, record, count, visit):
    """Fill the slopes of both directions too."""
    for k in range(count):
        at = _fetch(k, SLOPES, hidden, record, visit)
        visit[GAMMA + k] = record[at + np.uint64(3)]


@inner
def _direct(count, visit):
    """Fill each device's step in the direction of its pulses."""
    for k in range(count):
        shift = (np.uint32(visit[BOTH + k]) >> DOWN) << np.uint32(4)
        visit[VALUE + k] = visit[WEIGHT + k]
        visit[REL + k] = (np.uint32(visit[STEPS + k]) >> shift) & np.uint32(0x7FFF)


@inner
def _direct_slopes(count, visit):
    for k in range(count):
        left = ((np.uint32(visit[BOTH + k]) >> DOWN) ^ np.uint32(1)) << np.uint32(4)
        visit[GAMMA + k] = np.int32(visit[GAMMA + k] << left) >> 16


@inner
def _add_reference(reference, count, bits, visit):
    distinct()
    for k in range(count):
        own = reference[np.uint32(visit[CELL + k])]
        visit[REFERENCE + k] = own
        visit[VALUE + k] = saturate(np.int64(visit[WEIGHT + k]) + own, bits)


@inner
def fetch_devices(array, count, bits, visit):
    """Fill weights and bounds of the devices in row `CELL`, and their steps as row `BOTH` says."""
    if array.record_words == SLOPES:
        _fetch_sloped(array.hidden, array.record, count, visit)
        _direct_slopes(count, visit)
    else:
        _fetch_flat(array.hidden, array.record, count, visit)
    _direct(count, visit)
    if len(array.reference):
        _add_reference(array.reference, count, bits, visit)
    else:
        # Another array of the same thread may have some.
        for k in range(count):
            visit[REFERENCE + k] = 0


@inner
def _flat_steps(count, offset, visit):
    distinct()
    curve = saturate(offset, CURVE_BITS)
    for k in range(count):
        visit[LOCAL + k] = local_step(np.int64(visit[REL + k]), curve)


@inner
def _place(k, kind, measure, visit):
    own, b_max, b_min, behind_up, behind_down = measure
    down = visit[BOTH + k] < 0
    upper, lower = np.int64(visit[UPPER + k]), np.int64(visit[LOWER + k])
    return position(
        np.int64(visit[VALUE + k]),
        down,
        behind_down if down else behind_up,
        upper if own else b_max,
        lower if own else b_min,
        kind,
    )


@inner
def _places(count, regs, visit):
    """Fill the places of weights on their curves: a loop for each kind of position."""
    # Read here, and not for each device.
    behind = regs.behind_up != 0, regs.behind_down != 0
    measure = regs.own_bounds != 0, regs.b_max, regs.b_min, behind[0], behind[1]
    if regs.position == ROOM:
        for k in range(count):
            visit[PLACE + k] = _place(k, ROOM, measure, visit)
    elif regs.position == RANGE:
        for k in range(count):
            visit[PLACE + k] = _place(k, RANGE, measure, visit)
    else:
        for k in range(count):
            visit[PLACE + k] = _place(k, BOUND, measure, visit)


@inner
def _table_steps(count, nodes, width, frac, offset, visit):
    distinct()
    mask, low, down = np.uint32((1 << frac) - 1), np.uint32(frac), np.uint32(width)
    for k in range(count):
        place = np.uint32(visit[PLACE + k])
        below = down if visit[BOTH + k] < 0 else np.uint32(0)
        first = np.uint64(np.uint32(place >> low) + below)
        start, end = np.int64(nodes[first]), np.int64(nodes[first + np.uint64(1)])
        # 32 bits hold it, which the compiler cannot see.
        factor = np.int64(np.int32(on_line(start, end, np.int64(place & mask), frac)))
        curve = np.int64(np.int32(bent(offset, np.int64(visit[GAMMA + k]), factor)))
        visit[LOCAL + k] = local_step(np.int64(visit[REL + k]), curve)


@inner
def _drawn_steps(count, words, steps, offset, visit):
    distinct()
    for k in range(count):
        dither, last = np.int64(words[k] & ROOM_DITHER), np.int64(words[LAST + k] >> 2)
        room = room_near(np.int64(visit[PLACE + k]), dither)
        row = room + ROOMS * np.int64(np.uint32(visit[BOTH + k]) >> DOWN)
        curve = bent(offset, np.int64(visit[GAMMA + k]), np.int64(steps[row << DRAW_BITS | last]))
        visit[LOCAL + k] = local_step(np.int64(visit[REL + k]), curve)


@inner
def _power_steps(count, curve_frac, visit):
    distinct()
    for k in range(count):
        curve = power(np.int64(visit[PLACE + k]), np.int64(visit[GAMMA + k]), curve_frac)
        visit[LOCAL + k] = local_step(np.int64(visit[REL + k]), curve)


@inner
def _dither(count, words, visit):
    """Make the low bits of the bounds random."""
    distinct()
    for k in range(count):
        low = np.int32(words[HIGH + k]) >> 6 | (np.int32(words[LAST + k]) & 3) << 2
        visit[UPPER + k] = bound_with(visit[UPPER + k], low)
        visit[LOWER + k] = -bound_with(-visit[LOWER + k], low)


@inner
def _amplitude(k, kind, curve_frac, noise_add, noise_slope, visit):
    local, rel = np.int64(visit[LOCAL + k]), np.int64(visit[REL + k])
    value = np.int64(visit[VALUE + k])
    return amplitude(local, rel, value, kind, curve_frac, noise_add, noise_slope)


@inner
def _amplitudes(count, regs, visit):
    """Fill what the noise of the pulses scales with: a loop for each kind of noise."""
    frac, add, slope = regs.curve_frac, regs.noise_add, regs.noise_slope
    if regs.noise == ADDITIVE:
        for k in range(count):
            visit[SIZE + k] = _amplitude(k, ADDITIVE, frac, add, slope, visit)
    elif regs.noise == MULTIPLICATIVE:
        for k in range(count):
            visit[SIZE + k] = _amplitude(k, MULTIPLICATIVE, frac, add, slope, visit)
    else:
        for k in range(count):
            visit[SIZE + k] = _amplitude(k, COMPLEX, frac, add, slope, visit)


@inner
def _move_by(k, pulses, deviation, dw, dw_shift, bits, visit):
    """Fill the conductance of device k after so many pulses, whose noise has that deviation."""
    # 32 bits hold it, which the compiler cannot see.
    relative = np.int64(np.int32(relative_noise(np.int64(visit[GAUSS + k]), deviation)))
    after = moved(
        np.int64(visit[VALUE + k]),
        visit[BOTH + k] < 0,
        pulses,
        np.int64(visit[LOCAL + k]),
        shift_half_up(visit[SIZE + k] * relative, REL_FRAC),
        np.int64(visit[ROUNDING + k]),
        dw,
        dw_shift,
    )
    b_max, b_min = np.int64(visit[UPPER + k]), np.int64(visit[LOWER + k])
    after = bounded(after, b_max, b_min, np.int64(visit[REFERENCE + k]), bits)
    weight = visit[WEIGHT + k]
    visit[MOVED + k] = weight if visit[STEPS + k] & STUCK else after


@inner
def _move(count, c2c, dw, dw_shift, bits, visit):
    """Fill the conductances after the pulses."""
    distinct()
    dw = np.int64(np.int32(dw))
    for k in range(count):
        pulses = np.int64(count_ones(np.uint32(visit[BOTH + k]) & SLOT_MASK))
        _move_by(k, pulses, np.int64(c2c[pulses]), dw, dw_shift, bits, visit)


@inner
def _move_once(count, deviation, dw, dw_shift, bits, visit):
    """Fill the conductances after one pulse each."""
    distinct()
    deviation, dw = np.int64(np.int32(deviation)), np.int64(np.int32(dw))
    for k in range(count):
        _move_by(k, ONE, deviation, dw, dw_shift, bits, visit)


@inner
def _store(hidden, count, visit):
    distinct()
    for k in range(count):
        hidden[np.uint32(visit[CELL + k])] = visit[MOVED + k]


@inner
def store_devices(array, count, visit):
    """Give the devices in row `CELL` the conductances in row `MOVED`."""
    _store(array.hidden, count, visit)


@inner
def visit_devices(array, regs, count, work):
    """Visit the devices that ``work.cell``, ``both`` and ``total`` list, each at most once.

    Parameters
    ----------
    array : Array
    regs : Device
    count : int
        At most `VISITS`.
    work : Scratch
    """
    apart()
    visit, words = work.visit, work.words
    hash_cells(visit[TOTAL:], count, words, work.words64)
    draw(words, count, visit)
    fetch_devices(array, count, regs.weight_bits, visit)
    if regs.flat:
        _flat_steps(count, regs.offset, visit)
    else:
        _places(count, regs, visit)
        if regs.power:
            _power_steps(count, regs.curve_frac, visit)
        elif len(regs.steps):
            _drawn_steps(count, words, regs.steps, regs.offset, visit)
        else:
            frac, offset = regs.segment_frac, regs.offset
            _table_steps(count, regs.curves, regs.nodes, frac, offset, visit)
    if regs.visible:
        _dither(count, words, visit)
    _amplitudes(count, regs, visit)
    if regs.serial:  # slot by slot
        _move_once(count, regs.c2c[1], regs.dw, regs.dw_shift, regs.weight_bits, visit)
    else:
        _move(count, regs.c2c, regs.dw, regs.dw_shift, regs.weight_bits, visit)
    store_devices(array, count, visit)
    show_moved(array, regs, count, work)
