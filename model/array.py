"""What happens in the array itself: exact sums, and pulses on the cells that coincide."""

from collections.abc import Callable

import numpy as np

from ohmgrid.model.device import Cells, Static, visit
from ohmgrid.model.lane import coincidences
from ohmgrid.registers import DeviceRegisters

__all__ = ["apply_pulses", "array_sums"]


def array_sums(matrix: np.ndarray, codes: np.ndarray, magnitude: bool = False) -> np.ndarray:
    """Return ``matrix @ codes``, exact (int64): forward with the weights, backward transposed.

    Computed in float64, in which every partial sum is an integer below 2**53.

    Parameters
    ----------
    matrix : int32, shape (outputs, inputs)
    codes : int64, shape (inputs,)
        DAC codes or `ohmgrid.model.voltages.operands`.
    magnitude : bool
        Of the weights only: those below zero are complemented, so one LSB less than negated.
    """
    if magnitude:
        matrix = matrix ^ (matrix >> 31)
    return (matrix.astype(np.float64) @ codes.astype(np.float64)).astype(np.int64)


def apply_pulses(
    weights: np.ndarray,
    row_trains: np.ndarray,
    column_trains: np.ndarray,
    down: np.ndarray,
    static: Static,
    noise: Callable[[np.ndarray, np.ndarray], np.ndarray],
    registers: DeviceRegisters,
) -> None:
    """Visit, in place, every cell whose trains coincide at least once.

    Parameters
    ----------
    weights : int32, shape (rows, cols)
    row_trains, column_trains : int64, shapes (rows,), (cols,)
    down : bool, shape (rows, cols)
        Where a pulse lowers the conductance.
    static : Static
        Properties of all cells, shape (rows, cols).
    noise : callable
        From row and column indices of cells to their dynamic noise words.
    registers : DeviceRegisters
    """
    counts = coincidences(row_trains[:, None], column_trains[None, :])
    hit = np.nonzero(counts)
    if len(hit[0]) == 0:
        return
    cells = Cells(weights[hit].astype(np.int64), counts[hit], down[hit])
    weights[hit] = visit(cells, Static(*(field[hit] for field in static)), noise(*hit), registers)
