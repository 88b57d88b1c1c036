"""Stations on a stream: places where its words rest in registers, so that neither what offers them
nor what takes them is seen from the other side within a cycle."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["PairStation", "Station"]


class Station(wiring.Component):
    """Holds one word: one passes every two cycles.

    Parameters
    ----------
    shape : ShapeLike
        Of a word.

    Members
    -------
    i : In stream ; o : Out stream
    """

    def __init__(self, shape: Any):
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        # Without a reset: it would go to every bit.
        word = Signal.like(self.i.payload, reset_less=True)
        m.d.comb += [self.i.ready.eq(~self.o.valid), self.o.payload.eq(word)]
        with m.If(self.i.ready):
            m.d.sync += [word.eq(self.i.payload), self.o.valid.eq(self.i.valid)]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m


class PairStation(Station):
    """Holds two words: one passes every cycle.

    Parameters and members are those of `Station`.
    """

    def elaborate(self, platform):
        m = Module()
        # The one behind, where the one in front was not taken when it came.
        front, behind = (
            Signal.like(self.i.payload, reset_less=True, name=name) for name in ("front", "behind")
        )
        waits, moves = Signal(), Signal()
        m.d.comb += [
            moves.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(~waits),
            self.o.payload.eq(front),
        ]
        with m.If(~waits):
            m.d.sync += behind.eq(self.i.payload)
        with m.If(moves):
            m.d.sync += [
                front.eq(Mux(waits, behind, self.i.payload)),
                self.o.valid.eq(waits | self.i.valid),
                waits.eq(0),
            ]
        with m.Else():
            m.d.sync += waits.eq(waits | self.i.valid)
        return m
