"""A tile of cells of several devices: ``w = sum_k gamma_k w_k`` (golden model).

docs/cells.md has the equations. Each device is on an array of its own, tile number
`ohmgrid.registers.cells.cell_number`; all share their lines, so that the trains of an update are
those of the tile, and each array draws its own noise. Time passes on all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from ohmgrid.config import Config
from ohmgrid.devices.vector_cell import VectorUnitCell
from ohmgrid.model.base.noise import line_keys
from ohmgrid.model.core.cell_laws import EVERY, chosen, weight_of
from ohmgrid.model.core.operations import update_trains
from ohmgrid.model.core.passes import Passes
from ohmgrid.model.core.tile import Tile
from ohmgrid.registers.cells import (
    RANDOM,
    cell_gains,
    cell_number,
    cell_registers,
    device_name,
)
from ohmgrid.registers.edge import PulseRegisters, pulse_registers
from ohmgrid.registers.noise import Purpose, Verb
from ohmgrid.tile import TileState

__all__ = ["VectorCellTile", "cells_state", "device_arrays", "load_cells", "update_registers"]

Array = TypeVar("Array")


def device_arrays(
    config: Config,
    rows: int,
    cols: int,
    number: int,
    make: Callable[[Config, int, int, int], Array],
) -> list[Array]:
    """Return an array for each device of the cells of tile ``number``."""
    device = config.device
    assert isinstance(device, VectorUnitCell)
    return [
        make(config.replace(device=unit), rows, cols, cell_number(number, place))
        for place, unit in enumerate(device.unit_cell_devices)
    ]


def update_registers(config: Config, lr: float) -> PulseRegisters:
    """Return the registers of updates: those of a device of mean granularity."""
    device = config.device
    assert isinstance(device, VectorUnitCell)
    return pulse_registers(config, device.granularity, lr)


def cells_state(arrays: Sequence[Any], steps: Sequence[int]) -> TileState:
    """Return the state of a tile: operations so far, and what its arrays hold."""
    weights, *others = (array.state().weights for array in arrays)
    hidden = {device_name(place): found for place, found in enumerate(others, 1)}
    forward, backward, updates = map(int, steps)
    return TileState(weights, (forward, backward, updates), hidden)


def load_cells(
    arrays: Sequence[Any], weights: np.ndarray, updates: int, hidden: Mapping[str, np.ndarray]
) -> None:
    """Let the arrays of a tile take over what a state says of them."""
    for place, array in enumerate(arrays):
        own = hidden[device_name(place)] if place else weights
        array.load(TileState(own, (0, 0, updates)))


class VectorCellTile(Passes):
    """An array for each device of the cells.

    Parameters
    ----------
    config : Config
        Its device is a `VectorUnitCell`.
    rows, cols : int
        Output lines and input lines (the always-on bias input included).
    number : int
        Number of the tile, 0..31.

    Attributes
    ----------
    arrays : list of Tile
        Of the devices; each counts the updates of the tile.
    """

    def __init__(self, config: Config, rows: int, cols: int, number: int = 0) -> None:
        super().__init__(config, rows, cols, number)
        assert isinstance(config.device, VectorUnitCell)
        self.arrays = device_arrays(config, rows, cols, number, Tile)
        self._gains = cell_gains(config.device)
        self._cells = cell_registers(config)

    def read(self) -> np.ndarray:
        """Return the weights that a pass sees (int32, shape (rows, cols), weight LSB)."""
        total = np.zeros((self.rows, self.cols), np.int64)
        for gain, array in zip(self._gains, self.arrays, strict=True):
            total += gain * array.read().astype(np.int64)
        return weight_of(total).astype(np.int32)

    def _pulse_registers(self, lr: float) -> PulseRegisters:
        return update_registers(self.config, self._learning_rate(lr))

    def update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        """Apply ``W -= lr d x^T`` to all devices of a cell or to one; see `Tile.update`."""
        x, d, registers = self._update_arguments(x, d, lr)
        updates = self.steps[2]
        key = self._key(Verb.UPDATE, updates)
        trains = update_trains(x, d, self.config, registers, key)
        self.pulses = trains.counts
        self.steps[2] += 1
        one = self._chosen(key, updates)
        for place, array in enumerate(self.arrays):
            if one in (EVERY, place):
                array.meet(x, d, trains)
            else:
                array.pass_time(self.steps[2])

    def _chosen(self, key: int, updates: int) -> int:
        """Return which device an update pulses, or `EVERY`."""
        cells, drawn = self._cells, 0
        if cells.policy == RANDOM:
            drawn = int(line_keys(key, Purpose.DEVICE, np.arange(1))[0]) & 0xFFFF
        return chosen(cells.policy, cells.first, cells.devices, updates, drawn)

    def state(self) -> TileState:
        """Return a copy of the state."""
        return cells_state(self.arrays, self.steps)

    def load(self, state: TileState) -> None:
        """Take over a state; raise `ValueError` where it does not fit this tile."""
        weights, self.steps, hidden = self._state(state)
        load_cells(self.arrays, weights, self.steps[2], hidden)
