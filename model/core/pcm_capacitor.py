"""A tile of cells with two phase-change devices and a capacitor (golden model).

docs/pcm.md has the equations. The capacitor is an array of its own: it takes updates, leaks and
diffuses as any array does. A weight is ``gain (G+ - G-)``, plus or minus the capacitor's g by the
polarity. A transfer is due after every so many updates, and happens before the next forward or
backward operation, when no update is under way::

    W       = gain (G+ - G-) +- g, as a noisy read finds it
    polarity changes
    W_pair  = W -+ offset;  0 where +-W_pair is between 0 and the offset
    G+, G-  : |W_pair| / gain on one of both, closed loop, the other cleared
    g       = +-(W - gain (G+ - G-)), to a step, within the cell's own bounds

So g begins every interval at the offset, whatever its polarity: what leaks, and what is asymmetric
up and down, is then the same in two of them, and cancels.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ohmgrid.config import Config
from ohmgrid.hidden import WRITTEN
from ohmgrid.model.base.arith import shift_round
from ohmgrid.model.base.noise import cell_words, gaussian, op_key, seed_key
from ohmgrid.model.core.shown import ShownTile
from ohmgrid.model.core.tile import Tile
from ohmgrid.model.device.pcm import write
from ohmgrid.model.device.population import Population, populate
from ohmgrid.model.periphery.lines import key_halves
from ohmgrid.registers.noise import Purpose, Verb
from ohmgrid.registers.pcm import NOISE_FRAC, PcmRegisters, pcm_registers
from ohmgrid.tile import NEVER, TileState

__all__ = ["CellState", "PcmCapacitorTile", "pulse_step", "transferred"]


class CellState:
    """The phase-change devices of a tile.

    Attributes
    ----------
    plus, minus : int32, shape (rows, cols)
        Conductances in weight LSB.
    plus_pulses, minus_pulses : uint8, shape (rows, cols)
        Pulses since the last RESET.
    transfers : int64, shape (1,)
        Transfers so far.
    written : int64, shape (4,)
        What they took, in the order of `ohmgrid.hidden.WRITTEN`.
    """

    def __init__(self, rows: int, cols: int) -> None:
        cells = rows, cols
        self.plus, self.minus = np.zeros(cells, np.int32), np.zeros(cells, np.int32)
        self.plus_pulses, self.minus_pulses = np.zeros(cells, np.uint8), np.zeros(cells, np.uint8)
        self.transfers = np.zeros(1, np.int64)
        self.written = np.zeros(len(WRITTEN), np.int64)

    def pair(self, gain: int) -> np.ndarray:
        """Return the pair's part of the weights (int32)."""
        return gain * (self.plus - self.minus)

    def sign(self, registers: PcmRegisters, ahead: int = 0) -> int:
        """Return the polarity, 1 or -1: after so many transfers more."""
        return -1 if registers.invert and (self.transfers[0] + ahead) % 2 else 1


