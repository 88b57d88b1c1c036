"""Write noise: the weight that a read sees, from the one that is stored: a pipeline for each lane.

Twin of `ohmgrid.model.device.visible`.
"""

from amaranth.hdl import Cat, Const, Module, Mux, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.base.arith import saturate, shift_half_up
from ohmgrid.hdl.base.multiplier import Multiplier
from ohmgrid.hdl.base.noise import CellMix, gaussian
from ohmgrid.hdl.base.pipeline import delayed
from ohmgrid.registers.device import VISIBLE_BITS, VISIBLE_FRAC
from ohmgrid.registers.noise import CELL_BITS, GAUSS_BITS, VISIBLE_TURNS

__all__ = ["VisibleWeight"]


class VisibleWeight(wiring.Component):
    """Adds the write noise of a cell to its weight; one a cycle, `latency` cycles, no stalls.

    ``o = saturate(weight + round(z visible, VISIBLE_FRAC))``, ``z`` the Gaussian of
    ``P32((row_key ^ turned weight) + col_key)``. The product takes a multiplier block.

    Parameters
    ----------
    weight_bits : int

    Members
    -------
    weight : ``In(signed(weight_bits))``
        The hidden weight.
    row_key, col_key : ``In(32)``
        Upper half of the row's static key, lower half of the column's.
    visible : ``In(VISIBLE_BITS)``
        Write noise; constant while cells are in flight. 0 leaves the weights as they are.
    o : ``Out(signed(weight_bits))``
    """

    def __init__(self, weight_bits):
        self._mix = CellMix(register_sum=False)
        super().__init__(
            {
                "weight": In(signed(weight_bits)),
                "row_key": In(CELL_BITS),
                "col_key": In(CELL_BITS),
                "visible": In(VISIBLE_BITS),
                "o": Out(signed(weight_bits)),
            }
        )

    @property
    def latency(self):
        """Cycles from a hidden weight to the visible one: sum of keys, hash, Gaussian, product,
        sum."""
        return 1 + self._mix.latency + Multiplier.latency + 1

    def elaborate(self, platform):
        m = Module()
        m.submodules.mix = mix = self._mix
        m.submodules.spread = spread = Module()
        hidden = Cat(self.weight, Const(0, CELL_BITS - len(self.weight)))
        turned = self.row_key
        for turn in VISIBLE_TURNS:
            turned = turned ^ hidden.rotate_left(turn)
        # Without write noise the hash and what follows stand still.
        m.d.comb += mix.row_key.eq(
            delayed(m, Mux(self.visible == 0, 0, (turned + self.col_key)[:CELL_BITS]), "keys")
        )
        z = gaussian(mix.o[:GAUSS_BITS])
        spread.submodules.product = multiplier = Multiplier(z.shape(), self.visible.shape())
        m.d.comb += [multiplier.a.eq(z), multiplier.b.eq(self.visible)]
        hidden = delayed(m, self.weight, "hidden", self.latency - 1)
        noisy = hidden + shift_half_up(multiplier.o, VISIBLE_FRAC)
        m.d.comb += self.o.eq(delayed(m, saturate(noisy, len(self.weight)), "seen"))
        return m
