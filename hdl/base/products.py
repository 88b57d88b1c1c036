"""Products: in LUTs, where DSP blocks are scarce, and in pieces that fit DSP blocks.

The twin in the model is ``*``.
"""

from collections.abc import Sequence
from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Shape, ShapeLike, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.doors.checks import check_int
from ohmgrid.hdl.base.multiplier import Multiplier, block_bits
from ohmgrid.hdl.base.pipeline import delayed

__all__ = ["Product", "SoftProduct", "soft_cycles", "soft_product"]

SLIVER = 6
"""Widest piece of a product that is not worth a DSP block."""
SLIVER_ADDITIONS = 2
"""Adders in a row of such a piece: it takes as long as a block."""


def _digits(factor: Value) -> list[Value]:
    """Recode unsigned bits to radix-4 digits: two-bit selectors of 0, a, 2a and ~a.

    The last stands for the digit -1 (and lacks + 1). Unlike Booth's digits -2..2, these make a bit
    of a partial product a function of four bits: one LUT4. The highest digit is never -1.
    """
    digits, carry = [], Const(0, 1)
    for k in range(0, len(factor) - 1, 2):
        low, high = factor[k], factor[k + 1]
        odd = low ^ carry
        digits.append(Cat(odd, Mux(odd, high, high ^ low)))
        carry = high & (low | carry)
    if len(factor) % 2:
        digits.append(Cat(factor[-1] ^ carry, factor[-1] & carry))
    else:
        digits.append(Cat(carry, Const(0, 1)))
    return digits


class _Node(NamedTuple):
    """A partial sum: ``(total + one * 2**place) * 2**offset``."""

    total: Value
    offset: int
    place: int
    one: Value
    """What the node's highest digit lacks where that is -1."""


def _join(left: _Node, right: _Node) -> _Node:
    """Add two neighbours; the + 1 that the left one lacks fills a hole below the right one."""
    step = right.offset - left.offset
    hole = Const(0, step - left.place - 1)
    shifted = Cat(left.one, hole, right.total).as_signed()
    # The bits below the + 1 pass by the adder.
    total = Cat(left.total[: left.place], (left.total >> left.place) + shifted)
    return _Node(total.as_signed(), left.offset, step + right.place, right.one)


def _leaves(a: Value, digits: Sequence[Value], b_shape: Shape) -> list[_Node]:
    """Return the partial products of ``a`` and the digits of a factor of that shape."""
    zero = Const(0, 1)
    wide = Cat(a, a[-1] if a.shape().signed else zero)
    once, twice = Cat(wide, wide[-1]), Cat(zero, wide)
    nodes = []
    for k, digit in enumerate(digits):
        partial = Mux(digit[1], Mux(digit[0], ~once, twice), Mux(digit[0], once, 0)).as_signed()
        nodes.append(_Node(partial, 2 * k, 0, digit.all()))
    if b_shape.signed:
        # A signed factor is an unsigned one, its top bit inverted, less 2**top.
        top, last = b_shape.width - 1, nodes[-1]
        total = (last.total << (last.offset - top)) - wide.as_signed()
        nodes[-1] = _Node(total, top, 0, zero)
    return nodes


def _magnitude(b: Value) -> Value:
    return Cat(b[:-1], ~b[-1]) if b.shape().signed else b


def _halve(nodes: list[_Node]) -> list[_Node]:
    """Add neighbours: one level of the tree."""
    pairs = [_join(*pair) for pair in zip(nodes[::2], nodes[1::2], strict=False)]
    return pairs + nodes[2 * len(pairs) :]


def _finish(node: _Node, a_shape: Shape, b_shape: Shape) -> Value:
    product = node.total[: a_shape.width + b_shape.width]
    return product.as_signed() if a_shape.signed or b_shape.signed else product


