"""What a host brings to an array, or takes from it: noise keys of devices, vectors, cells."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.array.cell_port import job_layout
from ohmgrid.hdl.core.jobs import COLUMN, KEY, ROW, Work, entry_layout, over_lines, spanning
from ohmgrid.hdl.periphery.edge import vector_layout
from ohmgrid.hdl.periphery.passes import pass_layout
from ohmgrid.registers.noise import Verb

__all__ = ["Loader"]


class Loader(wiring.Component):
    """One of these for the array at work, from `start` to `done`.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1)
        Strobe: do one of
    setup, vector, words : In(1)
        derive the keys of what is fixed; take a vector; pass conductances.
    errors, biased, line, reads, references : In(1)
        The vector is one of errors, not activations; it comes without the always-on input behind
        it; it does not come, but is 1.0 on the line of the entry's column, where ``hot`` is high,
        and 0 on all others; conductances go out, not in; what comes are the weights of references.
    done : Out(1)
        Strobe.
    keyed : Out(1)
        Strobe: the operation key that is there now is that of what is fixed.
    entry : In(entry_layout)
    seed : Out(1), key : Out(KEY), key_done : In(1)
        Load the seed, or make an operation key.
    lines : Out(pass_layout) ; lines_busy : In(1)
    edge : Out(vector_layout) ; taken : In(1)
    valid : In(1), ready : Out(1)
        Of the stream that vectors come in by.
    cells : Out(job_layout) ; cells_busy : In(1)
    passing : Out(1)
        Conductances pass between the streams and the array.
    """

    def __init__(self, config: Config):
        self._computed = config.build.computed_keys
        flags = ("start", "setup", "vector", "words", "errors", "biased", "line", "reads")
        waits = ("key_done", "lines_busy", "taken", "valid", "cells_busy")
        super().__init__(
            {
                **{name: In(1) for name in (*flags, "references", *waits)},
                **{name: Out(1) for name in ("done", "keyed", "seed", "ready", "passing", "hot")},
                "entry": In(entry_layout(config)),
                "key": Out(KEY),
                "lines": Out(pass_layout(config)),
                "edge": Out(vector_layout(config)),
                "cells": Out(job_layout(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        entry, lines, work = self.entry, self.lines, Work(m)

        side, edge = Mux(self.errors, ROW, COLUMN), self.edge
        count = Signal.like(entry.cols)
        m.d.comb += self.hot.eq(count == entry.column)

        def comes():
            """Say where the vector goes."""
            m.d.comb += spanning(edge, entry, side)
            with m.If(self.biased):
                m.d.comb += [edge.count.eq(entry.cols - 1), edge.biased.eq(1)]

        with m.FSM():
            with m.State("IDLE"), m.If(self.start):
                m.next = "WORDS"
                with m.If(self.setup):
                    m.next = "SEED"
                with m.If(self.vector):
                    m.next = "CLEAR"
            with m.State("SEED"):
                with work.until_done(self.seed, ~self.key_done):
                    m.next = "KEY"
            with m.State("KEY"):
                m.d.comb += self.key.verb.eq(Verb.STATIC)
                with work.until_done(self.key.start, ~self.key_done):
                    m.d.comb += self.keyed.eq(1)
                    m.next = "DONE" if self._computed else "ROW_KEYS"
            with m.State("ROW_KEYS"):
                m.d.comb += over_lines(lines, entry, ROW, devices=1)
                m.d.comb += lines.static_keys.eq(1)
                with work.until_done(lines.start, self.lines_busy):
                    m.next = "COLUMN_KEYS"
            with m.State("COLUMN_KEYS"):
                m.d.comb += over_lines(lines, entry, COLUMN)
                m.d.comb += lines.static_keys.eq(1)
                with work.until_done(lines.start, self.lines_busy):
                    m.next = "DONE"
            with m.State("CLEAR"):
                comes()
                m.d.comb += edge.clear.eq(1)
                m.d.sync += count.eq(0)
                m.next = "TAKE"
                # An array whose only input is the always-on one.
                with m.If(self.biased & (entry.cols == 1)):
                    m.next = "TAKEN"
            with m.State("TAKE"):
                comes()
                m.d.comb += [self.ready.eq(~self.line), edge.take.eq(self.valid | self.line)]
                m.d.sync += count.eq(count + 1)
                with m.If(self.taken):
                    m.next = "TAKEN"
            # `SIZED` cycles until the maximum is there.
            with m.State("TAKEN"):
                m.next = "SIZED"
            with m.State("SIZED"):
                m.next = "DONE"
            with m.State("WORDS"):
                start = Signal()
                m.d.comb += [
                    self.passing.eq(1),
                    self.cells.references.eq(self.references),
                    self.cells.read.eq(start & self.reads),
                    self.cells.write.eq(start & ~self.reads),
                ]
                with work.until_done(start, self.cells_busy):
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
        return m
