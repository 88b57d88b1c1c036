"""What time does to the conductances between updates (golden model).

docs/devices.md has the equations. With D the part that a cell loses and u uniform on 12 bits::

    leak       w <- w - (w - bias) D + diffusion z, rounded with u, clipped to the cell's bounds
    reset      w <- bias + noise z
"""

import numpy as np

from ohmgrid.aging_registers import AgingRegisters
from ohmgrid.device_registers import STEP_FRAC
from ohmgrid.model.lines import key_halves
from ohmgrid.model.noise import cell_words, gaussian
from ohmgrid.model.population import Population
from ohmgrid.streams import Purpose

__all__ = ["age", "reset"]


def _noise(key: int, shape: tuple[int, int]) -> np.ndarray:
    rows, _ = key_halves(key, Purpose.ROW, shape[0])
    cols, _ = key_halves(key, Purpose.COLUMN, shape[1])
    return cell_words(rows[:, None], cols[None, :])


def _settle(change: np.ndarray, word: np.ndarray, population: Population) -> np.ndarray:
    """Round ``STEP_FRAC`` fraction bits without bias, clip to the cell's own bounds."""
    static = population.static
    rounding = ((word >> np.uint32(10)) & np.uint32(0xFFF)).astype(np.int64)
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
    word = _noise(key, weights.shape)
    lost = np.asarray(registers.leak)[population.aging[0]]
    walk = np.asarray(registers.diffusion)[population.aging[1]]
    hidden = weights.astype(np.int64)
    leak = ((hidden - _bias(population, registers)) * lost << STEP_FRAC) >> registers.leak_shift
    z = gaussian((word & np.uint32(0x3FF)).astype(np.int64)).astype(np.int64)
    moved = _settle((hidden << STEP_FRAC) - leak + walk * z, word, population)
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
    population, registers, key
        As for `age`, of another operation.
    """
    word = _noise(key, weights.shape)
    z = gaussian((word & np.uint32(0x3FF)).astype(np.int64)).astype(np.int64)
    target = (_bias(population, registers) << STEP_FRAC) + z * registers.reset_noise
    moved = _settle(target, word, population)
    return np.where(cells, _done(weights, moved, population), weights)
