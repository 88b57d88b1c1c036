"""A tile whose weights are a sum over arrays of devices with few states (golden model).

docs/residual.md has the equations. The arrays lie side by side as columns of one: array k of N is
columns ``(N - 1 - k) cols`` and on, so that the last and most significant one comes first, whose
devices are those of a tile with this number. Updates pulse array 0. Reads for transfers and writes
are forwards and updates of that wide array with 1.0 on one line; forward and backward see the sum,
and their noise is that of a tile with number `fast_number`.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from ohmgrid.config import Config
from ohmgrid.devices.residual import ResidualLearning
from ohmgrid.model.base.arith import at_edge, shift_round
from ohmgrid.model.core.shown import ShownTile
from ohmgrid.model.core.tile import Tile
from ohmgrid.registers.edge import PulseRegisters, pulse_registers
from ohmgrid.registers.residual import (
    cell_config,
    residual_registers,
    sum_top,
    write_registers,
)
from ohmgrid.registers.transfer import edge_shift, fast_number
from ohmgrid.tile import TileState, weighted_sum

__all__ = ["ResidualTile"]


class ResidualTile(ShownTile):
    """Arrays that hand on to one another, and what passes see of them.

    Parameters
    ----------
    config : Config
        Its device is a `ResidualLearning`.
    rows, cols : int
        Output lines and input lines (the always-on bias input included).
    number : int
        Number of the tile, 0..31.
    make : callable
        Makes a tile of the engine, given what passes see beside its devices at most, weight LSB; it
        has the methods `Tile.pulse`, `Tile.pass_time`, `Tile.read` and `Tile.show`.

    Attributes
    ----------
    arrays : Tile
        All arrays, side by side.
    shown : Tile
        What passes see: the sum, and nothing of its own.
    turns : int64, shape (count - 1,)
        Columns read so far of array 0, 1, and so on.
    moved : int64, shape (1,)
        Coincidences of writes that moved a device.
    """

    def __init__(
        self,
        config: Config,
        rows: int,
        cols: int,
        number: int = 0,
        make: Callable[[Config, int, int, int, int], Any] = lambda *of: Tile(*of[:4]),
    ) -> None:
        super().__init__(config, rows, cols, number)
        device = config.device
        assert isinstance(device, ResidualLearning)
        self._device = device
        self._registers = residual_registers(config)
        own = cell_config(config)
        top = sum_top(device, config.formats.weight_bits)
        self.arrays = make(own, rows, device.count * cols, number, 0)
        self.shown = make(config.replace(device=device.cell), rows, cols, fast_number(number), top)
        self.turns = np.zeros(device.count - 1, np.int64)
        self.moved = np.zeros(1, np.int64)
        self._top = (1 << (config.formats.edge_bits - 1)) - 1
        self._one = min(1 << config.formats.x_frac, self._top)
        self._shift = edge_shift(config.formats, device.transfer_forward)
        self._rates = lru_cache(maxsize=4)(self._rounded)
        self._show()

    def _place(self, array: int) -> int:
        """Return where an array's columns begin."""
        return (self._device.count - 1 - array) * self.cols

    def read(self) -> np.ndarray:
        """Return the weights that a pass sees (int32, shape (rows, cols), weight LSB)."""
        return weighted_sum(self.arrays.read(), self._registers.gains)

    def _show(self) -> None:
        self.shown.show(self.read(), 0)

    def update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        """Pulse array 0, and hand on what is due.

        Parameters
        ----------
        x : integers, shape (cols,)
        d : integers, shape (rows,)
        lr : float
            Learning rate of the run, > 0.
        """
        x, d = self._edge("x", x, self.cols), self._edge("d", d, self.rows)
        # All that can be wrong with a rate is found before anything changes.
        own, writes = self._rates(self._learning_rate(lr))
        line = np.zeros(self.arrays.cols, np.int64)
        line[self._place(0) :] = x
        self.arrays.pulse(line, d, own)
        self.pulses = self.arrays.pulses
        self.shown.steps[2] += 1
        updates = int(self.shown.steps[2])
        self.arrays.pass_time(updates)
        for source, target in self._due(updates):
            self._transfer(source, target, writes[source])
        self._show()

    def _rounded(self, lr: float) -> tuple[PulseRegisters, list[PulseRegisters]]:
        """Return the registers of updates, and of writes out of each array."""
        granularity = self.device.granularity
        return (
            pulse_registers(self.config, granularity, self._device.rate(lr)),
            write_registers(self.config, granularity, self.arrays.y_lsb, lr),
        )

    def _due(self, updates: int) -> list[tuple[int, int]]:
        """Return from which array to which one there is a transfer after so many updates."""
        registers, last = self._registers, self._device.count - 1
        if registers.warm and (filled := (updates - 1) // registers.warm) < last:
            # Array 0 hands on as often as, of a chain, array 1 does.
            every = registers.every[min(1, last - 1)]
            return [(0, last - filled)] if updates % every == 0 else []
        return [
            (array, array + 1)
            for array, every in enumerate(registers.every)
            if updates % every == 0
        ]

    def _transfer(self, source: int, target: int, registers: PulseRegisters) -> None:
        """Read the next column of an array; write it to another one."""
        column = int(self.turns[source]) % self.cols
        self.turns[source] += 1
        line = np.zeros(self.arrays.cols, np.int64)
        line[self._place(source) + column] = self._one
        read = self.arrays.forward(line)
        asked, _ = at_edge(shift_round(read, self._shift), self._top)
        line[:] = 0
        line[self._place(target) + column] = self._one
        self.arrays.pulse(line, -asked, registers)
        self.moved += self.arrays.pulses.up + self.arrays.pulses.down

    def backward_update(self, x: np.ndarray, d: np.ndarray, lr: float) -> np.ndarray:
        """Return ``W^T d`` of the old weights, then update; see `Tile.backward_update`."""
        self._edge("x", x, self.cols)
        self._rates(self._learning_rate(lr))
        z = self.backward(d)
        self.update(x, d, lr)
        return z

    def state(self) -> TileState:
        """Return a copy of the state."""
        weights, (_, _, operations), _ = self.arrays.state()
        forward, backward, updates = map(int, self.shown.steps)
        # Of the wide array's operations each update is two: pulses, and time that passes.
        steps = np.array([*self.turns, operations - 2 * updates], np.int64)
        hidden = {
            "finer": weights[:, self.cols :].copy(),
            "transfer_steps": steps,
            "slow_pulses": self.moved.copy(),
        }
        return TileState(weights[:, : self.cols].copy(), (forward, backward, updates), hidden)

    def load(self, state: TileState) -> None:
        """Take over a state; raise `ValueError` where it does not fit this tile."""
        weights, (forward, backward, updates), hidden = self._state(state)
        *turns, writes = map(int, hidden["transfer_steps"])
        wide = np.concatenate([weights, hidden["finer"]], axis=1)
        self.arrays.load(TileState(wide, (sum(turns), 0, 2 * updates + writes)))
        self.shown.steps[:] = (forward, backward, updates)
        self.turns[:] = turns
        self.moved[:] = hidden["slow_pulses"]
        self._show()
