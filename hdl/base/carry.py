"""Adders that choose as they add.

Tools make an adder, and as many LUTs again for a choice of what is added. The ECP5's carry cells
have inputs to spare for that; so they are named outright. The twin in the model is ``+``.
"""

from typing import Any

from amaranth.hdl import Const, Instance, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.doors.checks import check_int

__all__ = ["AddSub", "CountOrTake"]

# A cell's LUT says, of its inputs A, B and C with D = 1, whether a carry goes through and what the
# sum is without one; its four lowest bits, of A and B, the carry where none goes through.
ADDS_OR_TAKES_AWAY = 0x96AA
"""A + B where C is 0, A + ~B where it is 1."""
COUNTS_OR_TAKES = 0xCA00
"""A and the carry where C is 0, B where it is 1: then there is to be no carry."""


def _chain(m: Module, table: int, a: Value, b: Value, choice: Value, carry: Value, o: Value):
    """Add a chain of the ECP5's cells, two places each."""
    width = len(o) + len(o) % 2
    wide = {name: Signal(width, name=f"{name}_wide") for name in "abo"}
    m.d.comb += [wide["a"].eq(a), wide["b"].eq(b), o.eq(wide["o"])]
    for at in range(0, width, 2):
        ports: dict[str, Any] = {}
        for k in range(2):
            ports |= {
                f"p_INIT{k}": Const(table, 16),
                f"p_INJECT1_{k}": "NO",
                f"i_A{k}": wide["a"][at + k],
                f"i_B{k}": wide["b"][at + k],
                f"i_C{k}": choice,
                f"i_D{k}": Const(1, 1),
                f"o_S{k}": wide["o"][at + k],
            }
        carries = Signal(name=f"carry{at}")
        m.submodules[f"cell{at}"] = Instance("CCU2C", **ports, i_CIN=carry, o_COUT=carries)
        carry = carries


class AddSub(wiring.Component):
    """``o = a - b`` if ``less``, else ``a + b``, modulo ``2**width``; combinational.

    Parameters
    ----------
    width : int

    Members
    -------
    a, b : In(width)
    less : In(1)
    o : Out(width)

    Cost: a LUT4 a bit on ECP5, else two.
    """

    def __init__(self, width: int):
        check_int("width", width, 1, 64)
        super().__init__({"a": In(width), "b": In(width), "less": In(1), "o": Out(width)})

    def elaborate(self, platform):
        m = Module()
        if getattr(platform, "family", None) == "ecp5":
            _chain(m, ADDS_OR_TAKES_AWAY, self.a, self.b, self.less, self.less, self.o)
        else:
            m.d.comb += self.o.eq(Mux(self.less, self.a - self.b, self.a + self.b))
        return m


class CountOrTake(wiring.Component):
    """``o = b`` if ``take``, else ``a + count``, modulo ``2**width``; combinational.

    Parameters
    ----------
    width : int

    Members
    -------
    a, b : In(width)
    take, count : In(1)
        Never both.
    o : Out(width)

    Cost: a LUT4 a bit on ECP5, else two.
    """

    def __init__(self, width: int):
        check_int("width", width, 1, 64)
        super().__init__(
            {
                "a": In(width),
                "b": In(width),
                "take": In(1),
                "count": In(1),
                "o": Out(width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        if getattr(platform, "family", None) == "ecp5":
            _chain(m, COUNTS_OR_TAKES, self.a, self.b, self.take, self.count, self.o)
        else:
            m.d.comb += self.o.eq(Mux(self.take, self.b, self.a + self.count))
        return m
