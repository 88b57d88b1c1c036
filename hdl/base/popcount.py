"""Pulses of a train: how many slots of it fire. The model counts with `numpy.bitwise_count`."""

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.periphery import SLOTS
from ohmgrid.registers.device import COUNT_BITS

__all__ = ["Popcount"]


def _full_add(a: Value, b: Value, c: Value) -> tuple[Value, Value]:
    """Return sum and carry of three bits."""
    return a ^ b ^ c, (a & b) | (c & (a | b))


class Popcount(wiring.Component):
    """Number of ones in a pulse train; one a cycle, `latency` cycles.

    Four counts of seven bits, then their sum; the three bits that are left are the carries into
    its adders.

    Members
    -------
    i : In(31)
    o : Out(5)
    """

    i: In(SLOTS)
    o: Out(COUNT_BITS)

    latency = 2
    """Cycles from a train to its count."""

    def elaborate(self, platform):
        m = Module()
        sevens = []
        for n in range(4):
            a, b, c, d, e, f, g = self.i[7 * n : 7 * n + 7]
            (one0, two0), (one1, two1) = _full_add(a, b, c), _full_add(d, e, f)
            one, two2 = _full_add(one0, one1, g)
            seven = Signal(3, name=f"seven{n}", reset_less=True)
            m.d.sync += seven.eq(Cat(one, *_full_add(two0, two1, two2)))
            sevens.append(seven)
        rest = Signal(3, reset_less=True)
        m.d.sync += rest.eq(self.i[28:])

        def add(left: Value, right: Value, carry: Value) -> Value:
            return (Cat(carry, left) + Cat(Const(1, 1), right)) >> 1

        low = add(sevens[0], sevens[1], rest[0])
        high = add(sevens[2], sevens[3], rest[1])
        total = Signal(COUNT_BITS, reset_less=True)
        m.d.sync += total.eq(add(low, high, rest[2]))
        m.d.comb += self.o.eq(total)
        return m
