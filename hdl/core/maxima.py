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
        Example at work, the array at work, and that of which an update is planned; with
        ``transfers``, behind all examples, vectors of their own:
    found, planned : Out(maxima_layout)
        their largest magnitudes, and how many activations are not 0, three cycles later.
    brought, target, side : In
        Strobe: a vector of array ``target`` is there, activations (0) or errors (1).
    loaded, errors : In(1)
        Strobe: one of the array at work, likewise.
    taken, taken_for : In
        Strobe: activations of this array.
    rewritten : Out(1)
        Strobe: activations, whatever way they came.
    column_max, row_max, count : In
        Of the vectors taken last, as of `ohmgrid.hdl.periphery.edge.Edge`.
    """

    def __init__(self, config: Config):
        self._arrays = config.build.arrays
        self._slots = config.build.edge + config.build.transfers
        self._bits = config.formats.edge_bits - 1
        count = range(config.build.inputs + 1)
        super().__init__(
            {
                "slot": In(range(self._slots)),
                "array": In(ARRAY_BITS),
                "beside": In(ARRAY_BITS),
                "found": Out(maxima_layout(config)),
                "planned": Out(maxima_layout(config)),
                **dict.fromkeys(("brought", "side", "loaded", "errors", "taken"), In(1)),
                **dict.fromkeys(("target", "taken_for"), In(ARRAY_BITS)),
                **dict.fromkeys(("column_max", "row_max"), In(self._bits)),
                "count": In(count),
                "rewritten": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        target, side = Signal(ARRAY_BITS), Signal()
        with m.If(self.taken):
            m.d.comb += target.eq(self.taken_for)
        with m.Elif(self.loaded):
            m.d.comb += [target.eq(self.array), side.eq(self.errors)]
        with m.Else():
            m.d.comb += [target.eq(self.target), side.eq(self.side)]
        value = Mux(side, self.row_max, self.column_max)
        # What a step brings to an array that there is not is of no use to any.
        writes, bits = Signal(), (self._arrays - 1).bit_length()
        m.d.comb += writes.eq((self.taken | self.loaded | self.brought) & (target < self._arrays))
        m.d.comb += self.rewritten.eq(writes & ~side)
        turn = Signal()
        m.d.sync += turn.eq(~turn)
        kept = (
            ("x_max", value, 0),
            ("d_max", value, 1),
            ("x_count", self.count, 0),
        )
        for name, known, of in kept:
            memory = Memory(shape=unsigned(len(known)), depth=self._slots << bits, init=[])
            m.submodules[name] = memory
            write = memory.write_port()
            m.d.comb += [
                write.en.eq(writes & (side == of)),
                write.addr.eq(Cat(target[:bits], self.slot)),
                write.data.eq(known),
            ]
            # In turns: a second port would take a second memory.
            read = memory.read_port()
            m.d.comb += read.addr.eq(Cat(Mux(turn, self.beside, self.array)[:bits], self.slot))
            with m.If(turn):
                m.d.sync += self.found[name].eq(read.data)
            with m.Else():
                m.d.sync += self.planned[name].eq(read.data)
        return m
