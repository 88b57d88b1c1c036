"""What is found over a vector of results: the largest of them, and half a sum of squares."""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.registers.layers import LOSS_BITS, LOSS_FRAC

__all__ = ["HalfSquares", "Largest"]

FRAC_BITS = 4
"""Width of a number of fraction bits."""


class Largest(wiring.Component):
    """The largest of some numbers, and the first line that had it.

    Parameters
    ----------
    bits, line_bits : int
        Width of a number, of its place.

    Members
    -------
    start : In(1)
        Strobe: the next number is that of line 0, and the largest so far.
    valid, i : In
    maximum : Out(signed(bits))
    best : Out(line_bits)
        Both from the cycle after a number; they stay until the first number after a `start`.
    """

    def __init__(self, bits: int, line_bits: int):
        super().__init__(
            {
                "start": In(1),
                "valid": In(1),
                "i": In(signed(bits)),
                "maximum": Out(signed(bits)),
                "best": Out(line_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        line = Signal.like(self.best)
        first = Signal(init=1)
        with m.If(self.valid):
            m.d.sync += [line.eq(line + 1), first.eq(0)]
            with m.If(first | (self.maximum - self.i)[-1]):
                m.d.sync += [self.maximum.eq(self.i), self.best.eq(line)]
        with m.If(self.start):
            m.d.sync += [line.eq(0), first.eq(1)]
        return m


class _Phase(enum.Enum, shape=2):
    """What leaves at the bottom of a sum."""

    DONE = 0
    FRACTION = 1
    """Bits below the half that decides."""
    HALF = 2
    WORD = 3


class HalfSquares(wiring.Component):
    """Half a sum of squares as an answer's word: twin of `ohmgrid.model.periphery.functions`'.

    ``word = min(rint(sum / 2**(2 x_frac + 1 - LOSS_FRAC)), 2**LOSS_BITS - 1)``. It is made bit by
    bit, anew after each square: a vector has one word, and a shifter and an adder for it would cost
    as much as a layer's scale.

    Parameters
    ----------
    square_bits, lines : int
        Width and largest number of squares.

    Members
    -------
    start : In(1)
        Strobe: the sum begins anew.
    valid, square : In
    x_frac : In(4)
        8 to 15, constant.
    word : Out(LOSS_BITS)
        Stands `latency` cycles after the last square; 0 after a `start`.
    """

    def __init__(self, square_bits: int, lines: int):
        self._sum_bits = max(square_bits + (lines - 1).bit_length(), LOSS_BITS + 1)
        super().__init__(
            {
                "start": In(1),
                "valid": In(1),
                "square": In(square_bits),
                "x_frac": In(FRAC_BITS),
                "word": Out(LOSS_BITS),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from the last square to its word: sum, shift, rounded bits, saturation."""
        return 2 + self._shift((1 << FRAC_BITS) - 1) + LOSS_BITS + 1

    @staticmethod
    def _shift(x_frac):
        return 2 * x_frac + 1 - LOSS_FRAC

    def elaborate(self, platform):
        m = Module()
        total = Signal(self._sum_bits)
        # The sum leaves at the bottom; bits of the word come in at the top.
        moved = Signal(self._sum_bits)
        phase = Signal(_Phase)
        left = Signal(range(LOSS_BITS), reset_less=True)
        rest, carry = Signal(reset_less=True), Signal(reset_less=True)
        added, ended = Signal(), Signal()
        m.d.comb += self.word.eq(moved[-LOSS_BITS:])
        m.d.sync += [added.eq(self.valid), ended.eq(0), left.eq(left - 1)]
        with m.If(self.valid):
            m.d.sync += total.eq(total + self.square)
        with m.Switch(phase):
            with m.Case(_Phase.FRACTION):
                m.d.sync += [moved.eq(moved[1:]), rest.eq(rest | moved[0])]
                with m.If(left == 0):
                    m.d.sync += phase.eq(_Phase.HALF)
            with m.Case(_Phase.HALF):
                m.d.sync += [
                    moved.eq(moved[1:]),
                    carry.eq(moved[0] & (rest | moved[1])),
                    left.eq(LOSS_BITS - 1),
                    phase.eq(_Phase.WORD),
                ]
            with m.Case(_Phase.WORD):
                m.d.sync += moved.eq(Cat(moved[1:], moved[0] ^ carry))
                m.d.sync += carry.eq(moved[0] & carry)
                with m.If(left == 0):
                    m.d.sync += [phase.eq(_Phase.DONE), ended.eq(1)]
        # What is left of the sum does not fit in.
        with m.If(ended & (moved[:-LOSS_BITS].any() | carry)):
            m.d.sync += moved.eq(-1)
        with m.If(added):
            m.d.sync += [
                moved.eq(total),
                phase.eq(_Phase.FRACTION),
                left.eq(self._shift(self.x_frac) - 2),
                rest.eq(0),
            ]
        with m.If(self.start):
            m.d.sync += [total.eq(0), moved.eq(0), phase.eq(_Phase.DONE), added.eq(0)]
            m.d.sync += ended.eq(0)
        return m
