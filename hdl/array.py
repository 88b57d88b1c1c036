"""The array: all lane groups, the sweep over them, the output sums and access to single cells."""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import SLOTS
from ohmgrid.hdl.device_ports import REGISTERS, TABLE_WRITE
from ohmgrid.hdl.lane import AdderTree, LaneGroup, product_bits, sum_bits
from ohmgrid.hdl.pipeline import delayed
from ohmgrid.hdl.sweep import Sweep
from ohmgrid.hdl.voltages import code_bits
from ohmgrid.read_registers import VOLTAGE_FRAC

__all__ = ["LaneArray"]

HOST_STAGES = 5
"""Cycles from the address of a host read until the words are in the chain."""


class CellAccess(wiring.Component):
    """All cells of the array, one by one, to or from a stream, in memory order.

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
        Brings the words of all lanes at ``address`` into the chain in `HOST_STAGES` cycles.
    shift : Out(1)
        Moves the chain on by one lane.
    word : In
        The chain's head.
    i, o : streams of conductances
    """

    def __init__(self, config):
        build, word = config.build, signed(config.formats.weight_bits)
        self.build = build
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
        column = Signal(range(self.build.max_cols + lanes + 1))
        wait = Signal(range(HOST_STAGES))
        m.d.comb += [self.busy.eq(1), self.o.payload.eq(self.word)]

        def next_cell(next_row):
            """Go to the next lane that holds a column, else to the next row, else block."""
            m.d.sync += self.lane.eq(self.lane + 1)
            with m.If((self.lane == lanes - 1) | (column + self.lane == self.cols - 1)):
                m.d.sync += [self.lane.eq(0), self.address.eq(self.address + 1), row.eq(row + 1)]
                m.next = next_row
                with m.If(row == self.rows - 1):
                    m.d.sync += [row.eq(0), column.eq(column + lanes)]
                    with m.If(column + lanes >= self.cols):
                        m.d.sync += self.active.eq(0)
                        m.next = "IDLE"

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.busy.eq(self.start_read | self.start_write)
                m.d.sync += [self.address.eq(0), row.eq(0), self.lane.eq(0), column.eq(0)]
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
                m.d.sync += wait.eq(HOST_STAGES - 1)
                m.next = "READ"
            with m.State("READ"):
                with m.If(wait != 0):
                    m.d.sync += wait.eq(wait - 1)
                with m.Else():
                    m.d.comb += [self.o.valid.eq(1), self.shift.eq(self.o.ready)]
                    with m.If(self.o.ready):
                        next_cell("FETCH")
        return m


