"""Transfers between arrays: when a column of the array at work is to be read, and which.

The twin is `ohmgrid.model.core.transfer`.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.core.jobs import entry_layout
from ohmgrid.registers.arrays import EVERY_BITS, STATE

__all__ = ["Transfers"]


class Transfers(wiring.Component):
    """Counts the updates and reads of the array at work.

    Parameters
    ----------
    config : Config

    Members
    -------
    entry : In(entry_layout)
    left, column : Out
        What the entry's countdown is after another update, and its column after another read.
    updated : In(1)
        Strobe: the entry counts an update.
    clear : In(1)
        Strobe: a run begins.
    due : Out(1)
        The last update of the run made a transfer due.
    """

    def __init__(self, config: Config):
        super().__init__(
            {
                "entry": In(entry_layout(config)),
                "left": Out(EVERY_BITS),
                "column": Out(STATE["column"]),
                "updated": In(1),
                "clear": In(1),
                "due": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        entry, some, ends = self.entry, Signal(), Signal()
        m.d.comb += [
            some.eq(entry.transfer_every != 0),
            ends.eq(some & (entry.transfer_left == 1)),
            self.left.eq(Mux(ends, entry.transfer_every, entry.transfer_left - some)),
            self.column.eq(Mux(entry.column + 1 >= entry.cols, 0, entry.column + 1)),
        ]
        with m.If(self.clear):
            m.d.sync += self.due.eq(0)
        with m.Elif(self.updated):
            m.d.sync += self.due.eq(ends)
        return m
