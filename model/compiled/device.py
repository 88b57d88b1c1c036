"""What n coincident pulses do to a cell: `ohmgrid.model.device` as a loop over hit cells."""

from typing import NamedTuple

import numpy as np

from ohmgrid.model.compiled.arith import divide_floor, saturate, shift_half_up
from ohmgrid.model.compiled.jit import count_ones, kernel
from ohmgrid.model.compiled.noise import GAUSSIAN, hash_cells
from ohmgrid.model.compiled.pulses import SLOT_MASK
from ohmgrid.model.device import Static
from ohmgrid.registers import C2C_FRAC, REL_FRAC, STEP_FRAC, DeviceRegisters
from ohmgrid.streams import GAUSS_SIGMA

__all__ = ["Device", "pack_static", "visit_cells"]

ONE = 1 << REL_FRAC
Z_FRAC = GAUSS_SIGMA.bit_length() - 1


class Device(NamedTuple):
    """Registers of a step device that all its cells share."""

    b_max: int
    b_min: int
    own_bounds: int
    multiplicative: int
    sloped: int
    """Whether any step depends on the conductance."""
    dw: int
    dw_shift: int
    serial: int
    c2c: np.ndarray
    """int32, shape (32,)"""

    @classmethod
    def of(cls, registers: DeviceRegisters) -> "Device":
        """Return the registers as the kernels take them."""
        slopes = (registers.gamma_up, registers.gamma_down)
        spreads = (registers.k_gamma_up, registers.k_gamma_down)
        return cls(
            registers.b_max,
            registers.b_min,
            int(registers.own_bounds),
            int(registers.multiplicative),
            int(any(slopes + spreads)),
            registers.dw,
            registers.dw_shift,
            int(registers.serial),
            np.array(registers.c2c, np.int32),
        )


def pack_static(static: Static) -> np.ndarray:
    """Return fixed properties as the kernels read them: int32, shape (cells, 4), 16 bytes a cell.

    Upper and lower bound, then in one word the relative steps up (low half) and down, then the
    slopes likewise.

    Parameters
    ----------
    static : Static
        Of shape (cells,).
    """
    packed = np.empty((len(static.b_max), 4), np.int32)
    packed[:, 0], packed[:, 1] = static.b_max, static.b_min
    packed[:, 2] = static.rel_up | static.rel_down << 16
    packed[:, 3] = static.gamma_up | static.gamma_down << 16
    return packed


@kernel
def _visit(weight, pulses, down, rel, gamma, b_max, b_min, noise, rounding, regs):
    """Return the conductance after ``pulses`` pulses: the equations of `ohmgrid.model.device`."""
    local = rel
    if regs.sloped:
        upper = b_max if regs.own_bounds else regs.b_max
        lower = b_min if regs.own_bounds else regs.b_min
        bound = -lower if down else upper
        toward = -weight if down else weight
        position = divide_floor(abs(toward) << REL_FRAC, max(bound, 1))
        position = 4095 if bound == 0 else min(position, 4095)
        position = -position if toward < 0 else position
        position = 0 if toward == 0 else position
        curve = saturate(ONE - shift_half_up(gamma * position, REL_FRAC), 13)
        local = shift_half_up(rel * curve, REL_FRAC)
    amplitude = local if regs.multiplicative else rel
    total = saturate(pulses * local + shift_half_up(amplitude * noise, REL_FRAC), 18)
    step = (total * regs.dw) >> regs.dw_shift
    moved = ((weight << STEP_FRAC) + (-step if down else step) + rounding) >> STEP_FRAC
    return min(max(moved, b_min), b_max)


# Each loop is a function of flat arrays: only so does the compiler work on many cells at a time.


@kernel
def _split(total, count, byte, plane):
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
def _move(weight, upper, lower, rel, gamma, both, pulses, noise, rounding, count, regs):
    """Replace the conductances by those after the pulses."""
    for k in range(count):
        weight[k] = _visit(
            np.int64(weight[k]),
            np.int64(pulses[k]),
            (both[k] >> np.uint32(31)) != 0,
            np.int64(rel[k]),
            np.int64(gamma[k]),
            np.int64(upper[k]),
            np.int64(lower[k]),
            np.int64(noise[k]),
            np.int64(rounding[k]),
            regs,
        )


@kernel
def visit_cells(weights, static, regs, count, work):
    """Visit the cells that ``work.cell``, ``both`` and ``total`` list, each at most once.

    Parameters
    ----------
    weights : int32, shape (cells,)
    static : int32, shape (cells, 4)
        From `pack_static`.
    regs : Device
    count : int
    work : Scratch
    """
    cell, both, planes, data = work.cell, work.both, work.bytes8, work.device
    for byte in range(4):
        _split(work.total, count, byte, planes[byte])
    hash_cells((count + 7) >> 3, work.bytes64)
    weight, upper, lower, rel, gamma = data[0], data[1], data[2], data[3], data[4]
    for k in range(count):
        place = cell[k]
        shift = np.int32((both[k] >> np.uint32(31)) << np.uint32(4))
        weight[k] = weights[place]
        upper[k] = static[place, 0]
        lower[k] = static[place, 1]
        rel[k] = (static[place, 2] >> shift) & 0xFFFF
        gamma[k] = (static[place, 3] >> shift) & 0xFFFF
    _draw(both, planes[0], planes[1], planes[2], count, regs.c2c, data[5], data[6], data[7])
    _move(weight, upper, lower, rel, gamma, both, data[5], data[6], data[7], count, regs)
    for k in range(count):
        weights[cell[k]] = weight[k]
