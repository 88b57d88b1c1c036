"""Which tile a configuration has (golden model)."""

from ohmgrid.config import Config
from ohmgrid.devices.base import Device
from ohmgrid.devices.mixed_precision import MixedPrecision
from ohmgrid.devices.pcm_capacitor import PcmCapacitor
from ohmgrid.devices.residual import ResidualLearning
from ohmgrid.devices.transfer import Transfer
from ohmgrid.devices.vector_cell import VectorUnitCell
from ohmgrid.model.core.mixed_precision import MixedPrecisionTile
from ohmgrid.model.core.pcm_capacitor import PcmCapacitorTile
from ohmgrid.model.core.residual import ResidualTile
from ohmgrid.model.core.tile import Tile
from ohmgrid.model.core.transfer import TransferTile
from ohmgrid.model.core.vector_cell import VectorCellTile
from ohmgrid.tile import TileEngine

__all__ = ["make_tile"]

KINDS: dict[type[Device], type] = {
    Transfer: TransferTile,
    ResidualLearning: ResidualTile,
    PcmCapacitor: PcmCapacitorTile,
    VectorUnitCell: VectorCellTile,
    MixedPrecision: MixedPrecisionTile,
    Device: Tile,
}


def make_tile(config: Config, rows: int, cols: int, number: int = 0) -> TileEngine:
    """Return a tile of a configuration, by its device: one array, or what is around it."""
    kind = next(kind for device, kind in KINDS.items() if isinstance(config.device, device))
    return kind(config, rows, cols, number)
