"""A tile that learns on a fast array and shows a slow one: the transfer algorithms (golden model).

docs/transfer.md has the equations, `ohmgrid.model.core.transfer_laws` what happens to one cell.
An update pulses the fast array with activations and errors whose signs are those of their columns
and rows. After every so many of them a column of it is read: 1.0 on its line, as any forward pass.
What was read, or a whole step of the buffer that it is added to, is pulsed onto that column of the
slow array, with 1.0 on its line. The fast array has a number of its own, `fast_number`; its noise,
and that of the writes, is that of any array's forwards and updates.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from ohmgrid.config import Config
from ohmgrid.devices.transfer import Transfer
from ohmgrid.model.base.arith import at_edge, shift_round
from ohmgrid.model.base.noise import bernoulli, line_keys, op_key, seed_key
from ohmgrid.model.core.shown import ShownTile
from ohmgrid.model.core.tile import Tile
from ohmgrid.model.core.transfer_laws import (
    added,
    averaged,
    mean_after,
    rate_of,
    step_of,
    what_is_left,
)
from ohmgrid.registers.edge import PulseRegisters, pulse_registers
from ohmgrid.registers.noise import Purpose, Verb
from ohmgrid.registers.transfer import (
    fast_config,
    fast_number,
    scaled_rate,
    slow_config,
    transfer_registers,
    transfer_scale,
    write_rate,
    write_shift,
)
from ohmgrid.tile import TileState

__all__ = ["TransferTile"]

OF_ARRAYS = ("fast", "transfer_steps")
"""What both arrays hold themselves of what a tile remembers."""
TURNED, JUST_TURNED = 1, 2
"""Bits of a column's sign."""


