"""What n coincident pulses do to one crosspoint (golden model).

The equations of docs/devices.md in integers. What is fixed of a cell (its step, its balance, its
bounds, its slopes, whether it is stuck) is hashed from its address: ten bits each look it up in a
table of equally likely values. Only the conductance is stored, and the weight of a reference
device where the class has one. With one = 2**10::

    rel      = |gain[i] +- balance[j] + bias|                  step of the cell, up + and down -
    b_max    = |max(upper[i], lower[j])|, b_min = -|min(...)|  own bounds
    g        = |gamma[i] +- gamma_balance[j]|                  slope or exponent
    v        = w + reference
    position = v / bound, v / range or room / range            `ohmgrid.devices.laws.Law`
    curve    = offset + g table(position)   or   position**g
    local    = rel curve
    total    = n local + amplitude c2c[n] z                    amplitude: |local|, rel, or complex
    v'       = clip(floor(v +- total dw + u), b_min, b_max)    u uniform: unbiased rounding
    w'       = v' - reference
"""

from typing import NamedTuple

import numpy as np

from ohmgrid.model.base.arith import divide_saturate, saturate, shift_half_up
from ohmgrid.model.base.noise import bernoulli, gaussian
from ohmgrid.registers.curves import BOUND_FRAC, POSITION_BITS, POSITIONS, RANGE_FRAC
from ohmgrid.registers.device import (
    C2C_FRAC,
    CURVE_BITS,
    DITHER_BITS,
    NOISES,
    REL_BITS,
    REL_FRAC,
    SLOPE_FRAC,
    STEP_FRAC,
    TOTAL_BITS,
    DeviceRegisters,
)
from ohmgrid.registers.noise import GAUSS_BITS, GAUSS_SIGMA
from ohmgrid.registers.powers import LOG_FRAC, LOG_TABLE, POWER_BITS, POWER_TABLE, TABLE_BITS

__all__ = ["Cells", "Static", "static_properties", "step_curve", "visit"]

ONE = 1 << REL_FRAC
Z_FRAC = GAUSS_SIGMA.bit_length() - 1
CENTRE = 1 << (POSITION_BITS - 1)
_LOG = np.array(LOG_TABLE)
_POWER = np.array(POWER_TABLE)


class Static(NamedTuple):
    """Fixed properties of cells, all of one shape (int64)."""

    rel_up: np.ndarray
    """Relative up step, `REL_BITS` bits, `REL_FRAC` fraction bits."""
    rel_down: np.ndarray
    b_max: np.ndarray
    """Own upper bound, weight LSB."""
    b_min: np.ndarray
    gamma_up: np.ndarray
    """Slope or exponent of the up curve, `REL_FRAC` fraction bits."""
    gamma_down: np.ndarray
    stuck: np.ndarray
    """True where the device never moves (bool)."""
    reference: np.ndarray
    """Weight of the reference device, weight LSB."""


class Cells(NamedTuple):
    """The cells that one update hits, all of one shape (int64)."""

    weight: np.ndarray
    """Conductance, weight LSB."""
    pulses: np.ndarray
    """Coincident pulses, 1..31."""
    down: np.ndarray
    """True where the pulses lower the conductance (bool)."""


def _bits(word: np.ndarray, index: int) -> np.ndarray:
    """Return bits ``10 index .. 10 index + 9`` of a 32-bit word."""
    return ((word >> np.uint32(GAUSS_BITS * index)) & np.uint32(0x3FF)).astype(np.int64)


