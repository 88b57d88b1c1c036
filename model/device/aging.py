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
from ohmgrid.model.periphery.lines import key_halves
from ohmgrid.registers.device import STEP_FRAC
from ohmgrid.registers.noise import Purpose
from ohmgrid.registers.time import AgingRegisters

__all__ = ["age", "reset"]


def _noise(key: int, shape: tuple[int, int], first: int) -> tuple[np.ndarray, np.ndarray]:
    """Return Gaussian and rounding of each cell, from bit ``first`` of its word on."""
    rows, _ = key_halves(key, Purpose.ROW, shape[0])
    cols, _ = key_halves(key, Purpose.COLUMN, shape[1])
    word = cell_words(rows[:, None], cols[None, :]).astype(np.int64) >> first
    return gaussian(word & 0x3FF).astype(np.int64), word >> 10 & 0xFFF


def _settle(change: np.ndarray, rounding: np.ndarray, population: Population) -> np.ndarray:
    """Round ``STEP_FRAC`` fraction bits without bias, clip to the cell's own bounds."""
    static = population.static
    value = ((change + rounding) >> STEP_FRAC) + static.reference
    return np.clip(value, static.b_min, static.b_max) - static.reference


def _bias(population: Population, registers: AgingRegisters) -> np.ndarray:
    return np.asarray(registers.reset_bias)[population.aging[2]] + population.symmetry_point


def _done(weights: np.ndarray, moved: np.ndarray, population: Population) -> np.ndarray:
    top = (1 << (population.weight_bits - 1)) - 1
    kept = np.where(population.static.stuck, weights, np.clip(moved, -top, top))
    return kept.astype(np.int32)


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
    hidden = weights.astype(np.int64)
    leak = ((hidden - _bias(population, registers)) * lost << STEP_FRAC) >> registers.leak_shift
    moved = _settle((hidden << STEP_FRAC) - leak + walk * z, rounding, population)
    return _done(weights, moved, population)


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
    moved = _settle(target, rounding, population)
    return np.where(cells, _done(weights, moved, population), weights)
