"""The tile of the compiled engine with transfers: two of its arrays, and what a core needs."""

import numpy as np

from ohmgrid.compiled.layout import Pulses
from ohmgrid.compiled.parts import TRANSFERS, Parts
from ohmgrid.compiled.tile import CompiledTile
from ohmgrid.compiled.transfer import Chain, Hidden, Rate, Transfers
from ohmgrid.config import Config
from ohmgrid.devices.transfer import ChoppedTransfer
from ohmgrid.model.core.transfer import TransferTile
from ohmgrid.registers.transfer import fast_number, scaled_rate, write_shift

__all__ = ["CompiledTransferTile"]


class CompiledTransferTile(TransferTile):
    """A fast and a slow array of crosspoints; a core does all that is between them in one kernel.

    Parameters
    ----------
    config, rows, cols, number
        As of `TransferTile`.

    Attributes
    ----------
    fast, slow : CompiledTile
    """

    def __init__(self, config: Config, rows: int, cols: int, number: int = 0) -> None:
        def make(config: Config, rows: int, cols: int, own: int) -> CompiledTile:
            return CompiledTile(config, rows, cols, own, lazy=own == fast_number(number))

        super().__init__(config, rows, cols, number, make)

    @property
    def updated(self) -> CompiledTile:
        """The array that updates pulse."""
        return self.fast

    def kernel_parts(self) -> Parts:
        """Return what lies behind the slow array, as the kernels take it: the same memory."""
        fast, between = self.fast, self.hidden

        def cells(name: str) -> np.ndarray:
            found = between.get(name)
            return np.zeros(0, np.int32) if found is None else found.T.reshape(-1)

        def lines(name: str) -> np.ndarray:
            return between.get(name, np.zeros(0, np.uint8))

        hidden = Hidden(
            fast.array,
            fast.readings[0],
            fast.number,
            fast.steps,
            between["slow_pulses"],
            cells("buffer"),
            cells("mean"),
            cells("past"),
            lines("column_signs"),
            lines("row_signs"),
            between.get("averages", np.zeros(2, np.int64)),
        )
        shift = write_shift(self.config)
        registers = Transfers(
            self._registers, shift, self._one, self._step, self._top, Chain.none()
        )
        slow = self.slow
        plain = Parts.plain(slow.array, slow.readings[0], slow.physics)
        return plain._replace(way=TRANSFERS, hidden=hidden, transfers=registers)

    def rate(self, lr: float) -> Rate:
        """Return the registers of a net's updates at a learning rate."""
        own, write, (mantissa, shift) = self._rates(self._learning_rate(lr))
        chopped = isinstance(self.config.device, ChoppedTransfer)
        return Rate(
            Pulses.of(self.fast.config, own),
            (Pulses.of(self.slow.config, write),),
            mantissa,
            shift,
            scaled_rate(self.config, lr) if chopped else 0,
        )
