"""Arithmetic of a dynamics unit: a sum, a product or a quotient, rounded and saturated.

One multiplier block: a product is made of pieces of 17 bits, one a cycle.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.doors.checks import check_int
from ohmgrid.hdl.base.arith import beyond, saturate
from ohmgrid.hdl.base.multiplier import Multiplier
from ohmgrid.hdl.dynamics.steps import BITS, SHIFT_BITS, Kind
from ohmgrid.registers.dynamics import OUT_BITS, PRE_BITS, SPAN_BITS, STATE_BITS

__all__ = ["FIRST_BITS", "WORD_BITS", "Arithmetic"]

WORD_BITS = 40
"""Width of a register."""
PIECE = 17
BLOCK = PIECE + 1
FIRST_BITS = 2 * PIECE + BLOCK
"""Width of the first operand: three pieces."""
TOTAL_BITS = 64
QUOTIENT_BITS = 17


class Arithmetic(wiring.Component):
    """``o = saturate(shift_round(a op b, shift), bits)``; a shift of 0 does not round.

    Parameters
    ----------
    edge_bits : int
        Width of the values at the edge of an outside crossbar.

    Members
    -------
    start : In(1)
        Strobe: what follows is sampled.
    kind : In(3)
        A `Kind`. A quotient is that of what the last product came to, at least 0 and less than
        ``2**QUOTIENT_BITS b``.
    a : In(signed(FIRST_BITS)), b : In(signed(WORD_BITS))
    a_pieces, b_pieces : In(2), In(1)
        Pieces that the factors have, less one: a pass through the multiplier for each pair.
    shift : In(SHIFT_BITS)
    bits : In(3)
        Place in `BITS`.
    done : Out(1)
        Strobe; ``o`` stays until the next start.
    o : Out(signed(WORD_BITS))
    """

    def __init__(self, edge_bits: int):
        check_int("edge_bits", edge_bits, 2, OUT_BITS)
        self._widths = {
            "out": OUT_BITS,
            "pre": PRE_BITS,
            "span": SPAN_BITS,
            "state": STATE_BITS,
            "edge": edge_bits,
        }
        super().__init__(
            {
                "start": In(1),
                "kind": In(3),
                "a": In(signed(FIRST_BITS)),
                "b": In(signed(WORD_BITS)),
                "a_pieces": In(2),
                "b_pieces": In(1),
                "shift": In(SHIFT_BITS),
                "bits": In(3),
                "done": Out(1),
                "o": Out(signed(WORD_BITS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiplier = multiplier = Multiplier(signed(BLOCK), signed(BLOCK))
        a = Signal.like(self.a, reset_less=True)
        b = Signal.like(self.b, reset_less=True)
        a_last, b_last = Signal(2, reset_less=True), Signal(1, reset_less=True)
        kind, bits = Signal(3, reset_less=True), Signal(3, reset_less=True)
        exact, less = Signal(reset_less=True), Signal(SHIFT_BITS, reset_less=True)
        total = Signal(signed(TOTAL_BITS), reset_less=True)
        # What is left after a right shift by one bit less: its lowest bit is the half.
        shifted = Signal(signed(TOTAL_BITS), reset_less=True)
        sticky = Signal(reset_less=True)
        whole = Signal(signed(TOTAL_BITS), reset_less=True)
        i, j, place = Signal(2), Signal(1), Signal(2)
        issued, place_0, place_1 = Signal(2), Signal(2), Signal(2)
        count = Signal(range(QUOTIENT_BITS))
        m.d.comb += [
            multiplier.a.eq(_piece(a, i, a_last, 3)),
            multiplier.b.eq(_piece(b, j, b_last, 2)),
            place.eq(i + j),
        ]
        m.d.sync += [self.done.eq(0), place_0.eq(place), place_1.eq(place_0)]
        placed = Signal(signed(TOTAL_BITS))
        with m.Switch(place_1):
            for k in range(4):
                with m.Case(k):
                    m.d.comb += placed.eq(multiplier.o << (PIECE * k))
        issuing = Signal()
        m.d.sync += issued.eq(Cat(issuing, issued))
        with m.If(issued[1]):
            m.d.sync += total.eq(total + placed)
        added = Signal(signed(FIRST_BITS + 1))
        rest = Signal(signed(TOTAL_BITS - PIECE + 1))
        difference = Signal(signed(len(rest) + 1))
        m.d.comb += [rest.eq(total[PIECE - 1 :]), difference.eq(rest - b)]
        with m.FSM():
            with m.State("REST"):
                m.d.sync += [a.eq(self.a), b.eq(self.b), kind.eq(self.kind), bits.eq(self.bits)]
                m.d.sync += [a_last.eq(self.a_pieces), b_last.eq(self.b_pieces)]
                m.d.sync += [exact.eq(self.shift == 0), less.eq(self.shift - 1)]
                m.d.sync += [i.eq(0), j.eq(0), count.eq(0)]
                with m.If(self.start):
                    with m.Switch(self.kind):
                        with m.Case(Kind.ADD, Kind.SUBTRACT):
                            m.next = "SUM"
                        with m.Case(Kind.DIVIDE):
                            m.next = "DIVIDE"
                        with m.Default():
                            m.next = "PIECES"
            with m.State("SUM"):
                m.d.comb += added.eq(Mux(kind == Kind.SUBTRACT, a - b, a + b))
                m.d.sync += [total.eq(added), whole.eq(added)]
                m.next = "SHIFT"
                with m.If(exact):
                    m.next = "SATURATE"
            with m.State("PIECES"):
                m.d.comb += issuing.eq(1)
                # The first product comes later.
                with m.If((kind == Kind.MULTIPLY) & (i == 0) & (j == 0)):
                    m.d.sync += total.eq(0)
                with m.If(i != a_last):
                    m.d.sync += i.eq(i + 1)
                with m.Else():
                    m.d.sync += [i.eq(0), j.eq(1)]
                    with m.If(j == b_last):
                        m.next = "PRODUCTS"
            with m.State("PRODUCTS"):
                with m.If(~issued[0]):
                    m.next = "SHIFT"
            with m.State("DIVIDE"):
                # Restoring: a bit of the quotient comes in where one of the numerator leaves.
                fits = ~difference[-1]
                m.d.sync += [
                    total.eq(Cat(fits, total[: PIECE - 1], Mux(fits, difference, rest))),
                    count.eq(count + 1),
                ]
                with m.If(count == QUOTIENT_BITS - 1):
                    m.next = "QUOTIENT"
            with m.State("QUOTIENT"):
                m.d.sync += whole.eq(total[:QUOTIENT_BITS])
                m.next = "SATURATE"
            with m.State("SHIFT"):
                coarse = less[4:]
                m.d.sync += [shifted.eq(total >> Cat(Const(0, 4), coarse)), sticky.eq(0)]
                for k in range(1, 4):
                    with m.If((coarse >= k) & total[16 * (k - 1) : 16 * k].any()):
                        m.d.sync += sticky.eq(1)
                m.next = "FINE"
                with m.If(exact):
                    m.d.sync += whole.eq(total)
                    m.next = "SATURATE"
            with m.State("FINE"):
                fine = less[:4]
                dropped = Cat((fine > k) & shifted[k] for k in range(15)).any()
                m.d.sync += [shifted.eq(shifted >> fine), sticky.eq(sticky | dropped)]
                m.next = "ROUND"
            with m.State("ROUND"):
                up = shifted[0] & (sticky | shifted[1])
                m.d.sync += whole.eq((shifted >> 1) + up)
                m.next = "SATURATE"
            with m.State("SATURATE"):
                m.d.sync += [self.o.eq(whole), self.done.eq(1)]
                with m.Switch(bits):
                    for name, width in self._widths.items():
                        with m.Case(BITS.index(name)):
                            clipped = beyond(whole, width)
                            m.d.sync += self.o.eq(saturate(whole, width, clipped))
                m.next = "REST"
        return m


def _piece(factor: Signal, number: Value, last: Value, most: int) -> Value:
    """Return a piece of a factor as the block takes it: the last one has the sign."""
    pieces = []
    for k in range(most):
        bits = factor[PIECE * k : PIECE * k + BLOCK]
        bits = Cat(bits, factor[-1].replicate(BLOCK - len(bits)))
        pieces.append(Mux(last == k, bits, Cat(bits[:PIECE], Const(0, 1))))
    chosen = pieces[-1]
    for k in reversed(range(most - 1)):
        chosen = Mux(number == k, pieces[k], chosen)
    return chosen.as_signed()
