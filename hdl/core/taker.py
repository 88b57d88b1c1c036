"""The taker: takes an example while the updates of the one before are at work.

It waits for nothing that waits for it: until the label has come nothing of the example is at the
edge, and whatever needs the edge for itself goes first.
"""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.periphery.edge import vector_layout
from ohmgrid.registers.steps import ARRAY_BITS

__all__ = ["LABEL_BITS", "Taker"]

LABEL_BITS = 16
"""Width of an example's label."""


class Taker(wiring.Component):
    """Takes one example, from `start` to `done`: its label, then its inputs; 1.0 goes behind them.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1)
        Strobe; ``array`` and ``first`` are sampled then, the others constant.
    array, first, count, serial : In
        Array that takes the inputs, its first line, how many come, and whether it is pulsed slot
        by slot.
    reading, planned : In
        A bit for each array: trains are being made of its activations, so that they stay what they
        are; it has an update that is planned or about to be, and where keys are made anew for each
        slot they stay until that is over,
    wanted : In(1)
        unless nothing goes on without the example.
    halted : In(1)
        None begins: what leaks or is refreshed has the edge.
    valid : In(1), ready : Out(1)
        Of the stream that they come by.
    labels : Out(1)
        Strobe: what comes is the label.
    vector : Out(vector_layout) ; taken : In(1)
        As of `ohmgrid.hdl.periphery.edge.Edge`.
    busy, taking : Out(1)
        From `start` to `done`; from the label on: words of the example are on their way to the
        edge.
    done : Out(1)
        Strobe: what is known of the vector is there.
    target : Out
        The array that it is for.
    """

    def __init__(self, config: Config):
        self.config = config
        layout = vector_layout(config)
        super().__init__(
            {
                "start": In(1),
                "array": In(ARRAY_BITS),
                "first": In(layout["first"].shape),
                "count": In(layout["count"].shape),
                "serial": In(1),
                "reading": In(config.build.arrays),
                "planned": In(config.build.arrays),
                "wanted": In(1),
                "halted": In(1),
                "valid": In(1),
                "ready": Out(1),
                "labels": Out(1),
                "vector": Out(layout),
                "taken": In(1),
                "busy": Out(1),
                "taking": Out(1),
                "done": Out(1),
                "target": Out(ARRAY_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        vector, first = self.vector, Signal.like(self.first)
        free, keyed = Signal(), self.serial & (not self.config.build.computed_keys)
        held = self.reading | (self.planned & (keyed & ~self.wanted).replicate(len(self.planned)))
        m.d.sync += free.eq(~held.bit_select(self.target, 1))
        with m.If(self.taking | self.labels):
            m.d.comb += [vector.first.eq(first), vector.count.eq(self.count), vector.biased.eq(1)]
        with m.FSM() as fsm:
            with m.State("IDLE"), m.If(self.start):
                m.d.sync += [self.target.eq(self.array), first.eq(self.first)]
                m.next = "LOOK"
            with m.State("LOOK"):
                m.next = "WAIT"
            with m.State("WAIT"), m.If(free):
                m.next = "LABEL"
            with m.State("LABEL"):
                m.d.comb += [self.ready.eq(~self.halted), self.labels.eq(self.valid & self.ready)]
                with m.If(self.labels):
                    m.d.comb += vector.clear.eq(1)
                    m.next = "TAKE"
                    # An array whose only input is the always-on one.
                    with m.If(self.count == 0):
                        m.next = "TAKEN"
            with m.State("TAKE"):
                m.d.comb += [self.ready.eq(1), vector.take.eq(self.valid)]
                with m.If(self.taken):
                    m.next = "TAKEN"
            # `SIZED` cycles until the maximum is there.
            with m.State("TAKEN"):
                m.next = "SIZED"
            with m.State("SIZED"):
                m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
        waits = (fsm.ongoing(state) for state in ("LOOK", "WAIT", "LABEL"))
        m.d.comb += [
            self.busy.eq(~fsm.ongoing("IDLE")),
            self.taking.eq(self.busy & ~Cat(waits).any()),
        ]
        return m
