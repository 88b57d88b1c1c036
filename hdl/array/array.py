"""The array: all lane groups, the sweep over them, the output sums and access to single cells."""

from itertools import pairwise

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.array.bundles import (
    Token,
    array_layout,
    branched,
    lane_line_layout,
    passed,
    sweep_layout,
    visit_layout,
)
from ohmgrid.hdl.array.cell_port import CellPort, job_layout, return_layout
from ohmgrid.hdl.array.group import LaneGroup, split_lane
from ohmgrid.hdl.array.lane import AdderTree, sum_bits
from ohmgrid.hdl.array.line_sums import LineSums
from ohmgrid.hdl.array.sweep import Sweep
from ohmgrid.hdl.base.own_register import nearby
from ohmgrid.hdl.base.pipeline import delayed, strobe_after
from ohmgrid.hdl.device.aging import AGING_REGISTERS
from ohmgrid.hdl.device.ports import REGISTERS, TABLE_WRITE
from ohmgrid.hdl.device.tables import Tables
from ohmgrid.hdl.periphery.values import LINE, line_cycles, list_layout, values_layout
from ohmgrid.registers.device import COUNT_BITS
from ohmgrid.registers.readout import VOLTAGE_FRAC

__all__ = ["PULSE_COUNT_BITS", "LaneArray"]

SPARE = 3
"""Places that each queue must have for another visit: two may be sent before the first counts."""
PULSE_COUNT_BITS = 32
"""Width of what is counted in an update."""
SETTLE = 3
"""Cycles from when a visit comes to a queue until the sweep knows of it."""


