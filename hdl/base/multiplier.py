"""One multiplier block: the vendors' own, with its registers, or a product that tools map.

Synthesis finds the block for a ``*`` but leaves the registers around it in the fabric, which costs
flip-flops and a third of the clock. So each family's block is named outright; what is simulated,
and synthesised for any other part, is the portable body. The twin in the model is ``*``.
"""

from typing import Any

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Shape, ShapeLike, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.doors.checks import check_int
from ohmgrid.hdl.base.pipeline import delayed

__all__ = ["BITS", "Multiplier", "block_bits"]


def _ecp5(a: Value, b: Value, o: Signal, signs: tuple[bool, bool]) -> Instance:
    """Return a MULT18X18D: each bit is a port."""
    bits: dict[str, Any] = {}
    for side, factor in (("A", a), ("B", b), ("C", Const(0, 18))):
        bits |= {f"i_{side}{k}": bit for k, bit in enumerate(factor)}
    registers = {}
    for name in ("INPUTA", "INPUTB", "OUTPUT"):
        registers |= {
            f"p_REG_{name}_CLK": "CLK0",
            f"p_REG_{name}_CE": "CE0",
            f"p_REG_{name}_RST": "RST0",
        }
    return Instance(
        "MULT18X18D",
        **registers,
        **bits,
        i_SIGNEDA=Const(signs[0], 1),
        i_SIGNEDB=Const(signs[1], 1),
        i_SOURCEA=Const(0, 1),
        i_SOURCEB=Const(0, 1),
        i_CLK0=ClockSignal(),
        i_CE0=Const(1, 1),
        i_RST0=Const(0, 1),
        **{f"o_P{k}": bit for k, bit in enumerate(o)},
    )


def _gowin(a: Value, b: Value, o: Signal, signs: tuple[bool, bool]) -> Instance:
    """Return a MULT18X18 of GW1N or GW2A."""
    return Instance(
        "MULT18X18",
        p_AREG=Const(1, 1),
        p_BREG=Const(1, 1),
        p_OUT_REG=Const(1, 1),
        i_A=a,
        i_B=b,
        i_SIA=Const(0, 18),
        i_SIB=Const(0, 18),
        i_ASIGN=Const(signs[0], 1),
        i_BSIGN=Const(signs[1], 1),
        i_ASEL=Const(0, 1),
        i_BSEL=Const(0, 1),
        i_CLK=ClockSignal(),
        i_CE=Const(1, 1),
        i_RESET=Const(0, 1),
        o_DOUT=o,
    )


BLOCKS = {"ecp5": _ecp5, "gw1n": _gowin, "gw2a": _gowin}
"""What a platform's family begins with -> what makes the block.

Not iCE40: `synth_ice40 -dsp` switches off the registers of an SB_MAC16 that is named (yosys#2922 is
about the same pass), so that products come two cycles early. It finds the block for a ``*``.
"""
BITS = 18
"""Of a block's factors."""


def block_bits(platform: object) -> int:
    """Return the bits of a factor that a block of a platform's family multiplies."""
    return 16 if str(getattr(platform, "family", "")).startswith("ice40") else BITS


class Multiplier(wiring.Component):
    """``o = a * b``, one a cycle, `latency` cycles after its factors: a register on each side.

    The platform's ``family`` chooses the body. Factors wider than its block get the portable one.

    Parameters
    ----------
    a_shape, b_shape : Shape or int

    Members
    -------
    a : ``In(a_shape)``
    b : ``In(b_shape)``
    o : ``Out``
        As wide as both factors together, signed if either is.
    """

    latency = 2
    """Cycles from the factors to their product."""

    def __init__(self, a_shape: ShapeLike, b_shape: ShapeLike):
        a_shape, b_shape = Shape.cast(a_shape), Shape.cast(b_shape)
        for name, shape in (("a_shape", a_shape), ("b_shape", b_shape)):
            check_int(f"width of {name}", shape.width, 1, 64)
        out = Shape(a_shape.width + b_shape.width, a_shape.signed or b_shape.signed)
        super().__init__({"a": In(a_shape), "b": In(b_shape), "o": Out(out)})

    def elaborate(self, platform):
        m = Module()
        family = str(getattr(platform, "family", "")).lower()
        for name, block in BLOCKS.items():
            if family.startswith(name) and max(len(self.a), len(self.b)) <= BITS:
                product = Signal(2 * BITS)
                a, b = _extended(self.a), _extended(self.b)
                signs = (self.a.shape().signed, self.b.shape().signed)
                m.submodules.block = block(a, b, product, signs)
                m.d.comb += self.o.eq(product)
                return m
        a, b = delayed(m, self.a, "held_a"), delayed(m, self.b, "held_b")
        product = delayed(m, a * b, "product")
        # Where nothing is added to it two registers follow the block, and yosys makes a constant 0
        # of one with registers on both inputs too (iCE40), unless it has to keep the first.
        product.attrs["keep"] = 1
        m.d.comb += self.o.eq(product)
        return m


def _extended(factor: Value) -> Value:
    """Return a factor as wide as the block's; a sign is repeated."""
    sign = factor[-1] if factor.shape().signed else Const(0, 1)
    return Cat(factor, sign.replicate(BITS - len(factor)))
