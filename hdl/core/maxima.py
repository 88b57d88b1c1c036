"""What is known of the vectors at the edge: largest magnitudes, which scale DACs and pulse trains,
and how many activations are not 0."""

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
    x_max, d_max, x_count : Out
        their largest magnitudes, and how many activations are not 0, two cycles later.
    write, target, side, value, count : In
        Strobe: those of array ``target`` of this example, activations (0) or errors (1).
    """

    def __init__(self, config: Config):
        self._slots, self._bits = config.build.edge, config.formats.edge_bits - 1
        count = range(config.build.inputs + 1)
        super().__init__(
            {
                "slot": In(range(self._slots)),
                "array": In(ARRAY_BITS),
                "x_max": Out(self._bits),
                "d_max": Out(self._bits),
                "x_count": Out(count),
                "write": In(1),
                "target": In(ARRAY_BITS),
                "side": In(1),
                "value": In(self._bits),
                "count": In(count),
            }
        )

    def elaborate(self, platform):
        m = Module()
        kept = (
            ("x_max", self.x_max, self.value, 0),
            ("d_max", self.d_max, self.value, 1),
            ("x_count", self.x_count, self.count, 0),
        )
        for name, found, value, side in kept:
            memory = Memory(shape=unsigned(len(found)), depth=self._slots << ARRAY_BITS, init=[])
            m.submodules[name] = memory
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [
                write.en.eq(self.write & (self.side == side)),
                write.addr.eq(Cat(self.target, self.slot)),
                write.data.eq(value),
                read.addr.eq(Cat(self.array, self.slot)),
            ]
            m.d.sync += found.eq(read.data)
        return m