def transferred(
    g: np.ndarray,
    cells: CellState,
    population: Population,
    registers: PcmRegisters,
    key: int,
    key_of_pulse: Callable[[int], int],
) -> np.ndarray:
    """Bring what has gathered on capacitors to the pairs; return what is left on them (int32).

    Parameters
    ----------
    g : int32, shape (rows, cols)
    cells : CellState
        Changed: conductances, pulses, transfers, what they took.
    population : Population
        Of the capacitors: their bounds, and which are stuck.
    registers : PcmRegisters
    key : int
        Operation key of `Verb.TRANSFER`, step: transfers so far.
    key_of_pulse : callable of int
        Returns the operation key of the reads (0) and pulses of the write.
    """
    rows, cols = g.shape
    shown = cells.pair(registers.gain) + cells.sign(registers) * g.astype(np.int64)
    weight = shown
    if registers.read_noise:
        word = _words(key, rows, cols)
        z = gaussian(word.astype(np.int64) & 0x3FF).astype(np.int64)
        weight = shown + shift_round(registers.read_noise * z, NOISE_FRAC)
    # As g will count from now on.
    after = cells.sign(registers, 1)
    wanted = after * weight - registers.offset
    wanted = after * np.where((wanted > 0) & (wanted < registers.offset), 0, wanted)
    target = np.abs(wanted) // registers.gain
    both = np.stack([np.where(wanted > 0, target, 0), np.where(wanted < 0, target, 0)], axis=1)
    shape = (2 * rows, cols)
    devices, counts, taken = write(
        np.stack([cells.plus, cells.minus], axis=1).astype(np.int64).reshape(shape),
        np.stack([cells.plus_pulses, cells.minus_pulses], axis=1).astype(np.int64).reshape(shape),
        both.reshape(shape),
        lambda pulse: _words(key_of_pulse(pulse), 2 * rows, cols),
        registers,
    )
    cells.plus, cells.minus = devices[0::2].astype(np.int32), devices[1::2].astype(np.int32)
    cells.plus_pulses = counts[0::2].astype(np.uint8)
    cells.minus_pulses = counts[1::2].astype(np.uint8)
    cells.transfers += 1
    rest = cells.sign(registers) * (weight - cells.pair(registers.gain))
    step = registers.step
    steps = (rest + step // 2) // step * step
    static = population.static
    low, high = static.b_min - static.reference, static.b_max - static.reference
    left = population.hold_stuck(np.clip(steps, low, high))
    moved = int(np.abs(left.astype(np.int64) - g).sum()) // step
    cells.written += (*taken, moved)
    return left


def _words(key: int, rows: int, cols: int) -> np.ndarray:
    row, _ = key_halves(key, Purpose.ROW, rows)
    col, _ = key_halves(key, Purpose.COLUMN, cols)
    return cell_words(row[:, None], col[None, :])


def pulse_step(transfers: int, pulse: int) -> int:
    """Return the step of `Verb.PROGRAM`: transfers so far, and the pulse below (8 bits)."""
    return transfers << 8 | pulse


class PcmCapacitorTile(ShownTile):
    """One array of cells.

    Parameters
    ----------
    config : Config
        Its device is a `PcmCapacitor`.
    rows, cols : int
        Output lines and input lines (the always-on bias input included).
    number : int
        Number of the tile, 0..255.
    make : callable
        Makes the array of capacitors, given what the pair adds to a weight at most, weight LSB: the
        engine's tile, with the method `Tile.show`.

    Attributes
    ----------
    capacitors : Tile
    cells : CellState
        The phase-change devices.
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
        self._pcm = pcm_registers(config, self.lsb)
        own = config.replace(device=config.device.unit)
        self.capacitors = self.shown = make(own, rows, cols, number, self._pcm.top)
        self._base = seed_key(config.seed)
        formats = config.formats
        self._population = populate(
            self._key(Verb.STATIC, 0), rows, cols, self.device, formats.weight_bits
        )
        self.cells = CellState(rows, cols)

    def _key(self, verb: Verb, step: int) -> int:
        return op_key(self._base, verb, self.number, step)

    def read(self) -> np.ndarray:
        """Return the weights that a pass sees (int32, shape (rows, cols), weight LSB)."""
        g = self.capacitors.state().weights
        return (self.cells.pair(self._pcm.gain) + self._sign * g).astype(np.int32)

    @property
    def _sign(self) -> int:
        return self.cells.sign(self._pcm)

    def _show(self) -> None:
        self.capacitors.show(self.cells.pair(self._pcm.gain), self._sign)

    def settle(self) -> None:
        """Transfer what is due."""
        every, updates = self._pcm.every, int(self.capacitors.steps[2])
        while every and updates // every > self.cells.transfers[0]:
            done = int(self.cells.transfers[0])

            def key_of(pulse: int, done: int = done) -> int:
                return self._key(Verb.PROGRAM, pulse_step(done, pulse))

            state = self.capacitors.state()
            left = transferred(
                state.weights,
                self.cells,
                self._population,
                self._pcm,
                self._key(Verb.TRANSFER, done),
                key_of,
            )
            self._show()
            self.capacitors.load(state._replace(weights=left))

    def unsettled_in(self, batch: int) -> int:
        """Return in how many examples a transfer is due, in whole mini-batches."""
        every, updates = self._pcm.every, int(self.capacitors.steps[2])
        left = every - updates % every if every else NEVER
        return -(-left // batch) * batch

    def update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        """Apply ``W -= lr d x^T`` to the capacitors; see `Tile.update`."""
        x, d, registers = self._update_arguments(x, d, lr)
        self.capacitors.learn(x, self._sign * d, registers)
        self.pulses = self.capacitors.pulses

    def state(self) -> TileState:
        """Return a copy of the state."""
        cells = {name: array.copy() for name, array in vars(self.cells).items()}
        return self.capacitors.state()._replace(hidden=cells)

    def load(self, state: TileState) -> None:
        """Take over a state; raise `ValueError` where it does not fit this tile."""
        weights, (forward, backward, update), hidden = self._state(state)
        for name, array in hidden.items():
            setattr(self.cells, name, array)
        self._show()
        self.capacitors.load(TileState(weights, (forward, backward, update)))
