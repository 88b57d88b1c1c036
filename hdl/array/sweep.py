"""The sweep: one visit to every word of every lane, block by block, always in the same order.

Column j lies in lane ``j mod lanes`` in block ``j div lanes``; block b, row i is at address
``b * rows + i`` of every lane. While a block is swept, the next one's column values are loaded.
An update needs the rows alone whose trains are not empty: it visits those of a list.
"""

from itertools import pairwise

from amaranth.hdl import Const, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

__all__ = ["Sweep"]

FILL = 3
"""Cycles from the number of a visit within its block to its address."""
LOAD_OVERHEAD = 5
"""Cycles of a block beyond the number of lanes, where loading takes longer than sweeping."""


class Sweep(wiring.Component):
    """Addresses and flags of the visits, stages A to D, and the loading of columns.

    Parameters
    ----------
    lanes, max_rows, max_cols, depth : int
    banks : int
        Blocks whose column keys are kept, a power of two.

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
    bank_used : In(1)
        Visits wait that need the keys in bank ``next_bank``: that bank is not loaded. It can be
        high for older visits only, and so stays low.
    spaced : In(1)
        Last rows of two blocks stay ``lanes`` cycles apart in stage D, so that a block's backward
        sums have left when the next ones come. Only stalls can bring them closer.
    advance : In(1)
        Stages move (low: a group's queue is full).
    busy : Out(1)
        High from `start` until the last visit has left stage D.
    address, row, valid : Out
        Stage A.
    take : Out(1)
        Stage B holds a block's first row.
    take_key : Out(1)
        A block's first row moves to stage D.
    valid_c, odd_c : Out(1)
        Stage C holds a visit; to a row with an odd number.
    fresh, first_d, last_d, bank_d, start_d, row_d, address_d : Out
        Stage D: a visit was loaded in this cycle; it is a block's first / last row; bank of its
        column keys; it is in the first block; its row and address.
    load_column : Out
        Column to read in this cycle.
    load, load_lane, load_bank, load_last : Out
        That column's values are there, two cycles after its address: write them to this lane, its
        keys to this bank; it is the last column.
    loads : Out(lanes)
        The same as a strobe for each lane, from registers: they go a long way.
    next_bank : Out
        Bank of the block that is loaded next.
    """

    def __init__(self, lanes, max_rows, max_cols, depth, banks):
        self.lanes, self.max_rows, self.max_cols, self.depth = lanes, max_rows, max_cols, depth
        bank = range(banks)
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
                "bank_used": In(1),
                "spaced": In(1),
                "advance": In(1),
                "busy": Out(1),
                "address": Out(range(depth)),
                "row": Out(range(max_rows)),
                "valid": Out(1),
                "take": Out(1),
                "take_key": Out(1),
                "valid_c": Out(1),
                "odd_c": Out(1),
                "fresh": Out(1),
                "first_d": Out(1),
                "last_d": Out(1),
                "bank_d": Out(bank),
                "start_d": Out(1),
                "row_d": Out(range(max_rows)),
                "address_d": Out(range(depth)),
                "load_column": Out(range(max_cols)),
                "load": Out(1),
                "loads": Out(lanes),
                "load_lane": Out(range(max(2, lanes))),
                "load_bank": Out(bank),
                "next_bank": Out(bank),
                "load_last": Out(1),
            }
        )

    def cycles(self, rows, cols):
        """Return the cycles that `busy` is high in a sweep that is never held.

        A block takes as many cycles as it has rows, or as the next block takes to load (one more
        than there are lanes, so that a block's backward sums can leave in that time); the first
        block's loading, or filling the pipeline, and the way to stage D come on top.
        `ohmgrid.model.array.sweep` counts all others.
        """
        blocks = -(-cols // self.lanes)
        return (
            max(self.lanes + 1, FILL)
            + (blocks - 1) * max(rows, self.lanes + LOAD_OVERHEAD)
            + rows
            + 2
        )

    def elaborate(self, platform):
        m = Module()

        # Stage A.
        issuing = Signal()
        loaded = Signal()
        bank, in_first_block = Signal.like(self.bank_d), Signal()
        columns_left = Signal(range(self.max_cols + 1))
        too_close, last_block = Signal(), Signal()
        m.d.sync += last_block.eq(columns_left <= self.lanes)
        step = self.valid & self.advance
        listed = Signal(range(self.max_rows + 1))
        first, last, filling = self._walk(m, step, listed)
        # Loading takes longer than filling, but of one lane.
        filled = ~filling if self.lanes + 1 < FILL else Const(1, 1)
        m.d.comb += self.valid.eq(
            issuing & filled & (~first | loaded) & ~(self.spaced & last & too_close)
        )
        with m.If(step & first):
            m.d.sync += loaded.eq(0)
        with m.If(step & last):
            m.d.sync += [bank.eq(bank + 1), in_first_block.eq(0)]
            with m.If(last_block):
                m.d.sync += issuing.eq(0)
            with m.Else():
                m.d.sync += columns_left.eq(columns_left - self.lanes)

        # Stages B to D: the flags travel with the words.
        stages = []
        before = {
            "valid": self.valid, "first": first, "last": last, "bank": bank,
            "start": in_first_block, "row": self.row, "address": self.address,
        }  # fmt: skip
        for stage in "bcd":
            here = {
                name: Signal.like(value, name=f"{name}_{stage}", reset_less=name != "valid")
                for name, value in before.items()
            }
            with m.If(self.advance):
                m.d.sync += [here[name].eq(value) for name, value in before.items()]
            stages.append(here)
            before = here
        stage_b, stage_c, stage_d = stages
        m.d.sync += self.fresh.eq(stage_c["valid"] & self.advance)
        m.d.comb += [
            self.take.eq(stage_b["valid"] & stage_b["first"] & self.advance),
            self.take_key.eq(stage_c["valid"] & stage_c["first"] & self.advance),
            self.valid_c.eq(stage_c["valid"]),
            self.odd_c.eq(stage_c["row"][:1]),
            self.first_d.eq(stage_d["first"]),
            self.last_d.eq(stage_d["last"]),
            self.bank_d.eq(stage_d["bank"]),
            self.start_d.eq(stage_d["start"]),
            self.row_d.eq(stage_d["row"]),
            self.address_d.eq(stage_d["address"]),
            self.busy.eq(
                issuing | stage_b["valid"] | stage_c["valid"] | (stage_d["valid"] & ~self.advance)
            ),
        ]

        # A last row in flight, and the time since one was in stage D.
        in_flight = Signal()
        apart = Signal(range(max(2, self.lanes)))
        m.d.comb += too_close.eq(in_flight | (apart != 0))
        with m.If(apart != 0):
            m.d.sync += apart.eq(apart - 1)
        with m.If(step & last):
            m.d.sync += in_flight.eq(1)
        with m.If(self.fresh & stage_d["last"]):
            m.d.sync += [in_flight.eq(0), apart.eq(max(0, self.lanes - 4))]

        # Column loader: starts when a block's first row is in stage D, because only then are the
        # lanes' second registers free, and when the bank of keys is.
        loading, delayed = Signal(), Signal()
        lane = Signal(range(max(2, self.lanes)))
        to_load = Signal(range(self.max_cols + 1))
        loads, ends = Signal(), Signal()
        in_lane, in_bank, is_last = Signal.like(lane), Signal.like(self.load_bank), Signal()
        m.d.sync += [
            loads.eq(loading & (to_load != 0)),
            in_lane.eq(lane),
            in_bank.eq(self.next_bank),
            is_last.eq((to_load == 1) & self.last_block),
            ends.eq(loading & (lane == self.lanes - 1)),
            self.load.eq(loads),
            self.load_lane.eq(in_lane),
            self.load_bank.eq(in_bank),
            self.load_last.eq(is_last),
            *(self.loads[k].eq(loads & (in_lane == k)) for k in range(self.lanes)),
        ]
        with m.If(ends):
            m.d.sync += loaded.eq(1)
        with m.If(loading):
            m.d.sync += lane.eq(lane + 1)
            with m.If(to_load != 0):
                m.d.sync += [
                    self.load_column.eq(self.load_column + 1),
                    to_load.eq(to_load - 1),
                ]
            with m.If(lane == self.lanes - 1):
                m.d.sync += [
                    loading.eq(0),
                    lane.eq(0),
                    self.next_bank.eq(self.next_bank + 1),
                ]
        with m.Elif((self.fresh & stage_d["first"] | delayed) & (to_load != 0)):
            m.d.sync += [loading.eq(~self.bank_used), delayed.eq(self.bank_used)]

        with m.If(self.start & (~self.listed | (listed != 0))):
            m.d.sync += [
                issuing.eq(1),
                loading.eq(1),
                loaded.eq(0),
                lane.eq(0),
                delayed.eq(0),
                self.next_bank.eq(0),
                to_load.eq(self.cols),
                columns_left.eq(self.cols),
                self.load_column.eq(self.first_column),
                bank.eq(0),
                in_first_block.eq(1),
                in_flight.eq(0),
                apart.eq(0),
            ]
        return m

    def _walk(self, m, step, listed):
        """Move stage A's row and address on.

        Visits are numbered within a block; the number is the row's, or its place in the list. Row
        and address follow `FILL` cycles behind: after a start, as many steps come unasked. Return
        whether the row is a block's first one, whether its last one, and whether these steps come.
        """
        m.submodules.list = rows = Memory(
            shape=unsigned(len(self.row)), depth=self.max_rows, init=[]
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

        number, final = Signal.like(self.row), Signal.like(self.row)
        m.d.sync += final.eq(Mux(self.listed, listed, self.rows) - 1)
        filling = Signal(FILL)
        m.d.sync += filling.eq(filling << 1)
        move, base = step | filling.any(), Signal.like(self.address)
        stages = [
            {name: Signal(reset_less=True, name=f"{name}{n}") for name in ("first", "last")}
            for n in range(FILL)
        ]
        numbered, row = Signal.like(number), Signal.like(number)
        m.d.comb += [read.addr.eq(number), read.en.eq(move)]
        ends = number == final
        with m.If(move):
            m.d.sync += [
                number.eq(Mux(ends, 0, number + 1)),
                numbered.eq(number),
                row.eq(Mux(self.listed, read.data, numbered)),
                self.row.eq(row),
                self.address.eq(base + row),
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
