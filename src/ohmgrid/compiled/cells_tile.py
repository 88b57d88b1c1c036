"""The tile of the compiled engine with cells of several devices."""

from functools import lru_cache

import numpy as np

from ohmgrid.compiled.cells import CellArray, Cells, learn_cells, see_cells
from ohmgrid.compiled.held import hold
from ohmgrid.compiled.jit import kernel
from ohmgrid.compiled.layout import Converter, Pulses, make_trains_room
from ohmgrid.compiled.parts import CELLS, Parts
from ohmgrid.compiled.passes import CompiledPasses
from ohmgrid.compiled.tile import CompiledTile
from ohmgrid.compiled.transfer import Rate
from ohmgrid.config import Config
from ohmgrid.counters import PulseCounts
from ohmgrid.devices.vector_cell import VectorUnitCell
from ohmgrid.model.core.vector_cell import (
    cells_state,
    device_arrays,
    load_cells,
    update_registers,
)
from ohmgrid.model.periphery.pulses import chunks
from ohmgrid.registers.cells import cell_gains, cell_registers
from ohmgrid.registers.edge import PulseRegisters
from ohmgrid.tile import TileState

__all__ = ["CompiledCellsTile"]


@kernel
def _update(cells, shown, rows, number, pulses, step, x, d, trains, work):
    """Run one update; return what it counts, `PulseCounts`."""
    return learn_cells(cells, shown, rows, number, pulses, step, x, d, trains, work)


@kernel
def _see(cells, seen):
    """Bring what a pass sees up to date after all conductances have changed."""
    see_cells(cells, seen)


class CompiledCellsTile(CompiledPasses):
    """An array for each device of the cells: `ohmgrid.model.core.vector_cell.VectorCellTile`.

    Parameters
    ----------
    config, rows, cols, number
        As of `VectorCellTile`.

    Attributes
    ----------
    arrays : list of CompiledTile
        Of the devices.
    cells : Cells
        The same as the kernels take them.
    """

    def __init__(self, config: Config, rows: int, cols: int, number: int = 0) -> None:
        super().__init__(config, rows, cols, number)
        device, formats = config.device, config.formats
        assert isinstance(device, VectorUnitCell)
        self.arrays = device_arrays(config, rows, cols, number, CompiledTile)
        own = zip(self.arrays, cell_gains(device), strict=True)
        self.cells = Cells(
            tuple(CellArray(one.array, one.physics, one.number, gain) for one, gain in own),
            cell_registers(config),
        )
        first, top = self.arrays[0], (1 << (formats.weight_bits - 1)) - 1
        self.see(
            first.array._replace(seen=np.zeros(rows * cols, np.int32)),
            first.physics._replace(
                forward_io=Converter.of(config.forward, self.lsb, formats.x_frac, top),
                backward_io=Converter.of(config.backward, self.lsb, formats.d_frac, top),
            ),
        )
        self._held_cells = hold(self.cells)
        self._trains = hold(make_trains_room(chunks(config.pulses.most_slots), rows, cols))
        self._registers = lru_cache(maxsize=4)(lambda lr: hold(self.pulses_at(lr)))
        _see(self._held_cells, self.array.seen)

    @property
    def shown(self) -> CompiledPasses:
        """The weights that forward and backward see."""
        return self

    @property
    def updated(self) -> CompiledPasses:
        """The same: what updates pulse lies behind them."""
        return self

    def _pulse_registers(self, lr: float) -> PulseRegisters:
        return update_registers(self.config, self._learning_rate(lr))

    def pulses_at(self, lr: float) -> Pulses:
        """Return the registers of updates at a learning rate."""
        return Pulses.of(self.config, self._pulse_registers(lr))

    def kernel_parts(self) -> Parts:
        """Return what lies behind the weights, as the kernels take it: the same memory."""
        plain = Parts.plain(self.array, self.readings[0], self.physics)
        hidden = plain.hidden._replace(steps=self.steps)
        return plain._replace(way=CELLS, hidden=hidden, cells=self.cells)

    def rate(self, lr: float) -> Rate:
        """Return the registers of a net's updates at a learning rate."""
        own = self.pulses_at(lr)
        return Rate(own, (own,), 0, 1, 0)

    def update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        """Apply ``W -= lr d x^T`` to all devices of a cell or to one."""
        x, d = self._values("x", x, self.cols), self._values("d", d, self.rows)
        pulses = self._registers(self._learning_rate(lr))
        counts = _update(
            self._held_cells,
            self._held[0],
            self.rows,
            self.number,
            pulses,
            self._step(2),
            x,
            d,
            self._trains,
            self._work,
        )
        self.pulses = PulseCounts(*map(int, counts))

    def state(self) -> TileState:
        """Return a copy of the state."""
        return cells_state(self.arrays, self.steps.tolist())

    def load(self, state: TileState) -> None:
        """Take over a state; raise `ValueError` where it does not fit this tile."""
        weights, steps, hidden = self._state(state)
        load_cells(self.arrays, weights, steps[2], hidden)
        self.steps[:] = steps
        _see(self._held_cells, self.array.seen)
