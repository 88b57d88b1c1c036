"""A tile of cells whose capacitors are in a core, and what is beside them as second words.

The phase-change devices are the golden model's: they change in transfers alone, and these are the
host's.
"""

import numpy as np

from ohmgrid.config import Config
from ohmgrid.gateware.held import Gateware
from ohmgrid.gateware.tile import GatewareTile
from ohmgrid.host.protocol import Op
from ohmgrid.model.core.pcm_capacitor import PcmCapacitorTile

__all__ = ["GatewarePcmCapacitorTile"]


class GatewareCapacitors(GatewareTile):
    """An array of capacitors in a core, which adds what lies beside each so many times.

    Parameters as of `GatewareTile`.
    """

    _beside: np.ndarray | int = 0
    """What lies beside, before it is counted so many times: nothing before the first `show`."""
    _sign = 1

    def show(self, beside: np.ndarray, sign: int) -> None:
        """Let passes see what lies beside the array from the next `load` on; see `Tile.show`."""
        self._beside, self._sign = beside // self._entry["significance"], sign
        self._entry["inverted"] = int(sign < 0)

    def _seen(self, d: np.ndarray) -> np.ndarray:
        return self._sign * d

    def _read(self) -> np.ndarray:
        return super()._read()[0::2]

    def _write(self, op: Op, words: np.ndarray) -> None:
        both = np.zeros(self._words, np.int32)
        both[0::2] = words
        if op == Op.WRITE_CELLS:
            both[1::2] = self._beside
        super()._write(op, both)


class GatewarePcmCapacitorTile(PcmCapacitorTile):
    """One array of cells of a core of gateware.

    Parameters
    ----------
    config, rows, cols, number
        As of `PcmCapacitorTile`.
    gateware : Gateware
        The core that the capacitors are in, under the number of the tile.
    """

    capacitors: GatewareCapacitors

    def __init__(
        self, config: Config, rows: int, cols: int, number: int, gateware: Gateware
    ) -> None:
        def make(own: Config, rows: int, cols: int, number: int, top: int) -> GatewareCapacitors:
            return GatewareCapacitors(own, rows, cols, number, gateware)

        super().__init__(config, rows, cols, number, make)

    def check(self) -> None:
        """Raise `RuntimeError` unless the core holds the array."""
        self.capacitors.check()

    def set_rate(self, lr: float) -> list[int]:
        """Return the commands that have the core update at a learning rate; none if it does."""
        return self.capacitors.set_rate(lr)

    def advance(self, forward: int, backward: int, update: int) -> None:
        """Count operations that the core did without being told one by one."""
        self.capacitors.advance(forward, backward, update)

    def backward_of_edge(self) -> np.ndarray:
        """Return ``W^T d`` of the errors at the edge; see `GatewareTile.backward_of_edge`."""
        return self.capacitors.backward_of_edge()