def static_properties(
    words: tuple[np.ndarray, np.ndarray, np.ndarray],
    bias_column: np.ndarray,
    reference: np.ndarray,
    regs: DeviceRegisters,
    weight_bits: int,
) -> Static:
    """Return the fixed properties of cells from their three static noise words.

    Parameters
    ----------
    words : three of uint32, any shape
        Fields 0, 1, 2 of word 0 are step, balance and (up) slope, of word 1 upper bound, lower
        bound and down slope or balance of the slopes; bits 0..15 of word 2: stuck or not.
    bias_column : bool
        Cells of the always-on input.
    reference : int64
        Weights of the reference devices.
    regs : DeviceRegisters
    weight_bits : int
    """
    word0, word1, word2 = words
    gain = np.asarray(regs.gain)[_bits(word0, 0)]
    balance = np.asarray(regs.balance)[_bits(word0, 1)]
    perfect = bias_column & regs.perfect_bias
    top = (1 << (weight_bits - 1)) - 1

    def relative(value: np.ndarray) -> np.ndarray:
        return np.where(perfect, ONE, np.minimum(np.abs(value), (1 << REL_BITS) - 1))

    def slope(value: np.ndarray) -> np.ndarray:
        return value if regs.signed_gamma else np.abs(value)

    upper = np.asarray(regs.upper)[_bits(word1, 0)]
    lower = np.asarray(regs.lower)[_bits(word1, 1)]
    third = _bits(word1, 2)
    opposite = np.asarray(regs.gamma_balance)[third]
    down_index = _bits(word0, 2) if regs.gamma_common else third
    return Static(
        rel_up=relative(gain + balance + regs.bias_up),
        rel_down=relative(gain - balance + regs.bias_down),
        b_max=np.where(perfect, top, np.abs(np.maximum(upper, lower))),
        b_min=np.where(perfect, -top, -np.abs(np.minimum(upper, lower))),
        gamma_up=slope(np.asarray(regs.gamma_up)[_bits(word0, 2)] + opposite),
        gamma_down=slope(np.asarray(regs.gamma_down)[down_index] - opposite),
        stuck=bernoulli(word2 & np.uint32(0xFFFF), regs.corrupt),
        reference=np.broadcast_to(reference, word0.shape),
    )


def _position(
    value: np.ndarray, down: np.ndarray, b_max: np.ndarray, b_min: np.ndarray, regs: DeviceRegisters
) -> np.ndarray:
    """Return the place of a weight in the tables, 0..32767 (0 is never reached but by room)."""
    kind = POSITIONS[regs.position]
    if kind == "room":
        room = np.maximum(np.where(down, value - b_min, b_max - value), 0)
        return divide_saturate(room << POSITION_BITS, b_max - b_min, POSITION_BITS)
    if kind == "range":
        signed, bound, frac = value, b_max - b_min, RANGE_FRAC
    else:
        behind = np.where(down, regs.behind_down, regs.behind_up)
        signed, bound, frac = (
            np.where(down, -value, value),
            np.where(down ^ behind, -b_min, b_max),
            BOUND_FRAC,
        )
    size = divide_saturate(np.abs(signed) << frac, bound, POSITION_BITS - 1)
    return CENTRE + np.sign(signed) * size


def _table(place: np.ndarray, down: np.ndarray, regs: DeviceRegisters) -> np.ndarray:
    """Return straight lines between the nodes of the curve in the pulses' direction."""
    frac = POSITION_BITS - (regs.segments.bit_length() - 1)
    nodes = np.array([regs.curve_up, regs.curve_down])
    side, segment, part = down.astype(np.int64), place >> frac, place & ((1 << frac) - 1)
    start = nodes[side, segment]
    return start + shift_half_up((nodes[side, segment + 1] - start) * part, frac)


def _power(place: np.ndarray, gamma: np.ndarray, regs: DeviceRegisters) -> np.ndarray:
    """Return ``(place / 2**15) ** gamma`` by a logarithm and a power of two from tables."""
    size = np.frexp(place.astype(np.float64))[1].astype(np.int64)
    zeros = POSITION_BITS - size
    mantissa = (place << zeros) & (CENTRE - 1)
    logarithm = (zeros << LOG_FRAC) + _LOG[mantissa >> (POSITION_BITS - 1 - TABLE_BITS)]
    exponent = np.maximum(shift_half_up(gamma * logarithm, REL_FRAC), 0)
    fraction = _POWER[(exponent & ((1 << LOG_FRAC) - 1)) >> (LOG_FRAC - TABLE_BITS)]
    shift = np.minimum((exponent >> LOG_FRAC) + (POWER_BITS - regs.curve_frac), 31)
    return np.where(place == 0, 0, fraction >> shift)


