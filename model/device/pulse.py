"""The laws of one device under pulses, each for arrays and for single numbers (golden model).

`ohmgrid.model.device.step` puts them together; the equations stand there. Values are int64.
"""

import numpy as np

from ohmgrid.devices.laws import ROOMS
from ohmgrid.model.base.arith import bit_length, choose, divide_saturate, saturate, shift_half_up
from ohmgrid.registers.curves import BOUND_FRAC, POSITION_BITS, POSITIONS, RANGE_FRAC
from ohmgrid.registers.device import (
    C2C_FRAC,
    CURVE_BITS,
    DITHER_BITS,
    NOISES,
    REL_FRAC,
    ROOM_DITHER_BITS,
    SLOPE_FRAC,
    STEP_FRAC,
    TOTAL_BITS,
)
from ohmgrid.registers.noise import GAUSS_SIGMA
from ohmgrid.registers.powers import LOG_FRAC, LOG_TABLE, POWER_BITS, POWER_TABLE, TABLE_BITS

__all__ = [
    "amplitude",
    "bent",
    "bound_with",
    "bounded",
    "local_step",
    "moved",
    "on_line",
    "position",
    "power",
    "relative_noise",
    "room_near",
]

Z_FRAC = GAUSS_SIGMA.bit_length() - 1
CENTRE = 1 << (POSITION_BITS - 1)
ROOM, RANGE = POSITIONS.index("room"), POSITIONS.index("range")
ADDITIVE, MULTIPLICATIVE = NOISES.index("additive"), NOISES.index("multiplicative")
LOGS, POWERS = np.array(LOG_TABLE), np.array(POWER_TABLE)


def position(
    value: np.ndarray,
    down: np.ndarray,
    behind: np.ndarray,
    b_max: np.ndarray,
    b_min: np.ndarray,
    kind: int,
) -> np.ndarray:
    """Return the place of a weight in the tables, 0..32767 (0 is never reached but by room).

    Parameters
    ----------
    value : int64
        Weight with the reference's added, weight LSB.
    down, behind : bool
        Direction of the pulses; whether the bound behind it is the measure.
    b_max, b_min : int64
        Bounds.
    kind : int
        Place in `POSITIONS`.
    """
    if kind == ROOM:
        room = np.maximum(choose(down, value - b_min, b_max - value), 0)
        return divide_saturate(room << POSITION_BITS, b_max - b_min, POSITION_BITS)
    if kind == RANGE:
        size = divide_saturate(np.abs(value) << RANGE_FRAC, b_max - b_min, POSITION_BITS - 1)
        return CENTRE + choose(value == 0, 0, choose(value < 0, -size, size))
    bound = choose(down ^ behind, -b_min, b_max)
    size = divide_saturate(np.abs(value) << BOUND_FRAC, bound, POSITION_BITS - 1)
    signed = choose((value < 0) ^ down, -size, size)
    return CENTRE + choose(value == 0, 0, signed)


def on_line(start: np.ndarray, end: np.ndarray, part: np.ndarray, frac: int) -> np.ndarray:
    """Return the value ``part`` (``frac`` fraction bits) of the way between two nodes."""
    return start + shift_half_up((end - start) * part, frac)


def room_near(place: np.ndarray, dither: np.ndarray) -> np.ndarray:
    """Return one of the rooms beside a place, nearer ones more often.

    Of ``ROOMS - 1`` equal distances between rooms, ``part`` of one is what a place is beyond a
    room: the next one is chosen with that probability, by `ROOM_DITHER_BITS` random bits.
    """
    low = POSITION_BITS - ROOM_DITHER_BITS
    return (place * (ROOMS - 1) + (dither << low) + (1 << (low - 1))) >> POSITION_BITS


def power(place: np.ndarray, gamma: np.ndarray, curve_frac: int) -> np.ndarray:
    """Return ``(place / 2**15) ** gamma`` by a logarithm and a power of two from tables."""
    zeros = POSITION_BITS - bit_length(place)
    mantissa = (place << zeros) & (CENTRE - 1)
    logarithm = (zeros << LOG_FRAC) + LOGS[mantissa >> (POSITION_BITS - 1 - TABLE_BITS)]
    exponent = np.maximum(shift_half_up(gamma * logarithm, REL_FRAC), 0)
    fraction = POWERS[(exponent & ((1 << LOG_FRAC) - 1)) >> (LOG_FRAC - TABLE_BITS)]
    shift = np.minimum((exponent >> LOG_FRAC) + (POWER_BITS - curve_frac), 31)
    return choose(place == 0, 0, fraction >> shift)


def bent(offset: int, gamma: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Return the relative step where a device's curve has that factor."""
    return saturate(offset + shift_half_up(gamma * factor, REL_FRAC), CURVE_BITS)


def local_step(rel: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """Return a cell's step at its weight, ``curve_frac`` fraction bits."""
    return saturate(shift_half_up(rel * curve, REL_FRAC), CURVE_BITS)


def relative_noise(gauss: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Return the noise of all pulses together, relative to what it scales with (`REL_FRAC`)."""
    return shift_half_up(gauss * deviation, Z_FRAC + C2C_FRAC - REL_FRAC)


def amplitude(
    local: np.ndarray,
    rel: np.ndarray,
    value: np.ndarray,
    kind: int,
    curve_frac: int,
    noise_add: int,
    noise_slope: int,
) -> np.ndarray:
    """Return what the noise of a pulse scales with, ``curve_frac`` fraction bits.

    ``kind`` is a place in `NOISES`.
    """
    if kind == ADDITIVE:
        size = (rel << curve_frac) >> REL_FRAC
    elif kind == MULTIPLICATIVE:
        size = np.abs(local)
    else:
        size = np.abs(local) + noise_add + ((np.abs(value) * noise_slope) >> SLOPE_FRAC)
    return np.minimum(size, (1 << (CURVE_BITS - 1)) - 1)


def bound_with(bound: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Return a bound's magnitude with random low bits."""
    return (bound & ~((1 << DITHER_BITS) - 1)) | low


def bounded(
    value: np.ndarray,
    b_max: np.ndarray,
    b_min: np.ndarray,
    reference: np.ndarray,
    weight_bits: int,
) -> np.ndarray:
    """Return the conductance of a device that would hold a weight, within its bounds."""
    return saturate(np.minimum(np.maximum(value, b_min), b_max) - reference, weight_bits)


def moved(
    value: np.ndarray,
    down: np.ndarray,
    pulses: np.ndarray,
    local: np.ndarray,
    noise: np.ndarray,
    rounding: np.ndarray,
    dw: int,
    dw_shift: int,
) -> np.ndarray:
    """Return where pulses take a weight, bounds apart.

    Parameters
    ----------
    value : int64
    down : bool
    pulses : int64
    local : int64
        Step of one pulse.
    noise : int64
        Of all pulses, ``curve_frac`` fraction bits.
    rounding : int64
        `STEP_FRAC` random bits: rounding that is unbiased.
    dw, dw_shift : int
    """
    step = (saturate(pulses * local + noise, TOTAL_BITS) * dw) >> dw_shift
    return ((value << STEP_FRAC) + choose(down, -step, step) + rounding) >> STEP_FRAC
