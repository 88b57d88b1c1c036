"""What happens in the array itself: exact sums, and pulses on the cells that coincide."""

import numpy as np

from ohmgrid.model.base.noise import cell_words
from ohmgrid.model.device.population import Population
from ohmgrid.model.device.step import Cells, Static, visit

__all__ = [
    "apply_pulses",
    "array_sums",
    "coincidences",
    "magnitudes",
    "pair_differences",
    "pulse_counts",
    "pulse_devices",
]


def array_sums(matrix: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return ``matrix @ codes``, exact (int64): forward with the weights, backward transposed.

    Computed in float64, in which every partial sum is an integer below 2**53.

    Parameters
    ----------
    matrix : int32, shape (outputs, inputs)
    codes : int64, shape (inputs,)
        DAC codes or `ohmgrid.model.periphery.voltages.operands`.
    """
    return (matrix.astype(np.float64) @ codes.astype(np.float64)).astype(np.int64)


def coincidences(row_trains: np.ndarray, column_trains: np.ndarray) -> np.ndarray:
    """Return the number of slots in which both trains fire (int64, broadcast shape)."""
    return np.bitwise_count(row_trains & column_trains).astype(np.int64)


def magnitudes(weights: np.ndarray, weight_bits: int, paired: bool = False) -> np.ndarray:
    """Return magnitudes of weights (int32): those below zero are complemented, not negated.

    So that is one LSB less. Of pairs it is minus less plus device that is not below zero, and
    the magnitude saturates at the largest of one device.
    """
    if paired:
        weights = -weights
    return np.minimum(weights ^ (weights >> 31), (1 << (weight_bits - 1)) - 1)


def pair_differences(devices: np.ndarray) -> np.ndarray:
    """Return plus less minus devices of pairs: int32, shape (2 * rows, cols) to (rows, cols)."""
    return devices[0::2] - devices[1::2]


def pulse_counts(
    row_trains: np.ndarray, column_trains: np.ndarray, down: np.ndarray, paired: bool = False
) -> np.ndarray:
    """Return the pulses that each device takes (int64, shape (rows, cols)).

    Parameters
    ----------
    row_trains, column_trains : int64, shapes (rows,), (cols,)
    down : bool, shape (rows, cols)
        Where a pulse lowers the weight.
    paired : bool
        Of a pair, the plus device (even row) takes those that raise, the minus device those that
        lower the weight.
    """
    counts = coincidences(row_trains[:, None], column_trains[None, :])
    if not paired:
        return counts
    minus = (np.arange(len(row_trains)) % 2 == 1)[:, None]
    return np.where(down == minus, counts, 0)


def apply_pulses(
    weights: np.ndarray,
    row_trains: np.ndarray,
    column_trains: np.ndarray,
    down: np.ndarray,
    population: Population,
    keys: tuple[np.ndarray, np.ndarray],
    paired: bool = False,
) -> None:
    """Visit, in place, every device whose trains coincide at least once.

    Parameters
    ----------
    weights : int32, shape (rows, cols)
        Of devices.
    row_trains, column_trains : int64, shapes (rows,), (cols,)
    down : bool, shape (rows, cols)
        Where a pulse lowers the weight.
    population : Population
    keys : two of uint32, shapes (rows,), (cols,)
        Row and column halves of the devices' dynamic noise words.
    paired : bool
        Every pulse raises a device, as in `pulse_counts`.
    """
    counts = pulse_counts(row_trains, column_trains, down, paired)
    if paired:
        down = np.zeros_like(down)
    hit = np.nonzero(counts)
    if len(hit[0]):
        noise = cell_words(keys[0][hit[0]], keys[1][hit[1]])
        pulse_devices(weights, hit, counts[hit], down[hit], population, noise)


def pulse_devices(
    weights: np.ndarray,
    hit: tuple[np.ndarray, ...],
    counts: np.ndarray,
    down: np.ndarray,
    population: Population,
    noise: np.ndarray,
) -> None:
    """Visit, in place, at least one device.

    Parameters
    ----------
    weights : int32, shape (rows, cols)
        Of devices.
    hit : two of int64, shape (devices,)
        Their rows and columns.
    counts : int64, shape (devices,)
        Pulses that each takes, > 0.
    down : bool, shape (devices,)
    population : Population
    noise : uint32, shape (devices,)
        Their dynamic noise words.
    """
    cells = Cells(weights[hit].astype(np.int64), counts, down)
    static = Static(*(field[hit] for field in population.static))
    weights[hit] = visit(cells, static, noise, population.registers, population.weight_bits)