class TransferTile(ShownTile):
    """A fast and a slow array of crosspoints.

    Parameters
    ----------
    config : Config
        Its device is a `Transfer`.
    rows, cols : int
        Output lines and input lines (the always-on bias input included).
    number : int
        Number of the tile, 0..31.
    make : callable
        Makes each of both arrays: the engine's tile, with the methods `Tile.learn`, `Tile.pulse`
        and `Tile.pass_time`.

    Attributes
    ----------
    fast, slow : Tile
    hidden : dict
        What lies between them, by the names of `ohmgrid.hidden.hidden_fields`.
    """

    def __init__(
        self,
        config: Config,
        rows: int,
        cols: int,
        number: int = 0,
        make: Callable[[Config, int, int, int], Any] = Tile,
    ) -> None:
        super().__init__(config, rows, cols, number)
        assert isinstance(config.device, Transfer)
        self._device = config.device
        self.fast = make(fast_config(config), rows, cols, fast_number(number))
        self.slow = self.shown = make(slow_config(config), rows, cols, number)
        self._registers = transfer_registers(config, cols)
        self._base = seed_key(config.seed)
        top = (1 << (config.formats.edge_bits - 1)) - 1
        self._one = min(1 << config.formats.x_frac, top)
        self._step = min(1 << config.formats.d_frac, top)
        self._top = top
        self._rates = lru_cache(maxsize=4)(self._rounded)
        # Updates of the fast array after which no time has passed for the slow one.
        self._behind = 0
        # Columns are what is visited: each lies in one piece.
        self.hidden = {
            name: np.zeros(field.shape, field.dtype, order="F")
            for name, field in self.hidden_fields.items()
            if name not in OF_ARRAYS
        }

    def update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        """Pulse the fast array, and transfer columns of it as is due.

        Parameters
        ----------
        x : integers, shape (cols,)
        d : integers, shape (rows,)
        lr : float
            Learning rate of the run, > 0.
        """
        # All that can be wrong with a rate is found before anything changes.
        self._rates(self._learning_rate(lr))
        if self.learn(x, d, lr):
            for _ in range(self._registers.columns):
                line = self.line()
                self.write(line, self.asked(self.fast.forward(line), lr), lr)
        self.pass_time()

    @property
    def by_steps(self) -> bool:
        """Whether a step table can transfer: the build has buffers, if there are any between the
        arrays, and means beside them."""
        registers, build = self._registers, self.config.build
        return not registers.buffered or (
            build.buffers > 0 and build.means >= bool(registers.dynamic)
        )

    @property
    def buffered(self) -> bool:
        """Whether what is read goes through buffers."""
        return bool(self._registers.buffered)

    @property
    def columns(self) -> int:
        """Columns that a transfer reads."""
        return self._registers.columns

    def learn(self, x: np.ndarray, d: np.ndarray, lr: float) -> bool:
        """Pulse the fast array; return whether a transfer is due. Parameters as of `update`."""
        x, d = self._edge("x", x, self.cols), self._edge("d", d, self.rows)
        rate, registers = self._learning_rate(lr), self._registers
        own, _, _ = self._rates(rate)
        if registers.averaged:
            own = self._scaled(x, d, own, rate)
        if registers.chopped:
            x = np.where(self.hidden["column_signs"] & TURNED, -x, x)
            d = np.where(self.hidden["row_signs"], -d, d)
        self.fast.learn(x, d, own)
        self._behind += 1
        self.pulses = self.fast.pulses
        return bool(registers.every) and int(self.fast.steps[2]) % registers.every == 0

    def pass_time(self) -> None:
        """Let time pass for the slow array, after an update of the fast one."""
        self._behind -= 1
        self.slow.pass_time(int(self.fast.steps[2]) - self._behind)

    def line(self) -> np.ndarray:
        """Return activations (int64, shape (cols,)) that read the next column of the fast array."""
        line = np.zeros(self.cols, np.int64)
        line[int(self.fast.steps[0]) % self.cols] = self._one
        return line

    def asked(self, read: np.ndarray, lr: float) -> np.ndarray:
        """Take what was read last through the buffers; return the errors that are to be written.

        Parameters
        ----------
        read : int64, shape (rows,)
            Of a column of the fast array.
        lr : float
            Learning rate of the run.
        """
        registers = self._registers
        if not registers.buffered:
            return -at_edge(shift_round(read, write_shift(self.config)), self._top)[0]
        reads = int(self.fast.steps[0]) - 1
        turn, column = divmod(reads, self.cols)
        scale = self._rates(self._learning_rate(lr))[2]
        steps = self._buffer(column, read, scale) * self._step
        # Means are not to be trusted before a whole period.
        if registers.dynamic and turn <= registers.period:
            steps = np.zeros_like(steps)
        if registers.chopped:
            self._turn(column, turn, op_key(self._base, Verb.TRANSFER, self.fast.number, reads))
        return -steps

    def write(self, line: np.ndarray, d: np.ndarray, lr: float) -> None:
        """Pulse a column of the slow array; as `Tile.pulse`, at the rate of a run."""
        self.slow.pulse(line, d, self._rates(self._learning_rate(lr))[1])
        self.count_pulses(self.slow.pulses.up + self.slow.pulses.down)

    def count_pulses(self, moved: int) -> None:
        """Count coincidences of writes that moved a device of the slow array."""
        self.hidden["slow_pulses"] += moved

    def _rounded(self, lr: float) -> tuple[PulseRegisters, PulseRegisters, tuple[int, int]]:
        """Return the registers of updates and of writes, and the scale of what is read."""
        device, unit = self._device, self.fast.y_lsb
        fast, slow = self.fast, self.slow
        # Averages take the place of the rate.
        own = fast.device.granularity if self._registers.averaged else device.rate(lr)
        return (
            pulse_registers(fast.config, fast.device.granularity, own),
            pulse_registers(
                slow.config, slow.device.granularity, write_rate(self.config, unit, lr)
            ),
            transfer_scale(device, unit, self.cols, lr),
        )

    def _scaled(
        self, x: np.ndarray, d: np.ndarray, registers: PulseRegisters, lr: float
    ) -> PulseRegisters:
        """Average the largest activation and error; return registers that they scale."""
        averages = self.hidden["averages"]
        for place, values in enumerate((x, d)):
            largest, weight = int(np.abs(values).max()), self._registers.average
            averages[place] = averaged(int(averages[place]), largest, weight)
        rate, shift = rate_of(scaled_rate(self.config, lr), *averages.tolist())
        return replace(registers, rate=rate, rate_shift=shift)

    def _buffer(self, column: int, read: np.ndarray, scale: tuple[int, int]) -> np.ndarray:
        """Add what was read to a column's buffer; return the steps that it gives."""
        registers, hidden = self._registers, self.hidden
        turned, past = np.zeros(self.rows, bool), np.zeros(self.rows, np.int64)
        if registers.chopped:
            sign = hidden["column_signs"][column]
            turned = (hidden["row_signs"] & 1) != (sign & TURNED)
            if registers.dynamic:
                if sign & JUST_TURNED:
                    hidden["past"][:, column] = hidden["mean"][:, column]
                past = hidden["past"][:, column].astype(np.int64)
                mean = hidden["mean"][:, column].astype(np.int64)
                hidden["mean"][:, column] = mean_after(mean, read, registers.weight)
        before = hidden["buffer"][:, column].astype(np.int64)
        full = added(before, read, past, turned, *scale)
        step = step_of(full)
        left = what_is_left(full, step, registers.momentum, registers.forget, registers.cap)
        hidden["buffer"][:, column] = left
        return step

    def _turn(self, column: int, turn: int, key: int) -> None:
        """Turn the sign of a column that was read, and after the last one those of rows."""
        registers, columns = self._registers, self.hidden["column_signs"]
        drawn = line_keys(key, Purpose.TRAIN_X, column) & np.uint64(0xFFFF)
        turns = bool(bernoulli(drawn, registers.flip))
        if registers.period:
            turns |= turn % registers.period == registers.period - 1
        columns[column] = (columns[column] & TURNED) ^ (TURNED | JUST_TURNED if turns else 0)
        if column == self.cols - 1:
            drawn = line_keys(key, Purpose.TRAIN_D, np.arange(self.rows)) & np.uint64(0xFFFF)
            self.hidden["row_signs"] ^= bernoulli(drawn, registers.row_flip).astype(np.uint8)

    def _check_update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        self._edge("x", x, self.cols)
        self._edge("d", d, self.rows)
        self._rates(self._learning_rate(lr))

    def state(self) -> TileState:
        """Return a copy of the state."""
        # Operations of the slow array: its writes, and those in which time passes.
        weights, (forward, backward, counted), _ = self.slow.state()
        fast, (reads, _, updates), _ = self.fast.state()
        steps = np.array([reads, counted - updates], np.int64)
        between = {name: array.copy(order="C") for name, array in self.hidden.items()}
        hidden = {"fast": fast, "transfer_steps": steps, **between}
        return TileState(weights, (forward, backward, updates), hidden)

    def _load_slow(self, state: TileState, updates: int) -> None:
        """Load the slow array, with what it has done in so many updates of the tile."""
        self.slow.load(state)

    def load(self, state: TileState) -> None:
        """Take over a state; raise `ValueError` where it does not fit this tile."""
        weights, (forward, backward, updates), hidden = self._state(state)
        reads, writes = map(int, hidden["transfer_steps"])
        self._behind = 0
        self._load_slow(TileState(weights, (forward, backward, writes + updates)), updates)
        self.fast.load(TileState(hidden["fast"], (reads, 0, updates)))
        for name, array in self.hidden.items():
            array[...] = hidden[name]
