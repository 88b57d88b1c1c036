"""Integer arithmetic with every rounding named: twins of the functions in `model.base.arith`.

Functions are combinational and take Amaranth values of any width and sign; their widths hold every
result. `Divider` takes one pair of operands a cycle, `SquareRoot` and `SerialProduct`
work bit by bit. Other products are in `ohmgrid.hdl.base.products`.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.doors.checks import check_int
from ohmgrid.hdl.base.pipeline import delayed
from ohmgrid.hdl.base.products import soft_product

__all__ = [
    "Divider",
    "SerialProduct",
    "SquareRoot",
    "beyond",
    "saturate",
    "shift_half_up",
    "shift_round",
    "soft_product",
]


def _extended(value: Value, bits: int) -> Value:
    """Return a value as a signed one of at least so many bits."""
    check_int("bits", bits, 2, 64)
    value = Value.cast(value)
    if not value.shape().signed:
        value = Cat(value, Const(0, 1)).as_signed()
    return Cat(value, value[-1].replicate(max(0, bits - len(value)))).as_signed()


def beyond(value: Value, bits: int) -> Value:
    """Return whether `saturate` clips a value to so many bits."""
    value = _extended(value, bits)
    sign = value[-1]
    dropped = (value[bits - 1 :] ^ sign.replicate(len(value) - bits + 1)).any()
    return dropped | (sign & ~value[: bits - 1].any())


def saturate(value: Value, bits: int, clipped: Value | None = None) -> Value:
    """Clip to a signed ``bits``-wide range, symmetric: ``+-(2**(bits-1) - 1)``.

    One LUT4 a bit, and the comparison of the bits that are dropped.

    Parameters
    ----------
    value : signed or unsigned
    bits : int
        Width of the result, >= 2.
    clipped : Value, optional
        What `beyond` says of the value, where a register holds it.

    Returns
    -------
    signed(bits)
    """
    if clipped is None:
        clipped = beyond(value, bits)
    value = _extended(value, bits)
    sign = value[-1]
    ends = Cat(Const(1, 1), (~sign).replicate(bits - 2))
    return Cat(Mux(clipped, ends, value[: bits - 1]), sign).as_signed()


def shift_round(value: Value, shift: int) -> Value:
    """Return ``value / 2**shift`` rounded to nearest, ties to even.

    Parameters
    ----------
    value : signed or unsigned
    shift : int
        1 to the width of ``value``.
    """
    value = Value.cast(value)
    if not 1 <= shift <= len(value):
        raise ValueError(f"shift: expected 1..{len(value)}, got {shift}")
    floor = value >> shift
    half, rest = value[shift - 1], value[: shift - 1]
    return floor + (half & (rest.any() | floor[0]))


def shift_half_up(value: Value, shift: int) -> Value:
    """Return ``floor(value / 2**shift + 1/2)`` (``shift`` from 1 to the width of ``value``)."""
    value = Value.cast(value)
    if not 1 <= shift <= len(value):
        raise ValueError(f"shift: expected 1..{len(value)}, got {shift}")
    return (value >> shift) + value[shift - 1]


class Divider(wiring.Component):
    """Quotient of unsigned integers, one a cycle, `latency` cycles after its operands; no stalls.

    ``quotient = min(floor(numerator / denominator), 2**quotient_bits - 1)``. Zero as denominator
    gives the largest quotient. Restoring division: one quotient bit a stage, a subtraction and a
    choice. `ohmgrid.hdl.base.quotient.Quotient` rounds.

    Parameters
    ----------
    numerator_bits, denominator_bits, quotient_bits : int

    Members
    -------
    numerator : ``In(numerator_bits)``
    denominator : ``In(denominator_bits)``
    quotient : ``Out(quotient_bits)``

    Cost: about ``2 * denominator_bits`` LUT4 a quotient bit.
    """

    def __init__(self, numerator_bits: int, denominator_bits: int, quotient_bits: int):
        for name, value in (
            ("numerator_bits", numerator_bits),
            ("denominator_bits", denominator_bits),
            ("quotient_bits", quotient_bits),
        ):
            check_int(name, value, 1, 64)
        # A quotient is never longer than its numerator.
        self._stages = min(numerator_bits, quotient_bits)
        super().__init__(
            {
                "numerator": In(numerator_bits),
                "denominator": In(denominator_bits),
                "quotient": Out(quotient_bits),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from the operands to the quotient: comparison, one for each bit."""
        return 1 + self._stages

    def elaborate(self, platform):
        m = Module()
        width, stages = len(self.denominator), self._stages
        # `bits` starts as the low part of the numerator; quotient bits come in as it leaves.
        upper = self.numerator[stages:] if len(self.numerator) > stages else Const(0, 1)
        over = delayed(m, upper >= self.denominator, "over0")
        rest = delayed(m, upper[:width], "rest0")
        bits = delayed(m, self.numerator[:stages], "bits0")
        denominator = delayed(m, self.denominator, "denominator0")
        for n in range(1, stages + 1):
            longer = Cat(bits[-1], rest)
            difference = Signal(signed(max(width, len(longer)) + 1), name=f"difference{n}")
            fits = ~difference[-1]
            m.d.comb += difference.eq(longer - denominator)
            bits = Cat(fits, bits[:-1])
            if n == stages:
                # An overflow, or a division by zero, is all ones.
                bits = Cat(bits, Const(0, len(self.quotient) - stages)) | over.replicate(
                    len(self.quotient)
                )
            bits = delayed(m, bits, f"bits{n}")
            rest = delayed(m, Mux(fits, difference, longer)[:width], f"rest{n}")
            if n < stages:
                over = delayed(m, over, f"over{n}")
                denominator = delayed(m, denominator, f"denominator{n}")
        m.d.comb += self.quotient.eq(bits)
        return m


