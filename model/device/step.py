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
    curve    = offset + g table(position)   or   position**g   or   offset + g drawn step
    local    = rel curve
    total    = n local + amplitude c2c[n] z                    amplitude: |local|, rel, or complex
    v'       = clip(floor(v +- total dw + u), b_min, b_max)    u uniform: unbiased rounding
    w'       = v' - reference
"""

from typing import NamedTuple

import numpy as np

from ohmgrid.devices.laws import ROOMS
from ohmgrid.model.base.arith import saturate, shift_half_up
from ohmgrid.model.base.noise import bernoulli, gaussian
from ohmgrid.model.device.pulse import (
    amplitude,
    bent,
    bound_with,
    bounded,
    local_step,
    moved,
    on_line,
    position,
    power,
    relative_noise,
    room_near,
)
from ohmgrid.registers.curves import POSITION_BITS
from ohmgrid.registers.device import (
    DITHER_BITS,
    DRAW_BITS,
    DRAW_START,
    REL_BITS,
    REL_FRAC,
    ROOM_DITHER_BITS,
    DeviceRegisters,
)
from ohmgrid.registers.noise import GAUSS_BITS

__all__ = ["Cells", "Static", "static_properties", "step_curve", "visit"]

ONE = 1 << REL_FRAC


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


def _table(place: np.ndarray, down: np.ndarray, regs: DeviceRegisters) -> np.ndarray:
    """Return straight lines between the nodes of the curve in the pulses' direction."""
    frac = POSITION_BITS - (regs.segments.bit_length() - 1)
    nodes = np.array([regs.curve_up, regs.curve_down])
    side, segment, part = down.astype(np.int64), place >> frac, place & ((1 << frac) - 1)
    return on_line(nodes[side, segment], nodes[side, segment + 1], part, frac)


def _drawn(
    place: np.ndarray, down: np.ndarray, noise: np.ndarray, regs: DeviceRegisters
) -> np.ndarray:
    """Return steps drawn from the distribution at a room beside the place."""
    draw = (noise >> np.uint32(DRAW_START)).astype(np.int64)
    dither = (noise & np.uint32((1 << ROOM_DITHER_BITS) - 1)).astype(np.int64)
    room = room_near(place, dither)
    return np.asarray(regs.steps)[(down * ROOMS + room) << DRAW_BITS | draw]


def step_curve(
    value: np.ndarray,
    down: np.ndarray,
    static: Static,
    regs: DeviceRegisters,
    noise: np.ndarray | None = None,
) -> np.ndarray:
    """Return the step at a weight relative to the step at 0, ``curve_frac`` fraction bits.

    Parameters
    ----------
    value : int64
        Weight with the reference's added, weight LSB.
    down : bool
    static : Static
    regs : DeviceRegisters
    noise : uint32, optional
        Dynamic cell words, which steps are drawn with; without them, a curve is read.
    """
    if regs.own_bounds:
        b_max, b_min = static.b_max, static.b_min
    else:
        b_max, b_min = np.asarray(regs.b_max), np.asarray(regs.b_min)
    gamma = np.where(down, static.gamma_down, static.gamma_up)
    behind = np.where(down, regs.behind_down, regs.behind_up)
    place = position(value, down, behind, b_max, b_min, regs.position)
    if regs.power:
        return power(place, gamma, regs.curve_frac)
    if regs.steps and noise is not None:
        factor = _drawn(place, down, noise, regs)
    else:
        factor = _table(place, down, regs)
    return bent(regs.offset, gamma, factor)


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
        the low bits of a clipped weight. Steps that are drawn take bits 0..5 and 26..31.
    regs : DeviceRegisters
    weight_bits : int
    """
    weight, pulses, down = cells
    value = saturate(weight + static.reference, weight_bits)
    rel = np.where(down, static.rel_down, static.rel_up)
    curve = step_curve(value, down, static, regs, noise)
    local = local_step(rel, curve)
    relative = relative_noise(gaussian(_bits(noise, 0)), np.asarray(regs.c2c)[pulses])
    size = amplitude(
        local, rel, value, regs.noise, regs.curve_frac, regs.noise_add, regs.noise_slope
    )
    rounding = ((noise >> np.uint32(GAUSS_BITS)) & np.uint32(0xFFF)).astype(np.int64)
    noisy = shift_half_up(size * relative, REL_FRAC)
    after = moved(value, down, pulses, local, noisy, rounding, regs.dw, regs.dw_shift)
    top, bottom = static.b_max, -static.b_min
    if regs.visible:
        low = ((noise >> np.uint32(22)) & np.uint32((1 << DITHER_BITS) - 1)).astype(np.int64)
        top, bottom = bound_with(top, low), bound_with(bottom, low)
    after = bounded(after, top, -bottom, static.reference, weight_bits)
    return np.where(static.stuck, weight, after)
