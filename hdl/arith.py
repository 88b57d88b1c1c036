"""Integer arithmetic with every rounding named: twins of the functions in `ohmgrid.model.arith`.

Functions are combinational and take Amaranth values of any width and sign; their widths hold every
result. Products: `soft_product` in LUTs, `Product` in multiplier blocks and registers. Quotients:
`Divider` one a cycle. Roots: `SquareRoot` bit by bit.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = [
    "Divider",
    "Product",
    "SquareRoot",
    "saturate",
    "shift_half_up",
    "shift_round",
    "soft_product",
]


def _check_at_least(name: str, value: int, low: int):
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ValueError(f"{name}: expected an integer >= {low}, got {value!r}")


def saturate(value: Value, bits: int) -> Value:
    """Clip to a signed ``bits``-wide range, symmetric: ``+-(2**(bits-1) - 1)``.

    One LUT4 a bit, and the comparison of the bits that are dropped.

    Parameters
    ----------
    value : signed or unsigned
    bits : int
        Width of the result, >= 2.

    Returns
    -------
    signed(bits)
    """
    _check_at_least("bits", bits, 2)
    value = Value.cast(value)
    if not value.shape().signed:
        value = Cat(value, Const(0, 1)).as_signed()
    value = Cat(value, value[-1].replicate(max(0, bits - len(value)))).as_signed()
    sign, low = value[-1], value[: bits - 1]
    beyond = (value[bits - 1 :] ^ sign.replicate(len(value) - bits + 1)).any()
    clipped = beyond | (sign & ~low.any())
    ends = Cat(Const(1, 1), (~sign).replicate(bits - 2))
    return Cat(Mux(clipped, ends, low), sign).as_signed()


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


def _digits(factor: Value) -> list[tuple[Value, Value]]:
    """Recode unsigned bits to radix-4 digits: selectors ``(s1, s0)`` of 0, a, 2a and ~a.

    The last stands for the digit -1 (and needs + 1). Unlike Booth's digits -2..2, these make a bit
    of a partial product a function of four bits: one LUT4. The highest digit is never -1.
    """
    digits, carry = [], Const(0, 1)
    for k in range(0, len(factor) - 1, 2):
        low, high = factor[k], factor[k + 1]
        odd = low ^ carry
        digits.append((Mux(odd, high, high ^ low), odd))
        carry = high & (low | carry)
    if len(factor) % 2:
        digits.append((factor[-1] & carry, factor[-1] ^ carry))
    else:
        digits.append((Const(0, 1), carry))
    return digits


def soft_product(a: Value, b: Value) -> Value:
    """Return ``a * b`` from LUTs alone: DSP blocks are scarce.

    Partial products of radix-4 digits of the narrower factor, added in a balanced tree: about
    ``len(a) * len(b)`` LUT4, where a sum of ANDs takes twice that.

    Parameters
    ----------
    a, b : signed or unsigned

    Returns
    -------
    ``len(a) + len(b)`` bits, signed if either factor is
    """
    a, b = Value.cast(a), Value.cast(b)
    if len(b) > len(a):
        a, b = b, a
    width, top = len(a) + len(b), len(b) - 1
    # A signed b is an unsigned one, its top bit inverted, less 2**top.
    magnitude = Cat(b[:top], ~b[top]) if b.shape().signed else b
    zero = Const(0, 1)
    wide = Cat(a, a[-1] if a.shape().signed else zero)
    once, twice = Cat(wide, wide[-1]), Cat(zero, wide)
    # A node of the tree is a sum, and the position and value of the + 1 that its last digit lacks.
    nodes: list[tuple[Value, int, Value]] = []
    for s1, s0 in _digits(magnitude):
        partial = Mux(s1, Mux(s0, ~once, twice), Mux(s0, once, 0))
        nodes.append((partial.as_signed(), 0, s1 & s0))
    step = 2
    while len(nodes) > 1:
        above = []
        for (left, place, one), (right, last, pending) in zip(nodes[::2], nodes[1::2], strict=False):
            # The bits below `place` pass by the adder, and the + 1 fills a hole below `right`.
            shifted = Cat(one, zero.replicate(step - place - 1), right).as_signed()
            total = Cat(left[:place], (left >> place) + shifted)
            above.append((total.as_signed(), step + last, pending))
        nodes = above + nodes[len(above) * 2 :]
        step *= 2
    total = nodes[0][0]
    if b.shape().signed:
        total = Cat(total[:top], (total >> top) - a).as_signed()
    product = total[:width]
    return product.as_signed() if a.shape().signed or b.shape().signed else product


class Product(wiring.Component):
    """Unsigned product in pieces that fit DSP blocks, ``o = a * b``; one a cycle, `latency` cycles.

    Pieces of ``dsp_bits`` x ``dsp_bits`` go to a block each, slivers of up to ``soft_bits`` to LUTs;
    a register after the pieces and one after their sum. Exactly one register follows a block: yosys
    makes a constant 0 of a product with registers on both inputs and two behind it (iCE40).

    Parameters
    ----------
    a_bits, b_bits : int
    dsp_bits : int
        Width that one block multiplies: 18 on ECP5, 16 on iCE40.
    soft_bits : int
        A piece this narrow is made of LUTs.

    Members
    -------
    a : ``In(a_bits)``
    b : ``In(b_bits)``
    o : ``Out(a_bits + b_bits)``
    """

    def __init__(self, a_bits: int, b_bits: int, dsp_bits: int = 16, soft_bits: int = 6):
        for name, value in (("a_bits", a_bits), ("b_bits", b_bits), ("dsp_bits", dsp_bits)):
            _check_at_least(name, value, 1)
        _check_at_least("soft_bits", soft_bits, 0)
        self._dsp_bits, self._soft_bits = dsp_bits, soft_bits
        super().__init__({"a": In(a_bits), "b": In(b_bits), "o": Out(a_bits + b_bits)})

    @property
    def latency(self) -> int:
        """Cycles from the factors to their product."""
        return 2

    def _pieces(self, a: Value, b: Value, offset: int = 0) -> list[tuple[Value, int]]:
        """Split ``a * b`` to products of slices, each with its offset."""
        if min(len(a), len(b)) <= self._soft_bits:
            return [(soft_product(a, b), offset)]
        if max(len(a), len(b)) <= self._dsp_bits:
            return [(a * b, offset)]
        if len(a) < len(b):
            a, b = b, a
        cut = self._dsp_bits
        return self._pieces(a[:cut], b, offset) + self._pieces(a[cut:], b, offset + cut)

    def elaborate(self, platform):
        m = Module()
        total: Value = Const(0, 1)
        for n, (piece, offset) in enumerate(self._pieces(self.a, self.b)):
            held = Signal(len(piece), name=f"piece{n}", reset_less=True)
            m.d.sync += held.eq(piece)
            total = held if n == 0 else Cat(total[:offset], (total >> offset) + held)
        out = Signal.like(self.o, name="total", reset_less=True)
        m.d.sync += out.eq(total)
        m.d.comb += self.o.eq(out)
        return m


class Divider(wiring.Component):
    """Quotient of unsigned integers, one a cycle, `latency` cycles after its operands; no stalls.

    ``quotient = min(floor(numerator / denominator), 2**quotient_bits - 1)``; with ``rounded`` the
    nearest integer, ties to even, instead of the floor. Zero as denominator gives the largest
    quotient. Restoring division: one quotient bit a stage, a subtraction and a choice.

    Parameters
    ----------
    numerator_bits, denominator_bits, quotient_bits : int
    rounded : bool
    held : bool
        The denominator is constant while its quotients are in flight: it is not registered along
        the pipeline, which saves ``denominator_bits`` flip-flops a stage.

    Members
    -------
    numerator : ``In(numerator_bits)``
    denominator : ``In(denominator_bits)``
    quotient : ``Out(quotient_bits)``

    Cost: about ``2 * denominator_bits`` LUT4 a quotient bit.
    """

    def __init__(
        self,
        numerator_bits: int,
        denominator_bits: int,
        quotient_bits: int,
        rounded: bool = False,
        held: bool = False,
    ):
        for name, value in (
            ("numerator_bits", numerator_bits),
            ("denominator_bits", denominator_bits),
            ("quotient_bits", quotient_bits),
        ):
            _check_at_least(name, value, 1)
        self._rounded, self._held = rounded, held
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
        """Cycles from the operands to the quotient: one to compare, one for each bit, one to round."""
        return 1 + self._stages + int(self._rounded)

    def elaborate(self, platform):
        m = Module()

        def delayed(value: Value, name: str) -> Signal:
            register = Signal.like(value, name=name, reset_less=True)
            m.d.sync += register.eq(value)
            return register

        width, stages = len(self.denominator), self._stages
        # `bits` starts as the low part of the numerator; quotient bits come in as it leaves.
        upper = self.numerator[stages:] if len(self.numerator) > stages else Const(0, 1)
        over = delayed(upper >= self.denominator, "over0")
        rest = delayed(upper[:width], "rest0")
        bits = delayed(self.numerator[:stages], "bits0")
        denominator = self.denominator if self._held else delayed(self.denominator, "denominator0")
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
            bits = delayed(bits, f"bits{n}")
            rest = delayed(Mux(fits, difference, longer)[:width], f"rest{n}")
            if n < stages:
                over = delayed(over, f"over{n}")
            if not self._held and (n < stages or self._rounded):
                denominator = delayed(denominator, f"denominator{n}")
        if self._rounded:
            # An odd floor goes up at a tie too: 2 rest + 1 > denominator.
            up = (Cat(bits[0], rest) > denominator) & ~bits.all()
            bits = delayed((bits + up)[: len(bits)], "nearest")
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
        _check_at_least("bits", bits, 1)
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
