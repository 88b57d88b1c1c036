"""The tile of the compiled engine for residual learning: its arrays, and what a core needs."""

import numpy as np

from ohmgrid.compiled.layout import Pulses, make_trains_room
from ohmgrid.compiled.parts import CHAIN, Parts
from ohmgrid.compiled.tile import CompiledTile
from ohmgrid.compiled.transfer import Chain, Hidden, Rate, Transfers
from ohmgrid.config import Config
from ohmgrid.model.core.residual import ResidualTile
from ohmgrid.model.periphery.pulses import chunks

__all__ = ["CompiledResidualTile"]


class CompiledResidualTile(ResidualTile):
    """Arrays side by side, and what passes see of them; a core does all of it in one kernel.

    Parameters
    ----------
    config, rows, cols, number
        As of `ResidualTile`.

    Attributes
    ----------
    arrays, shown : CompiledTile
    """

    def __init__(self, config: Config, rows: int, cols: int, number: int = 0) -> None:
        super().__init__(config, rows, cols, number, CompiledTile)

    @property
    def updated(self) -> CompiledTile:
        """The array that updates pulse."""
        return self.arrays

    def kernel_parts(self) -> Parts:
        """Return what lies behind the sum, as the kernels take it: the same memory."""
        wide, registers = self.arrays, self._registers
        hidden = Hidden.none(wide.array, wide.readings[0])._replace(
            number=wide.number, steps=wide.steps, moved=self.moved
        )
        chain = Chain(
            gains=np.array(registers.gains[::-1], np.int64),
            every=np.array(registers.every, np.int64),
            turns=self.turns,
            warm=registers.warm,
            trains=make_trains_room(chunks(self.config.pulses.most_slots), self.rows, wide.cols),
        )
        none = Transfers.none()
        transfers = none._replace(
            write_shift=self._shift, one=self._one, top=self._top, chain=chain
        )
        plain = Parts.plain(self.shown.array, self.shown.readings[0], self.shown.physics)
        return plain._replace(way=CHAIN, hidden=hidden, transfers=transfers)

    def rate(self, lr: float) -> Rate:
        """Return the registers of a net's updates at a learning rate."""
        own, writes = self._rates(self._learning_rate(lr))
        each = tuple(Pulses.of(self.config, registers) for registers in writes)
        return Rate(Pulses.of(self.config, own), each, 0, 1, 0)
