"""What a core sends and answers, as records of a board's stream (docs/protocol.md)."""

from amaranth.hdl import Const, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.host.frames import Tag
from ohmgrid.host.protocol import OUT_BITS, Op

__all__ = ["Packer"]

NARROW = 24
"""Bits of a short result."""


class Packer(wiring.Component):
    """Makes a record of each word, results first.

    Members
    -------
    o : In(stream.Signature(signed(OUT_BITS))), r : In(stream.Signature(64))
        Of the core.
    w : Out(stream.Signature(8))
    busy : Out(1)
    """

    def __init__(self):
        super().__init__(
            {
                "o": In(stream.Signature(signed(OUT_BITS))),
                "r": In(stream.Signature(64)),
                "w": Out(stream.Signature(8)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        o, r, w = self.o, self.r, self.w
        # What is sent: a tag, then bytes of a word from a place on.
        word, tag = Signal(64, reset_less=True), Signal(8, reset_less=True)
        place, last, headed = Signal(3), Signal(3, reset_less=True), Signal()
        fits = o.payload[NARROW - 1 :].all() | ~o.payload[NARROW - 1 :].any()
        # An answer about an example that says nothing but hit and word.
        hit = r.payload[16]
        short = (r.payload[:8] == Op.COUNT) & ~r.payload[8:16].any() & ~r.payload[17:32].any()
        m.d.comb += w.payload.eq(Mux(headed, word.word_select(place, 8), tag))
        with m.FSM() as fsm:
            with m.State("TAKE"):
                m.d.comb += [o.ready.eq(1), r.ready.eq(~o.valid)]
                m.d.sync += [headed.eq(0), place.eq(0), word.eq(Mux(o.valid, o.payload, r.payload))]
                with m.If(o.valid):
                    m.d.sync += [
                        tag.eq(Mux(fits, Const(Tag.RESULT, 8), Const(Tag.WIDE_RESULT, 8))),
                        last.eq(Mux(fits, 2, 4)),
                    ]
                    m.next = "SEND"
                with m.Elif(r.valid):
                    m.d.sync += [tag.eq(Tag.ANSWER), last.eq(7)]
                    with m.If(short):
                        m.d.sync += [
                            tag.eq(Mux(hit, Const(Tag.HIT, 8), Const(Tag.MISS, 8))),
                            place.eq(4),
                        ]
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += w.valid.eq(1)
                with m.If(w.ready):
                    m.d.sync += [headed.eq(1), place.eq(place + headed)]
                    with m.If(headed & (place == last)):
                        m.next = "TAKE"
        m.d.comb += self.busy.eq(~fsm.ongoing("TAKE"))
        return m
