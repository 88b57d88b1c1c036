"""The sweep: one visit to every word of every lane, block by block, always in the same order.

Column j lies in lane ``j mod lanes`` in block ``j div lanes``; block b, row i is at address
``b * rows + i`` of every lane. While a block is swept, the next one's column values are loaded.
An update needs the rows alone whose trains are not empty: it visits those of a list.

What is sent is never held on its way: a visit of an update is sent when each group's queue has a
place for it, all those on their way counted (`credits`).
"""

from itertools import pairwise

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.array.bundles import load_layout, place_layout
from ohmgrid.hdl.base.pipeline import strobe_after

__all__ = ["Sweep"]

FILL = 3
"""Cycles from the number of a visit within its block to its address."""
LOADING = 2
"""Cycles of a block beyond the number of lanes, where loading takes longer than sweeping."""
BANK_SEEN = 3
"""Cycles from a change of `next_bank` until `bank_used` is about it."""


class Sweep(wiring.Component):
    """Addresses and flags of the visits, and the loading of columns.

    Parameters
    ----------
    lanes, max_rows, max_cols, depth : int
    banks : int
        Blocks whose column keys are kept, a power of two.
    settles : int
        Cycles from a visit of an update until `bank_used` knows of it.

    Members
    -------
    start : In(1)
        Strobe: sweep ``rows`` x ``cols`` cells.
    rows, cols : In
        Shape, >= 1; constant during a sweep.
    clear, put, put_row : In
        Strobes: empty the list of rows; put this one at its end.
    listed : In(1)
        Sweep the rows of the list alone, or nothing at all; constant during a sweep.
    first_address, first_column : In
        Of the first block.
    last_block : In(1)
        The last column of the sweep is the last one of the array.
    spaced : In(1)
        Last rows of two blocks are sent ``lanes`` cycles apart or more, so that a block's backward
        sums have left when the next ones come. Only a lack of places can bring them closer.
    update : In(1)
        Visits need places in queues, and columns' keys stay until no visit needs them; constant
        during a sweep.
    go : In(1)
        Another visit of an update may be sent.
    bank_used : In(1)
        A visit waits that needs the keys in bank ``next_bank``: that bank is not loaded. It can be
        high for older visits only, and so stays low.
    busy : Out(1)
        High from the cycle after `start` until the last visit is sent.
    visit : Out stream of `ohmgrid.hdl.array.bundles.place_layout`
    load : Out stream of `ohmgrid.hdl.array.bundles.load_layout`
        A column of this number is sent:
    load_column : Out
    next_bank : Out
        Bank of the block that is loaded next, once a block is being loaded.
    """

    def __init__(
        self, lanes: int, max_rows: int, max_cols: int, depth: int, banks: int, settles: int
    ):
        self.lanes, self.max_rows, self.max_cols, self.depth = lanes, max_rows, max_cols, depth
        self._banks, self._settles = banks, settles
        super().__init__(
            {
                "start": In(1),
                "rows": In(range(max_rows + 1)),
                "cols": In(range(max_cols + 1)),
                "clear": In(1),
                "put": In(1),
                "put_row": In(range(max_rows)),
                "listed": In(1),
                "first_address": In(range(depth)),
                "first_column": In(range(max_cols)),
                "last_block": In(1),
                "spaced": In(1),
                "update": In(1),
                "go": In(1),
                "bank_used": In(1),
                "busy": Out(1),
                "visit": Out(
                    stream.Signature(place_layout(max_rows, depth, banks), always_ready=True)
                ),
                "load": Out(stream.Signature(load_layout(lanes, banks), always_ready=True)),
                "load_column": Out(range(max_cols)),
                "next_bank": Out(range(banks)),
            }
        )

    def cycles(self, rows, cols):
        """Return the cycles that `busy` is high in a sweep that is no update.

        A block takes as many cycles as it has rows, or as the next block takes to load and two
        more; the first block's loading, or filling the pipeline, comes on top.
        `ohmgrid.model.array.sweep` counts all others.
        """
        blocks = -(-cols // self.lanes)
        return max(self.lanes, FILL) + (blocks - 1) * max(rows, self.lanes + LOADING) + rows

    def elaborate(self, platform):
        m = Module()
        issuing, loaded = Signal(), Signal()
        bank, in_first_block = Signal(range(self._banks)), Signal()
        columns_left = Signal(range(self.max_cols + 1))
        last_block = Signal()
        m.d.sync += last_block.eq(columns_left <= self.lanes)
        # Cycles until the next block's last row may be sent.
        apart = Signal(range(max(2, self.lanes)))
        too_close = self.spaced & (apart != 0)

        step, listed = self.visit.valid, Signal(range(self.max_rows + 1))
        first, last, filling = self._walk(m, step, listed)
        m.d.comb += [
            step.eq(
                issuing
                & ~filling
                & (~first | loaded)
                & ~(last & too_close)
                & (self.go | ~self.update)
            ),
            self.visit.payload.first.eq(first),
            self.visit.payload.last.eq(last),
            self.visit.payload.bank.eq(bank),
            self.visit.payload.start.eq(in_first_block),
            self.busy.eq(issuing),
        ]
        with m.If(step & first):
            m.d.sync += loaded.eq(0)
        with m.If(apart != 0):
            m.d.sync += apart.eq(apart - 1)
        with m.If(step & last):
            m.d.sync += [bank.eq(bank + 1), in_first_block.eq(0), apart.eq(self.lanes - 1)]
            with m.If(last_block):
                m.d.sync += issuing.eq(0)
            with m.Else():
                m.d.sync += columns_left.eq(columns_left - self.lanes)

        # Column loader: a block's first row lets the next block be loaded, if there is one and the
        # keys of the block whose bank it takes are not needed any more: all its visits have come to
        # the queues, and none waits there.
        lane, to_load = Signal(self.lanes), Signal(range(self.max_cols + 1))
        wanted = Signal()
        load_bank = Signal.like(self.next_bank)
        unsettled = Signal(range(self._banks + 1))
        fresh = Signal(BANK_SEEN)
        settled = strobe_after(m, step & last & self.update, self._settles, "settled")
        free = ~self.update | ((unsettled != self._banks) & ~fresh.any() & ~self.bank_used)
        begins = wanted & free
        m.d.comb += [
            self.load.valid.eq(lane.any() & (to_load != 0)),
            self.load.payload.lanes.eq(lane),
            self.load.payload.bank.eq(load_bank),
            self.load.payload.bias.eq((to_load == 1) & self.last_block),
        ]
        m.d.sync += [
            lane.eq(Cat(begins, lane)),
            fresh.eq(Cat(begins, fresh)),
            unsettled.eq(unsettled + begins - settled),
        ]
        with m.If(self.load.valid):
            m.d.sync += [
                self.load_column.eq(self.load_column + 1),
                to_load.eq(to_load - 1),
            ]
        with m.If(lane[-1]):
            m.d.sync += loaded.eq(1)
        with m.If(step & first & (to_load != 0)):
            m.d.sync += wanted.eq(1)
        with m.Elif(begins):
            m.d.sync += [
                wanted.eq(0),
                load_bank.eq(self.next_bank),
                self.next_bank.eq(self.next_bank + 1),
            ]

        with m.If(self.start & (~self.listed | (listed != 0))):
            m.d.sync += [
                issuing.eq(1),
                loaded.eq(0),
                lane.eq(1),
                wanted.eq(0),
                load_bank.eq(0),
                self.next_bank.eq(1),
                unsettled.eq(1),
                to_load.eq(self.cols),
                columns_left.eq(self.cols),
                self.load_column.eq(self.first_column),
                bank.eq(0),
                in_first_block.eq(1),
                apart.eq(0),
            ]
        return m

    def _walk(self, m, step, listed):
        """Move the row and address of the next visit on.

        Visits are numbered within a block; the number is the row's, or its place in the list. Row
        and address follow `FILL` cycles behind: after a start, as many steps come unasked. Return
        whether the row is a block's first one, whether its last one, and whether these steps come.
        """
        m.submodules.list = rows = Memory(
            shape=unsigned(len(self.visit.payload.row)), depth=self.max_rows, init=[]
        )
        write, read = rows.write_port(), rows.read_port()
        m.d.comb += [
            write.en.eq(self.put),
            write.addr.eq(listed),
            write.data.eq(self.put_row),
        ]
        with m.If(self.clear):
            m.d.sync += listed.eq(0)
        with m.Elif(self.put):
            m.d.sync += listed.eq(listed + 1)

        row_shape, address_shape = range(self.max_rows), range(self.depth)
        number, final = Signal(row_shape), Signal(row_shape)
        m.d.sync += final.eq(Mux(self.listed, listed, self.rows) - 1)
        filling = Signal(FILL)
        m.d.sync += filling.eq(filling << 1)
        move, base = step | filling.any(), Signal(address_shape)
        stages = [
            {name: Signal(reset_less=True, name=f"{name}{n}") for name in ("first", "last")}
            for n in range(FILL)
        ]
        numbered, row = Signal(row_shape), Signal(row_shape)
        to_row, to_address = Signal(row_shape), Signal(address_shape)
        m.d.comb += [
            read.addr.eq(number),
            read.en.eq(move),
            self.visit.payload.row.eq(to_row),
            self.visit.payload.address.eq(to_address),
        ]
        ends = number == final
        with m.If(move):
            m.d.sync += [
                number.eq(Mux(ends, 0, number + 1)),
                numbered.eq(number),
                row.eq(Mux(self.listed, read.data, numbered)),
                to_row.eq(row),
                to_address.eq(base + row),
                stages[0]["first"].eq(number == 0),
                stages[0]["last"].eq(ends),
            ]
            for before, after in pairwise(stages):
                m.d.sync += [after[name].eq(before[name]) for name in after]
            with m.If(stages[1]["last"]):
                m.d.sync += base.eq(base + self.rows)
        with m.If(self.start):
            m.d.sync += [filling.eq(1), number.eq(0), base.eq(self.first_address)]
            # What is left there of another sweep waits for the columns, and ends no block.
            m.d.sync += [
                flag.eq(name == "first") for stage in stages for name, flag in stage.items()
            ]
        return stages[-1]["first"], stages[-1]["last"], filling.any()
