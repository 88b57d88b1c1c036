"""What time does to the conductances between updates (golden model).

docs/devices.md has the equations. With D the part that a cell loses and u uniform on 12 bits::

    leak       w <- w - (w - bias) D + diffusion z, rounded with u, clipped to the cell's bounds
    reset      w <- bias + noise z, likewise

Of the word of a leak, bits 0 to 9 are z and bits 10 to 21 u. A reset follows a read, whose noise is
bits 0 to 9 of the same word: bits 10 to 19 are its z, bits 20 to 31 its u.
"""

import numpy as np

from ohmgrid.model.base.noise import cell_words, gaussian
from ohmgrid.model.device.population import Population
from ohmgrid.model.device.pulse import bounded
from ohmgrid.model.periphery.lines import key_halves
from ohmgrid.registers.device import STEP_FRAC
from ohmgrid.registers.noise import Purpose
from ohmgrid.registers.time import AgingRegisters

__all__ = ["age", "leaked", "reset", "settled"]


def _noise(key: int, shape: tuple[int, int], first: int) -> tuple[np.ndarray, np.ndarray]:
    """Return Gaussian and rounding of each cell, from bit ``first`` of its word on."""
    rows, _ = key_halves(key, Purpose.ROW, shape[0])
    cols, _ = key_halves(key, Purpose.COLUMN, shape[1])
    word = cell_words(rows[:, None], cols[None, :]).astype(np.int64) >> first
    return gaussian(word & 0x3FF).astype(np.int64), word >> 10 & 0xFFF


def leaked(
    hidden: np.ndarray,
    bias: np.ndarray,
    lost: np.ndarray,
    walk: np.ndarray,
    z: np.ndarray,
    shift: int,
) -> np.ndarray:
    """Return conductances after leak and diffusion, `STEP_FRAC` fraction bits more.

    All for arrays and for single numbers (int64).
    """
    leak = ((hidden - bias) * lost << STEP_FRAC) >> shift
    return (hidden << STEP_FRAC) - leak + walk * z


def settled(
    change: np.ndarray,
    rounding: np.ndarray,
    b_max: np.ndarray,
    b_min: np.ndarray,
    reference: np.ndarray,
    weight_bits: int,
) -> np.ndarray:
    """Round ``STEP_FRAC`` fraction bits without bias, clip to the cell's own bounds."""
    value = ((change + rounding) >> STEP_FRAC) + reference
    return bounded(value, b_max, b_min, reference, weight_bits)


def _bias(population: Population, registers: AgingRegisters) -> np.ndarray:
    return np.asarray(registers.reset_bias)[population.aging[2]] + population.symmetry_point


def _done(
    weights: np.ndarray, change: np.ndarray, rounding: np.ndarray, population: Population
) -> np.ndarray:
    static, bits = population.static, population.weight_bits
    after = settled(change, rounding, static.b_max, static.b_min, static.reference, bits)
    return np.where(static.stuck, weights, after).astype(np.int32)


def age(
    weights: np.ndarray, population: Population, registers: AgingRegisters, key: int
) -> np.ndarray:
    """Return the conductances after ``registers.every`` updates' worth of leak and diffusion.

    Parameters
    ----------
    weights : int32, shape (rows, cols)
    population : Population
    registers : AgingRegisters
    key : int
        Operation key of `Verb.TIME`, step: updates so far.
    """
    z, rounding = _noise(key, weights.shape, 0)
    lost = np.asarray(registers.leak)[population.aging[0]]
    walk = np.asarray(registers.diffusion)[population.aging[1]]
    bias = _bias(population, registers)
    change = leaked(weights.astype(np.int64), bias, lost, walk, z, registers.leak_shift)
    return _done(weights, change, rounding, population)


def reset(
    weights: np.ndarray,
    cells: np.ndarray,
    population: Population,
    registers: AgingRegisters,
    key: int,
) -> np.ndarray:
    """Return the conductances after a reset of some cells.

    Parameters
    ----------
    weights : int32, shape (rows, cols)
    cells : bool, shape (rows, cols)
        Which cells are reset.
    population, registers
        As for `age`.
    key : int
        Operation key of `Verb.REFRESH`.
    """
    z, rounding = _noise(key, weights.shape, 10)
    target = (_bias(population, registers) << STEP_FRAC) + z * registers.reset_noise
    return np.where(cells, _done(weights, target, rounding, population), weights)