def step_curve(
    value: np.ndarray, down: np.ndarray, static: Static, regs: DeviceRegisters
) -> np.ndarray:
    """Return the step at a weight relative to the step at 0, ``curve_frac`` fraction bits.

    Parameters
    ----------
    value : int64
        Weight with the reference's added, weight LSB.
    down : bool
    static : Static
    regs : DeviceRegisters
    """
    if regs.own_bounds:
        b_max, b_min = static.b_max, static.b_min
    else:
        b_max, b_min = np.asarray(regs.b_max), np.asarray(regs.b_min)
    gamma = np.where(down, static.gamma_down, static.gamma_up)
    place = _position(value, down, b_max, b_min, regs)
    if regs.power:
        return _power(place, gamma, regs)
    product = shift_half_up(gamma * _table(place, down, regs), REL_FRAC)
    return saturate(regs.offset + product, CURVE_BITS)


def _amplitude(
    local: np.ndarray, rel: np.ndarray, value: np.ndarray, regs: DeviceRegisters
) -> np.ndarray:
    """Return what the noise of a pulse scales with, ``curve_frac`` fraction bits."""
    kind = NOISES[regs.noise]
    if kind == "additive":
        size = (rel << regs.curve_frac) >> REL_FRAC
    elif kind == "multiplicative":
        size = np.abs(local)
    else:
        size = np.abs(local) + regs.noise_add + ((np.abs(value) * regs.noise_slope) >> SLOPE_FRAC)
    return np.minimum(size, (1 << (CURVE_BITS - 1)) - 1)


def visit(
    cells: Cells, static: Static, noise: np.ndarray, regs: DeviceRegisters, weight_bits: int
) -> np.ndarray:
    """Return the conductances after ``cells.pulses`` pulses each.

    Parameters
    ----------
    cells : Cells
    static : Static
        Properties of the same cells.
    noise : uint32
        Dynamic cell words: field 0 is cycle-to-cycle noise, bits 10..21 the rounding, bits 22..25
        the low bits of a clipped weight.
    regs : DeviceRegisters
    weight_bits : int
    """
    weight, pulses, down = cells
    value = saturate(weight + static.reference, weight_bits)
    rel = np.where(down, static.rel_down, static.rel_up)
    curve = step_curve(value, down, static, regs)
    local = saturate(shift_half_up(rel * curve, REL_FRAC), CURVE_BITS)
    relative_noise = shift_half_up(
        gaussian(_bits(noise, 0)) * np.asarray(regs.c2c)[pulses], Z_FRAC + C2C_FRAC - REL_FRAC
    )
    amplitude = _amplitude(local, rel, value, regs)
    total = saturate(
        pulses * local + shift_half_up(amplitude * relative_noise, REL_FRAC), TOTAL_BITS
    )
    step = (total * regs.dw) >> regs.dw_shift
    rounding = ((noise >> np.uint32(GAUSS_BITS)) & np.uint32(0xFFF)).astype(np.int64)
    moved = ((value << STEP_FRAC) + np.where(down, -step, step) + rounding) >> STEP_FRAC
    top, bottom = static.b_max, -static.b_min
    if regs.visible:
        mask = (1 << DITHER_BITS) - 1
        low = ((noise >> np.uint32(22)) & np.uint32(mask)).astype(np.int64)
        top, bottom = top & ~mask | low, bottom & ~mask | low
    moved = saturate(np.clip(moved, -bottom, top) - static.reference, weight_bits)
    return np.where(static.stuck, weight, moved)
