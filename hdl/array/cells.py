"""Access to single cells of the array, in memory order (`model.array.sweep.memory_order`)."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.base.pipeline import strobe_after

__all__ = ["CellAccess"]

SHIFT = 2
"""Cycles from a shift's strobe until the chain has moved on."""


class CellAccess(wiring.Component):
    """All cells of the array, one by one: to or from a stream, or to be changed.

    A visit brings the words of all lanes at an address, one a cycle, to whoever changes them, and
    waits for what comes back before it goes to the next address. A visit of one column goes from
    row to row in each cycle, without the words.

    Parameters
    ----------
    config : Config
    stages : int
        Cycles from the address of a read until the words are in the chain, >= 4.
    turn : int
        Cycles from `visiting` until what becomes of that cell is there, >= 1.

    Members
    -------
    start_read, start_write, start_visit : In(1), strobes
    rows, cols : In
    block_address, block_column : In
        First address and column of the block that a visit starts with.
    single : In(1)
        A visit goes through that block only, and does not wait for what comes back, for nothing
        is changed.
    only, only_lane : In
        A visit goes to that lane of that block. All these are 0 but for visits.
    busy : Out(1)
    active : Out(1)
        From the cycle after the start on: words are addressed from here.
    address, lane : Out
        The word at work, or the one that a visit gives back.
    write : Out(1)
        Writes ``i.payload`` there.
    fetch : Out(1)
        Brings the words of all lanes at ``address`` into the chain in ``stages`` cycles.
    shift : Out(1)
        Moves the chain on by one lane, `SHIFT` cycles later; in visits it moves in each cycle.
    word : In
        The chain's head.
    visiting : Out(1)
        The cell at ``visit_row``, ``visit_column``, in lane ``visit_lane`` at ``visit_address``,
        is visited; its word is the chain's head in the next cycle.
    returning : Out(1)
        What became of the cell at ``return_row`` and ``return_column`` is there.
    i, o : streams of conductances
    """

    def __init__(self, config, stages, turn):
        build, word = config.build, signed(config.formats.weight_bits)
        self.build, self.stages, self.turn = build, stages, turn
        address, column = range(build.max_blocks * build.max_rows), range(build.max_cols)
        super().__init__(
            {
                "start_read": In(1),
                "start_write": In(1),
                "start_visit": In(1),
                "rows": In(range(build.max_rows + 1)),
                "cols": In(range(build.max_cols + 1)),
                "block_address": In(address),
                "block_column": In(column),
                "single": In(1),
                "only": In(1),
                "only_lane": In(range(max(2, build.lanes))),
                "busy": Out(1),
                "active": Out(1),
                "address": Out(address),
                "lane": Out(range(max(2, build.lanes))),
                "write": Out(1),
                "fetch": Out(1),
                "shift": Out(1),
                "word": In(word),
                "visiting": Out(1),
                "visit_row": Out(range(build.max_rows)),
                "visit_column": Out(column),
                "visit_lane": Out(range(max(2, build.lanes))),
                "visit_address": Out(address),
                "returning": Out(1),
                "return_row": Out(range(build.max_rows)),
                "return_column": Out(column),
                "i": In(stream.Signature(word)),
                "o": Out(stream.Signature(word)),
            }
        )

    def visit_cycles(self, rows: int, cols: int, single: bool = False) -> int:
        """Return the cycles that `busy` is high in a visit of so many rows and columns."""
        if single:
            return 1 + rows * (self.stages - 1 + cols) + self.turn
        return 1 + rows * (-(-cols // self.build.lanes) * (self.stages - 1 + self.turn) + cols)

    def column_cycles(self, rows: int) -> int:
        """Return the cycles that `busy` is high in a visit of one column."""
        return 1 + rows + self.turn

    def elaborate(self, platform):
        m = Module()
        lanes = self.build.lanes
        row = self.visit_row
        # Columns from this block on. What depends on the row alone is a register: on the way from
        # row to the memories' write enable a comparison would be too much.
        left = Signal(range(self.build.max_cols + 1))
        last_row, last_block = Signal(), Signal()
        first_column = Signal(range(self.build.max_cols))
        # The lane at work in a stream, or visited, and the one that a visit gives back.
        place, back = Signal(range(max(2, lanes))), Signal(range(max(2, lanes)))
        visits, visiting = Signal(), Signal()
        returning = strobe_after(m, visiting, self.turn, "returning")
        back_row, wait = Signal.like(row), Signal(range(self.stages))

        def ends(lane):
            return (lane == lanes - 1) | (last_block & (lane + 1 == left))

        with m.If(returning):
            m.d.sync += back.eq(back + 1)
            with m.If(ends(back) | self.only):
                m.d.sync += [back.eq(Mux(self.only, back, 0)), back_row.eq(back_row + 1)]
            with m.If(self.only):
                m.d.sync += self.address.eq(self.address + 1)

        m.d.sync += self.shift.eq(visits)
        m.d.comb += [
            self.busy.eq(1),
            self.o.payload.eq(self.word),
            self.lane.eq(Mux(visits, back, place)),
            self.visiting.eq(visiting),
            self.visit_lane.eq(place),
            self.visit_column.eq(first_column + place),
            self.returning.eq(returning),
            self.return_row.eq(back_row),
            self.return_column.eq(first_column + back),
        ]

        def next_address(next_row):
            """Go to the next row, else to the next block."""
            m.d.sync += [
                *(place.eq(0), self.address.eq(self.address + 1), row.eq(row + 1)),
                self.visit_address.eq(self.visit_address + 1),
                last_row.eq((self.rows == 1) | (row + 2 == self.rows)),
            ]
            m.next = next_row
            with m.If(last_row):
                m.d.sync += back_row.eq(0)
                m.d.sync += [row.eq(0), last_row.eq(self.rows == 1), left.eq(left - lanes)]
                m.d.sync += first_column.eq(first_column + lanes)
                m.d.sync += last_block.eq(left <= 2 * lanes)
                with m.If(last_block | self.single):
                    m.d.sync += self.active.eq(0)
                    m.next = "IDLE"

        def next_cell(next_lane, next_row):
            """Go to the next lane that holds a column, else to the next row, else block."""
            m.d.sync += place.eq(place + 1)
            m.next = next_lane
            with m.If(ends(place)):
                next_address(next_row)

        with m.FSM():
            with m.State("IDLE"):
                starts = self.start_read | self.start_write | self.start_visit
                m.d.comb += self.busy.eq(starts)
                m.d.sync += [
                    *(self.address.eq(self.block_address), first_column.eq(self.block_column)),
                    *(row.eq(0), place.eq(self.only_lane), left.eq(self.cols - self.block_column)),
                    *(back_row.eq(0), back.eq(self.only_lane)),
                    self.visit_address.eq(self.block_address),
                    last_row.eq(self.rows == 1),
                    last_block.eq(self.cols <= self.block_column + lanes),
                    *(self.active.eq(starts), visits.eq(self.start_visit)),
                ]
                with m.If(self.start_read | self.start_visit):
                    m.next = "FETCH"
                    with m.If(self.only):
                        m.next = "COLUMN"
                with m.Elif(self.start_write):
                    m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += [self.i.ready.eq(1), self.write.eq(self.i.valid)]
                with m.If(self.i.valid):
                    next_cell("WRITE", "WRITE")
            with m.State("FETCH"):
                m.d.comb += self.fetch.eq(1)
                # A visited cell's word is there a cycle after the visit.
                m.d.sync += wait.eq(Mux(visits, self.stages - 2, self.stages - 1))
                m.next = "CHAIN"
            with m.State("CHAIN"):
                m.d.sync += wait.eq(wait - 1)
                with m.If(wait == 1):
                    m.next = "READ"
                    with m.If(visits):
                        m.next = "VISIT"
            with m.State("READ"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += [self.shift.eq(1), wait.eq(SHIFT)]
                    next_cell("SHIFT", "FETCH")
            with m.State("SHIFT"):
                m.d.sync += wait.eq(wait - 1)
                with m.If(wait == 1):
                    m.next = "READ"
            with m.State("VISIT"):
                m.d.comb += visiting.eq(1)
                m.d.sync += place.eq(place + 1)
                with m.If(ends(place)):
                    m.next = "RETURN"
                    with m.If(self.single & ~last_row):
                        next_address("FETCH")
            with m.State("RETURN"), m.If(returning & ends(back) & (back_row == row)):
                next_address("FETCH")
            with m.State("COLUMN"):
                m.d.comb += visiting.eq(1)
                m.d.sync += [row.eq(row + 1), last_row.eq(row + 2 == self.rows)]
                m.d.sync += self.visit_address.eq(self.visit_address + 1)
                with m.If(last_row):
                    m.next = "COLUMN_RETURN"
            with m.State("COLUMN_RETURN"):
                with m.If(returning & (back_row + 1 == self.rows)):
                    m.d.sync += self.active.eq(0)
                    m.next = "IDLE"
        return m
