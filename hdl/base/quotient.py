"""Quotients, rounded: what a Scaler divides with.

Without restoring: each stage adds the denominator or takes it away, as the sign of the rest says,
and nothing is chosen in between. The twin in the model is ``rint``.
"""

from amaranth.hdl import Cat, Const, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.doors.checks import check_int
from ohmgrid.hdl.base.carry import AddSub
from ohmgrid.hdl.base.pipeline import delayed

__all__ = ["Quotient"]


class Quotient(wiring.Component):
    """``quotient = min(rint(numerator / denominator), 2**quotient_bits - 1)``, ties to even.

    Of unsigned integers, one pair a cycle, `latency` cycles after its operands; no stalls. Zero as
    denominator gives the largest quotient.

    Parameters
    ----------
    numerator_bits, denominator_bits, quotient_bits : int
        No quotient is longer than its numerator.

    Members
    -------
    numerator : ``In(numerator_bits)``
    denominator : ``In(denominator_bits)``
    quotient : ``Out(quotient_bits)``

    Cost: on ECP5 about ``denominator_bits`` LUT4 a quotient bit, else twice that.
    """

    def __init__(self, numerator_bits: int, denominator_bits: int, quotient_bits: int):
        for name, value in (
            ("numerator_bits", numerator_bits),
            ("denominator_bits", denominator_bits),
        ):
            check_int(name, value, 1, 64)
        check_int("quotient_bits", quotient_bits, 1, numerator_bits)
        super().__init__(
            {
                "numerator": In(numerator_bits),
                "denominator": In(denominator_bits),
                "quotient": Out(quotient_bits),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from the operands to the quotient: comparison, one for each bit, rounding."""
        return 3 + len(self.quotient)

    def elaborate(self, platform):
        m = Module()
        width, stages = len(self.denominator), len(self.quotient)
        # `bits` starts as the low part of the numerator; quotient bits come in as it leaves.
        upper = Cat(self.numerator[stages:], Const(0, 1))
        over = delayed(m, upper >= self.denominator, "over0")
        rest = Signal(signed(width + 1), name="rest0", reset_less=True)
        m.d.sync += rest.eq(upper[:width])
        bits = delayed(m, self.numerator[:stages], "bits0")
        denominator = delayed(m, self.denominator, "denominator0")
        for n in range(1, stages + 1):
            left = self._stage(m, n, rest, bits[-1], denominator)
            bits = Cat(~left[-1], bits[:-1])
            if n == stages:
                # An overflow, or a division by zero, is all ones.
                bits = bits | over.replicate(stages)
            bits = delayed(m, bits, f"bits{n}")
            rest = delayed(m, left, f"rest{n}")
            denominator = delayed(m, denominator, f"denominator{n}")
            if n < stages:
                over = delayed(m, over, f"over{n}")
        # An odd floor goes up at a tie too: 2 rest + 1 > denominator.
        left = self._stage(m, stages + 1, rest, bits[0], denominator)
        up = delayed(m, ~left[-1] & left.any() & ~bits.all(), "up")
        floor = delayed(m, bits, "floor")
        m.d.comb += self.quotient.eq(delayed(m, (floor + up)[:stages], "nearest"))
        return m

    def _stage(self, m, number, rest, bit, denominator):
        """Return twice the rest and a bit, with the denominator taken away, or added to a rest
        below 0."""
        m.submodules[f"stage{number}"] = stage = AddSub(len(rest))
        m.d.comb += [
            stage.a.eq(Cat(bit, rest)),
            stage.b.eq(denominator),
            stage.less.eq(~rest[-1]),
        ]
        return stage.o.as_signed()
