"""What is known of the vectors at the edge: largest magnitudes, which scale DACs and pulse trains,
and how many activations are not 0."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.registers.steps import ARRAY_BITS

__all__ = ["Maxima", "maxima_layout"]


def maxima_layout(config: Config) -> data.StructLayout:
    """Return the layout of what is known of an array's vectors: largest magnitudes of activations
    and errors, and how many activations are not 0."""
    bits = config.formats.edge_bits - 1
    return data.StructLayout(
        {"x_max": bits, "d_max": bits, "x_count": range(config.build.inputs + 1)}
    )


class Maxima(wiring.Component):
    """Two for each array, activations and errors, and for each example at the edge.

    Parameters
    ----------
    config : Config

    Members
    -------
    slot, array, beside : In
        Example at work, the array at work, and that of which an update is planned:
    found, planned : Out(maxima_layout)
        their largest magnitudes, and how many activations are not 0, three cycles later.
    write, target, side, value, count : In
        Strobe: those of array ``target`` of this example, activations (0) or errors (1).
    """

    def __init__(self, config: Config):
        self._arrays, self._slots = config.build.arrays, config.build.edge
        self._bits = config.formats.edge_bits - 1
        count = range(config.build.inputs + 1)
        super().__init__(
            {
                "slot": In(range(self._slots)),
                "array": In(ARRAY_BITS),
                "beside": In(ARRAY_BITS),
                "found": Out(maxima_layout(config)),
                "planned": Out(maxima_layout(config)),
                "write": In(1),
                "target": In(ARRAY_BITS),
                "side": In(1),
                "value": In(self._bits),
                "count": In(count),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # What a step brings to an array that there is not is of no use to any.
        there, bits = Signal(), (self._arrays - 1).bit_length()
        m.d.comb += there.eq(self.target < self._arrays)
        turn = Signal()
        m.d.sync += turn.eq(~turn)
        kept = (
            ("x_max", self.value, 0),
            ("d_max", self.value, 1),
            ("x_count", self.count, 0),
        )
        for name, value, side in kept:
            memory = Memory(shape=unsigned(len(value)), depth=self._slots << bits, init=[])
            m.submodules[name] = memory
            write = memory.write_port()
            m.d.comb += [
                write.en.eq(self.write & there & (self.side == side)),
                write.addr.eq(Cat(self.target[:bits], self.slot)),
                write.data.eq(value),
            ]
            # In turns: a second port would take a second memory.
            read = memory.read_port()
            m.d.comb += read.addr.eq(Cat(Mux(turn, self.beside, self.array)[:bits], self.slot))
            with m.If(turn):
                m.d.sync += self.found[name].eq(read.data)
            with m.Else():
                m.d.sync += self.planned[name].eq(read.data)
        return m
