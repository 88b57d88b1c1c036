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
    ``P32((serial_key ^ mixed weight) + lane_key)``, or, where rows lie along the lanes,
    ``P32(serial_key + (lane_key ^ mixed weight))``. The product takes a multiplier block.

    Parameters
    ----------
    weight_bits : int

    Members
    -------
    weight : ``In(signed(weight_bits))``
        The hidden weight.
    serial_key, lane_key : ``In(32)``
        Upper half of the row's static key, lower half of the column's: the serial line is the row,
    turned : ``In(1)``
        unless the array lies turned; constant while cells are in flight.
    visible : ``In(VISIBLE_BITS)``
        Write noise; constant while cells are in flight. 0 leaves the weights as they are.
    o : ``Out(signed(weight_bits))``
    """

    def __init__(self, weight_bits):
        self._mix = CellMix(register_sum=False)
        super().__init__(
            {
                "weight": In(signed(weight_bits)),
                "serial_key": In(CELL_BITS),
                "lane_key": In(CELL_BITS),
                "turned": In(1),
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
        mixed = Const(0, CELL_BITS)
        for turn in VISIBLE_TURNS:
            mixed = mixed ^ hidden.rotate_left(turn)
        # That of the row's key takes part; masks cost less than to exchange the keys.
        of_lane = self.turned.replicate(CELL_BITS)
        total = (self.serial_key ^ (mixed & ~of_lane)) + (self.lane_key ^ (mixed & of_lane))
        # Without write noise the hash and what follows stand still.
        m.d.comb += mix.row_key.eq(delayed(m, Mux(self.visible == 0, 0, total[:CELL_BITS]), "keys"))
        z = gaussian(mix.o[:GAUSS_BITS])
        spread.submodules.product = multiplier = Multiplier(z.shape(), self.visible.shape())
        m.d.comb += [multiplier.a.eq(z), multiplier.b.eq(self.visible)]
        hidden = delayed(m, self.weight, "hidden", self.latency - 1)
        noisy = hidden + shift_half_up(multiplier.o, VISIBLE_FRAC)
        m.d.comb += self.o.eq(delayed(m, saturate(noisy, len(self.weight)), "seen"))
        return m
