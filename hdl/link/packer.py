"""What a core sends and answers, as records of a board's stream (docs/protocol.md)."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
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
        # The byte at hand lowest; bytes behind it.
        record, left = Signal(72, reset_less=True), Signal(4)
        fits = o.payload[NARROW - 1 :].all() | ~o.payload[NARROW - 1 :].any()
        # An answer about an example that says nothing but hit and word.
        hit = r.payload[16]
        short = (r.payload[:8] == Op.COUNT) & ~r.payload[8:16].any() & ~r.payload[17:32].any()

        def takes(tag, word, count):
            m.d.sync += [record.eq(Cat(Const(tag, 8), word)), left.eq(count)]
            m.next = "SEND"

        with m.FSM() as fsm:
            with m.State("TAKE"):
                m.d.comb += [o.ready.eq(1), r.ready.eq(~o.valid)]
                with m.If(o.valid):
                    takes(Tag.WIDE_RESULT, o.payload, 5)
                    with m.If(fits):
                        takes(Tag.RESULT, o.payload, 3)
                with m.Elif(r.valid):
                    takes(Tag.ANSWER, r.payload, 8)
                    with m.If(short):
                        m.d.sync += [
                            record.eq(
                                Cat(Mux(hit, Const(Tag.HIT, 8), Const(Tag.MISS, 8)), r.payload[32:])
                            ),
                            left.eq(4),
                        ]
            with m.State("SEND"):
                m.d.comb += [w.valid.eq(1), w.payload.eq(record)]
                with m.If(w.ready):
                    m.d.sync += [record.eq(record >> 8), left.eq(left - 1)]
                    with m.If(left == 0):
                        m.next = "TAKE"
        m.d.comb += self.busy.eq(~fsm.ongoing("TAKE"))
        return m
