"""Largest magnitudes of the vectors at the edge: what scales DACs and pulse trains."""

from amaranth.hdl import Cat, Module, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.registers.steps import ARRAY_BITS

__all__ = ["Maxima"]


class Maxima(wiring.Component):
    """Two for each array, activations and errors, and for each example at the edge.

    Parameters
    ----------
    config : Config

    Members
    -------
    slot, array : In
        Example and array at work:
    x_max, d_max : Out
        their largest magnitudes, two cycles later.
    write, target, side, value : In
        Strobe: that of array ``target`` of this example, activations (0) or errors (1).
    """

    def __init__(self, config: Config):
        self._slots, self._bits = config.build.edge, config.formats.edge_bits - 1
        super().__init__(
            {
                "slot": In(range(self._slots)),
                "array": In(ARRAY_BITS),
                "x_max": Out(self._bits),
                "d_max": Out(self._bits),
                "write": In(1),
                "target": In(ARRAY_BITS),
                "side": In(1),
                "value": In(self._bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        for number, found in enumerate((self.x_max, self.d_max)):
            memory = Memory(shape=unsigned(self._bits), depth=self._slots << ARRAY_BITS, init=[])
            m.submodules[f"side{number}"] = memory
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [
                write.en.eq(self.write & (self.side == number)),
                write.addr.eq(Cat(self.target, self.slot)),
                write.data.eq(self.value),
                read.addr.eq(Cat(self.array, self.slot)),
            ]
            m.d.sync += found.eq(read.data)
        return m
