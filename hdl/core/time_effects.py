"""When cells leak, diffuse and are refreshed.

The twin is `ohmgrid.model.core.time_effects`. A refresh goes from block to block of lanes (of an
array that lies turned: from column to column): it reads all pairs there and keeps which are due and
their differences; then, for each column with one, it resets what is due and has the differences
written back by the pulser.
"""

from enum import Enum

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.array.cell_port import job_layout, return_layout
from ohmgrid.hdl.array.due_pairs import DuePairs
from ohmgrid.hdl.core.jobs import (
    COLUMN,
    KEY,
    REGISTERS,
    ROW,
    Work,
    entry_layout,
    over_lines,
    spanning,
)
from ohmgrid.hdl.device.aging import Change
from ohmgrid.hdl.periphery.edge import vector_layout
from ohmgrid.hdl.periphery.passes import pass_layout
from ohmgrid.registers.arrays import COUNT_BITS
from ohmgrid.registers.noise import Verb

__all__ = ["TimeEffects"]

SETTLE = 4
"""Cycles that where to visit is known before a visit begins."""


class Task(Enum):
    """What is done to cells."""

    AGE = 0
    SCAN = 1
    RESET = 2


class TimeEffects(wiring.Component):
    """What happens to the array at work after an update.

    Parameters
    ----------
    config : Config
    turn : int
        Cycles from the visit of a cell until it comes back.

    Members
    -------
    registers : In(REGISTERS), entry : In(entry_layout)
    time_left, refresh_left : Out(COUNT_BITS)
        What the entry's countdowns are after another update,
    due : Out(1)
        and whether something happens then.
    start : In(1)
        Strobe: let it happen. In the cycle after, the entry counts the update.
    done : Out(1)
        Strobe.
    active : Out(1)
        High in between: vectors at the edge come from here.
    one : In
        1.0 of an activation.
    key : Out(KEY) ; key_done : In(1)
    lines : Out(pass_layout) ; lines_busy : In(1)
    vector : Out(vector_layout) ; value : Out ; taken : In(1)
    cells : Out(job_layout) ; cells_busy : In(1) ; seen : In(return_layout)
    pulse : Out(1), column, offset, before : Out ; pulsed : In(1)
        Has the pulser write a column back (``start``, ``done``, ... of
        `ohmgrid.hdl.core.pulser.Pulser`).
    """

    def __init__(self, config: Config, turn: int):
        build, edge = config.build, config.formats.edge_bits
        self.config = config
        self._pairs = DuePairs(build, turn)
        super().__init__(
            {
                "registers": In(REGISTERS),
                "entry": In(entry_layout(config)),
                "time_left": Out(COUNT_BITS),
                "refresh_left": Out(COUNT_BITS),
                "due": Out(1),
                "start": In(1),
                "done": Out(1),
                "active": Out(1),
                "one": In(edge),
                "key": Out(KEY),
                "key_done": In(1),
                "lines": Out(pass_layout(config)),
                "vector": Out(vector_layout(config)),
                "lines_busy": In(1),
                "taken": In(1),
                "value": Out(signed(edge)),
                "cells": Out(job_layout(config)),
                "cells_busy": In(1),
                "seen": In(return_layout(config)),
                "pulse": Out(1),
                "column": Out(range(build.inputs)),
                "offset": Out(range(build.words)),
                "before": Out(range(build.lines)),
                "pulsed": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.pairs = pairs = self._pairs
        entry, lines, lanes = self.entry, self.lines, self.config.build.lanes
        vector = self.vector
        due_time, due_refresh = self._countdowns(m)
        task = Signal(Task)
        lane = Signal(range(max(2, lanes)))
        # The keys of the refresh are not in the line memories: not yet, or not any more.
        stale = Signal()
        refreshing = task == Task.RESET
        self._visits(m, task, lane)
        settled = Signal(range(SETTLE))
        count = Signal.like(self.column)
        one_hot = Mux(count == self.column, self.one, 0)
        m.d.comb += self.value.eq(Mux(pairs.take, pairs.value, one_hot))

        def look_at(column, offset, before):
            """Look for pairs in the block, or column, that begins there."""
            m.d.sync += [
                task.eq(Task.SCAN),
                lane.eq(0),
                self.column.eq(column),
                self.offset.eq(offset),
                self.before.eq(before),
            ]

        def keyed():
            """Visit cells with the keys that are there."""
            m.d.sync += stale.eq(0)
            m.next = "VISIT"
            with m.If(refreshing):
                m.next = "NO_ROWS"

        work = Work(m)
        with m.FSM() as fsm:
            with m.State("IDLE"), m.If(self.start):
                m.next = "DUE"
            with m.State("DUE"):
                m.d.sync += [stale.eq(1), task.eq(Task.AGE)]
                with m.If(due_time):
                    m.d.sync += due_time.eq(0)
                    m.next = "KEY"
                with m.Elif(due_refresh):
                    m.d.sync += due_refresh.eq(0)
                    look_at(0, 0, 0)
                    m.next = "KEY"
                with m.Else():
                    m.d.comb += self.done.eq(1)
                    m.next = "IDLE"
            with m.State("KEY"):
                m.d.comb += [
                    self.key.verb.eq(Mux(task == Task.AGE, Verb.TIME, Verb.REFRESH)),
                    self.key.step.eq(entry.update_step),
                ]
                with work.until_done(self.key.start, ~self.key_done):
                    if self.config.build.computed_keys:
                        keyed()
                    else:
                        m.next = "ROW_KEYS"
            with m.State("ROW_KEYS"):
                m.d.comb += over_lines(lines, entry, ROW, devices=1)
                m.d.comb += lines.cycle_keys.eq(1)
                with work.until_done(lines.start, self.lines_busy):
                    m.next = "COLUMN_KEYS"
            with m.State("COLUMN_KEYS"):
                m.d.comb += over_lines(lines, entry, COLUMN)
                m.d.comb += lines.cycle_keys.eq(1)
                with work.until_done(lines.start, self.lines_busy):
                    keyed()
            # The differences of a column go to the rows' edge buffer while its cells are reset.
            with m.State("NO_ROWS"):
                m.d.comb += [*spanning(vector, entry, ROW, split=1), vector.clear.eq(1)]
                m.next = "VISIT"
            with m.State("VISIT"):
                m.d.comb += spanning(vector, entry, ROW, split=1)
                m.d.comb += [vector.take.eq(pairs.take), pairs.clear.eq(task == Task.SCAN)]
                m.d.sync += settled.eq(settled + 1)
                with m.If(settled == SETTLE - 1):
                    m.d.sync += settled.eq(0)
                    m.next = "VISITED"
            with m.State("VISITED"):
                m.d.comb += spanning(vector, entry, ROW, split=1)
                m.d.comb += vector.take.eq(pairs.take)
                with work.until_done(self.cells.visit, self.cells_busy):
                    m.next = "ONE_COLUMN"
                    with m.If(task == Task.AGE):
                        m.next = "DUE"
                    with m.If(task == Task.SCAN):
                        m.next = "SEEK"
            with m.State("SEEK"):
                m.next = "FOUND"
                with m.If(~pairs.any):
                    m.next = "NEXT_BLOCK"
            with m.State("FOUND"):
                m.next = "NEXT_COLUMN"
                with m.If(entry.turned | pairs.column_due):
                    m.d.sync += task.eq(Task.RESET)
                    m.next = "NO_ROWS"
                    with m.If(stale):
                        m.next = "KEY"
            with m.State("ONE_COLUMN"):
                m.d.comb += [*spanning(vector, entry, COLUMN), vector.clear.eq(1)]
                m.d.sync += [count.eq(0), stale.eq(1)]
                m.next = "TAKE_COLUMN"
            with m.State("TAKE_COLUMN"):
                m.d.comb += [*spanning(vector, entry, COLUMN), vector.take.eq(1)]
                m.d.sync += count.eq(count + 1)
                with m.If(self.taken):
                    m.next = "TAKEN"
            # `SIZED` cycles until the maximum is there.
            with m.State("TAKEN"):
                m.next = "SIZED"
            with m.State("SIZED"):
                m.next = "PULSE"
            with m.State("PULSE"):
                with work.until_done(self.pulse, ~self.pulsed):
                    m.next = "NEXT_COLUMN"
            with m.State("NEXT_COLUMN"):
                m.d.sync += task.eq(Task.SCAN)
                last = (self.column + 1 == entry.cols) | (lane == lanes - 1)
                with m.If(entry.turned | last):
                    m.next = "NEXT_BLOCK"
                with m.Else():
                    m.d.sync += [self.column.eq(self.column + 1), lane.eq(lane + 1)]
                    m.next = "SEEK"
            with m.State("NEXT_BLOCK"):
                block = self.before + lanes
                with m.If(entry.turned):
                    look_at(self.column + 1, 0, 0)
                with m.Else():
                    look_at(block, self.offset + (entry.rows << entry.paired), block)
                m.next = "VISIT"
                with m.If(stale):
                    m.next = "KEY"
                with m.If(Mux(entry.turned, self.column + 1, block) >= entry.cols):
                    m.next = "DUE"
        m.d.comb += self.active.eq(~fsm.ongoing("IDLE"))
        return m

    def _countdowns(self, m):
        """Count an update; return what is still to happen, as registers."""
        registers, entry, dues = self.registers, self.entry, []
        for name in ("time", "refresh"):
            every, left = registers[f"{name}_every"], entry[f"{name}_left"]
            due, ends = Signal(name=f"due_{name}"), (every != 0) & (left == 1)
            m.d.comb += getattr(self, f"{name}_left").eq(Mux(ends, every, left - (every != 0)))
            with m.If(self.start):
                m.d.sync += due.eq(ends)
            dues.append(due)
            with m.If(ends):
                m.d.comb += self.due.eq(1)
        return dues

    def _visits(self, m, task, lane):
        """Connect the visits of cells, and what finds the pairs that are due."""
        entry, registers, seen, pairs = self.entry, self.registers, self.seen, self._pairs
        region, plain = self.cells.region, ~entry.turned
        away = self.active & (task != Task.AGE)
        by_line = self.active & (task == Task.RESET)
        m.d.comb += [
            self.cells.change.eq(
                Mux(
                    by_line,
                    Change.RESET,
                    Mux(away, Change.READ, Change.AGE),
                )
            ),
            self.cells.keep.eq(self.active & Mux(task == Task.RESET, pairs.keep, task == Task.AGE)),
            region.waits.eq(self.active & (task == Task.AGE)),
            region.by_line.eq(by_line),
            region.block.eq(away & plain),
            region.offset.eq(Mux(away & plain, self.offset, 0)),
            region.before.eq(Mux(away & plain, self.before, 0)),
            region.lane.eq(Mux(by_line & plain, lane, 0)),
            region.column.eq(away & entry.turned),
            region.line.eq(Mux(away & entry.turned, self.column, 0)),
            pairs.valid.eq(seen.returning & (task == Task.SCAN)),
            pairs.pair.eq(Mux(plain, seen.back.line, seen.back.lane_line)),
            pairs.minus.eq(seen.back.minus),
            pairs.lane.eq(seen.back.lane),
            pairs.column.eq(Mux(plain, seen.back.lane, 0)),
            pairs.code.eq(seen.code),
            pairs.upper.eq(registers.refresh_upper),
            pairs.lower.eq(registers.refresh_lower),
            pairs.look.eq(lane),
            pairs.visiting.eq(seen.visiting & (task == Task.RESET)),
            pairs.visit_pair.eq(Mux(plain, seen.at.line, seen.at.lane_line)),
            pairs.visit_minus.eq(seen.at.minus),
        ]
