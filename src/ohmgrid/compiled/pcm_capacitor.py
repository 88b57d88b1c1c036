"""The tile of the compiled engine with phase-change devices: its array, the golden transfers."""

from ohmgrid.compiled.parts import Parts
from ohmgrid.compiled.tile import CompiledTile
from ohmgrid.compiled.transfer import Rate
from ohmgrid.config import Config
from ohmgrid.model.core.pcm_capacitor import PcmCapacitorTile

__all__ = ["CompiledPcmCapacitorTile"]


class CompiledPcmCapacitorTile(PcmCapacitorTile):
    """One array of cells; transfers are rare, and are the golden model's own.

    Parameters
    ----------
    config, rows, cols, number
        As of `PcmCapacitorTile`.
    """

    def __init__(self, config: Config, rows: int, cols: int, number: int = 0) -> None:
        super().__init__(config, rows, cols, number, CompiledTile)

    @property
    def updated(self) -> CompiledTile:
        """The array that updates pulse."""
        return self.capacitors

    def kernel_parts(self) -> Parts:
        """Return what lies behind it for a core's kernels: nothing."""
        return self.capacitors.kernel_parts()

    def rate(self, lr: float) -> Rate:
        """Return the registers of a net's updates at a learning rate."""
        return self.capacitors.rate(lr)
