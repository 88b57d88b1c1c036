"""The array: all lane groups, the sweep over them, the output sums and access to single cells."""

from itertools import pairwise

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import SLOTS
from ohmgrid.hdl.array.bundles import LINE, Token, branched, column_layout, passed, visit_layout
from ohmgrid.hdl.array.cells import CellAccess
from ohmgrid.hdl.array.group import LaneGroup, split_lane
from ohmgrid.hdl.array.lane import AdderTree, sum_bits
from ohmgrid.hdl.array.sweep import Sweep
from ohmgrid.hdl.array.visits import Visits
from ohmgrid.hdl.base.pipeline import delayed, moving, strobe_after
from ohmgrid.hdl.base.timed import Stages, Timed
from ohmgrid.hdl.device.aging import AGING_REGISTERS, CODE_BITS, Aging
from ohmgrid.hdl.device.ports import REGISTERS, TABLE_WRITE
from ohmgrid.hdl.periphery.voltages import code_bits
from ohmgrid.registers.readout import VOLTAGE_FRAC

__all__ = ["LaneArray"]

SPARE = 3
"""Places that each queue must have for another visit: two may be sent before the first counts."""
SETTLE = 3
"""Cycles from when a visit comes to a queue until the sweep knows of it."""


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
    row_address, row_code, row_train, row_sign, row_static, row_cycle
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
                **{f"{side}_{name}": In(bits) for name, bits in LINE.items()},
            }
        super().__init__(members)
        group = LaneGroup(config, 1)
        self._group_latency = group.latency
        # Cycles from the sweep to the groups, to their sums, to the sums of rows and the chain.
        self._to_groups = 2 + (build.clusters > 1)
        self._to_sums = self._to_groups + group.times["sum"] + (build.units - 1).bit_length()
        self.to_chain = self._to_groups + group.times["chain"]
        self._settles = self._to_groups + group.times["D"] + SETTLE
        self._sweep = Sweep(
            build.lanes,
            build.max_rows,
            build.max_cols,
            self.depth,
            build.key_banks,
            self._settles,
        )
        self._aging = Aging(weight_bits)
        # Host reads borrow the backward path: one visit with code 1, and without write noise,
        # leaves the words in the chain.
        self._cells = CellAccess(config, self.to_chain, 1 + self._aging.latency)

    @property
    def turn(self):
        """Cycles from the visit of a cell until it comes back."""
        return self._cells.turn

    def drain(self, update):
        """Return the cycles from the last visit's sending until all sums have left.

        With ``update``: from then on, or from when the last cell left a queue, until all results
        are written, too.
        """
        sums = max(self._to_sums + 3, self.to_chain + self.config.build.lanes)
        return max(self._group_latency, sums, self._settles + 2) if update else sums

    def sweep_cycles(self, rows, cols):
        """Return the cycles of a sweep that is no update; `busy` is high for `drain` + 1 more."""
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
        m.submodules.cells = cells = self._cells
        groups = []
        for number in range(build.units):
            count = min(build.share, build.lanes - number * build.share)
            m.submodules[f"group{number}"] = group = LaneGroup(self.config, count)
            groups.append(group)
        # The settings of a sweep are there long before its first visit.
        host = cells.active
        by_row = delayed(m, self.backward | host, "by_row")
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
            sweep.spaced.eq(self.backward),
            sweep.update.eq(self.update),
            self.row_address.eq(sweep.visit.payload.row),
            self.column_address.eq(sweep.load_column),
        ]
        for group, after in pairwise(groups):
            m.d.comb += group.chain_i.eq(after.chain_o)
        for group in groups:
            m.d.comb += [
                # Cells are visited between the sweeps of an update, too.
                group.settings.update.eq(self.update & ~host),
                group.settings.by_row.eq(by_row),
                group.settings.magnitude.eq(self.magnitude),
                group.settings.paired.eq(self.paired),
                group.settings.visible.eq(Mux(host, 0, self.registers.visible)),
                group.settings.next_bank.eq(sweep.next_bank),
                group.settings.registers.eq(self.registers),
                group.settings.table_write.eq(self.table_write),
                group.shift.eq(self.backward | cells.shift),
            ]
        place = self._send(m, groups)
        self._places(m, groups)
        self._access(m, groups)
        self._row_sums(m, groups, place)
        self._column_sums(m, groups, place)

        draining = Signal(range(self.drain(update=True) + 1))
        waits = Cat(group.waits for group in groups).any()
        with m.If(sweep.busy | self.start | waits):
            m.d.sync += draining.eq(Mux(self.update, self.drain(True), self.drain(False)))
        with m.Elif(draining != 0):
            m.d.sync += draining.eq(draining - 1)
        m.d.comb += [
            # It begins to count down with the last cycle of the sweep and the queues.
            self.busy.eq(self.start | (draining != 0)),
            self.collision.eq(Cat(group.collision for group in groups).any()),
        ]
        return m

    def _send(self, m, groups):
        """Bring visits with their row's values, and columns, to the groups; return the visits.

        The line memories answer while the tokens pass a register; together they pass another one,
        and one more for each cluster of groups if there are several.
        """
        sweep, cells, build = self._sweep, self._cells, self.config.build
        host = cells.active
        sent = Signal.like(sweep.visit.payload)
        m.d.comb += sent.eq(sweep.visit.payload)
        with m.If(host):
            m.d.comb += [sent.address.eq(cells.address), sent.first.eq(1), sent.last.eq(1)]
        place = Token(sweep.visit.valid | cells.fetch, sent)
        at_b = passed(m, place, "place")
        load = passed(m, Token(sweep.load.valid, sweep.load.payload), "column")
        visit, column = (
            Signal(visit_layout(self.config)),
            Signal(column_layout(self.config, build.lanes)),
        )
        m.d.comb += [
            *(visit[name].eq(at_b.payload[name]) for name in ("first", "last", "address", "bank")),
            visit.minus.eq(at_b.payload.row[0]),
            visit.code.eq(Mux(host, 1, self.row_code)),
            *(visit[name].eq(getattr(self, f"row_{name}")) for name in LINE),
            visit.train.eq(self.row_train & self.slots),
            *(column[name].eq(load.payload[name]) for name in ("lanes", "bank", "bias")),
            *(column[name].eq(getattr(self, f"column_{name}")) for name in ("code", *LINE)),
        ]
        trunk = (
            passed(m, Token(at_b.valid, visit), "visit"),
            passed(m, Token(load.valid, column), "loaded"),
        )
        near, near_columns = trunk
        per_cluster = -(-len(groups) // build.clusters)
        for number, group in enumerate(groups):
            if build.clusters > 1 and number % per_cluster == 0:
                near, near_columns = (
                    branched(m, token, f"cluster{number // per_cluster}_{name}")
                    for token, name in zip(trunk, ("visit", "column"), strict=True)
                )
            first = number * build.share
            m.d.comb += [
                group.visit.valid.eq(near.valid),
                group.visit.payload.eq(near.payload),
                group.load.valid.eq(near_columns.valid),
                *(
                    group.load.payload[name].eq(near_columns.payload[name])
                    for name in ("bank", "bias", "code", *LINE)
                ),
                group.load.payload.lanes.eq(
                    near_columns.payload.lanes[first : first + group.count]
                ),
            ]
        return place

    def _places(self, m, groups):
        """Count the places in the queues; let visits go while each queue has `SPARE`."""
        sweep, depth = self._sweep, self.config.build.queue
        sent = sweep.visit.valid & self.update
        ready = []
        for number, group in enumerate(groups):
            places = Signal(range(depth + 1), init=depth, name=f"places{number}")
            enough = Signal(init=1, name=f"enough{number}")
            m.d.sync += [
                places.eq(places + group.returned - sent),
                enough.eq(places >= SPARE),
            ]
            ready.append(enough)
        m.d.sync += [
            sweep.go.eq(Cat(ready).all()),
            sweep.bank_used.eq(Cat(group.bank_used for group in groups).any()),
        ]

    def _access(self, m, groups):
        """Connect the access to single cells: words that are written, words on their way out."""
        cells, build = self._cells, self.config.build
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
        number, within = split_lane(m, cells.lane, build)
        value, write = self.cells_i.payload, cells.write & ~self.cells_references
        if build.time:
            value = self._visits(m, groups)
            write = write | (cells.returning & self.cells_keep & ~self._aging.stuck)
        number, within = delayed(m, number, "cell_group"), delayed(m, within, "cell_lane")
        address, value = delayed(m, cells.address, "cell_address"), delayed(m, value, "cell_data")
        word = strobe_after(m, write, 1, "cell_write")
        reference = strobe_after(m, cells.write & self.cells_references, 1, "cell_reference")
        for k, group in enumerate(groups):
            m.d.comb += [
                group.cell.word.eq(word & (number == k)),
                group.cell.reference.eq(reference & (number == k)),
                group.cell.lane.eq(within),
                group.cell.address.eq(address),
                group.cell.data.eq(value),
            ]

    def _row_sums(self, m, groups, place):
        """Forward: the sum of a row's block meets what earlier blocks left.

        Two cycles pass between read and write, fewer than between two blocks.
        """
        m.submodules.tree = tree = AdderTree(len(groups), len(groups[0].sum), sum_bits(self.config))
        for number, group in enumerate(groups):
            m.d.comb += getattr(tree, f"i{number}").eq(group.sum)
        m.submodules.sums = sums = Memory(
            shape=unsigned(sum_bits(self.config)), depth=self.config.build.max_rows, init=[]
        )
        read, write = sums.read_port(), sums.write_port()
        pipe = Stages(m, moving(m, place.valid, self._to_sums))
        fresh = pipe.at(Timed(place.valid & self.forward, 0, strobe=True), self._to_sums)
        row, start = (
            field.value
            for field in pipe.together(
                self._to_sums, Timed(place.payload.row, 0), Timed(place.payload.start, 0)
            )
        )
        # Of a pair, the first row's sum waits for the second's.
        valid = fresh & (~self.paired | row[0])
        value, plus = (Signal.like(tree.o, reset_less=True) for _ in range(2))
        m.d.sync += value.eq(tree.o)
        with m.If(delayed(m, fresh, "value_fresh")):
            m.d.sync += plus.eq(value)
        output = Mux(self.paired, row >> 1, row)[: len(row)]
        before = Signal.like(tree.o, reset_less=True)
        m.d.sync += before.eq(read.data.as_signed())
        m.d.comb += [
            read.addr.eq(Mux(valid, output, self.sum_address)),
            self.row_sum.eq(before >> self._dropped),
            write.en.eq(strobe_after(m, valid, 2, "sum_valid")),
            write.addr.eq(delayed(m, output, "sum_row", 2)),
            write.data.eq(
                Mux(delayed(m, start, "sum_start", 2), 0, before)
                + delayed(m, Mux(self.paired & ~self.magnitude, plus - value, value), "sum_value")
            ),
        ]

    def _column_sums(self, m, groups, place):
        """Backward: after a capture, the chain's head shows column after column of the block."""
        build = self.config.build
        ends = place.valid & place.payload.last & self.backward
        in_block = Signal(range(build.lanes + 1))
        columns_left = Signal(range(build.max_cols + 1))
        m.d.comb += [
            self.column_sum.eq(groups[0].chain_o >> self._dropped),
            self.column_valid.eq((in_block != 0) & (columns_left != 0)),
        ]
        with m.If(self.start):
            m.d.sync += columns_left.eq(self.cols)
        with m.Elif(self.column_valid):
            m.d.sync += columns_left.eq(columns_left - 1)
        with m.If(strobe_after(m, ends, self.to_chain - 1, "ends")):
            m.d.sync += in_block.eq(build.lanes)
        with m.Elif(in_block != 0):
            m.d.sync += in_block.eq(in_block - 1)