class LaneArray(wiring.Component):
    """Lanes under one sweep, for arrays that lie in them plain or turned.

    Products are summed over the lanes by a tree, for each serial line, and accumulated over blocks
    in a memory; or over serial lines in the lanes, and the sums of a block leave by a chain, one a
    cycle, while the next block is swept. An update sends the cells that are hit through the device
    units.

    Parameters
    ----------
    config : Config

    Members
    -------
    array : In(array_layout)
        The array at work.
    start : In(1)
        Strobe: do the sweep ``job``. Both are constant from three cycles before until `busy` falls.
    job : In(sweep_layout)
    codes, pulses : In(list_layout), coding : In(1)
        The serial lines that a sweep with ``chain`` or ``update`` visits.
    busy : Out(1)
    row_line, row_key, column_line : Out
        Addresses of the line memories: of rows, that of a line's code and train, and of the keys of
        its device.
    rows, columns : In(values_layout)
        What they say `line_cycles` later. In a ``split`` sweep ``row_line`` is a device's, too.
    chain_valid, chain_sum : Out
        Sums of lane lines, in their order, without the fraction bits of voltages.
    tree_valid, tree_sum : Out
        Sums of serial lines, likewise, as the last block is swept.
    cells : In(`ohmgrid.hdl.array.cell_port.job_layout`)
    cells_busy : Out(1)
    seen : Out(`ohmgrid.hdl.array.cell_port.return_layout`)
        What visits of cells say.
    cells_i, cells_o : In and Out streams of conductances
    registers, device_set, aging, table_write : In
        Device parameters, and which set of tables belongs to them.
    count : In(1)
        Strobe: count anew
    up, down, held, visits : Out(`PULSE_COUNT_BITS`)
        pulses that raise a weight and that lower one; cycles in which a visit waited for a place in
        a queue; visits.
    collision : Out(1)
    """

    def __init__(self, config):
        self.config = config
        build, word = config.build, signed(config.formats.weight_bits)
        self._dropped = VOLTAGE_FRAC if build.read_physics else 0
        self.sum_bits = sum_bits(config) - self._dropped
        super().__init__(
            {
                "array": In(array_layout(config)),
                "start": In(1),
                "job": In(sweep_layout(config)),
                **dict.fromkeys(("codes", "pulses"), In(list_layout(config))),
                "coding": In(1),
                "busy": Out(1),
                "row_line": Out(range(build.outputs)),
                "row_key": Out(range(build.outputs)),
                "column_line": Out(range(build.inputs)),
                "rows": In(values_layout(config)),
                "columns": In(values_layout(config)),
                "chain_valid": Out(1),
                "chain_sum": Out(signed(self.sum_bits)),
                "tree_valid": Out(1),
                "tree_sum": Out(signed(self.sum_bits)),
                "cells": In(job_layout(config)),
                "cells_busy": Out(1),
                "seen": Out(return_layout(config)),
                "cells_i": In(stream.Signature(word)),
                "cells_o": Out(stream.Signature(word)),
                "registers": In(REGISTERS),
                "device_set": In(1),
                "aging": In(AGING_REGISTERS),
                "table_write": In(TABLE_WRITE),
                "count": In(1),
                **dict.fromkeys(("up", "down", "held", "visits"), Out(PULSE_COUNT_BITS)),
                "collision": Out(1),
            }
        )
        group = LaneGroup(config, 1)
        self._group_latency = group.latency
        # Cycles from the sweep to the groups, to their sums, to the sums of lines and the chain.
        self._to_groups = line_cycles(config) + 1 + (build.clusters > 1)
        self._to_sums = self._to_groups + group.times["sum"] + (build.units - 1).bit_length()
        self.to_chain = self._to_groups + group.times["chain"]
        self._settles = self._to_groups + group.times["H"] + SETTLE
        self._sweep = Sweep(config, self._settles)
        # Host reads borrow the way of the chain: one visit with code 1, and without write noise,
        # leaves the words in it.
        self._port = CellPort(config, self.to_chain)

    @property
    def turn(self):
        """Cycles from the visit of a cell until it comes back."""
        return self._port.turn

    def drain(self, update: bool = False, chain: int = 0) -> int:
        """Return the cycles from the last visit's sending until all sums have left.

        Parameters
        ----------
        update : bool
            From then on, or from when the last cell left a queue, until all results are written.
        chain : int
            Lane lines of the last block, in a sweep whose sums leave by the chain; else 0.
        """
        if update:
            return max(self._group_latency, self._settles + 2)
        return self.to_chain + chain if chain else self._to_sums + 5

    def elaborate(self, platform):
        m = Module()
        build, job, array, host = self.config.build, self.job, self.array, self._port.active
        m.submodules.sweep = sweep = self._sweep
        m.submodules.port = port = self._port
        groups = []
        for number in range(build.units):
            count = min(build.share, build.lanes - number * build.share)
            m.submodules[f"group{number}"] = group = LaneGroup(self.config, count)
            groups.append(group)
        # With one block of a pair's keys at a time, a bank's keys are free with those of the other.
        given = ("start", "array", "job", "codes", "pulses", "coding")
        other_half = sweep.lane_paired << (len(sweep.next_bank) - 1)
        m.d.comb += [
            *(getattr(sweep, name).eq(getattr(self, name)) for name in given),
            sweep.bare.eq(self.registers.visible == 0),
        ]
        for group, after in pairwise(groups):
            m.d.comb += group.chain_i.eq(after.chain_o)
        settings = Signal.like(groups[0].settings)
        m.d.comb += [
            # Cells are visited between the sweeps of an update, too.
            settings.update.eq(job.update & ~host),
            settings.by_row.eq(job.chain | host),
            settings.magnitude.eq(job.magnitude),
            settings.paired.eq(array.paired & ~job.split),
            settings.inverted.eq(array.inverted if build.significance else 0),
            settings.lane_paired.eq(sweep.lane_paired),
            settings.turned.eq(array.turned),
            settings.visible.eq(Mux(host, 0, self.registers.visible)),
            settings.registers.eq(self.registers),
        ]
        # The settings of a sweep are there long before its first visit: registers on the way.
        late = delayed(m, settings, "settings")
        for number, group in enumerate(groups):
            m.d.comb += [
                group.settings.eq(late),
                group.settings.next_bank.eq(sweep.next_bank ^ other_half),
                group.shift.eq(nearby(m, job.chain | port.shift, f"shift{number}")),
            ]
        self._tables(m, groups)
        self._address(m)
        place = self._send(m, groups)
        self._places(m, groups)
        self._access(m, groups)
        self._tree_sums(m, groups, place)
        chained = self._chain_sums(m, groups, place)
        self._count(m, groups)

        draining = Signal(range(max(self.drain(True), self.drain()) + 1))
        with m.If(sweep.busy | self.start | Cat(group.waits for group in groups).any()):
            m.d.sync += draining.eq(Mux(job.update, self.drain(True), self.drain()))
        with m.Elif(draining != 0):
            m.d.sync += draining.eq(draining - 1)
        m.d.comb += [
            # It begins to count down with the last cycle of the sweep and the queues.
            self.busy.eq(self.start | Mux(job.chain, chained, draining != 0)),
            self.collision.eq(Cat(group.collision for group in groups).any()),
        ]
        return m

    def _count(self, m, groups):
        """Count what a verb does."""
        bits = PULSE_COUNT_BITS
        for name, total in (("up", self.up), ("down", self.down)):
            tree = AdderTree(len(groups), COUNT_BITS + 1, bits)
            m.submodules[f"{name}_pulses"] = tree
            for number, group in enumerate(groups):
                m.d.comb += getattr(tree, f"i{number}").eq(getattr(group, name))
            m.d.sync += total.eq(Mux(self.count, 0, total + tree.o)[:bits])
        sweep = self._sweep
        for strobe, total in ((sweep.held, self.held), (sweep.visit.valid, self.visits)):
            m.d.sync += total.eq(Mux(self.count, 0, total + strobe)[:bits])

    def _tables(self, m, groups):
        """Give the device units their tables: those of two neighbours are the same memories."""
        for first in range(0, len(groups), 2):
            pair = groups[first : first + 2]
            tables = Tables(groups[0].tables, len(pair), self.config.build.device_sets)
            m.submodules[f"tables{first // 2}"] = tables
            m.d.comb += [tables.write.eq(self.table_write), tables.device_set.eq(self.device_set)]
            for k, group in enumerate(pair):
                m.d.comb += [
                    getattr(tables, f"lookup{k}").eq(group.lookup),
                    group.entries.eq(getattr(tables, f"entries{k}")),
                ]

    def _address(self, m):
        """Address the memories of both sides: one for visits, the other for lines to load."""
        sweep, port, array, job = self._sweep, self._port, self.array, self.job
        serial, minus = Signal.like(array.serial_line), Signal()
        lane_line, lane_minus = Signal.like(serial), Signal()
        m.d.comb += [
            serial.eq(sweep.visit.payload.line),
            minus.eq(sweep.visit.payload.minus),
            lane_line.eq(sweep.load_line),
            lane_minus.eq(sweep.load.payload.minus),
        ]
        with m.If(port.active):
            m.d.comb += [
                serial.eq(array.serial_line + port.at.line),
                lane_line.eq(array.lane_line + port.at.lane_line),
                minus.eq(port.at.minus),
                lane_minus.eq(port.at.minus),
            ]
        row, row_minus = Signal.like(self.row_key), Signal()
        m.d.comb += [
            row.eq(Mux(array.turned, lane_line, serial)),
            row_minus.eq(Mux(array.turned, lane_minus, minus)),
            self.row_key.eq(Mux(array.paired, Cat(row_minus, row), row)),
            self.row_line.eq(Mux(job.split, self.row_key, row)),
            self.column_line.eq(Mux(array.turned, serial, lane_line)),
        ]

    def _send(self, m, groups):
        """Bring visits with their line's values, and lines, to the groups; return the visits.

        The line memories answer while the tokens pass registers; together they pass another one,
        and one more for each cluster of groups if there are several.
        """
        sweep, port, build = self._sweep, self._port, self.config.build
        array, job, host = self.array, self.job, port.active
        sent = Signal.like(sweep.visit.payload)
        m.d.comb += sent.eq(sweep.visit.payload)
        with m.If(host):
            m.d.comb += [sent.address.eq(port.at.address), sent.first.eq(1), sent.last.eq(1)]
        place = Token(sweep.visit.valid | port.fetch, sent)
        here, load = place, Token(sweep.load.valid, sweep.load.payload)
        for cycle in range(line_cycles(self.config)):
            here = passed(m, here, f"place{cycle}")
            load = passed(m, load, f"load{cycle}")
        visit, lane_line = (
            Signal(visit_layout(self.config)),
            Signal(lane_line_layout(self.config, build.lanes)),
        )
        values = data.View(
            values_layout(self.config), Mux(array.turned, self.columns.as_value(), self.rows)
        )
        lane_values = data.View(
            values_layout(self.config), Mux(array.turned, self.rows.as_value(), self.columns)
        )
        minus = here.payload.minus
        # A pair's minus device counts against its plus device; of magnitudes it alone counts.
        negative = minus & ~job.magnitude
        if build.significance:
            negative = Mux(array.significance != 0, array.inverted & ~minus, negative)
        code = Mux(negative, -values.code, values.code)
        silent = array.paired & job.magnitude & ~minus
        m.d.comb += [
            *(visit[name].eq(here.payload[name]) for name in ("first", "last", "minus", "bias")),
            *(visit[name].eq(here.payload[name]) for name in ("address", "bank")),
            visit.code.eq(Mux(host, 1, Mux(silent | here.payload.none, 0, code))),
            *(visit[name].eq(values[name]) for name in LINE),
            visit.train.eq(values.train & job.slots),
            *(lane_line[name].eq(load.payload[name]) for name in load.payload.shape().members),
            *(lane_line[name].eq(lane_values[name]) for name in ("code", *LINE)),
        ]
        near = passed(m, Token(here.valid, visit), "visit")
        near_lines = passed(m, Token(load.valid, lane_line), "loaded")
        trunk = near, near_lines
        per_cluster = -(-len(groups) // build.clusters)
        for number, group in enumerate(groups):
            if build.clusters > 1 and number % per_cluster == 0:
                near, near_lines = (
                    branched(m, token, f"cluster{number // per_cluster}_{name}")
                    for token, name in zip(trunk, ("visit", "line"), strict=True)
                )
            first = number * build.share
            m.d.comb += [
                group.visit.valid.eq(near.valid),
                group.visit.payload.eq(near.payload),
                group.load.valid.eq(near_lines.valid),
                *(
                    group.load.payload[name].eq(near_lines.payload[name])
                    for name in ("bank", "minus", "bias", "code", *LINE)
                ),
                group.load.payload.lanes.eq(near_lines.payload.lanes[first : first + group.count]),
            ]
        return place

    def _places(self, m, groups):
        """Count the places in the queues; let visits go while each queue has `SPARE`."""
        sweep, depth = self._sweep, self.config.build.queue
        sent = sweep.visit.valid & self.job.update
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
        port, build, array = self._port, self.config.build, self.array
        _, within = split_lane(m, port.at.lane, build)
        column = Mux(array.turned, port.at.line, port.at.lane_line)
        wiring.connect(m, wiring.flipped(self.cells_i), port.i)
        wiring.connect(m, port.o, wiring.flipped(self.cells_o))
        m.d.comb += [
            port.job.eq(self.cells),
            port.array.eq(array),
            port.word.eq(groups[0].chain_o),
            port.rows.eq(self.rows),
            port.columns.eq(self.columns),
            port.bias.eq(column == Mux(array.turned, array.serial, array.lane_lines) - 1),
            port.device.eq(self.registers),
            port.device_set.eq(self.device_set),
            port.registers.eq(self.aging),
            port.table_write.eq(self.table_write),
            self.cells_busy.eq(port.busy),
            self.seen.eq(port.seen),
        ]
        for k, group in enumerate(groups):
            m.d.comb += [
                port.references[k].eq(group.reference),
                group.visited.active.eq(port.active),
                group.visited.lane.eq(within),
                group.visited.address.eq(port.at.address),
                group.cell.eq(port.cell),
                group.cell.word.eq(port.cell.word & (port.group == k)),
                group.cell.reference.eq(port.cell.reference & (port.group == k)),
            ]

    def _tree_sums(self, m, groups, place):
        """Sums over the lanes, then over the blocks."""
        m.submodules.tree = tree = AdderTree(len(groups), len(groups[0].sum), sum_bits(self.config))
        for number, group in enumerate(groups):
            m.d.comb += getattr(tree, f"i{number}").eq(group.sum)
        m.submodules.lines = lines = LineSums(self.config, self._to_sums)
        m.d.comb += [
            lines.array.eq(self.array),
            lines.job.eq(self.job),
            lines.valid.eq(place.valid),
            lines.visit.eq(place.payload),
            lines.sum.eq(tree.o),
            self.tree_valid.eq(lines.o_valid),
            self.tree_sum.eq(lines.o >> self._dropped),
        ]

    def _chain_sums(self, m, groups, place):
        """Sums in the lanes: after a capture, the chain's head shows line after line of a block.

        Return whether some have not come.
        """
        build = self.config.build
        ends = place.valid & place.payload.last & self.job.chain
        in_block = Signal(range(build.lanes + 1))
        lines_left = Signal.like(self.array.lane_lines)
        m.d.comb += [
            self.chain_sum.eq(groups[0].chain_o >> self._dropped),
            self.chain_valid.eq((in_block != 0) & (lines_left != 0)),
        ]
        with m.If(self.start):
            m.d.sync += lines_left.eq(self.array.lane_lines)
        with m.Elif(self.chain_valid):
            m.d.sync += lines_left.eq(lines_left - 1)
        captured = strobe_after(m, ends, self.to_chain - 1, "ends")
        with m.If(self.start):
            m.d.sync += in_block.eq(0)
        with m.Elif(captured):
            m.d.sync += in_block.eq(build.lanes)
        with m.Elif(in_block != 0):
            m.d.sync += in_block.eq(in_block - 1)
        return lines_left != 0
