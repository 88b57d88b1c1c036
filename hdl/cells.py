"""Access to single cells of the array, in memory order (`ohmgrid.model.sweep.memory_order`)."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["CellAccess"]


class CellAccess(wiring.Component):
    """All cells of the array, one by one, to or from a stream, in memory order.

    Parameters
    ----------
    config : Config
    stages : int
        Cycles from the address of a read until the words are in the chain.

    Members
    -------
    start_read, start_write : In(1), strobes
    rows, cols : In
    busy : Out(1)
    active : Out(1)
        From the cycle after the start on: words are addressed from here.
    address, lane : Out
        The word at work.
    write : Out(1)
        Writes ``i.payload`` there.
    fetch : Out(1)
        Brings the words of all lanes at ``address`` into the chain in ``stages`` cycles.
    shift : Out(1)
        Moves the chain on by one lane.
    word : In
        The chain's head.
    i, o : streams of conductances
    """

    def __init__(self, config, stages):
        build, word = config.build, signed(config.formats.weight_bits)
        self.build, self.stages = build, stages
        super().__init__(
            {
                "start_read": In(1),
                "start_write": In(1),
                "rows": In(range(build.max_rows + 1)),
                "cols": In(range(build.max_cols + 1)),
                "busy": Out(1),
                "active": Out(1),
                "address": Out(range(build.max_blocks * build.max_rows)),
                "lane": Out(range(max(2, build.lanes))),
                "write": Out(1),
                "fetch": Out(1),
                "shift": Out(1),
                "word": In(word),
                "i": In(stream.Signature(word)),
                "o": Out(stream.Signature(word)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        lanes = self.build.lanes
        row = Signal(range(self.build.max_rows))
        # Columns from this block on; flags, for the counters' ends would be the longest paths.
        left = Signal.like(self.cols)
        last_block, last_row = Signal(), Signal()
        row_ends = (self.lane == lanes - 1) | (last_block & (self.lane + 1 == left))
        wait = Signal(range(self.stages))
        m.d.comb += [self.busy.eq(1), self.o.payload.eq(self.word)]

        def next_cell(next_row):
            """Go to the next lane that holds a column, else to the next row, else block."""
            m.d.sync += self.lane.eq(self.lane + 1)
            with m.If(row_ends):
                m.d.sync += [
                    *(self.lane.eq(0), self.address.eq(self.address + 1), row.eq(row + 1)),
                    last_row.eq((self.rows == 1) | (row + 2 == self.rows)),
                ]
                m.next = next_row
                with m.If(last_row):
                    m.d.sync += [row.eq(0), last_row.eq(self.rows == 1), left.eq(left - lanes)]
                    m.d.sync += last_block.eq(left <= 2 * lanes)
                    with m.If(last_block):
                        m.d.sync += self.active.eq(0)
                        m.next = "IDLE"

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.busy.eq(self.start_read | self.start_write)
                m.d.sync += [self.address.eq(0), row.eq(0), self.lane.eq(0), left.eq(self.cols)]
                m.d.sync += [last_row.eq(self.rows == 1), last_block.eq(self.cols <= lanes)]
                m.d.sync += self.active.eq(self.start_read | self.start_write)
                with m.If(self.start_read):
                    m.next = "FETCH"
                with m.Elif(self.start_write):
                    m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += [self.i.ready.eq(1), self.write.eq(self.i.valid)]
                with m.If(self.i.valid):
                    next_cell("WRITE")
            with m.State("FETCH"):
                m.d.comb += self.fetch.eq(1)
                m.d.sync += wait.eq(self.stages - 1)
                m.next = "READ"
            with m.State("READ"):
                with m.If(wait != 0):
                    m.d.sync += wait.eq(wait - 1)
                with m.Else():
                    m.d.comb += [self.o.valid.eq(1), self.shift.eq(self.o.ready)]
                    with m.If(self.o.ready):
                        next_cell("FETCH")
        return m
