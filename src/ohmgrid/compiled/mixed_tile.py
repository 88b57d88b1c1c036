"""The tile of the compiled engine with mixed precision: its array, and what a core needs."""

from ohmgrid.compiled.layout import Pulses
from ohmgrid.compiled.mixed import Mixed
from ohmgrid.compiled.parts import MIXED, Parts
from ohmgrid.compiled.tile import CompiledTile
from ohmgrid.compiled.transfer import Rate
from ohmgrid.config import Config
from ohmgrid.model.core.mixed_precision import MixedPrecisionTile
from ohmgrid.registers.mixed import product_scale

__all__ = ["CompiledMixedTile"]


class CompiledMixedTile(MixedPrecisionTile):
    """An array of crosspoints and its sums; a core does all that is between them in one kernel.

    Parameters
    ----------
    config, rows, cols, number
        As of `MixedPrecisionTile`.
    """

    def __init__(self, config: Config, rows: int, cols: int, number: int = 0) -> None:
        super().__init__(config, rows, cols, number, CompiledTile)

    @property
    def updated(self) -> CompiledTile:
        """The array that writes pulse."""
        return self.array

    def kernel_parts(self) -> Parts:
        """Return what lies behind the array, as the kernels take it: the same memory."""
        array = self.array
        plain = Parts.plain(array.array, array.readings[0], array.physics)
        mixed = Mixed(self._mixed, self.chi.reshape(-1), self._one, self._top)
        hidden = plain.hidden._replace(steps=self.counts)
        return plain._replace(way=MIXED, hidden=hidden, mixed=mixed)

    def rate(self, lr: float) -> Rate:
        """Return the registers of a net's updates at a learning rate."""
        write = Pulses.of(self.array.config, self._write)
        return Rate(write, (write,), *product_scale(self.config, self._learning_rate(lr)), 0)