def soft_product(a: Value, b: Value) -> Value:
    """Return ``a * b`` from LUTs alone, without a register: DSP blocks are scarce.

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
    nodes = _leaves(a, _digits(_magnitude(b)), b.shape())
    while len(nodes) > 1:
        nodes = _halve(nodes)
    return _finish(nodes[0], a.shape(), b.shape())


def soft_cycles(bits: int, additions: int) -> int:
    """Return the latency of a `SoftProduct` whose recoded factor has so many bits."""
    levels = (bits // 2).bit_length()
    return 1 + max(1, -(-levels // additions))


class SoftProduct(wiring.Component):
    """Product from LUTs, ``o = a * b``, one a cycle, `latency` cycles after its factors.

    As `soft_product`, with registers after the recoding and between the additions.

    Parameters
    ----------
    a_shape, b_shape : Shape or int
        ``b`` is recoded: give the narrower factor there.
    additions : int
        Levels of the adder tree between two registers, >= 1.

    Members
    -------
    a : ``In(a_shape)``
    b : ``In(b_shape)``
    o : ``Out``
        As wide as both factors together, signed if either is.
    """

    def __init__(self, a_shape: ShapeLike, b_shape: ShapeLike, additions: int = 1):
        a_shape, b_shape = Shape.cast(a_shape), Shape.cast(b_shape)
        check_int("additions", additions, 1, 8)
        self._additions = additions
        for name, shape in (("a_shape", a_shape), ("b_shape", b_shape)):
            check_int(f"width of {name}", shape.width, 1, 64)
        out = Shape(a_shape.width + b_shape.width, a_shape.signed or b_shape.signed)
        super().__init__({"a": In(a_shape), "b": In(b_shape), "o": Out(out)})

    @property
    def latency(self) -> int:
        """Cycles from the factors to their product: recoding, and the levels of the tree."""
        return soft_cycles(len(self.b), self._additions)

    def elaborate(self, platform):
        m = Module()
        recoded = enumerate(_digits(_magnitude(self.b)))
        digits = [delayed(m, digit, f"digit{k}") for k, digit in recoded]
        nodes = _leaves(delayed(m, self.a, "multiplicand"), digits, self.b.shape())
        for stage in range(self.latency - 1):
            for _ in range(self._additions):
                nodes = _halve(nodes)
            for k, node in enumerate(nodes):
                nodes[k] = node._replace(
                    total=delayed(m, node.total, f"total{stage}_{k}"),
                    one=delayed(m, node.one, f"one{stage}_{k}"),
                )
        m.d.comb += self.o.eq(_finish(nodes[0], self.a.shape(), self.b.shape()))
        return m


class Product(wiring.Component):
    """Unsigned product in pieces that fit DSP blocks, ``o = a * b``; one a cycle, `latency` cycles.

    Pieces of up to ``dsp_bits`` x ``dsp_bits`` take a block each, slivers of up to six bits LUTs.
    Registers stand before the pieces, after them (`Multiplier`) and after their sum.

    Parameters
    ----------
    a_bits, b_bits : int
    dsp_bits : int, optional
        Width that one block multiplies; that of the platform's family if it is not given.

    Members
    -------
    a : ``In(a_bits)``
    b : ``In(b_bits)``
    o : ``Out(a_bits + b_bits)``
    """

    def __init__(self, a_bits: int, b_bits: int, dsp_bits: int | None = None):
        for name, value in (("a_bits", a_bits), ("b_bits", b_bits)):
            check_int(name, value, 1, 64)
        if dsp_bits is not None:
            check_int("dsp_bits", dsp_bits, SLIVER + 1, 64)
        self._dsp_bits = dsp_bits
        super().__init__({"a": In(a_bits), "b": In(b_bits), "o": Out(a_bits + b_bits)})

    @property
    def latency(self) -> int:
        """Cycles from the factors to their product."""
        return Multiplier.latency + 1

    def _pieces(
        self, a: Value, b: Value, cut: int, offset: int = 0
    ) -> list[tuple[Value, Value, int]]:
        """Split ``a * b`` to products of slices, each with its offset; the second is narrower."""
        if len(a) < len(b):
            a, b = b, a
        if len(b) <= SLIVER or len(a) <= cut:
            return [(a, b, offset)]
        return self._pieces(a[:cut], b, cut, offset) + self._pieces(a[cut:], b, cut, offset + cut)

    def elaborate(self, platform):
        m = Module()
        total: Value = Const(0, 1)
        pieces = self._pieces(self.a, self.b, self._dsp_bits or block_bits(platform))
        for n, (left, right, offset) in enumerate(pieces):
            if len(right) <= SLIVER:
                multiplier = SoftProduct(len(left), len(right), SLIVER_ADDITIONS)
            else:
                multiplier = Multiplier(len(left), len(right))
            m.submodules[f"piece{n}"] = multiplier
            m.d.comb += [multiplier.a.eq(left), multiplier.b.eq(right)]
            total = Cat(total[:offset], (total >> offset) + multiplier.o) if n else multiplier.o
        m.d.comb += self.o.eq(delayed(m, total[: len(self.o)], "total"))
        return m