class LaneArray(wiring.Component):
    """Lanes under one sweep, with the three verbs.

    Forward adds the products of all lanes and accumulates over blocks in a memory of one sum for
    each row; backward accumulates in the lanes and shifts the sums of a block out, one a cycle,
    while the next block is swept; update sends the cells that are hit through the device units.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1)
        Strobe: sweep with the settings below, constant until `busy` falls.
    rows, cols, forward, backward, update : In
    magnitude : In(1)
        Sum over the conductances' magnitudes.
    slots : In(31)
        Slots of the trains that count (all, or one at a time).
    busy : Out(1)
    row_address, row_enable, row_code, row_train, row_sign, row_static, row_cycle
        Read port of the row memories (values one cycle after the address).
    column_address, column_code, ...
        Read port of the column memories.
    column_valid, column_sum : Out
        Backward sums, column by column, without the fraction bits of voltages.
    sum_address : In ; row_sum : Out
        Forward sums, likewise, two cycles after the address.
    cells_read, cells_write : In(1)
        Strobes: pass all cells to `cells_o` or take them from `cells_i`, in memory order.
    cells_busy : Out(1)
    cells_i, cells_o : In and Out streams of conductances
    registers, table_write : In
        Device parameters.
    collision : Out(1)
    """

    def __init__(self, config):
        self.config = config
        build, weight_bits = config.build, config.formats.weight_bits
        self.depth = build.max_blocks * build.max_rows
        self._dropped = VOLTAGE_FRAC if build.read_physics else 0
        self.sum_bits = sum_bits(config) - self._dropped
        members = {
            "start": In(1),
            "rows": In(range(build.max_rows + 1)),
            "cols": In(range(build.max_cols + 1)),
            "forward": In(1),
            "backward": In(1),
            "update": In(1),
            "magnitude": In(1),
            "slots": In(SLOTS),
            "busy": Out(1),
            "row_enable": Out(1),
            "row_address": Out(range(build.max_rows)),
            "column_address": Out(range(build.max_cols)),
            "column_valid": Out(1),
            "column_sum": Out(signed(self.sum_bits)),
            "sum_address": In(range(build.max_rows)),
            "row_sum": Out(signed(self.sum_bits)),
            "cells_read": In(1),
            "cells_write": In(1),
            "cells_busy": Out(1),
            "cells_i": In(stream.Signature(signed(weight_bits))),
            "cells_o": Out(stream.Signature(signed(weight_bits))),
            "registers": In(REGISTERS),
            "table_write": In(TABLE_WRITE),
            "collision": Out(1),
        }
        for side in ("row", "column"):
            members |= {
                f"{side}_code": In(signed(code_bits(config))),
                f"{side}_train": In(SLOTS),
                f"{side}_sign": In(1),
                f"{side}_static": In(64),
                f"{side}_cycle": In(32),
            }
        super().__init__(members)
        self._sweep = Sweep(build.lanes, build.max_rows, build.max_cols, self.depth)
        self._group_latency = LaneGroup(config, 1).latency
        self._tree_latency = (build.lanes - 1).bit_length()

    @property
    def drain(self):
        """Cycles from the last visit in stage D until everything it started has ended."""
        return max(self._group_latency, self._tree_latency + 3, self.config.build.lanes + 3) + 1

    def sweep_cycles(self, rows, cols):
        """Return the cycles of a sweep without stalls; `busy` is high for `drain` + 1 more."""
        return self._sweep.cycles(rows, cols)

    def elaborate(self, platform):
        m = Module()
        build = self.config.build
        m.submodules.sweep = sweep = self._sweep
        m.submodules.tree = tree = AdderTree(
            build.lanes, product_bits(self.config), sum_bits(self.config)
        )
        groups, product = [], 0
        for number in range(build.units):
            count = min(build.share, build.lanes - number * build.share)
            group = LaneGroup(self.config, count)
            m.submodules[f"group{number}"] = group
            groups.append(group)
            for k in range(count):
                m.d.comb += getattr(tree, f"i{product}").eq(getattr(group, f"product{k}"))
                product += 1

        # A sweep's settings are there long before its first visit.
        backward = delayed(m, self.backward, "held_backward")
        advance = Signal()
        m.d.comb += advance.eq(~sum((group.more for group in groups[1:]), groups[0].more).any())
        m.d.comb += [
            sweep.start.eq(self.start),
            sweep.rows.eq(self.rows),
            sweep.cols.eq(self.cols),
            sweep.advance.eq(advance),
            sweep.spaced.eq(backward),
            self.row_enable.eq(advance),
            self.row_address.eq(sweep.row),
            self.column_address.eq(sweep.load_column),
        ]

        # Host reads borrow the backward path: one visit with code 1 leaves the words in the chain.
        m.submodules.cells = cells = CellAccess(self.config)
        reading = Signal(HOST_STAGES)
        m.d.sync += reading.eq(reading << 1 | cells.fetch)
        host = cells.active
        row_operand = delayed(m, self.backward | host, "row_operand")
        m.d.comb += [
            cells.rows.eq(self.rows),
            cells.cols.eq(self.cols),
            cells.start_read.eq(self.cells_read),
            cells.start_write.eq(self.cells_write),
            cells.word.eq(groups[0].chain_o),
            self.cells_busy.eq(cells.busy),
            cells.i.payload.eq(self.cells_i.payload),
            cells.i.valid.eq(self.cells_i.valid),
            self.cells_i.ready.eq(cells.i.ready),
            self.cells_o.payload.eq(cells.o.payload),
            self.cells_o.valid.eq(cells.o.valid),
            cells.o.ready.eq(self.cells_o.ready),
        ]

        # Row values: stage B from memory (the code), C in registers, the keys also in D.
        at_c = {
            "row_train": Signal(SLOTS, reset_less=True),
            "row_sign": Signal(reset_less=True),
        }
        key_c = {name: Signal(bits, reset_less=True) for name, bits in _KEYS}
        key_d = {name: Signal(bits, reset_less=True) for name, bits in _KEYS}
        with m.If(advance):
            m.d.sync += [
                at_c["row_train"].eq(self.row_train & self.slots),
                at_c["row_sign"].eq(self.row_sign),
            ]
            for name, _ in _KEYS:
                m.d.sync += [key_c[name].eq(getattr(self, name)), key_d[name].eq(key_c[name])]

        # A block's sums go into the chain two cycles after its last row was in stage D.
        ends = Signal(2)
        m.d.sync += ends.eq(ends << 1 | (sweep.fresh & sweep.last_d & backward))
        capture = ends[0] | reading[3]
        group_of, within = _split(m, sweep.load_lane, build)
        host_group, host_within = _split(m, cells.lane, build)
        for number, group in enumerate(groups):
            m.d.comb += [
                group.advance.eq(advance),
                group.address.eq(Mux(host, cells.address, sweep.address)),
                group.read.eq(sweep.valid | cells.fetch),
                group.take.eq(sweep.take),
                group.load.eq(sweep.load & (group_of == number)),
                group.load_lane.eq(within),
                group.load_parity.eq(sweep.load_parity),
                group.load_code.eq(self.column_code),
                group.load_train.eq(self.column_train),
                group.load_sign.eq(self.column_sign),
                group.load_static.eq(self.column_static),
                group.load_cycle.eq(self.column_cycle),
                group.parity.eq(sweep.parity_d),
                group.backward.eq(row_operand),
                group.row_code.eq(Mux(host, 1, self.row_code)),
                group.magnitude.eq(self.magnitude),
                group.address_d.eq(sweep.address_d),
                group.hit_valid.eq(sweep.valid_c & self.update),
                group.fresh.eq(sweep.fresh | reading[2]),
                group.first.eq(sweep.first_d | reading[2]),
                group.capture.eq(capture),
                group.shift.eq(cells.shift | backward),
                group.host_write.eq(cells.write & (host_group == number)),
                group.host_lane.eq(host_within),
                group.host_data.eq(self.cells_i.payload),
                group.registers.eq(self.registers),
                group.table_write.eq(self.table_write),
            ]
            m.d.comb += [getattr(group, name).eq(value) for name, value in at_c.items()]
            m.d.comb += [getattr(group, name).eq(value) for name, value in key_d.items()]
            if number + 1 < len(groups):
                m.d.comb += group.chain_i.eq(groups[number + 1].chain_o)
        m.d.comb += [
            self.column_sum.eq(groups[0].chain_o >> self._dropped),
            self.collision.eq(sum((group.collision for group in groups[1:]), groups[0].collision)),
        ]

        # Backward: after a capture, the chain's head shows column after column of the block.
        in_block = Signal(range(build.lanes + 1))
        columns_left = Signal(range(build.max_cols + 1))
        m.d.comb += self.column_valid.eq((in_block != 0) & (columns_left != 0))
        with m.If(self.start):
            m.d.sync += columns_left.eq(self.cols)
        with m.Elif(self.column_valid):
            m.d.sync += columns_left.eq(columns_left - 1)
        with m.If(ends[0]):
            m.d.sync += in_block.eq(build.lanes)
        with m.Elif(in_block != 0):
            m.d.sync += in_block.eq(in_block - 1)

        # Forward: the sum of a row's block meets what earlier blocks left; two cycles pass between
        # read and write, fewer than between two blocks.
        m.submodules.sums = sums = Memory(
            shape=unsigned(sum_bits(self.config)), depth=build.max_rows, init=[]
        )
        read, write = sums.read_port(), sums.write_port()
        tree_valid = delayed(m, sweep.fresh & self.forward, "tree_valid", tree.latency)
        tree_row = delayed(m, sweep.row_d, "tree_row", tree.latency)
        tree_start = delayed(m, sweep.start_d, "tree_start", tree.latency)
        before = Signal(signed(sum_bits(self.config)), reset_less=True)
        m.d.sync += before.eq(read.data.as_signed())
        m.d.comb += [
            read.addr.eq(Mux(tree_valid, tree_row, self.sum_address)),
            self.row_sum.eq(before >> self._dropped),
            write.en.eq(delayed(m, tree_valid, "sum_valid", 2)),
            write.addr.eq(delayed(m, tree_row, "sum_row", 2)),
            write.data.eq(
                Mux(delayed(m, tree_start, "sum_start", 2), 0, before)
                + delayed(m, tree.o, "sum_value", 2)
            ),
        ]

        draining = Signal(range(self.drain + 1))
        with m.If(sweep.busy | self.start):
            m.d.sync += draining.eq(self.drain)
        with m.Elif(draining != 0):
            m.d.sync += draining.eq(draining - 1)
        m.d.comb += self.busy.eq(self.start | sweep.busy | (draining != 0))
        return m


_KEYS = (("row_static", 64), ("row_cycle", 32))


def _split(m, lane, build):
    """Return (group, lane within the group) of a lane number: constants' table, no divider."""
    group = Signal(range(max(2, build.units)))
    within = Signal(range(max(2, build.share)))
    with m.Switch(lane):
        for k in range(build.lanes):
            with m.Case(k):
                m.d.comb += [group.eq(k // build.share), within.eq(k % build.share)]
    return group, within
