"""A tile with transfers whose two arrays are in a core.

What is between them is there as well, where the build has buffers or needs none; else the host does
it.
"""

from collections.abc import Iterator

import numpy as np

from ohmgrid.config import Config
from ohmgrid.gateware.held import Gateware
from ohmgrid.gateware.tile import GatewareTile
from ohmgrid.host.protocol import READ_COUNT, Op, command, table_command
from ohmgrid.host.registers import between_values, turns
from ohmgrid.model.core.transfer import TransferTile
from ohmgrid.registers.map import ROW_SIGNS, TRAINER
from ohmgrid.registers.transfer import SCALE_BITS, scaled_rate, transfer_registers
from ohmgrid.tile import TileState

__all__ = ["GatewareTransferTile"]

OF_CELLS = ("buffer", "mean", "past")
"""Tables with a word for each cell, named as what a tile remembers."""


class GatewareTransferTile(TransferTile):
    """A slow and a fast array of a core of gateware.

    Parameters
    ----------
    config : Config
    rows, cols : int
    number : int
        Number of the tile.
    gateware : Gateware
        The core that the arrays are in: slow arrays come first, then fast ones, each in the order
        of their tiles.
    """

    slow: GatewareTile
    fast: GatewareTile

    def __init__(
        self, config: Config, rows: int, cols: int, number: int, gateware: Gateware
    ) -> None:
        layers = len(gateware.places) // 2
        every = transfer_registers(config, cols).every
        self._gateware, self._array = gateware, layers + number
        # Where what lies between the arrays begins in the gateware's tables.
        self._first = sum(place.rows * place.cols for place in gateware.places[:number])
        self._place, self._sides = gateware.places[number], (cols, rows)
        self._given = False
        """What lies between the arrays is in the core, which may have changed it."""

        def make(own: Config, rows: int, cols: int, own_number: int) -> GatewareTile:
            kind = int(own_number != number)
            array = number + kind * layers
            return GatewareTile(
                own, rows, cols, own_number, gateware, array, kind, every if kind else 0
            )

        super().__init__(config, rows, cols, number, make)

    def check(self) -> None:
        """Raise `RuntimeError` unless the core holds the arrays."""
        self.slow.check()
        self.fast.check()

    def learn(self, x: np.ndarray, d: np.ndarray, lr: float) -> bool:
        """Pulse the fast array; see the golden `learn`."""
        self._take()
        return super().learn(x, d, lr)

    def set_rate(self, lr: float) -> list[int]:
        """Return the commands that have the core update at a learning rate; none if it does.

        What lies between the arrays goes with them, if the core has to do with it.
        """
        rate = self._learning_rate(lr)
        own, write, scale = self._rates(rate)
        commands = self.fast.write_rate(own) + self.slow.write_rate(write)
        if self.buffered and self.by_steps:
            commands += self._give(rate, *scale)
        return commands

    def _give(self, lr: float, mantissa: int, shift: int) -> list[int]:
        """Return the commands that bring what lies between the arrays to the core."""
        slots = scaled_rate(self.config, lr) if self._registers.averaged else 0
        commands = self._gateware.driver.registers(between_values(self._registers, slots))
        turned = turns(self._registers, int(self.fast.steps[0]), self.cols)
        words = (mantissa | shift << SCALE_BITS, self._first, *(() if self._given else (turned,)))
        for place, word in enumerate(words):
            commands.append(table_command(TRAINER["transfer"], self._array << 2 | place, word))
        if not self._given:
            unsigned = () if self._registers.chopped else self._signs(*map(np.zeros, self._sides))
            for table, first, words in (*self._tables(), *unsigned):
                values = enumerate(words.reshape(-1).astype(int).tolist(), first)
                commands += [table_command(TRAINER[table], at, word) for at, word in values]
        self._given = True
        return commands

    def _signs(
        self, columns: np.ndarray, rows: np.ndarray
    ) -> tuple[tuple[str, int, np.ndarray], ...]:
        place = self._place
        return (
            ("sign", place.input_line, columns),
            ("sign", ROW_SIGNS + place.output_line, rows),
        )

    def _tables(self) -> Iterator[tuple[str, int, np.ndarray]]:
        """Yield the name of each table that there is, where it begins, and what it holds."""
        hidden = self.hidden
        for name in OF_CELLS:
            if name in hidden:
                # As a word of a table: negative ones are complements.
                yield name, self._first, hidden[name].view(np.uint32)
        if self._registers.chopped:
            yield from self._signs(hidden["column_signs"], hidden["row_signs"])
            yield "average", 2 * self._array, hidden["averages"]

    def _read(self) -> None:
        """Read what lies between the arrays back."""
        for table, first, words in self._tables():
            count = words.size << READ_COUNT
            asked = command(Op.READ_BETWEEN, self._array, TRAINER[table] | first << 8 | count)
            found = self._gateware.send([asked], words.size)[0]
            words[...] = found.reshape(words.shape).astype(words.dtype)

    def _take(self) -> None:
        """Have what lies between the arrays here, where it is changed now."""
        if self._given:
            self._read()
        self._given = False

    def advance(self, forward: int, backward: int, update: int) -> None:
        """Count operations that the core did without being told one by one."""
        every, before = self._registers.every, int(self.fast.steps[2])
        due = (before + update) // every - before // every if every else 0
        reads = due * self.columns
        self.slow.advance(forward, backward, update + reads)
        self.fast.advance(reads, 0, update)

    def backward_of_edge(self) -> np.ndarray:
        """Return ``W^T d`` of the errors at the edge; see `GatewareTile.backward_of_edge`."""
        return self.slow.backward_of_edge()

    def state(self) -> TileState:
        """Return a copy of the state."""
        if self._given:
            self._read()
        return super().state()

    def load(self, state: TileState) -> None:
        """Take over a state; raise `ValueError` where it does not fit this tile."""
        super().load(state)
        self._given = False

    def _load_slow(self, state: TileState, updates: int) -> None:
        self.slow.load_after(state, updates)
