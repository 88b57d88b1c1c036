"""A tile with transfers whose two arrays are in a core: the host does what is between them."""

from ohmgrid.config import Config
from ohmgrid.gateware.held import Gateware
from ohmgrid.gateware.tile import GatewareTile
from ohmgrid.model.core.transfer import TransferTile
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
        The core that the arrays are in.
    layer : int
        Which of its weights they are: slow arrays come first, then fast ones.
    """

    slow: GatewareTile
    fast: GatewareTile

    def __init__(
        self,
        config: Config,
        rows: int,
        cols: int,
        number: int,
        gateware: Gateware,
        layer: int,
    ) -> None:
        layers = len(gateware.places) // 2

        def make(own: Config, rows: int, cols: int, own_number: int) -> GatewareTile:
            kind = int(own_number != number)
            return GatewareTile(own, rows, cols, own_number, gateware, layer + kind * layers, kind)

        super().__init__(config, rows, cols, number, make)

    def check(self) -> None:
        """Raise `RuntimeError` unless the core holds the arrays."""
        self.slow.check()
        self.fast.check()

    def _load_slow(self, state: TileState, updates: int) -> None:
        self.slow.load_after(state, updates)
