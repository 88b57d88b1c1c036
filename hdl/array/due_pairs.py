"""Which pairs of a block are due for a refresh, and their differences.

The twin is `ohmgrid.model.core.refresh.refresh_reads`.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.base.pipeline import delayed, strobe_after
from ohmgrid.hdl.device.aging import CODE_BITS

__all__ = ["DuePairs"]


class DuePairs(wiring.Component):
    """What the reads of a block of lanes say, for one column after the other.

    Parameters
    ----------
    build : BuildConfig
    turn : int
        Cycles from a visit to what comes back of it (`ohmgrid.hdl.array.cells.CellAccess`).

    Members
    -------
    clear : In(1)
        Strobe: forget `any`.
    valid, pair, minus, lane, code : In
        A device was read: its pair of a column, which device it is, its lane and its code. All plus
        devices of a row of lanes come before its minus devices, pairs of a column in their order.
    column : In
        Which of several columns it is in; 0 if there is but one.
    upper, lower : In(CODE_BITS - 1)
        Codes that the larger and the smaller device must exceed.
    any : Out(1)
        Some pair is due.
    look : In
        The column to look at.
    column_due : Out(1)
        It has a due pair; one cycle later. Of several columns: if there is but one, `any` says so.
    visiting, visit_pair, visit_minus : In
        That device of the column is visited.
    take, value : Out
        One cycle later: the error that writes that device's part of the difference, negative or 0,
        for a negative error raises a conductance.
    keep : Out(1)
        ``turn`` cycles later: its pair is due.
    """

    def __init__(self, build, turn):
        self.build, self.turn = build, turn
        lane, pair = range(max(2, build.lanes)), range(build.outputs)
        super().__init__(
            {
                "clear": In(1),
                "valid": In(1),
                "pair": In(pair),
                "minus": In(1),
                "lane": In(lane),
                "column": In(lane),
                "code": In(signed(CODE_BITS)),
                "upper": In(CODE_BITS - 1),
                "lower": In(CODE_BITS - 1),
                "any": Out(1),
                "look": In(lane),
                "column_due": Out(1),
                "visiting": In(1),
                "visit_pair": In(pair),
                "visit_minus": In(1),
                "take": Out(1),
                "value": Out(signed(CODE_BITS + 1)),
                "keep": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        depth = max(2, self.build.lanes)
        pairs = max(1, -(-self.build.outputs // 2))

        def memory(name, bits, depth):
            m.submodules[name] = store = Memory(shape=unsigned(bits), depth=depth, init=[])
            return store

        plus = memory("plus", CODE_BITS, depth)
        write, read = plus.write_port(), plus.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(self.valid & ~self.minus),
            write.addr.eq(self.lane),
            write.data.eq(self.code),
            read.addr.eq(self.lane),
        ]
        # A pair is compared in the cycle after its minus device came.
        first, second = Signal(signed(CODE_BITS)), Signal(signed(CODE_BITS))
        m.d.sync += [first.eq(read.data), second.eq(self.code)]
        compared = strobe_after(m, self.valid & self.minus, 1, "compared")
        column, pair = delayed(m, self.column, "column_c"), delayed(m, self.pair, "pair_c")
        difference = first - second
        smaller, larger = Mux(difference < 0, first, second), Mux(difference < 0, second, first)
        due = (larger > self.upper) & (smaller > self.lower)

        # Whether a column has a due pair; its first pair forgets those before.
        columns = memory("columns", 1, depth)
        write, read = columns.write_port(), columns.read_port()
        m.d.comb += [
            read.addr.eq(Mux(self.valid, self.column, self.look)),
            write.en.eq(compared),
            write.addr.eq(column),
            write.data.eq(due | (read.data & (pair != 0))),
            self.column_due.eq(read.data),
        ]
        with m.If(self.clear):
            m.d.sync += self.any.eq(0)
        with m.Elif(compared & due):
            m.d.sync += self.any.eq(1)

        # Difference of each pair, and above it whether it is due.
        kept = memory("differences", CODE_BITS + 2, pairs << len(self.lane))
        write, read = kept.write_port(), kept.read_port()
        m.d.comb += [
            write.en.eq(compared),
            write.addr.eq(Cat(column, pair)),
            write.data.eq(Cat(difference[: CODE_BITS + 1], due)),
            read.addr.eq(Cat(self.look, self.visit_pair)),
        ]
        found = read.data[: CODE_BITS + 1].as_signed()
        is_due = read.data[-1]
        of_minus = delayed(m, self.visit_minus, "of_minus")
        mine = is_due & (found != 0) & ((found < 0) == of_minus)
        m.d.comb += [
            self.take.eq(strobe_after(m, self.visiting, 1, "visited")),
            self.value.eq(Mux(mine, Mux(found < 0, found, -found), 0)),
            self.keep.eq(strobe_after(m, is_due, self.turn - 1, "is_due")),
        ]
        return m
