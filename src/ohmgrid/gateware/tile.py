"""One array of a core that runs somewhere else: what the host knows of it, and what it sends."""

from dataclasses import asdict

import numpy as np

from ohmgrid.config import Config
from ohmgrid.gateware.held import Gateware
from ohmgrid.host.driver import Item
from ohmgrid.host.protocol import Op, command
from ohmgrid.host.registers import countdowns, entry_values, transfers_left
from ohmgrid.model.array.sweep import memory_order
from ohmgrid.model.base.noise import op_key, seed_key
from ohmgrid.model.core.operations import update_trains
from ohmgrid.model.device.population import populate
from ohmgrid.registers.arrays import STATE, STEPS, WORD_BITS
from ohmgrid.registers.edge import PulseRegisters
from ohmgrid.registers.noise import Verb
from ohmgrid.tile import TileBase, TileState

__all__ = ["GatewareTile"]

STATE_WORDS = sum(STATE.values()) // WORD_BITS
"""Words of an entry that verbs change."""


class GatewareTile(TileBase):
    """One array of a core of gateware; the interface and the bits are those of the model.

    References and the weights of stuck devices are drawn here and written once. After an error of
    the gateware the tile refuses all calls but `load`, which starts the gateware anew.

    Parameters
    ----------
    config : Config
    rows, cols : int
    number : int
        Number of the tile, in the address of its noise.
    gateware : Gateware
        The core that the array is in.
    array : int, optional
        Number of the array in that core; that of the tile if nothing is said.
    kind : int
        Which of the gateware's kinds of arrays it is.
    every : int
        Updates between two transfers from it; 0: none.

    Raises
    ------
    ConfigError
        If the array does not fit the build, or the device needs what the build lacks.

    Attributes
    ----------
    cycles : int
        Clock cycles of the last operation, its vectors and commands included.
    """

    def __init__(
        self,
        config: Config,
        rows: int,
        cols: int,
        number: int,
        gateware: Gateware,
        array: int | None = None,
        kind: int = 0,
        every: int = 0,
    ) -> None:
        super().__init__(config, rows, cols, number)
        self.gateware = gateware
        self._array = number if array is None else array
        self._values, self._every = gateware.values[kind], every
        place = self.gateware.places[self._array]
        key = op_key(seed_key(config.seed), Verb.STATIC, number, 0)
        self._population = populate(
            key, *self.device_shape, self.device, config.formats.weight_bits
        )
        self._words = (rows * place.stride, cols)
        self._row, self._col = memory_order(
            *self._words, config.build.lanes, place.turned, place.stride
        )
        self._entry = entry_values(config, place, number, kind, every)
        self._start = 0
        """Start of the gateware since which this array is loaded."""
        self.load(TileState(np.zeros(self.device_shape, np.int32), (0, 0, 0)))

    def _write_entry(self, first_word: int, **more: int) -> list[int]:
        """Return the commands that write the array's entry from a word on."""
        values, physics = self._entry | more, self.config.build.read_physics
        return self.gateware.driver.entry(self._array, values, physics, first_word)

    def _command(self, op: Op) -> int:
        return command(op, self._array)

    def _load_x(self, values: np.ndarray) -> list[Item]:
        """Return command and words that bring activations to the core, none if they are there."""
        held = self.gateware.activations.get(self._array)
        if held is not None and np.array_equal(values, held):
            return []
        return [self._command(Op.LOAD_X), values]

    def _holds(self, x: np.ndarray | None) -> None:
        """Take note of the activations on the array's lines; None: nobody knows."""
        self.gateware.hold(self._array, x)

    def check(self) -> None:
        """Raise `RuntimeError` unless the core holds the array."""
        if self._start != self.gateware.starts:
            raise RuntimeError(
                "tile: expected a state to be loaded, the gateware was started anew after an error"
            )

    def _send(self, items: list[Item], results: int = 0) -> tuple[np.ndarray, list]:
        """Send commands and words, if the core holds the array."""
        self.check()
        sent = self.gateware.send(items, results)
        self.cycles = self.gateware.driver.cycles
        return sent

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return ``W x`` (int64, shape (rows,))."""
        x = self._edge("x", x, self.cols)
        y, answers = self._send([*self._load_x(x), self._command(Op.FORWARD)], self.rows)
        self._holds(x)
        self.steps[0] += 1
        self.passes, self.saturated = answers[-1].passes, answers[-1].saturated
        return y

    def backward(self, d: np.ndarray) -> np.ndarray:
        """Return ``W^T d`` (int64, shape (cols,))."""
        d = self._edge("d", d, self.rows)
        items = [self._command(Op.LOAD_D), d, self._command(Op.BACKWARD)]
        z, answers = self._send(items, self.cols)
        self.steps[1] += 1
        self.saturated = answers[-1].saturated
        return z

    def backward_of_edge(self) -> np.ndarray:
        """Return ``W^T d`` (int64, shape (cols,)) of the errors that the core holds for the array.

        They are those that the last run left, of the first example of a mini-batch.
        """
        return self._send([self._command(Op.BACKWARD)], self.cols)[0]

    def update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        """Apply ``W -= lr d x^T`` by coincident pulses."""
        self.learn(*self._update_arguments(x, d, lr))

    def learn(self, x: np.ndarray, d: np.ndarray, registers: PulseRegisters) -> None:
        """Do what an update does, with its registers; see the golden `learn`."""
        self._pulse(Op.UPDATE, x, d, registers)
        self._aged(self.steps[2])

    def pulse(self, x: np.ndarray, d: np.ndarray, registers: PulseRegisters) -> None:
        """Pulse alone: no time passes; see the golden `pulse`."""
        self._pulse(Op.PULSE, x, d, registers)

    def pass_time(self, updates: int) -> None:
        """Count an operation in which time passes; see the golden `pass_time`."""
        self._send([self._command(Op.AGE)])
        self.steps[2] += 1
        self._aged(updates)

    def _aged(self, updates: int) -> None:
        """Take note of what time has done after so many updates."""
        if countdowns(self._values, updates - 1).get("refresh_left") == 1:
            # A refresh writes vectors of its own to the array's edge.
            self._holds(None)

    def _pulse(self, op: Op, x: np.ndarray, d: np.ndarray, registers: PulseRegisters) -> None:
        rate = self.write_rate(registers)
        key = op_key(seed_key(self.config.seed), Verb.UPDATE, self.number, self.steps[2])
        items = [self._command(Op.LOAD_D), self._seen(d), self._command(op)]
        self._send([*rate, *self._load_x(x), *items])
        self._holds(x)
        self.steps[2] += 1
        # The gateware does not count: the model's function does, of the same vectors.
        self.pulses = update_trains(x, d, self.config, registers, key).counts

    def _seen(self, d: np.ndarray) -> np.ndarray:
        """Return the errors of what passes see, given those of what is pulsed: the same."""
        return d

    def set_rate(self, lr: float) -> list[int]:
        """Return the commands that have the core update at a learning rate; none if it does."""
        return self.write_rate(self._pulse_registers(lr))

    def write_rate(self, registers: PulseRegisters) -> list[int]:
        """Return the commands that write the registers of updates, if the entry has others."""
        fields = asdict(registers)
        if fields.items() <= self._entry.items():
            return []
        self._entry |= fields
        return self._write_entry(STATE_WORDS)

    def advance(self, forward: int, backward: int, update: int) -> None:
        """Count operations that the core did without being told one by one."""
        self.steps = [a + b for a, b in zip(self.steps, (forward, backward, update), strict=True)]
        self._holds(None)

    def state(self) -> TileState:
        """Return a copy of the state."""
        first, second, third = self.steps
        return TileState(self._read(), (first, second, third))

    def load(self, state: TileState) -> None:
        """Take over a state; raise `ValueError` where it does not fit this tile."""
        _, (_, _, updates), _ = self._state(state)
        self.load_after(state, updates)

    def load_after(self, state: TileState, updates: int) -> None:
        """Take over a state after so many updates, which may be other than its operations."""
        weights, steps, _ = self._state(state)
        gateware = self.gateware
        if gateware.lost or not gateware.starts:
            gateware.start()
        fresh = self._start != gateware.starts
        self._start = gateware.starts
        counts = dict(zip(STEPS, steps, strict=True)) | countdowns(self._values, updates)
        counts |= transfers_left(self._every, steps[0], steps[2], self.cols)
        # An entry is written whole, so what is fixed is derived again.
        self._send([*self._write_entry(0, **counts), self._command(Op.SETUP)])
        self._holds(None)
        if fresh and self.config.build.references:
            self._write(Op.WRITE_REFERENCES, self._population.static.reference)
        self._write(Op.WRITE_CELLS, self._population.hold_stuck(weights))
        self.steps = steps

    def _read(self) -> np.ndarray:
        """Return all words (int32), by rows of devices, columns."""
        words, _ = self._send([self._command(Op.READ_CELLS)], self._row.size)
        found = np.zeros(self._words, np.int32)
        found[self._row, self._col] = words
        return found

    def _write(self, op: Op, words: np.ndarray) -> None:
        """Send all words, as they are read."""
        self._send([self._command(op), words[self._row, self._col]])
