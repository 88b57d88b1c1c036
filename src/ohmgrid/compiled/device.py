"""What n coincident pulses do to a device: `model.device.step` as loops over the devices hit."""

from typing import NamedTuple

import numpy as np

from ohmgrid.compiled.arith import divide_floor, saturate, shift_half_up
from ohmgrid.compiled.jit import apart, bit_length, count_ones, kernel
from ohmgrid.compiled.noise import GAUSSIAN, hash_cells
from ohmgrid.compiled.population import show_devices
from ohmgrid.compiled.pulses import SLOT_MASK
from ohmgrid.registers.curves import BOUND_FRAC, POSITION_BITS, POSITIONS, RANGE_FRAC
from ohmgrid.registers.device import (
    C2C_FRAC,
    CURVE_BITS,
    DITHER_BITS,
    NOISES,
    REL_FRAC,
    SLOPE_FRAC,
    STEP_FRAC,
    TOTAL_BITS,
    DeviceRegisters,
)
from ohmgrid.registers.noise import GAUSS_SIGMA
from ohmgrid.registers.powers import LOG_FRAC, LOG_TABLE, POWER_BITS, POWER_TABLE, TABLE_BITS

__all__ = ["Device", "split", "visit_devices"]

Z_FRAC = GAUSS_SIGMA.bit_length() - 1
CENTRE = 1 << (POSITION_BITS - 1)
RANGE, ROOM = POSITIONS.index("range"), POSITIONS.index("room")
ADDITIVE, COMPLEX = NOISES.index("additive"), NOISES.index("complex")
DITHER = (1 << DITHER_BITS) - 1
WEIGHT, VALUE, UPPER, LOWER, REL, GAMMA, STUCK, PULSES, NOISE, ROUNDING, REFERENCE = range(11)
"""Rows of ``work.device``. A loop reads few arrays, so that the compiler can tell that none of them
is the one it writes, and works on many devices at a time."""
LOGS, POWERS = np.array(LOG_TABLE, np.int32), np.array(POWER_TABLE, np.int32)


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
    """int32, shape (2, segments + 1): nodes of the up and of the down curve."""
    segment_frac: int
    """Bits of a position below the segment."""
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
        slopes = registers.gamma_up, registers.gamma_down, registers.gamma_balance
        return cls(
            b_max=registers.b_max,
            b_min=registers.b_min,
            own_bounds=int(registers.own_bounds),
            position=registers.position,
            behind_up=int(registers.behind_up),
            behind_down=int(registers.behind_down),
            power=int(registers.power),
            flat=int(not registers.power and not any(map(any, slopes))),
            curves=np.array([registers.curve_up, registers.curve_down], np.int32),
            segment_frac=POSITION_BITS - (registers.segments.bit_length() - 1),
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


@kernel
def _ratio(numerator, denominator, bits):
    """Return ``floor(numerator / denominator)``, at most ``2**bits - 1``, as `divide_saturate`."""
    top = (1 << bits) - 1
    quotient = min(divide_floor(numerator, max(denominator, 1)), top)
    return top if denominator == 0 else quotient


@kernel
def _position(value, down, behind, b_max, b_min, kind):
    if kind == ROOM:
        room = max(value - b_min if down else b_max - value, 0)
        return _ratio(room << POSITION_BITS, b_max - b_min, POSITION_BITS)
    if kind == RANGE:
        signed, bound, frac = value, b_max - b_min, RANGE_FRAC
    else:
        signed, bound = -value if down else value, -b_min if down != behind else b_max
        frac = BOUND_FRAC
    size = _ratio(abs(signed) << frac, bound, POSITION_BITS - 1)
    size = -size if signed < 0 else size
    return CENTRE + (0 if signed == 0 else size)


@kernel
def _power(place, gamma, curve_frac):
    if place == 0:
        return 0
    zeros = POSITION_BITS - bit_length(place)
    mantissa = (place << zeros) & (CENTRE - 1)
    logarithm = (zeros << LOG_FRAC) + LOGS[mantissa >> (POSITION_BITS - 1 - TABLE_BITS)]
    exponent = max(shift_half_up(gamma * logarithm, REL_FRAC), 0)
    fraction = np.int64(POWERS[(exponent & ((1 << LOG_FRAC) - 1)) >> (LOG_FRAC - TABLE_BITS)])
    return fraction >> min((exponent >> LOG_FRAC) + (POWER_BITS - curve_frac), 31)


# Each loop is a function of its own: only so does the compiler work on many devices at a time.


@kernel
def split(total, count, byte, plane):
    """Write byte ``byte`` of each word to a plane."""
    shift = np.uint32(8 * byte)
    for k in range(count):
        plane[k] = np.uint8(total[k] >> shift)


@kernel
def _draw(both, low, middle, high, count, c2c, pulses, noise, rounding):
    """Fill the numbers of pulses, and what the cell words give: relative noise and rounding."""
    for k in range(count):
        n = count_ones(both[k] & SLOT_MASK)
        pulses[k] = n
        gauss = np.int64(GAUSSIAN[low[k] | (middle[k] & 3) << 8])
        noise[k] = shift_half_up(gauss * c2c[n], Z_FRAC + C2C_FRAC - REL_FRAC)
        rounding[k] = middle[k] >> 2 | (high[k] & 0x3F) << 6


@kernel
def _add_reference(weight, reference, count, bits, value):
    for k in range(count):
        value[k] = saturate(np.int64(weight[k]) + reference[k], bits)


@kernel
def _flat_steps(rel, count, offset, local):
    curve = saturate(offset, CURVE_BITS)
    for k in range(count):
        local[k] = saturate(shift_half_up(np.int64(rel[k]) * curve, REL_FRAC), CURVE_BITS)


@kernel
def _places(value, both, upper, lower, count, regs, place):
    """Fill the places of weights on their curves."""
    own = regs.own_bounds != 0
    for k in range(count):
        down = (both[k] >> np.uint32(31)) != 0
        place[k] = _position(
            np.int64(value[k]),
            down,
            (regs.behind_down if down else regs.behind_up) != 0,
            np.int64(upper[k]) if own else regs.b_max,
            np.int64(lower[k]) if own else regs.b_min,
            regs.position,
        )


@kernel
def _table_steps(place, both, rel, gamma, count, curves, frac, offset, local):
    width, mask = curves.shape[1], (1 << frac) - 1
    nodes = curves.ravel()
    for k in range(count):
        segment, part = np.int64(place[k]) >> frac, place[k] & mask
        first = np.uint64(segment + width * np.int64(both[k] >> np.uint32(31)))
        start = np.int64(nodes[first])
        slope = nodes[first + np.uint64(1)] - start
        product = shift_half_up(gamma[k] * (start + shift_half_up(slope * part, frac)), REL_FRAC)
        curve = saturate(offset + product, CURVE_BITS)
        local[k] = saturate(shift_half_up(rel[k] * curve, REL_FRAC), CURVE_BITS)


@kernel
def _power_steps(place, rel, gamma, count, curve_frac, local):
    for k in range(count):
        curve = _power(np.int64(place[k]), np.int64(gamma[k]), curve_frac)
        local[k] = saturate(shift_half_up(rel[k] * curve, REL_FRAC), CURVE_BITS)


@kernel
def _amplitudes(value, rel, local, count, regs, amplitude):
    """Fill what the noise of the pulses scales with."""
    top = (1 << (CURVE_BITS - 1)) - 1
    if regs.noise == ADDITIVE:
        for k in range(count):
            amplitude[k] = min((np.int64(rel[k]) << regs.curve_frac) >> REL_FRAC, top)
    elif regs.noise == COMPLEX:
        for k in range(count):
            slope = (abs(np.int64(value[k])) * regs.noise_slope) >> SLOPE_FRAC
            amplitude[k] = min(abs(np.int64(local[k])) + regs.noise_add + slope, top)
    else:
        for k in range(count):
            amplitude[k] = min(abs(np.int64(local[k])), top)


@kernel
def _dither(upper, lower, high, last, count):
    """Make the low bits of the bounds random."""
    for k in range(count):
        low = (high[k] >> 6) | (last[k] & 3) << 2
        upper[k] = (upper[k] & ~DITHER) | low
        lower[k] = -((-lower[k] & ~DITHER) | low)


@kernel
def _move(data, local, amplitude, both, count, dw, dw_shift, bits, moved):
    """Fill the conductances after the pulses."""
    for k in range(count):
        noisy = shift_half_up(np.int64(amplitude[k]) * data[NOISE, k], REL_FRAC)
        total = saturate(np.int64(data[PULSES, k]) * local[k] + noisy, TOTAL_BITS)
        step = (total * dw) >> dw_shift
        step = -step if (both[k] >> np.uint32(31)) != 0 else step
        value = ((np.int64(data[VALUE, k]) << STEP_FRAC) + step + data[ROUNDING, k]) >> STEP_FRAC
        clipped = min(max(value, np.int64(data[LOWER, k])), np.int64(data[UPPER, k]))
        weight = saturate(clipped - data[REFERENCE, k], bits)
        moved[k] = data[WEIGHT, k] if data[STUCK, k] else weight


@kernel
def visit_devices(array, regs, count, work):
    """Visit the devices that ``work.cell``, ``both`` and ``total`` list, each at most once.

    Parameters
    ----------
    array : Array
    regs : Device
    count : int
    work : Scratch
    """
    apart()
    cell, both, planes, data = work.cell, work.both, work.bytes8, work.device
    for byte in range(4):
        split(work.total, count, byte, planes[byte])
    hash_cells((count + 7) >> 3, work.bytes64)
    packed, gamma, upper, lower = array.packed, data[GAMMA], data[UPPER], data[LOWER]
    for k in range(count):
        place = cell[k]
        shift = np.int32((both[k] >> np.uint32(31)) << np.uint32(4))
        steps = packed[place, 2]
        data[WEIGHT, k] = array.hidden[place]
        data[VALUE, k] = array.hidden[place]
        upper[k] = packed[place, 0]
        lower[k] = packed[place, 1]
        data[REL, k] = (steps >> shift) & 0x7FFF
        gamma[k] = (((packed[place, 3] >> shift) & 0xFFFF) ^ 0x8000) - 0x8000
        data[STUCK, k] = steps & 0x8000
    _draw(
        both,
        planes[0],
        planes[1],
        planes[2],
        count,
        regs.c2c,
        data[PULSES],
        data[NOISE],
        data[ROUNDING],
    )
    if len(array.reference):
        for k in range(count):
            data[REFERENCE, k] = array.reference[cell[k]]
        _add_reference(data[WEIGHT], data[REFERENCE], count, regs.weight_bits, data[VALUE])
    rel, local, amplitude = data[REL], work.local, work.amplitude
    if regs.flat:
        _flat_steps(rel, count, regs.offset, local)
    else:
        place = work.place
        _places(data[VALUE], both, upper, lower, count, regs, place)
        if regs.power:
            _power_steps(place, rel, gamma, count, regs.curve_frac, local)
        else:
            frac, offset = regs.segment_frac, regs.offset
            _table_steps(place, both, rel, gamma, count, regs.curves, frac, offset, local)
    _amplitudes(data[VALUE], rel, local, count, regs, amplitude)
    if regs.visible:
        _dither(upper, lower, planes[2], planes[3], count)
    moved, bits = work.moved, regs.weight_bits
    _move(data, local, amplitude, both, count, regs.dw, regs.dw_shift, bits, moved)
    for k in range(count):
        array.hidden[cell[k]] = moved[k]
    show_devices(array, regs, count, work)
