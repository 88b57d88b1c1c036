"""What n coincident pulses do to one crosspoint (golden model).

Section 4 of docs/physics.md in integers. Static properties of a cell (its step, its up/down
balance, its bounds, its slopes) are hashed from its address; only the conductance is stored.

With ``z`` Gaussian samples (64 LSB a standard deviation) and one = 2**10::

    rel    = |rel_dir + z_step k_step +- z_updown k_updown|          relative step of the cell
    b_max  = |b_max0 + z_max k_max|, b_min = -|b_min0 + z_min k_min| own bounds, swapped if needed
    pos    = w / (bound in the pulse's direction)                    own or mean bound
    curve  = one - |gamma + z_gamma k_gamma| pos                     step curve
    local  = rel curve
    step   = (n local + amplitude c2c[n] z) dw                       amplitude: local or rel
    w'     = clip(floor(w +- step + u), b_min, b_max)                u uniform: unbiased rounding
"""

from typing import NamedTuple

import numpy as np

from ohmgrid.model.arith import divide_saturate, saturate, shift_half_up
from ohmgrid.model.noise import gaussian
from ohmgrid.registers import (
    BOUND_SHIFT,
    C2C_FRAC,
    REL_FRAC,
    SPREAD_SHIFT,
    STEP_FRAC,
    DeviceRegisters,
)
from ohmgrid.streams import GAUSS_SIGMA

__all__ = ["Cells", "Static", "static_properties", "visit"]

ONE = 1 << REL_FRAC
Z_FRAC = GAUSS_SIGMA.bit_length() - 1


class Static(NamedTuple):
    """Fixed properties of cells, all of one shape (int64)."""

    rel_up: np.ndarray
    """Relative up step, 0..4095, `REL_FRAC` fraction bits."""
    rel_down: np.ndarray
    b_max: np.ndarray
    """Own upper bound, weight LSB."""
    b_min: np.ndarray
    gamma_up: np.ndarray
    """Slope of the up curve, `REL_FRAC` fraction bits."""
    gamma_down: np.ndarray


class Cells(NamedTuple):
    """The cells that one update hits, all of one shape (int64)."""

    weight: np.ndarray
    """Conductance, weight LSB."""
    pulses: np.ndarray
    """Coincident pulses, 1..31."""
    down: np.ndarray
    """True where the pulses lower the conductance (bool)."""


def _field(word: np.ndarray, index: int) -> np.ndarray:
    """Return the Gaussian of bits ``10 index .. 10 index + 9`` of a 32-bit word."""
    return gaussian((word >> np.uint32(10 * index)) & np.uint32(0x3FF)).astype(np.int64)


def static_properties(
    word0: np.ndarray, word1: np.ndarray, regs: DeviceRegisters, weight_bits: int
) -> Static:
    """Return the fixed properties of cells from their two static noise words.

    Parameters
    ----------
    word0, word1 : uint32, any shape
        Static cell words: fields 0, 1, 2 of word0 are step, up/down and up slope, of word1 upper
        bound, lower bound and down slope.
    regs : DeviceRegisters
    weight_bits : int
    """
    common = _field(word0, 0) * regs.k_step
    balance = _field(word0, 1) * regs.k_updown

    def relative(mean: int, spread: np.ndarray) -> np.ndarray:
        return np.minimum(np.abs(mean + shift_half_up(spread, SPREAD_SHIFT)), 4 * ONE - 1)

    def bound(mean: int, spread: np.ndarray) -> np.ndarray:
        return saturate(mean + shift_half_up(spread, BOUND_SHIFT), weight_bits)

    upper = bound(regs.b_max, _field(word1, 0) * regs.k_max)
    lower = bound(regs.b_min, _field(word1, 1) * regs.k_min)
    return Static(
        rel_up=relative(regs.rel_up, common + balance),
        rel_down=relative(regs.rel_down, common - balance),
        b_max=np.abs(np.maximum(upper, lower)),
        b_min=-np.abs(np.minimum(upper, lower)),
        gamma_up=relative(regs.gamma_up, _field(word0, 2) * regs.k_gamma_up),
        gamma_down=relative(regs.gamma_down, _field(word1, 2) * regs.k_gamma_down),
    )


def visit(cells: Cells, static: Static, noise: np.ndarray, regs: DeviceRegisters) -> np.ndarray:
    """Return the conductances after ``cells.pulses`` pulses each.

    Parameters
    ----------
    cells : Cells
    static : Static
        Properties of the same cells.
    noise : uint32
        Dynamic cell words: field 0 is cycle-to-cycle noise, bits 10..21 the rounding.
    regs : DeviceRegisters
    """
    weight, pulses, down = cells
    rel = np.where(down, static.rel_down, static.rel_up)
    gamma = np.where(down, static.gamma_down, static.gamma_up)
    if regs.own_bounds:
        bound = np.where(down, -static.b_min, static.b_max)
    else:
        bound = np.where(down, -regs.b_min, regs.b_max)
    toward = np.where(down, -weight, weight)
    position = np.sign(toward) * divide_saturate(np.abs(toward) << REL_FRAC, bound, 12)
    curve = saturate(ONE - shift_half_up(gamma * position, REL_FRAC), 13)
    local = shift_half_up(rel * curve, REL_FRAC)
    relative_noise = shift_half_up(
        _field(noise, 0) * np.asarray(regs.c2c)[pulses], Z_FRAC + C2C_FRAC - REL_FRAC
    )
    amplitude = local if regs.multiplicative else rel
    total = saturate(pulses * local + shift_half_up(amplitude * relative_noise, REL_FRAC), 18)
    step = (total * regs.dw) >> regs.dw_shift
    rounding = ((noise >> np.uint32(10)) & np.uint32(0xFFF)).astype(np.int64)
    moved = ((weight << STEP_FRAC) + np.where(down, -step, step) + rounding) >> STEP_FRAC
    return np.clip(moved, static.b_min, static.b_max)