class SquareRoot(wiring.Component):
    """Root of an unsigned integer, ``root = floor(sqrt(value))``, one bit a cycle.

    `done` is high for one cycle, `cycles` cycles after `start`; `root` stays until the next start.

    Parameters
    ----------
    bits : int
        Width of the value.

    Members
    -------
    start : ``In(1)``
        Strobe.
    value : ``In(bits)``
        Sampled with `start`.
    done : ``Out(1)``
        Strobe.
    root : ``Out(ceil(bits / 2))``
    """

    def __init__(self, bits: int):
        check_int("bits", bits, 1, 64)
        self._steps = (bits + 1) // 2
        super().__init__(
            {"start": In(1), "value": In(bits), "done": Out(1), "root": Out(self._steps)}
        )

    @property
    def cycles(self) -> int:
        """Cycles from `start` to `done`."""
        return self._steps + 1

    def elaborate(self, platform):
        m = Module()
        steps = self._steps
        value = Signal(2 * steps, reset_less=True)
        rest = Signal(steps + 1, reset_less=True)
        root = Signal(steps, reset_less=True)
        # A one that walks out of the word with the last digit: the counter.
        running = Signal(steps)
        longer = Cat(value[-2:], rest)
        difference = Signal(signed(steps + 4))
        fits = ~difference[-1]
        m.d.comb += [difference.eq(longer - Cat(Const(1, 2), root)), self.root.eq(root)]
        m.d.sync += [running.eq(running << 1), self.done.eq(running[-1])]
        with m.If(self.start):
            m.d.sync += [value.eq(self.value), rest.eq(0), root.eq(0), running.eq(1)]
        with m.Elif(running.any()):
            m.d.sync += [
                value.eq(value << 2),
                rest.eq(Mux(fits, difference, longer)),
                root.eq(Cat(fits, root)),
            ]
        return m


class SerialProduct(wiring.Component):
    """``o = a * b`` by one adder, a bit of ``b`` a cycle.

    Parameters
    ----------
    a_bits, b_bits : int
        Widths of the signed and of the unsigned factor.

    Members
    -------
    start : In(1)
        Strobe: ``a``, ``b`` and ``bits`` are there.
    a : In(signed(a_bits))
        Constant until `done`.
    b : In(b_bits)
    bits : In
        How many bits of ``b`` may be set, >= 1.
    done : Out(1)
        High for one cycle, ``bits + 1`` cycles after `start`; ``o`` stays until the next start.
    o : Out(signed(a_bits + b_bits))
        The product shifted left by ``b_bits - bits``.
    """

    def __init__(self, a_bits, b_bits):
        super().__init__(
            {
                "start": In(1),
                "a": In(signed(a_bits)),
                "b": In(b_bits),
                "bits": In(range(b_bits + 1)),
                "done": Out(1),
                "o": Out(signed(a_bits + b_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        word = Signal.like(self.o, reset_less=True)
        left = Signal.like(self.bits)
        high = word[len(self.b) :].as_signed()
        total = high + Mux(word[0], self.a, 0)
        m.d.comb += self.o.eq(word)
        m.d.sync += self.done.eq(left == 1)
        with m.If(self.start):
            m.d.sync += [word.eq(self.b), left.eq(self.bits)]
        with m.Elif(left != 0):
            m.d.sync += [word.eq(Cat(word[1 : len(self.b)], total)), left.eq(left - 1)]
        return m
