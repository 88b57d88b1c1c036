"""Which tile a configuration has (golden model)."""

from ohmgrid.config import Config
from ohmgrid.devices.pcm_capacitor import PcmCapacitor
from ohmgrid.devices.residual import ResidualLearning
from ohmgrid.devices.transfer import Transfer
from ohmgrid.model.core.pcm_capacitor import PcmCapacitorTile
from ohmgrid.model.core.residual import ResidualTile
from ohmgrid.model.core.tile import Tile
from ohmgrid.model.core.transfer import TransferTile
from ohmgrid.tile import TileEngine

__all__ = ["make_tile"]


def make_tile(config: Config, rows: int, cols: int, number: int = 0) -> TileEngine:
    """Return a tile of a configuration, by its device: one array, or what is around it."""
    if isinstance(config.device, Transfer):
        return TransferTile(config, rows, cols, number)
    if isinstance(config.device, ResidualLearning):
        return ResidualTile(config, rows, cols, number)
    kind = PcmCapacitorTile if isinstance(config.device, PcmCapacitor) else Tile
    return kind(config, rows, cols, number)
