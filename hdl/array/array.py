"""The array: all lane groups, the sweep over them, the output sums and access to single cells."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import SLOTS
from ohmgrid.hdl.array.cells import CellAccess
from ohmgrid.hdl.array.group import LaneGroup, split_lane
from ohmgrid.hdl.array.lane import AdderTree, product_bits, sum_bits
from ohmgrid.hdl.array.sweep import Sweep
from ohmgrid.hdl.array.visits import Visits
from ohmgrid.hdl.base.multiplier import Multiplier
from ohmgrid.hdl.base.pipeline import delayed, strobe_after
from ohmgrid.hdl.device.aging import AGING_REGISTERS, CODE_BITS, Aging
from ohmgrid.hdl.device.ports import REGISTERS, TABLE_WRITE
from ohmgrid.hdl.periphery.voltages import code_bits
from ohmgrid.registers.readout import VOLTAGE_FRAC

__all__ = ["LaneArray"]


class LaneArray(Visits, wiring.Component):
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
        Rows are rows of devices.
    magnitude : In(1)
        Sum over the weights' magnitudes; those of pairs saturate at a device's.
    paired : In(1)
        A weight is the difference of two devices, in rows 2 i and 2 i + 1.
    slots : In(31)
        Slots of the trains that count (all, or one at a time).
    list_clear, list_put, list_row : In
        Makes the list of rows that an update without ``backward`` visits, as `Sweep` has them.
    busy : Out(1)
    row_address, row_enable, row_code, row_train, row_sign, row_static, row_cycle
        Read port of the row memories (values one cycle after the address). Both devices of a pair
        have a code: that of the minus device is the other's negative, or, for magnitudes, the
        only one.
    column_address, column_code, ...
        Read port of the column memories.
    column_valid, column_sum : Out
        Backward sums, column by column, without the fraction bits of voltages.
    sum_address : In ; row_sum : Out
        Forward sums, likewise, two cycles after the address.
    cells_read, cells_write : In(1)
        Strobes: pass all cells to `cells_o` or take them from `cells_i`, in memory order.
    cells_references : In(1)
        What is taken are references; constant until `cells_busy` falls.
    cells_visit : In(1)
        Strobe (a build with ``time``): visit all cells, those of a block or of a column.
    cells_single, cells_only, cells_only_lane, cells_block_address, cells_block_column : In
        As `ohmgrid.hdl.array.cells.CellAccess` has them.
    cells_visiting, cells_visit_row : Out
        A cell of that row is visited.
    cells_change : In(Change)
        What a visit does; the line memories hold the keys of the operation.
    cells_returning, cells_row, cells_column, cells_lane, cells_code : Out
        A visited cell comes back: where it is, and what the ADC reads.
    cells_keep : In(1)
        It takes on its new weight, if it is not stuck.
    single, block_columns : In
        A sweep goes through the block of ``cells_block_address`` alone, which has so many columns.
    cells_busy : Out(1)
    cells_i, cells_o : In and Out streams of conductances
    registers, aging, table_write : In
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
            "paired": In(1),
            "slots": In(SLOTS),
            "list_clear": In(1),
            "list_put": In(1),
            "list_row": In(range(build.max_rows)),
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
            "cells_references": In(1),
            "cells_visit": In(1),
            "cells_single": In(1),
            "cells_only": In(1),
            "cells_only_lane": In(range(max(2, build.lanes))),
            "cells_visiting": Out(1),
            "cells_visit_row": Out(range(build.max_rows)),
            "single": In(1),
            "block_columns": In(range(build.lanes + 1)),
            "cells_block_address": In(range(self.depth)),
            "cells_block_column": In(range(build.max_cols)),
            "cells_change": In(2),
            "cells_returning": Out(1),
            "cells_row": Out(range(build.max_rows)),
            "cells_column": Out(range(build.max_cols)),
            "cells_lane": Out(range(max(2, build.lanes))),
            "cells_code": Out(signed(CODE_BITS)),
            "cells_keep": In(1),
            "cells_busy": Out(1),
            "cells_i": In(stream.Signature(signed(weight_bits))),
            "cells_o": Out(stream.Signature(signed(weight_bits))),
            "registers": In(REGISTERS),
            "aging": In(AGING_REGISTERS),
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
        self._sweep = Sweep(
            build.lanes, build.max_rows, build.max_cols, self.depth, build.key_banks
        )
        group = LaneGroup(config, 1)
        self._group_latency, self.lag = group.latency, group.lag
        self._tree_latency = (build.lanes - 1).bit_length()
        self._aging = Aging(weight_bits)
        # Host reads borrow the backward path: one visit with code 1, and without write noise,
        # leaves the words in the chain.
        self._cells = CellAccess(config, self.lag + 5, 1 + self._aging.latency)

    @property
    def turn(self):
        """Cycles from the visit of a cell until it comes back."""
        return self._cells.turn

    def drain(self, update):
        """Return the cycles from the last visit in stage D until all sums have left.

        With ``update``: from then on, or from when the last cell left a queue, until all results
        are written, too.
        """
        sums = self.lag + max(self._tree_latency, self.config.build.lanes) + 3
        return (max(self._group_latency, sums) if update else sums) + 1

    def sweep_cycles(self, rows, cols):
        """Return the cycles of a sweep that hits no cell; `busy` is high for `drain` + 1 more."""
        return self._sweep.cycles(rows, cols)

    def visit_cycles(self, rows, cols, single=False):
        """Return the cycles that `cells_busy` is high in a visit of so many rows and columns."""
        return self._cells.visit_cycles(rows, cols, single)

    def column_cycles(self, rows):
        """Return the same of a visit of one column."""
        return self._cells.column_cycles(rows)

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
        # Registers: they go a long way.
        advance, bank_used = Signal(init=1), Signal()
        m.d.sync += [
            advance.eq(~Cat(group.full for group in groups).any()),
            bank_used.eq(Cat(group.bank_used for group in groups).any()),
        ]
        m.d.comb += [
            sweep.start.eq(self.start),
            sweep.clear.eq(self.list_clear),
            sweep.put.eq(self.list_put),
            sweep.put_row.eq(self.list_row),
            sweep.listed.eq(self.update & ~self.backward),
            sweep.rows.eq(self.rows),
            sweep.cols.eq(Mux(self.single, self.block_columns, self.cols)),
            sweep.first_address.eq(Mux(self.single, self.cells_block_address, 0)),
            sweep.first_column.eq(Mux(self.single, self.cells_block_column, 0)),
            sweep.last_block.eq(
                ~self.single | (self.cells_block_column + build.lanes >= self.cols)
            ),
            sweep.advance.eq(advance),
            sweep.bank_used.eq(bank_used),
            sweep.spaced.eq(backward),
            self.row_enable.eq(advance),
        ]

        m.submodules.cells = cells = self._cells
        reading = Signal(cells.stages)
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
            self.row_address.eq(sweep.row),
            self.column_address.eq(sweep.load_column),
        ]

        # Row values: stage B from memory, C in registers, all but the code also in D.
        code_c = Signal.like(self.row_code, reset_less=True)
        bits = {"train": SLOTS, "sign": 1, "static": 64, "cycle": 32}
        at_b = {name: getattr(self, f"row_{name}") for name in bits}
        at_b["train"] = self.row_train & self.slots
        at_c, at_d = (
            {name: Signal(bits[name], name=f"{name}_{stage}", reset_less=True) for name in bits}
            for stage in "cd"
        )
        with m.If(advance):
            m.d.sync += code_c.eq(Mux(host, 1, self.row_code))
            for name in bits:
                m.d.sync += [at_c[name].eq(at_b[name]), at_d[name].eq(at_c[name])]

        # A register behind the columns' block RAMs.
        column = {n: delayed(m, getattr(self, f"column_{n}"), f"{n}_late") for n in ("code", *bits)}
        # What comes after stage D takes each visit when it is new there. A block's sums go into
        # the chain two cycles after its last row was in stage P.
        to_v = self.lag - Multiplier.latency
        fresh = strobe_after(m, sweep.fresh, self.lag, "fresh")
        ends = Signal()
        m.d.sync += ends.eq(fresh & delayed(m, sweep.last_d, "last", self.lag) & backward)
        capture = ends | reading[3 + self.lag]
        row_code = delayed(m, code_c, "row_code", to_v)
        load_operands = Cat(
            strobe_after(m, load, to_v, f"load_operand{k}") for k, load in enumerate(sweep.loads)
        )
        take_operand = strobe_after(m, sweep.take_key, to_v, "take_operand")
        load_code = delayed(m, column["code"], "load_code", to_v)
        first = delayed(m, sweep.first_d, "first", self.lag)
        _, within = split_lane(m, sweep.load_lane, build)
        # What the host or a visit writes goes through registers to all lanes.
        host_group, host_within = split_lane(m, cells.lane, build)
        host_group, host_within = (
            delayed(m, host_group, "host_g"),
            delayed(m, host_within, "host_l"),
        )
        host_address = delayed(m, cells.address, "host_address")
        host_data = self.cells_i.payload
        host_write = cells.write & ~self.cells_references
        visits = Const(0, 1)
        if build.time:
            visits, host_data = cells.active, self._visits(m, groups)
            keep = self.cells_keep & ~self._aging.stuck
            host_write = host_write | (cells.returning & keep)
        host_data = delayed(m, host_data, "host_data")
        host_write = strobe_after(m, host_write, 1, "host_write")
        host_reference = strobe_after(m, cells.write & self.cells_references, 1, "host_reference")
        for number, group in enumerate(groups):
            m.d.comb += [
                group.advance.eq(advance),
                group.address.eq(Mux(host, cells.address, sweep.address)),
                group.read.eq(sweep.valid | cells.fetch),
                group.take.eq(sweep.take),
                group.load.eq(sweep.loads[number * build.share :]),
                group.load_lane.eq(within),
                group.load_bank.eq(sweep.load_bank),
                *(getattr(group, f"load_{name}").eq(column[name]) for name in bits),
                group.load_bias.eq(sweep.load_last),
                group.take_key.eq(sweep.take_key),
                group.load_operand.eq(load_operands[number * build.share :]),
                group.load_code.eq(load_code),
                group.take_operand.eq(take_operand),
                group.fresh_d.eq(sweep.fresh),
                group.bank_d.eq(sweep.bank_d),
                group.next_bank.eq(sweep.next_bank),
                group.row_train.eq(at_c["train"]),
                group.row_sign.eq(at_c["sign"]),
                *(getattr(group, f"{name}_d").eq(value) for name, value in at_d.items()),
                group.backward.eq(row_operand),
                group.magnitude.eq(self.magnitude),
                group.row_code.eq(row_code),
                group.minus.eq(sweep.odd_c),
                group.paired.eq(self.paired),
                group.visible.eq(Mux(host, 0, self.registers.visible)),
                group.address_d.eq(sweep.address_d),
                group.hit_valid.eq(sweep.valid_c & self.update),
                group.fresh.eq(fresh | reading[2 + self.lag]),
                group.first.eq(first | reading[2 + self.lag]),
                group.capture.eq(capture),
                group.shift.eq(cells.shift | backward),
                group.host_write.eq(host_write & (host_group == number)),
                group.host_reference.eq(host_reference & (host_group == number)),
                group.host_lane.eq(host_within),
                group.host_address.eq(host_address),
                group.host_data.eq(host_data),
                group.visit.eq(visits),
                group.registers.eq(self.registers),
                group.table_write.eq(self.table_write),
            ]
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
        with m.If(ends):
            m.d.sync += in_block.eq(build.lanes)
        with m.Elif(in_block != 0):
            m.d.sync += in_block.eq(in_block - 1)

        # Forward: the sum of a row's block meets what earlier blocks left; two cycles pass between
        # read and write, fewer than between two blocks.
        m.submodules.sums = sums = Memory(
            shape=unsigned(sum_bits(self.config)), depth=build.max_rows, init=[]
        )
        read, write = sums.read_port(), sums.write_port()
        late = self.lag + tree.latency
        tree_row = delayed(m, sweep.row_d, "tree_row", late)
        tree_start = delayed(m, sweep.start_d, "tree_start", late)
        # Of a pair, the first row's sum waits for the second's.
        tree_fresh = strobe_after(m, sweep.fresh & self.forward, late, "tree_fresh")
        tree_valid = tree_fresh & (~self.paired | tree_row[:1])
        value, plus = (Signal.like(tree.o, reset_less=True) for _ in range(2))
        m.d.sync += value.eq(tree.o)
        with m.If(delayed(m, tree_fresh, "value_fresh")):
            m.d.sync += plus.eq(value)
        output = Mux(self.paired, tree_row >> 1, tree_row)[: len(tree_row)]
        before = Signal.like(tree.o, reset_less=True)
        m.d.sync += before.eq(read.data.as_signed())
        m.d.comb += [
            read.addr.eq(Mux(tree_valid, output, self.sum_address)),
            self.row_sum.eq(before >> self._dropped),
            write.en.eq(delayed(m, tree_valid, "sum_valid", 2)),
            write.addr.eq(delayed(m, output, "sum_row", 2)),
            write.data.eq(
                Mux(delayed(m, tree_start, "sum_start", 2), 0, before)
                + delayed(m, Mux(self.paired & ~self.magnitude, plus - value, value), "sum_value")
            ),
        ]

        draining = Signal(range(self.drain(update=True) + 1))
        waits = Cat(group.waits for group in groups).any()
        with m.If(sweep.busy | self.start | waits):
            m.d.sync += draining.eq(Mux(self.update, self.drain(True), self.drain(False)))
        with m.Elif(draining != 0):
            m.d.sync += draining.eq(draining - 1)
        # It begins to count down with the last cycle of the sweep and the queues.
        m.d.comb += self.busy.eq(self.start | (draining != 0))
        return m
