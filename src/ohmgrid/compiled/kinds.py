"""The tiles of the compiled engine, and what its core asks of each."""

from typing import Protocol

from ohmgrid.compiled.cells_tile import CompiledCellsTile
from ohmgrid.compiled.mixed_tile import CompiledMixedTile
from ohmgrid.compiled.parts import Parts
from ohmgrid.compiled.passes import CompiledPasses
from ohmgrid.compiled.pcm_capacitor import CompiledPcmCapacitorTile
from ohmgrid.compiled.residual_tile import CompiledResidualTile
from ohmgrid.compiled.tile import CompiledTile
from ohmgrid.compiled.transfer import Rate
from ohmgrid.compiled.transfer_tile import CompiledTransferTile
from ohmgrid.config import Config
from ohmgrid.devices.base import Device
from ohmgrid.devices.mixed_precision import MixedPrecision
from ohmgrid.devices.pcm_capacitor import PcmCapacitor
from ohmgrid.devices.residual import ResidualLearning
from ohmgrid.devices.transfer import Transfer
from ohmgrid.devices.vector_cell import VectorUnitCell
from ohmgrid.tile import TileEngine

__all__ = ["CoreTile", "make_tile"]


class CoreTile(TileEngine, Protocol):
    """A tile as the kernels of a core take it apart."""

    @property
    def shown(self) -> CompiledPasses:
        """The array that forward and backward see."""
        ...

    @property
    def updated(self) -> CompiledPasses:
        """The array that updates pulse."""
        ...

    def kernel_parts(self) -> Parts:
        """Return what lies behind the array that is shown, as the kernels take it."""
        ...

    def rate(self, lr: float) -> Rate:
        """Return the registers of updates at a learning rate."""
        ...

    def settle(self) -> None:
        """Do what is due before a forward operation and is not for the kernels."""
        ...

    def unsettled_in(self, batch: int) -> int:
        """Return after how many examples, in whole mini-batches, that will be so again."""
        ...


KINDS: dict[type[Device], type] = {
    Transfer: CompiledTransferTile,
    ResidualLearning: CompiledResidualTile,
    PcmCapacitor: CompiledPcmCapacitorTile,
    VectorUnitCell: CompiledCellsTile,
    MixedPrecision: CompiledMixedTile,
    Device: CompiledTile,
}


def make_tile(config: Config, rows: int, cols: int, number: int) -> CoreTile:
    """Return a tile of a configuration, by its device."""
    kind = next(kind for device, kind in KINDS.items() if isinstance(config.device, device))
    return kind(config, rows, cols, number)
