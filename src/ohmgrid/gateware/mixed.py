"""A tile of mixed precision whose array is in a core; its sums are the host's."""

from ohmgrid.config import Config
from ohmgrid.gateware.held import Gateware
from ohmgrid.gateware.tile import GatewareTile
from ohmgrid.model.core.mixed_precision import MixedPrecisionTile
from ohmgrid.tile import TileState

__all__ = ["GatewareMixedTile"]


class GatewareMixedTile(MixedPrecisionTile):
    """An array of a core of gateware, and sums beside it.

    Parameters
    ----------
    config, rows, cols, number
        As of `MixedPrecisionTile`.
    gateware : Gateware
        The core that the array is in, under the number of the tile.
    """

    array: GatewareTile

    def __init__(
        self, config: Config, rows: int, cols: int, number: int, gateware: Gateware
    ) -> None:
        def make(own: Config, rows: int, cols: int, number: int) -> GatewareTile:
            return GatewareTile(own, rows, cols, number, gateware)

        super().__init__(config, rows, cols, number, make)

    def _load_array(self, state: TileState, updates: int) -> None:
        self.array.load_after(state, updates)
