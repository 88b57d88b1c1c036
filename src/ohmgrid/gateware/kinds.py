"""The tiles of a core of gateware."""

from typing import Any

from ohmgrid.config import Config
from ohmgrid.devices.base import Device
from ohmgrid.devices.mixed_precision import MixedPrecision
from ohmgrid.devices.pcm_capacitor import PcmCapacitor
from ohmgrid.devices.transfer import Transfer
from ohmgrid.gateware.held import Gateware
from ohmgrid.gateware.mixed import GatewareMixedTile
from ohmgrid.gateware.pcm_capacitor import GatewarePcmCapacitorTile
from ohmgrid.gateware.tile import GatewareTile
from ohmgrid.gateware.transfer import GatewareTransferTile

__all__ = ["make_tile"]

KINDS: dict[type[Device], type] = {
    Transfer: GatewareTransferTile,
    PcmCapacitor: GatewarePcmCapacitorTile,
    MixedPrecision: GatewareMixedTile,
    Device: GatewareTile,
}


def make_tile(config: Config, rows: int, cols: int, number: int, gateware: Gateware) -> Any:
    """Return a tile of a configuration, by its device, in a core that holds it."""
    kind = next(kind for device, kind in KINDS.items() if isinstance(config.device, device))
    return kind(config, rows, cols, number, gateware)
