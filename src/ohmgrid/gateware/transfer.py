"""A tile with transfers whose two arrays are in a core.

What is between them the host does, or steps where what is read is written as it is.
"""

import numpy as np

from ohmgrid.config import Config
from ohmgrid.gateware.held import Gateware
from ohmgrid.gateware.tile import GatewareTile
from ohmgrid.model.core.transfer import TransferTile
from ohmgrid.registers.transfer import transfer_registers
from ohmgrid.tile import TileState

__all__ = ["GatewareTransferTile"]


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

    def set_rate(self, lr: float) -> list[int]:
        """Return the commands that have the core update at a learning rate; none if it does."""
        own, write, _ = self._rates(self._learning_rate(lr))
        return self.fast.write_rate(own) + self.slow.write_rate(write)

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

    def _load_slow(self, state: TileState, updates: int) -> None:
        self.slow.load_after(state, updates)
